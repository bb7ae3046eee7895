//! What a request and the policies that saw it say about where it may go.

use crate::chat::Task;
use crate::provider::{ApiKey, Info, safe_text};

/// What the caller asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// Nothing.
    #[default]
    Any,
    /// This provider first, others if it fails.
    Prefer(String),
    /// This provider and no other.
    Pin(String),
}

/// The caller's preference, and the bounds that policies drew. Bounds only ever narrow: several policies meet in what all
/// of them allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Constraints {
    task: Task,
    preference: Preference,
    /// Those with a share of the traffic, where they were found before.
    sharing: Option<Vec<String>>,
    providers: Option<Vec<String>>,
    regions: Option<Vec<String>>,
    key: Option<ApiKey>,
    tenant: Option<String>,
}

impl Constraints {
    /// Of a caller's preference alone.
    pub fn new(preference: Preference) -> Self {
        Self { preference, ..Self::default() }
    }

    /// Only providers that are asked for this.
    pub fn for_task(mut self, task: Task) -> Self {
        self.task = task;
        self
    }

    /// To be opened by the caller's own key, which goes to one provider and no other.
    pub fn with_key(mut self, key: Option<ApiKey>) -> Self {
        self.key = key;
        self
    }

    /// Asked by this tenant: where it is known, what it makes fail keeps nobody else out ([`super::Routing::tenants`]).
    pub fn of_tenant(mut self, tenant: &str) -> Self {
        self.tenant = Some(tenant.to_owned());
        self
    }

    /// Who asks.
    pub(crate) fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// The caller's own key.
    pub(crate) fn key(&self) -> Option<&ApiKey> {
        self.key.as_ref()
    }

    /// What is wanted.
    pub(crate) fn task(&self) -> Task {
        self.task
    }

    /// What the caller asked for.
    pub fn preference(&self) -> &Preference {
        &self.preference
    }

    /// Only these providers, and of them only those that were allowed before.
    pub fn restrict_to_providers<N: Into<String>>(&mut self, names: impl IntoIterator<Item = N>) {
        narrow(&mut self.providers, names);
    }

    /// Only these regions, and of them only those that were allowed before. A provider without a region is in none.
    pub fn restrict_to_regions<N: Into<String>>(&mut self, names: impl IntoIterator<Item = N>) {
        narrow(&mut self.regions, names);
    }

    /// These have a share of the traffic for this request, and no others, however it is shared meanwhile.
    pub fn share_among<N: Into<String>>(&mut self, names: impl IntoIterator<Item = N>) {
        self.sharing = Some(names.into_iter().map(Into::into).collect());
    }

    /// Whether those with a share of the traffic were found before.
    pub(crate) fn knows_who_shares(&self) -> bool {
        self.sharing.is_some()
    }

    /// Whether a provider has a share, whose weight is this now.
    pub(crate) fn shares(&self, info: &Info, weight: f64) -> bool {
        match &self.sharing {
            Some(names) => names.iter().any(|name| same(name, &info.name)),
            None => weight > 0.0,
        }
    }

    /// Whether the bounds leave this provider in.
    pub(crate) fn allow(&self, info: &Info) -> bool {
        let named = self.providers.as_ref().is_none_or(|names| names.iter().any(|name| same(name, &info.name)));
        let placed = self.regions.as_ref().is_none_or(|regions| {
            info.region.as_ref().is_some_and(|here| regions.iter().any(|region| same(region, here)))
        });
        named && placed
    }

    /// The bounds in words, for the error when they leave nothing; empty where there are none.
    pub(crate) fn describe(&self) -> Vec<String> {
        let list = |names: &Vec<String>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let mut bounds = Vec::new();
        if self.task != Task::Chat {
            bounds.push(format!("only for: {}", self.task.as_str()));
        }
        if let Some(names) = &self.providers {
            bounds.push(format!("only providers: {}", list(names)));
        }
        if let Some(regions) = &self.regions {
            bounds.push(format!("only regions: {}", list(regions)));
        }
        if let Preference::Pin(name) = &self.preference {
            bounds.push(format!("pinned to {}", safe_text(name, 60)));
        }
        bounds
    }
}

/// Names of providers and regions are the same whatever their case.
pub(crate) fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

fn narrow<N: Into<String>>(allowed: &mut Option<Vec<String>>, names: impl IntoIterator<Item = N>) {
    let names = names.into_iter().map(Into::into);
    *allowed = Some(match allowed.take() {
        None => names.collect(),
        Some(before) => names.filter(|name| before.iter().any(|one| same(one, name))).collect(),
    });
}
