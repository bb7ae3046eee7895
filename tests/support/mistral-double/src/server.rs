//! A running double, and what a test does with it.

use std::ops::Deref;

use double::Double;

use crate::builder::MistralDoubleBuilder;
use crate::script::Rule;
use crate::service::Mistral;

/// A Mistral API on a loopback port, with all that every [`Double`] has. It ends when it is dropped.
#[derive(Debug)]
pub struct MistralDouble(pub(crate) Double<Mistral>);

impl MistralDouble {
    /// Sets a double up.
    pub fn builder() -> MistralDoubleBuilder {
        MistralDoubleBuilder::default()
    }

    /// A key it accepts: the first it was given, or the default.
    #[must_use]
    pub fn key(&self) -> &str {
        self.vendor().settings.keys.first().map_or("", String::as_str)
    }

    /// Queues a behaviour (which then holds once) or a rule. The first queued rule that fits a request is used.
    pub fn script(&self, rule: impl Into<Rule>) {
        self.vendor().script.add(rule.into());
    }

    /// Forgets every rule.
    pub fn clear_script(&self) {
        self.vendor().script.clear();
    }

    /// How many rules are still queued, those that hold for ever included.
    #[must_use]
    pub fn scripted(&self) -> usize {
        self.vendor().script.waiting()
    }

    /// Stops listening and drops every connection, and returns when the port is free.
    pub async fn shutdown(self) {
        self.0.shutdown().await;
    }
}

impl Deref for MistralDouble {
    type Target = Double<Mistral>;

    fn deref(&self) -> &Double<Mistral> {
        &self.0
    }
}
