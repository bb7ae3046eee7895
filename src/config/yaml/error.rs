//! Why a YAML text is refused.

use std::fmt;

use super::path::KeyPath;

/// What is wrong, and where.
///
/// Shown as `FILE:LINE:COLUMN: KEY.PATH: PROBLEM`; line, column and path are left out where they are not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Parts>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    what: String,
    place: Option<(usize, usize)>,
    path: KeyPath,
    problem: Problem,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The text is not YAML.
    #[error("not valid YAML: {0}")]
    Syntax(String),
    /// The text is too long to be read.
    #[error("found {found} bytes, allowed: at most {allowed}")]
    TooLarge {
        /// Its length in bytes.
        found: usize,
        /// The longest length that is read.
        allowed: usize,
    },
    /// The tree is too deep or too big once aliases are followed.
    #[error("the document is too complex, allowed: {0}")]
    TooComplex(String),
    /// A mapping has one key twice.
    #[error("given twice in one mapping")]
    DuplicateKey,
    /// A mapping has a key that means nothing there.
    #[error("unknown key{}, allowed: {}", did_you_mean(.nearest.as_deref()), listed(.known))]
    UnknownKey {
        /// The known key that it resembles.
        nearest: Option<String>,
        /// All known keys.
        known: Vec<String>,
    },
    /// A mapping lacks a key.
    #[error("missing, and required")]
    MissingKey,
    /// A value of the wrong type or out of range.
    #[error("found {found}, allowed: {allowed}")]
    WrongValue {
        /// The value, or only its type where it could be a secret.
        found: String,
        /// What may stand there.
        allowed: String,
    },
    /// A value that is refused for the reason given.
    #[error("{0}")]
    Invalid(String),
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!(" (did you mean `{nearest}`?)")).unwrap_or_default()
}

fn listed(known: &[String]) -> String {
    if known.is_empty() { "none".into() } else { known.join(", ") }
}

impl Error {
    pub(super) fn new(what: &str, path: KeyPath, problem: Problem) -> Self {
        Self(Box::new(Parts { what: what.into(), place: None, path, problem }))
    }

    pub(super) fn at(mut self, place: Option<(usize, usize)>) -> Self {
        self.0.place = place;
        self
    }

    /// Stable name for metrics and answers.
    pub fn code(&self) -> &'static str {
        match self.0.problem {
            Problem::Syntax(_) => "yaml_syntax",
            Problem::TooLarge { .. } => "yaml_too_large",
            Problem::TooComplex(_) => "yaml_too_complex",
            Problem::DuplicateKey => "duplicate_key",
            Problem::UnknownKey { .. } => "unknown_key",
            Problem::MissingKey => "missing_key",
            Problem::WrongValue { .. } => "wrong_value",
            Problem::Invalid(_) => "invalid_value",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0.what)?;
        if let Some((line, column)) = self.0.place {
            write!(formatter, ":{line}:{column}")?;
        }
        if self.0.path != KeyPath::root() {
            write!(formatter, ": {}", self.0.path)?;
        }
        write!(formatter, ": {}", self.0.problem)
    }
}

impl std::error::Error for Error {}
