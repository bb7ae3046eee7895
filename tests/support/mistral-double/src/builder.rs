//! Setting a double up.

use std::io;
use std::time::Duration;

use double::{Double, Recording};

use crate::models::Model;
use crate::rate_limit::RateLimitHeaders;
use crate::refusal::ValidationShape;
use crate::route::Host;
use crate::script::{Rule, Script};
use crate::server::MistralDouble;
use crate::service::Mistral;
use crate::settings::{Quirk, Settings};

/// The key that `api.mistral.ai`'s double accepts when it was given none.
pub const DEFAULT_KEY: &str = "offline-mistral-key";

/// The key that `codestral.mistral.ai`'s double accepts when it was given none.
pub const DEFAULT_CODESTRAL_KEY: &str = "offline-codestral-key";

/// The settings of a double to be. Each has the value of the real API unless changed.
#[derive(Debug, Default)]
#[must_use]
pub struct MistralDoubleBuilder {
    port: u16,
    settings: Settings,
    recording: Recording,
    script: Script,
}

impl MistralDoubleBuilder {
    /// Listens on this port of 127.0.0.1 instead of a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Accepts this bearer key. Each call adds one; without any, the default of the host is accepted.
    pub fn accept_key(mut self, key: impl Into<String>) -> Self {
        self.settings.keys.push(key.into());
        self
    }

    /// Plays this host.
    pub fn host(mut self, host: Host) -> Self {
        self.settings.host = host;
        self
    }

    /// Behaves differently on one point.
    pub fn quirk(mut self, quirk: Quirk) -> Self {
        self.settings.quirks.push(quirk);
        self
    }

    /// Writes its 422s in this shape.
    pub fn validation_shape(mut self, shape: ValidationShape) -> Self {
        self.settings.validation_shape = shape;
        self
    }

    /// Reports its limits in this family of headers.
    pub fn rate_limit_headers(mut self, family: RateLimitHeaders) -> Self {
        self.settings.rate_limits = family;
        self
    }

    /// Serves one model more. It goes before the default ones, so it can take over their names.
    pub fn model(mut self, model: Model) -> Self {
        self.settings.models.insert(0, model);
        self
    }

    /// Serves these models and no other.
    pub fn models(mut self, models: Vec<Model>) -> Self {
        self.settings.models = models;
        self
    }

    /// Waits before the first byte of every answer that no script times.
    pub fn before_first_byte(mut self, time: Duration) -> Self {
        self.settings.before_first_byte = time;
        self
    }

    /// Waits between the chunks of every stream that no script times.
    pub fn between_chunks(mut self, time: Duration) -> Self {
        self.settings.between_chunks = time;
        self
    }

    /// Keeps so many requests, or none. The last 1024 by default.
    pub fn recording(mut self, recording: Recording) -> Self {
        self.recording = recording;
        self
    }

    /// Queues a behaviour or a rule before the start.
    pub fn script(self, rule: impl Into<Rule>) -> Self {
        self.script.add(rule.into());
        self
    }

    /// Starts it. Needs a tokio runtime with time and I/O.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub async fn start(self) -> io::Result<MistralDouble> {
        let (port, recording) = (self.port, self.recording);
        Double::start_on(port, self.vendor(), recording).await.map(MistralDouble)
    }

    /// What Mistral takes, refuses and says, for another server.
    pub fn vendor(mut self) -> Mistral {
        if self.settings.keys.is_empty() {
            let key = match self.settings.host {
                Host::Api => DEFAULT_KEY,
                Host::Codestral => DEFAULT_CODESTRAL_KEY,
            };
            self.settings.keys.push(key.to_owned());
        }
        Mistral { settings: self.settings, script: self.script }
    }
}
