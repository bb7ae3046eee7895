//! The queue of behaviours.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::behaviour::Behaviour;
use crate::failure::Failure;
use crate::route::Endpoint;

/// A behaviour with how often it holds and for which requests. Without more it holds once, for any inference endpoint
/// (all but [`Endpoint::Models`], so that a health probe uses up no test's behaviour) and any model.
#[derive(Debug, Clone)]
pub struct Rule {
    behaviour: Behaviour,
    /// How many requests it is still good for; `None`: always.
    left: Option<u64>,
    endpoint: Option<Endpoint>,
    model: Option<String>,
}

impl Rule {
    /// Holds for one request.
    #[must_use]
    pub fn once(behaviour: impl Into<Behaviour>) -> Self {
        Self::times(1, behaviour)
    }

    /// Holds for so many requests.
    #[must_use]
    pub fn times(count: u64, behaviour: impl Into<Behaviour>) -> Self {
        Self { behaviour: behaviour.into(), left: Some(count), endpoint: None, model: None }
    }

    /// Holds until the script is cleared.
    #[must_use]
    pub fn always(behaviour: impl Into<Behaviour>) -> Self {
        Self { behaviour: behaviour.into(), left: None, endpoint: None, model: None }
    }

    /// Only for requests to this endpoint.
    #[must_use]
    pub fn on(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// Only for requests that name this model, as they name it.
    #[must_use]
    pub fn for_model(mut self, model: &str) -> Self {
        self.model = Some(model.to_owned());
        self
    }

    fn holds(&self, endpoint: Endpoint, model: Option<&str>) -> bool {
        let here = self.endpoint.map_or(endpoint != Endpoint::Models, |only| only == endpoint);
        here && self.model.as_deref().is_none_or(|only| Some(only) == model)
    }
}

impl From<Behaviour> for Rule {
    fn from(behaviour: Behaviour) -> Self {
        Self::once(behaviour)
    }
}

impl From<Failure> for Rule {
    fn from(failure: Failure) -> Self {
        Self::once(failure)
    }
}

/// Rules in the order they were given. The first that holds is used.
#[derive(Debug, Default)]
pub(crate) struct Script {
    rules: Mutex<VecDeque<Rule>>,
    /// How many rules there are: a double without a script takes no lock.
    length: AtomicUsize,
}

impl Script {
    pub(crate) fn add(&self, rule: Rule) {
        let mut rules = self.rules();
        if rule.left != Some(0) {
            rules.push_back(rule);
        }
        self.length.store(rules.len(), Ordering::Release);
    }

    pub(crate) fn clear(&self) {
        let mut rules = self.rules();
        rules.clear();
        self.length.store(0, Ordering::Release);
    }

    /// How many rules wait for a request, those that always hold included.
    pub(crate) fn waiting(&self) -> usize {
        self.length.load(Ordering::Acquire)
    }

    /// Uses the first rule that holds for a request, if any.
    pub(crate) fn take(&self, endpoint: Endpoint, model: Option<&str>) -> Option<Behaviour> {
        if self.waiting() == 0 {
            return None;
        }
        let mut rules = self.rules();
        let index = rules.iter().position(|rule| rule.holds(endpoint, model))?;
        let rule = rules.get_mut(index)?;
        match rule.left.as_mut() {
            Some(1) => {
                let rule = rules.remove(index)?;
                self.length.store(rules.len(), Ordering::Release);
                Some(rule.behaviour)
            }
            Some(left) => {
                *left -= 1;
                Some(rule.behaviour.clone())
            }
            None => Some(rule.behaviour.clone()),
        }
    }

    fn rules(&self) -> MutexGuard<'_, VecDeque<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
