//! The models that requests may name.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::Router;
use super::entry::{Asked, Entry};
use crate::chat::Task;
use crate::provider::{Catalogue, chats};

/// A model under the name by which requests ask for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model<'a> {
    /// The first provider that would be asked.
    pub provider: &'a str,
    /// Whether it may chat, as far as its name there tells.
    pub chats: bool,
    /// What its vendor says of it; nothing where the vendor lists no such model, or was not asked yet.
    pub told: Map<String, Value>,
}

impl Router {
    /// Every name under which a provider that takes traffic would be asked: default models, those that the configuration
    /// lists or maps, and those that vendors list, as far as they are served. Where several providers have one, the first
    /// of the configuration stands.
    pub fn models(&self) -> BTreeMap<String, Model<'_>> {
        let mut models = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| entry.weight.get() > 0.0) {
            let listed = entry.provider.catalogue().map(Catalogue::listed).unwrap_or_default();
            let configured = entry.provider.catalogue().map(Catalogue::configured).unwrap_or_default();
            let own = [entry.info().model.as_str()].into_iter().chain(configured.iter().map(String::as_str));
            let names = own
                .chain(entry.models.keys().map(String::as_str))
                .chain(listed.iter().map(|card| card.id.as_str()))
                .filter(|name| *name != "*");
            for name in names {
                if models.contains_key(name) || entry.model_for(named(name)).is_none() {
                    continue;
                }
                models.insert(name.to_owned(), entry.model(name));
            }
        }
        models
    }

    /// What a request for this model would be answered by; `None` where no provider would be asked for it.
    pub fn model(&self, name: &str) -> Option<Model<'_>> {
        self.serving(named(name)).find(|entry| entry.weight.get() > 0.0).map(|entry| entry.model(name))
    }

    /// Whether there are providers that take traffic, and none of them would be asked for this model and this task.
    pub fn lacks(&self, name: &str, task: Task) -> bool {
        let takes_traffic = |entry: &&Entry| entry.weight.get() > 0.0;
        let mut serving = self.serving(named(name)).filter(takes_traffic);
        self.entries.iter().any(|entry| takes_traffic(&entry)) && !serving.any(|entry| entry.provider.does(task))
    }
}

fn named(name: &str) -> Asked<'_> {
    Asked { model: Some(name), task: Task::Chat }
}

/// A model in use that its vendor will take away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deprecation {
    /// The model, by the vendor's name.
    pub model: String,
    /// When, as the vendor writes it.
    pub date: String,
    /// What the vendor offers instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
}

impl Entry {
    /// Of the default model, and those that the configuration lists and maps, so far as the vendor's list tells, and of
    /// those whose answers said so.
    pub(super) fn deprecations(&self) -> Vec<Deprecation> {
        let Some(catalogue) = self.provider.catalogue() else { return Vec::new() };
        let configured = catalogue.configured().iter().map(String::as_str);
        let announced = catalogue.announced();
        let own: BTreeSet<_> = [self.provider.info().model.as_str()]
            .into_iter()
            .chain(configured)
            .chain(self.models.values().map(String::as_str))
            .chain(announced.keys().map(String::as_str))
            .collect();
        let of = |model: &str| {
            let told = catalogue.told(model).unwrap_or_default();
            let text = |field: &str| told.get(field).and_then(Value::as_str).map(str::to_owned);
            let replacement = text("deprecation_replacement_model");
            let date = text("deprecation").or_else(|| announced.get(model).cloned())?;
            Some(Deprecation { model: model.to_owned(), date, replacement })
        };
        own.into_iter().filter_map(of).collect()
    }

    fn model(&self, name: &str) -> Model<'_> {
        let own = self.model_for(named(name)).unwrap_or(name);
        let told = self.provider.catalogue().and_then(|catalogue| catalogue.told(own)).unwrap_or_default();
        Model { provider: &self.info().name, chats: chats(own), told }
    }
}
