//! Why there is no configuration.

use std::path::PathBuf;

use super::yaml;

/// Why there is no configuration. Never holds a secret's value.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was named is not there.
    #[error("{}: no such file (named by {named_by})", path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
        /// `--config`, or the variable.
        named_by: &'static str,
    },
    /// A file cannot be read.
    #[error("{}: cannot be read: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The file, or one of its values, is wrong.
    #[error(transparent)]
    File(#[from] yaml::Error),
    /// An environment variable is wrong.
    #[error("environment variable {name}: found {found}, allowed: {allowed}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// Its value, or only its type where it could be a secret.
        found: String,
        /// What it may hold.
        allowed: String,
    },
}

impl ConfigError {
    /// Stable name for metrics and answers.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "config_not_found",
            Self::Read { .. } => "config_unreadable",
            Self::File(error) => error.code(),
            Self::Variable { .. } => "wrong_variable",
        }
    }
}
