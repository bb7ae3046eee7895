//! The models that requests may name.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Router;
use super::entry::Entry;
use crate::provider::Catalogue;

/// A model under the name by which requests ask for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model<'a> {
    /// The first provider that would be asked.
    pub provider: &'a str,
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
            let own = [entry.provider.model_for(None)].into_iter().chain(configured.iter().map(String::as_str));
            let names = own
                .chain(entry.models.keys().map(String::as_str))
                .chain(listed.iter().map(|card| card.id.as_str()))
                .filter(|name| *name != "*");
            for name in names {
                if models.contains_key(name) || entry.model_for(Some(name)).is_none() {
                    continue;
                }
                models.insert(name.to_owned(), entry.model(name));
            }
        }
        models
    }

    /// What a request for this model would be answered by; `None` where no provider would be asked for it.
    pub fn model(&self, name: &str) -> Option<Model<'_>> {
        let serves = |entry: &&Entry| entry.weight.get() > 0.0 && entry.model_for(Some(name)).is_some();
        self.entries.iter().find(serves).map(|entry| entry.model(name))
    }
}

impl Entry {
    fn model(&self, name: &str) -> Model<'_> {
        let own = self.model_for(Some(name)).unwrap_or(name);
        let told = self.provider.catalogue().and_then(|catalogue| catalogue.told(own)).unwrap_or_default();
        Model { provider: &self.info().name, told }
    }
}
