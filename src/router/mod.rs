//! The router: which provider answers a request, and who is asked when that one fails.
//!
//! Owns the order of candidates (strategy, priorities, weights, the caller's preference, the bounds that policies drew),
//! retries and failover by the class of a failure, the names that models have at each provider, and what is known of each
//! provider: health, breakers, speed. It never looks at the content of a request, never classes an error itself, and
//! never sends a model's name to a provider that neither serves nor maps it.

mod attempt;
mod breaker;
mod call;
mod constraints;
mod entry;
mod error;
mod failure;
mod health;
mod latency;
mod limited;
mod meter;
mod models;
mod operation;
mod order;
mod retry;
mod stream;
mod tally;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::chat::{ChatAnswer, ChatRequest, Usage, estimate_before};
use crate::config::DEADLINE;
use crate::provider::{Info, Provider, Streamed};
use breaker::Breakers;
use constraints::same;
use entry::{Asked, Entry, Weight};
use health::Monitor;
use order::Turns;
use retry::Budget;

pub use crate::config::{Breaker, Retry, Strategy, Tenants};
pub use attempt::{Attempt, Attempts};
pub use constraints::{Constraints, Preference};
pub use error::{BuildError, RouteError, WeightError};
pub use health::{Health, State};
pub use models::{Deprecation, Model};
pub use operation::Form;
pub use tally::Counts;

/// How requests are shared among providers.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// How the order is found.
    pub strategy: Strategy,
    /// Shares by provider name. Where it is empty each provider's own weight counts; else a provider that is not listed
    /// gets neither traffic nor failover.
    pub weights: BTreeMap<String, f64>,
    /// The provider that `failover` asks first.
    pub default: Option<String>,
    /// By provider name, what it calls the models that callers name.
    pub model_maps: BTreeMap<String, BTreeMap<String, String>>,
    /// Time for a request, from its first attempt to the end of its last, waits included.
    pub deadline: Duration,
    /// How often a failed call is tried again.
    pub retry: Retry,
    /// When a provider that keeps failing is left in peace.
    pub breaker: Breaker,
    /// For whom it then is: where tenants are known, for the one whose requests failed.
    pub tenants: Tenants,
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            weights: BTreeMap::new(),
            default: None,
            model_maps: BTreeMap::new(),
            deadline: DEADLINE,
            retry: Retry::default(),
            breaker: Breaker::default(),
            tenants: Tenants::default(),
        }
    }
}

/// A provider as it stands at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderStatus<'a> {
    /// What it tells about itself.
    pub info: &'a Info,
    /// The share that counts: that of the routing weights where there are any, else its own.
    pub weight: f64,
    /// What is known of its health.
    pub health: Health,
    /// What it was asked so far.
    pub counts: Counts,
    /// Models in use that its vendor will take away.
    pub deprecations: Vec<Deprecation>,
}

/// The share of each provider, together 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares(BTreeMap<String, f64>);

impl Shares {
    /// By provider name.
    pub fn by_name(&self) -> &BTreeMap<String, f64> {
        &self.0
    }
}

/// Where a request could still go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination<'a> {
    /// The provider.
    pub provider: &'a str,
    /// The model that it would be asked for.
    pub model: &'a str,
}

/// An answer, and how it was come by.
#[derive(Clone, Debug, PartialEq)]
pub struct Routed<T = ChatAnswer> {
    /// The provider that answered.
    pub provider: String,
    /// The model that it was asked for.
    pub model: String,
    /// The answer.
    pub answer: T,
    /// All attempts, in order; the last one is the one that answered.
    pub attempts: Vec<Attempt>,
}

/// All providers, and the order among them. Immutable but for health, counts and weights; a new configuration is a new
/// router.
#[derive(Debug)]
pub struct Router {
    entries: Vec<Entry>,
    strategy: Strategy,
    default: Option<String>,
    turns: Turns,
    deadline: Duration,
    retry: Retry,
    probes: OnceLock<JoinSet<()>>,
}

impl Router {
    /// Puts providers into their places. Without any, every request ends in [`RouteError::NoProviders`].
    ///
    /// A weight or a default for a provider that is not there has no effect: an entry without a key is left out of the
    /// gateway, and its share with it.
    pub fn new(providers: Vec<Arc<dyn Provider>>, routing: Routing) -> Result<Self, BuildError> {
        let Routing { strategy, weights, default, mut model_maps, deadline, retry, breaker, tenants } = routing;
        let mut entries: Vec<Entry> = Vec::with_capacity(providers.len());
        for provider in providers {
            let info = provider.info();
            if entries.iter().any(|entry| same(&entry.info().name, &info.name)) {
                return Err(BuildError::DuplicateName { name: info.name.clone() });
            }
            let weight = if weights.is_empty() {
                info.weight
            } else {
                weights.iter().find(|(name, _)| same(name, &info.name)).map_or(0.0, |(_, weight)| *weight)
            };
            if !weight.is_finite() || weight < 0.0 {
                return Err(BuildError::Weight { name: info.name.clone() });
            }
            entries.push(Entry {
                weight: Weight::new(weight),
                models: model_maps.remove(&info.name).unwrap_or_default(),
                monitor: Arc::new(Monitor::new(&info.name)),
                trial: Default::default(),
                latencies: Default::default(),
                limited: Default::default(),
                tally: Default::default(),
                breakers: Arc::new(Breakers::new(&info.name, breaker, tenants)),
                budget: Budget::new(retry.budget),
                turn: Default::default(),
                provider,
            });
        }
        Ok(Self { entries, strategy, default, turns: Turns::default(), deadline, retry, probes: OnceLock::new() })
    }

    /// Starts probing each provider, at once and then every half minute (every five seconds while it is unhealthy), until
    /// the router is dropped. A second call does nothing. Must be called inside a tokio runtime.
    pub fn watch_health(&self) {
        self.probes.get_or_init(|| {
            let watch = |entry: &Entry| health::watch(Arc::clone(&entry.provider), Arc::clone(&entry.monitor));
            self.entries.iter().map(watch).collect()
        });
    }

    /// Probes a provider now, out of turn, and tells whether it is up and how long that took. `None` where there is no such
    /// provider, or where it is probed so already: however many ask, it is asked by one of them.
    pub async fn probe(&self, name: &str) -> Option<(bool, Duration)> {
        let entry = self.entry(name)?;
        let _alone = entry.trial.try_lock().ok()?;
        let begun = Instant::now();
        let is_up = health::probe(entry.provider.as_ref(), &entry.monitor).await;
        Some((is_up, begun.elapsed()))
    }

    /// Each provider as it stands, in the order of the configuration.
    pub fn providers(&self) -> impl Iterator<Item = ProviderStatus<'_>> {
        self.entries.iter().map(|entry| ProviderStatus {
            info: entry.info(),
            weight: entry.weight.get(),
            health: entry.monitor.read(),
            counts: entry.tally.read(),
            deprecations: entry.deprecations(),
        })
    }

    /// Says in the metrics how many breakers of each provider let nothing pass now. A breaker's time runs out though nobody
    /// calls, so it is asked when metrics are read.
    pub fn meter_breakers(&self) {
        let now = Instant::now();
        for entry in &self.entries {
            meter::breakers_open(&entry.info().name, entry.breakers.open(now));
        }
    }

    /// How the order is found.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The provider that `failover` asks first.
    pub fn default_provider(&self) -> Option<&str> {
        self.default.as_deref()
    }

    /// The shares that these weights make. A provider that is left out gets neither traffic nor failover.
    pub fn shares(&self, weights: &BTreeMap<String, f64>) -> Result<Shares, WeightError> {
        for (name, weight) in weights {
            if self.entry(name).is_none() {
                return Err(WeightError::Unknown { name: crate::provider::safe_text(name, 60), known: self.known() });
            }
            if !weight.is_finite() || *weight < 0.0 {
                return Err(WeightError::Number { name: name.clone() });
            }
            if weights.keys().filter(|other| same(other, name)).count() > 1 {
                return Err(WeightError::Twice { name: name.clone() });
            }
        }
        let sum: f64 = weights.values().sum();
        if sum <= 0.0 || !sum.is_finite() {
            return Err(WeightError::AllZero);
        }
        let share = |entry: &Entry| {
            let name = &entry.info().name;
            let given = weights.iter().find(|(given, _)| same(given, name));
            (name.clone(), given.map_or(0.0, |(_, weight)| weight / sum))
        };
        Ok(Shares(self.entries.iter().map(share).collect()))
    }

    /// Shares the traffic anew, until the next start. First those whose share grows, so that
    /// at each moment somebody has one.
    pub fn share(&self, shares: &Shares) {
        let mut changes: Vec<_> = self
            .entries
            .iter()
            .map(|entry| (entry, shares.0.get(&entry.info().name).copied().unwrap_or(0.0)))
            .collect();
        changes.sort_by_key(|(entry, share)| *share < entry.weight.get());
        for (entry, share) in changes {
            entry.weight.set(share);
        }
    }

    fn known(&self) -> Vec<String> {
        self.entries.iter().map(|entry| entry.info().name.clone()).collect()
    }

    /// A provider by its name.
    pub fn provider(&self, name: &str) -> Option<&Arc<dyn Provider>> {
        self.entry(name).map(|entry| &entry.provider)
    }

    /// What `usage` of a provider's model costs, where there is such a provider and the price is known.
    pub fn price(&self, provider: &str, model: &str, usage: &Usage) -> Option<f64> {
        self.provider(provider)?.price(model, usage)
    }

    /// Where a request for `model` could still go, in the order of the configuration: what policies match on before
    /// routing.
    pub fn destinations<'a>(
        &'a self,
        model: Option<&'a str>,
        constraints: &Constraints,
    ) -> Result<Vec<Destination<'a>>, RouteError> {
        let entries = self.eligible(model, constraints)?;
        let asked = Asked { model, task: constraints.task() };
        let destination =
            |entry: &'a Entry| Some(Destination { provider: &entry.info().name, model: entry.model_for(asked)? });
        Ok(entries.into_iter().filter_map(destination).collect())
    }

    /// Asks the first candidate, again where the class of its failure says that this may help, and the next one as long as
    /// the class says that another may do better. Of a call that is dropped on its way `attempts` has what was tried.
    pub async fn route(
        &self,
        request: &ChatRequest,
        constraints: &Constraints,
        attempts: &Attempts,
    ) -> Result<Routed, RouteError> {
        let eligible = self.eligible(request.model.as_deref(), constraints)?;
        let candidates = self.ordered(eligible, request, constraints, Form::Whole);
        let whole = operation::Whole(request);
        call::ask(&candidates, &whole, constraints, &self.retry, self.deadline, attempts).await
    }

    /// The same for an answer that is streamed: it has begun when its first event is there. From then on nothing is tried
    /// again.
    pub async fn stream(
        &self,
        request: &ChatRequest,
        constraints: &Constraints,
        attempts: &Attempts,
    ) -> Result<Routed<Streamed>, RouteError> {
        let eligible = self.eligible(request.model.as_deref(), constraints)?;
        let candidates = self.ordered(eligible, request, constraints, Form::Streamed);
        let streaming = operation::Streaming(request);
        call::ask(&candidates, &streaming, constraints, &self.retry, self.deadline, attempts).await
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| same(&entry.info().name, name))
    }

    /// Those that have the model, in the order of the configuration.
    fn serving<'a>(&'a self, asked: Asked<'_>) -> impl Iterator<Item = &'a Entry> {
        let has = move |entry: &&Entry| {
            entry.model_for(asked).is_some() && asked.model.is_none_or(|name| !self.is_anothers(name, entry))
        };
        self.entries.iter().filter(has)
    }

    /// Whether a provider merely assumes that it serves a name which another one maps, or one of another kind knows or
    /// lists, whether that takes traffic or not: a name is never sent to another vendor. Accounts at one vendor may share it.
    fn is_anothers(&self, name: &str, entry: &Entry) -> bool {
        let claims = |other: &Entry| {
            other.models.contains_key(name)
                || other.info().kind != entry.info().kind && (other.knows(name) || other.lists(name))
        };
        !entry.knows(name) && self.entries.iter().any(claims)
    }

    /// Those that may be asked at all, in the order of the configuration. Never empty.
    fn eligible(&self, model: Option<&str>, constraints: &Constraints) -> Result<Vec<&Entry>, RouteError> {
        if self.entries.is_empty() {
            return Err(RouteError::NoProviders);
        }
        let pinned = match constraints.preference() {
            Preference::Any => None,
            // Those who share were found for the model: this one, which was seen to take traffic then, need not have it.
            Preference::Prefer(_) if constraints.knows_who_shares() => None,
            Preference::Prefer(name) => {
                self.named(name, constraints)?;
                None
            }
            Preference::Pin(name) => Some(self.named(name, constraints)?),
        };
        let asked = Asked { model, task: constraints.task() };
        let fits = |entry: &&Entry| {
            constraints.shares(entry.info(), entry.weight.get())
                && pinned.is_none_or(|pinned| std::ptr::eq(pinned, *entry))
                && entry.provider.does(constraints.task())
                && constraints.allow(entry.info())
        };
        let eligible: Vec<_> = self.serving(asked).filter(fits).collect();
        if eligible.is_empty() {
            return Err(self.nobody(model, constraints));
        }
        if constraints.key().is_some() {
            // Whoever brings a key knows whose it is. Weights and bounds, which others change, may not decide who gets it.
            let is_named = pinned.is_some() || model.is_some() && self.serving(asked).count() == 1;
            if !is_named {
                let among = self.serving(asked).map(|entry| entry.info().name.clone()).collect();
                return Err(RouteError::KeyWithoutProvider { among });
            }
            if let Some(exposed) = eligible.iter().find(|entry| entry.info().is_exposed) {
                return Err(RouteError::KeyInClear { name: exposed.info().name.clone() });
            }
        }
        Ok(eligible)
    }

    /// The provider that a caller named; never silently another one.
    fn named(&self, name: &str, constraints: &Constraints) -> Result<&Entry, RouteError> {
        let Some(entry) = self.entry(name) else {
            return Err(RouteError::UnknownProvider {
                name: crate::provider::safe_text(name, 60),
                known: self.known(),
            });
        };
        if !constraints.shares(entry.info(), entry.weight.get()) {
            return Err(RouteError::NoTraffic { name: entry.info().name.clone() });
        }
        Ok(entry)
    }

    /// Why nobody may be asked.
    fn nobody(&self, model: Option<&str>, constraints: &Constraints) -> RouteError {
        if self.entries.iter().all(|entry| entry.weight.get() == 0.0) {
            return RouteError::NoCandidate { reason: "every weight is 0".to_owned() };
        }
        let model = model.map(|name| crate::provider::safe_text(name, 100));
        let mut bounds = constraints.describe();
        match model {
            Some(model) if bounds.is_empty() => return RouteError::NotServed { model },
            Some(model) => bounds.push(format!("model: {model}")),
            None if bounds.is_empty() => bounds.push("no provider serves its default model".to_owned()),
            None => {}
        }
        RouteError::NoCandidate { reason: bounds.join("; ") }
    }

    /// Those that may be asked, in the order in which they are.
    fn ordered<'a>(
        &self,
        mut entries: Vec<&'a Entry>,
        request: &ChatRequest,
        constraints: &Constraints,
        form: Form,
    ) -> Vec<&'a Entry> {
        if entries.len() < 2 {
            return entries;
        }
        let asked = Asked { model: request.model.as_deref(), task: constraints.task() };
        let turn = (self.strategy == Strategy::RoundRobin).then(|| self.turns.next());
        match (self.strategy, &turn) {
            (_, Some(turn)) => turn.order(&mut entries),
            (Strategy::Failover, _) => order::by_failover(&mut entries, self.default.as_deref()),
            (Strategy::LeastLatency, _) => order::by_latency(&mut entries, form),
            (Strategy::LowestCost, _) => order::by_cost(&mut entries, asked, &estimate_before(request)),
            _ => order::by_weight(&mut entries, fastrand::f64),
        }
        order::failing_last(&mut entries, asked, constraints.tenant());
        if let Preference::Prefer(name) = constraints.preference() {
            order::first(&mut entries, name);
        }
        if let Some(turn) = turn {
            turn.taken(&entries);
        }
        entries
    }
}

#[cfg(test)]
mod tests;
