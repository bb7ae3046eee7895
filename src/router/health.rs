//! What is known of each provider's health, from traffic and from active probes.
//!
//! Health puts a provider behind the healthy ones of its request; it never takes the last one away. A provider recovers
//! by a probe or by an answer, whichever comes first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::provider::{ApiKey, ErrorKind, HealthEffect, Provider, ProviderError};

/// So many failures of calls in a row make a provider unhealthy; one would punish a hiccup.
const FAILURES: u32 = 3;

/// The time between two probes, before jitter.
const PROBE_EVERY: Duration = Duration::from_secs(30);

/// The same while a provider is unhealthy. A probe may take 10 s itself, and a provider that answers again is to be used
/// again within 20 s.
const PROBE_UNHEALTHY_EVERY: Duration = Duration::from_secs(5);

/// The part of the time between two probes that is drawn, so that many gateways do not probe in step.
const JITTER: f64 = 0.2;

/// A provider's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Neither traffic nor a probe has said anything yet.
    #[default]
    Unknown,
    /// The last thing heard was good.
    Healthy,
    /// Probes or calls fail, or the key does not work.
    Unhealthy,
}

impl State {
    /// The name in API answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What is known of a provider at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The state.
    pub state: State,
    /// The last failure that counted, while it matters; empty when all is well.
    pub message: String,
    /// When traffic or a probe last said something.
    pub last_checked: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Inner {
    health: Health,
    failures: u32,
    /// The operator's key does not work.
    key_rejected: bool,
    /// When it became unhealthy.
    fell_at: Option<Instant>,
}

/// The health of one provider, shared by requests and the probe. The lock is held for a few assignments only.
#[derive(Debug)]
pub(crate) struct Monitor {
    provider: String,
    inner: Mutex<Inner>,
    /// Told when the provider becomes unhealthy.
    fell: Notify,
}

impl Monitor {
    pub(crate) fn new(provider: &str) -> Self {
        Self { provider: provider.to_owned(), inner: Mutex::default(), fell: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read(&self) -> Health {
        self.lock().health.clone()
    }

    pub(crate) fn state(&self) -> State {
        self.lock().health.state
    }

    /// The provider answers, and the key works.
    fn succeeded(&self) {
        let before = {
            let mut inner = self.lock();
            inner.failures = 0;
            inner.key_rejected = false;
            inner.health.last_checked = Some(Timestamp::now());
            inner.health.message.clear();
            std::mem::replace(&mut inner.health.state, State::Healthy)
        };
        if before == State::Unhealthy {
            tracing::info!(provider = self.provider, "provider is healthy again");
        }
    }

    /// A call was answered that was made then. With a caller's key that says nothing about the operator's, and one from
    /// before the provider fell, such as a stream of an hour, nothing new.
    pub(crate) fn call_succeeded(&self, callers_key: Option<&ApiKey>, begun: Instant) {
        let inner = self.lock();
        let is_old = inner.health.state == State::Unhealthy && inner.fell_at.is_some_and(|fell| begun < fell);
        let says_nothing = is_old || callers_key.is_some() && inner.key_rejected;
        drop(inner);
        if !says_nothing {
            self.succeeded();
        }
    }

    /// A call failed.
    pub(crate) fn call_failed(&self, error: &ProviderError) {
        match error.health_effect() {
            HealthEffect::None => {}
            HealthEffect::Failure => self.failed(error, &error.brief(), &error.logged(), FAILURES),
            HealthEffect::KeyRejected => self.failed(error, &error.brief(), &error.logged(), 1),
        }
    }

    /// A probe failed. A refusal for its rate says that the edge is up and the key known; hosts without a list of models
    /// (Codestral's, many a server of one's own) answer and are up too, in words that may be those for a model, though a
    /// probe names none. Says whether it is.
    pub(crate) fn probe_failed(&self, error: &ProviderError) -> bool {
        let is_up = matches!(
            error.kind(),
            ErrorKind::RateLimited | ErrorKind::EndpointNotFound | ErrorKind::Unsupported | ErrorKind::ModelNotFound
        );
        if is_up {
            self.succeeded();
        } else {
            // A probe holds nothing of a caller's.
            self.failed(error, error.told(), error.message(), 1);
        }
        is_up
    }

    /// One more failure, of which `enough` in a row make the provider unhealthy: in words for whoever reads its health, and
    /// for the log.
    fn failed(&self, error: &ProviderError, shown: &str, logged: &str, enough: u32) {
        let fell = {
            let mut inner = self.lock();
            inner.failures = inner.failures.saturating_add(1);
            inner.key_rejected |= error.health_effect() == HealthEffect::KeyRejected;
            inner.health.last_checked = Some(Timestamp::now());
            inner.health.message.clear();
            inner.health.message.push_str(shown);
            let fell = inner.failures >= enough && inner.health.state != State::Unhealthy;
            if fell {
                inner.health.state = State::Unhealthy;
                inner.fell_at = Some(Instant::now());
            }
            fell
        };
        if fell {
            self.fell.notify_one();
            tracing::warn!(provider = self.provider, code = error.code(), "provider is unhealthy: {logged}");
        }
    }
}

/// Probes a provider once, and tells whether it is up.
pub(crate) async fn probe(provider: &dyn Provider, monitor: &Monitor) -> bool {
    match provider.probe().await {
        Ok(()) => {
            monitor.succeeded();
            true
        }
        Err(error) => monitor.probe_failed(&error),
    }
}

/// Probes a provider at once and then again and again, until the task is aborted.
pub(crate) async fn watch(provider: Arc<dyn Provider>, monitor: Arc<Monitor>) {
    loop {
        probe(provider.as_ref(), &monitor).await;
        while wait_to_probe(&monitor).await {}
    }
}

/// Waits for the time of the next probe; whether the provider fell meanwhile, which makes the time another.
async fn wait_to_probe(monitor: &Monitor) -> bool {
    let every = if monitor.state() == State::Unhealthy { PROBE_UNHEALTHY_EVERY } else { PROBE_EVERY };
    let jitter = 1.0 + JITTER * (2.0 * fastrand::f64() - 1.0);
    tokio::select! {
        () = tokio::time::sleep(every.mul_f64(jitter)) => false,
        () = monitor.fell.notified() => true,
    }
}
