//! One rule, checked.

use octroi_policy::{Action, Role, Severity};
use pii_detect::Validator;

use crate::expression::Expression;
use crate::factor::Chain;
use crate::keyword::Keyword;
use crate::settings::{Asked, PatternSettings};

/// The most keywords of one rule.
const MOST_KEYWORDS: usize = 1_000;

/// The most tenants of one rule.
const MOST_TENANTS: usize = 1_000;

/// Bounds of texts, in bytes. A name and a category are what the gateway accepts in a finding.
const LONGEST_NAME: usize = 128;
const LONGEST_TENANT: usize = 256;
const LONGEST_REPLACEMENT: usize = 256;
const LONGEST_REASON: usize = 1_000;

/// What is done about a match.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) category: String,
    pub(crate) severity: Severity,
    pub(crate) action: Action,
    pub(crate) replacement: String,
    pub(crate) reason: Option<String>,
    /// `None` if it has keywords.
    pub(crate) expression: Option<Expression>,
    validator: Option<Validator>,
    roles: Vec<Role>,
    phases: Vec<Asked>,
}

/// A rule, and what is needed to find it.
pub(crate) struct Checked {
    pub(crate) rule: Rule,
    pub(crate) look_for: LookFor,
    pub(crate) tenants: Vec<String>,
    pub(crate) enabled: bool,
}

/// What a rule looks for.
pub(crate) enum LookFor {
    /// Rows of characters of which each match of its expression contains one; `None` if there are none to name.
    Rows(Option<Vec<Chain>>),
    /// These.
    Keywords(Vec<Keyword>),
}

impl Rule {
    /// The error begins with what follows the rule's own key.
    pub(crate) fn check(settings: PatternSettings) -> Result<Checked, String> {
        is_id(&settings.name).map_err(|problem| format!(".name: {problem}"))?;
        let category = settings.category.unwrap_or_else(|| "pattern".into());
        is_id(&category).map_err(|problem| format!(".category: {problem}"))?;
        let replacement = settings.replacement.unwrap_or_else(|| "[REDACTED]".into());
        at_most(".replacement", &replacement, LONGEST_REPLACEMENT)?;
        if let Some(reason) = &settings.reason {
            at_most(".reason", reason, LONGEST_REASON)?;
        }
        let mut tenants = settings.tenants;
        if tenants.len() > MOST_TENANTS {
            return Err(format!(".tenants: more than {MOST_TENANTS}"));
        }
        for (index, tenant) in tenants.iter().enumerate() {
            at_most(&format!(".tenants[{index}]"), tenant, LONGEST_TENANT)?;
        }
        tenants.sort_unstable();
        tenants.dedup();
        let (expression, look_for) = match (&settings.pattern, &settings.keywords) {
            (Some(pattern), None) => {
                let (expression, rows) = Expression::new(pattern).map_err(|problem| format!(".pattern: {problem}"))?;
                (Some(expression), LookFor::Rows(rows))
            }
            (None, Some(keywords)) => (None, LookFor::Keywords(check_keywords(keywords)?)),
            (Some(_), Some(_)) => return Err(": give either `pattern` or `keywords`, not both".into()),
            (None, None) => return Err(": give either `pattern` or `keywords`".into()),
        };
        if settings.phases.as_ref().is_some_and(Vec::is_empty) {
            return Err(
                ".phases: expected `pre-check`, `response` or both; `enabled: false` switches a rule off".into()
            );
        }
        let rule = Self {
            name: settings.name,
            category,
            severity: settings.severity.unwrap_or(Severity::Medium),
            action: settings.action.unwrap_or(Action::Deny),
            replacement,
            reason: settings.reason,
            validator: settings.validator,
            expression,
            roles: settings.roles,
            phases: settings.phases.unwrap_or_else(|| vec![Asked::PreCheck]),
        };
        Ok(Checked { rule, look_for, tenants, enabled: settings.enabled })
    }

    /// Whether it is asked about texts of this role, now.
    pub(crate) fn looks_at(&self, role: Role, asked: Asked) -> bool {
        self.phases.contains(&asked) && (self.roles.is_empty() || self.roles.contains(&role))
    }

    /// Whether a match counts.
    pub(crate) fn accepts(&self, found: &str) -> bool {
        self.validator.is_none_or(|validator| validator.accepts(found))
    }

    /// The sentence for a caller whom it refuses; never with the text that was matched.
    pub(crate) fn refusal(&self) -> String {
        self.reason.clone().unwrap_or_else(|| format!("Refused by the rule `{}`", self.name))
    }
}

fn check_keywords(keywords: &[String]) -> Result<Vec<Keyword>, String> {
    if keywords.is_empty() || keywords.len() > MOST_KEYWORDS {
        return Err(format!(".keywords: found {}, expected 1 to {MOST_KEYWORDS}", keywords.len()));
    }
    let checked = |(index, keyword): (usize, &String)| {
        Keyword::new(keyword).map_err(|problem| format!(".keywords[{index}]: {problem}"))
    };
    keywords.iter().enumerate().map(checked).collect()
}

fn is_id(text: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(fits) {
        Ok(())
    } else {
        Err(format!("expected 1 to {LONGEST_NAME} letters, digits, `-`, `_` and `.` of ASCII"))
    }
}

fn at_most(key: &str, text: &str, most: usize) -> Result<(), String> {
    if text.len() > most { Err(format!("{key}: longer than {most} bytes")) } else { Ok(()) }
}
