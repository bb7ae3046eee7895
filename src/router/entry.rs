//! A provider in its place among the others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::breaker::Breakers;
use super::health::Monitor;
use super::latency::Latency;
use super::limited::Limited;
use super::operation::Form;
use super::retry::Budget;
use super::tally::Tally;
use crate::chat::{ChatRequest, Task};
use crate::provider::{Info, Provider};

/// A provider, and what the router knows of it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) provider: Arc<dyn Provider>,
    pub(super) weight: Weight,
    /// What it calls the models that callers name.
    pub(super) models: BTreeMap<String, String>,
    pub(super) monitor: Arc<Monitor>,
    /// Held by whoever has it probed out of turn.
    pub(super) trial: Mutex<()>,
    pub(super) latencies: Latencies,
    pub(super) limited: Limited,
    pub(super) tally: Arc<Tally>,
    pub(super) breakers: Arc<Breakers>,
    pub(super) budget: Budget,
    pub(super) turn: AtomicU64,
}

/// What a request wants, as far as it decides about the model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// The model, as the caller named it.
    pub(super) model: Option<&'a str>,
    pub(super) task: Task,
}

impl<'a> Asked<'a> {
    pub(super) fn by(request: &'a ChatRequest) -> Self {
        Self { model: request.model.as_deref(), task: request.task }
    }
}

/// The share that counts. It changes while requests are under way.
#[derive(Debug)]
pub(super) struct Weight(AtomicU64);

impl Weight {
    pub(super) fn new(weight: f64) -> Self {
        Self(AtomicU64::new(weight.to_bits()))
    }

    pub(super) fn get(&self) -> f64 {
        // A number by itself: nothing else has to be seen in order.
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn set(&self, weight: f64) {
        self.0.store(weight.to_bits(), Ordering::Relaxed);
    }
}

/// How quick a provider is: a first event comes sooner than a whole answer, and the two are not to be compared.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    whole: Arc<Latency>,
    first_event: Arc<Latency>,
}

impl Latencies {
    pub(super) fn of(&self, form: Form) -> &Arc<Latency> {
        match form {
            Form::Whole => &self.whole,
            Form::Streamed => &self.first_event,
        }
    }
}

impl Entry {
    pub(super) fn info(&self) -> &Info {
        self.provider.info()
    }

    /// The model that a request would go to here: its mapped name, the default one where the caller named none, and
    /// nothing where the caller named one that is neither mapped nor served. The operator's own default is always served,
    /// a vendor's only where the operator has not listed others.
    pub(super) fn model_for<'a>(&'a self, asked: Asked<'a>) -> Option<&'a str> {
        let Some(name) = asked.model else {
            let default = self.provider.default_model(asked.task);
            return (default == self.info().model || self.provider.serves(default)).then_some(default);
        };
        match self.models.get(name) {
            Some(mapped) => Some(mapped),
            None => self.provider.serves(name).then_some(name),
        }
    }

    /// Whether it maps this name, or serves it and does not merely assume that it does.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.models.contains_key(name) || self.provider.serves(name) && !self.provider.assumes(name)
    }

    /// Whether its vendor lists this name, even if it is not asked for it here.
    pub(super) fn lists(&self, name: &str) -> bool {
        self.provider.catalogue().is_some_and(|catalogue| catalogue.lists(name))
    }

    /// Whether it is asked for the model under another name than the caller's.
    pub(super) fn renames(&self, asked: Asked<'_>) -> bool {
        asked.model.is_some_and(|asked| self.models.contains_key(asked))
    }

    /// Whether its breaker lets nothing of this tenant pass for the model now.
    pub(super) fn refuses(&self, asked: Asked<'_>, tenant: Option<&str>) -> bool {
        let circuit = self.model_for(asked).map(|model| self.breakers.circuit(model, asked.task, tenant));
        circuit.is_some_and(|circuit| self.breakers.wait(&circuit, Instant::now()).is_some())
    }

    /// When it last had its turn.
    pub(super) fn last_turn(&self) -> u64 {
        // Turns are taken and read under one lock.
        self.turn.load(Ordering::Relaxed)
    }

    /// It has its turn.
    pub(super) fn take_turn(&self, turn: u64) {
        self.turn.store(turn, Ordering::Relaxed);
    }
}
