//! What a caller may say about a rule, within bounds.

use crate::policy::manifest::Phase;
use crate::policy::verdict::{Action, Severity};
use crate::text::does_harm;

use super::rule::is_id;

/// Bounds, in bytes: what stands beside an expression must leave room for a thousand of them in one manifest.
const MAX_NAME: usize = 128;
const MAX_DESCRIPTION: usize = 1_000;
const MAX_TAGS: usize = 16;
const MAX_TAG: usize = 64;

/// The longest expression, in characters.
const MAX_PATTERN: usize = 1_000;

/// Values of a rule; what is `None` is not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// What people call it.
    pub name: Option<String>,
    /// What it is for. Empty: nothing.
    pub description: Option<String>,
    /// The category in findings.
    pub category: Option<String>,
    /// The expression.
    pub pattern: Option<String>,
    /// The severity in findings.
    pub severity: Option<Severity>,
    /// What happens to a text in which it is found.
    pub action: Option<Action>,
    /// What it judges: requests, answers or both.
    pub phases: Option<Vec<Phase>>,
    /// Whether it is looked for.
    pub enabled: Option<bool>,
    /// For clients that order their rules.
    pub priority: Option<i64>,
    /// For clients that group their rules.
    pub tags: Option<Vec<String>>,
}

/// A value that a rule cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// Which.
    pub field: &'static str,
    /// What is allowed.
    pub problem: String,
}

impl FieldError {
    pub(super) fn required(field: &'static str) -> Self {
        Self { field, problem: "is required".to_owned() }
    }
}

impl Fields {
    /// Whether a rule can be made of what is said.
    pub fn check_new(&self) -> Result<(), FieldError> {
        for (field, said) in [("name", &self.name), ("category", &self.category), ("pattern", &self.pattern)] {
            if said.as_ref().is_none_or(String::is_empty) {
                return Err(FieldError::required(field));
            }
        }
        self.check()
    }

    /// Whether every value that is said is one that a rule can have.
    pub fn check(&self) -> Result<(), FieldError> {
        if let Some(name) = &self.name {
            let fits = !name.trim().is_empty() && name.len() <= MAX_NAME && !name.chars().any(does_harm);
            expect(fits, "name", || {
                format!(
                    "expected 1 to {MAX_NAME} bytes without control characters, line separators and marks of direction"
                )
            })?;
        }
        if let Some(description) = &self.description {
            let fits = description.len() <= MAX_DESCRIPTION && !description.chars().any(is_odd);
            expect(fits, "description", || {
                format!("expected at most {MAX_DESCRIPTION} bytes, and no control characters but line breaks and tabs")
            })?;
        }
        if let Some(category) = &self.category {
            expect(is_id(category), "category", || {
                "expected 1 to 128 letters, digits, `-`, `_` and `.` of ASCII, such as `sensitive-data`".into()
            })?;
        }
        if let Some(pattern) = &self.pattern {
            let fits = !pattern.is_empty() && pattern.chars().nth(MAX_PATTERN).is_none();
            expect(fits, "pattern", || format!("expected 1 to {MAX_PATTERN} characters"))?;
            expect(!pattern.chars().any(is_odd), "pattern", || {
                "expected no control characters but line breaks and tabs; write others as `\\x01`".into()
            })?;
        }
        if let Some(phases) = &self.phases {
            let fits = !phases.is_empty() && !phases.contains(&Phase::Audit);
            expect(fits, "phases", || {
                "expected `pre-check`, `response` or both; `enabled` switches a policy off".into()
            })?;
        }
        if let Some(tags) = &self.tags {
            let fits = |tag: &String| !tag.is_empty() && tag.len() <= MAX_TAG && !tag.chars().any(char::is_control);
            expect(tags.len() <= MAX_TAGS && tags.iter().all(fits), "tags", || {
                format!("expected at most {MAX_TAGS}, each of 1 to {MAX_TAG} bytes without control characters")
            })?;
        }
        Ok(())
    }
}

fn expect(fits: bool, field: &'static str, problem: impl FnOnce() -> String) -> Result<(), FieldError> {
    if fits { Ok(()) } else { Err(FieldError { field, problem: problem() }) }
}

fn is_odd(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\r' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_as_what_it_is() {
        let checked = |name: &str| Fields { name: Some(name.to_owned()), ..Fields::default() }.check();
        for name in ["", " ", "two\nlines", "two\u{2028}lines", "turned \u{202e}round", "\u{2066}apart"] {
            assert_eq!(checked(name).unwrap_err().field, "name", "{name:?}");
        }
        assert_eq!(checked("Grüße 😀 \u{200d} 日本"), Ok(()));
    }
}
