//! A stream that has begun, and what its end says about its provider.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::breaker::Pass;
use super::entry::Entry;
use super::health::Monitor;
use super::latency::InHand;
use super::operation::Form;
use super::tally::Tally;
use crate::provider::{ApiKey, EventStream, ProviderError};

/// A stream whose first event is there.
pub(super) struct Begun<'a> {
    pub(super) entry: &'a Entry,
    pub(super) pass: Pass,
    /// The caller's own key.
    pub(super) key: Option<&'a ApiKey>,
    /// Whether a failure of its request counts against the provider already.
    pub(super) counted: bool,
}

/// Those who keep account of a provider while one of its streams lasts. Dropped before its end (the client went away, a
/// policy stopped it) they are told nothing.
struct Account {
    monitor: Arc<Monitor>,
    pass: Pass,
    key: Option<ApiKey>,
    counted: bool,
    tally: Arc<Tally>,
    begun: Instant,
    _in_hand: InHand,
}

impl Account {
    fn succeeded(self) {
        self.monitor.call_succeeded(self.key.as_ref(), self.begun);
        self.pass.succeeded();
    }

    fn failed(self, error: ProviderError) -> ProviderError {
        let error = if self.key.is_some() { error.with_callers_key() } else { error };
        self.tally.broke();
        if self.counted {
            return error;
        }
        self.monitor.call_failed(&error);
        if error.counts_against_model() {
            self.pass.failed(Instant::now());
        }
        error
    }
}

/// The same events; their provider's entry is told how they end.
pub(super) fn watched(events: EventStream, begun: Begun<'_>) -> EventStream {
    let Begun { entry, pass, key, counted } = begun;
    let account = Account {
        monitor: Arc::clone(&entry.monitor),
        pass,
        key: key.cloned(),
        counted,
        tally: Arc::clone(&entry.tally),
        begun: Instant::now(),
        _in_hand: entry.latencies.of(Form::Streamed).begin(),
    };
    Box::pin(stream::unfold(Some((events, account)), |watched| async move {
        let (mut events, account) = watched?;
        match events.next().await {
            Some(Ok(event)) => Some((Ok(event), Some((events, account)))),
            Some(Err(error)) => Some((Err(account.failed(error)), None)),
            None => {
                account.succeeded();
                None
            }
        }
    }))
}
