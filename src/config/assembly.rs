//! What sections share while one configuration is put together.

use super::environment::Environment;
use super::error::ConfigError;
use super::yaml::{Document, Error, KeyPath, Problem};

/// The document, the environment, and the warnings so far.
pub(super) struct Assembly<'a> {
    pub(super) document: &'a Document<'a>,
    pub(super) environment: &'a Environment,
    pub(super) warnings: Vec<String>,
}

impl Assembly<'_> {
    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// The value at `path` is not one of those allowed.
    pub(super) fn wrong(&self, path: KeyPath, allowed: impl Into<String>) -> ConfigError {
        ConfigError::File(self.document.wrong(path, allowed))
    }

    /// The values at `path` do not go together with others.
    pub(super) fn invalid(&self, path: KeyPath, reason: impl Into<String>) -> ConfigError {
        ConfigError::File(self.refuse(path, Problem::Invalid(reason.into())))
    }

    /// Refuses a key that is there without a value, where leaving it out lets more people in: its variable was forgotten.
    pub(super) fn not_empty(&self, path: KeyPath, left_out: &str) -> Result<(), ConfigError> {
        if !self.document.is_empty_at(&path) {
            return Ok(());
        }
        let reason =
            format!("found {}; without the key {left_out}: set it, or leave it out", self.document.describe(&path));
        Err(self.invalid(path, reason))
    }

    /// An error at `path`.
    pub(super) fn refuse(&self, path: KeyPath, problem: Problem) -> Error {
        self.document.refuse(path, problem)
    }
}
