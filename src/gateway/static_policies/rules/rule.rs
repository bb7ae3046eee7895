//! One rule, as it stands in the manifest.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Entry;
use crate::policy::manifest::Phase;
use crate::policy::verdict::{Action, Severity};

/// One rule. What cannot be read in it, since somebody wrote it by hand, has its default.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its id: stable, and unique in the file.
    pub id: String,
    /// The rule in findings: unique in the file, and readable.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// What it is for.
    pub description: Option<String>,
    /// The category in findings.
    pub category: String,
    /// The expression; of a rule of keywords, those.
    pub pattern: String,
    /// The severity in findings.
    pub severity: Severity,
    /// What happens to a text in which it is found.
    pub action: Action,
    /// Whether it is looked for.
    pub enabled: bool,
    /// What it judges: requests, answers or both.
    pub phases: Vec<Phase>,
    /// To whose requests it applies. Empty: to all.
    pub tenants: Vec<String>,
    /// For clients that order their rules. All rules are looked for, and the strongest action decides.
    pub priority: Option<i64>,
    /// For clients that group their rules.
    pub tags: Vec<String>,
    /// How often it was changed, and once more.
    pub version: u64,
    /// When it was made, where that is known.
    pub created_at: Option<Timestamp>,
    /// When it was changed last, where that is known.
    pub updated_at: Option<Timestamp>,
    /// The client that changed it last, where that is known.
    pub updated_by: Option<String>,
    /// As it stands in the manifest.
    pub(super) entry: Entry,
}

/// To whom a rule applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// To one tenant, whose it is.
    Tenant,
    /// To all, or to several.
    Organization,
}

impl Rule {
    /// Reads an entry; `None` if it has no name.
    pub(super) fn read(entry: Entry) -> Option<Self> {
        let name = text(&entry, "name")?;
        let none = Entry::new();
        let annotations = entry.get("annotations").and_then(Value::as_object).unwrap_or(&none);
        let time = |key: &str| text(annotations, key)?.parse().ok();
        Some(Self {
            // It stands in paths.
            id: text(annotations, "id").filter(|id| is_id(id)).unwrap_or_else(|| name.clone()),
            title: text(annotations, "title").unwrap_or_else(|| name.clone()),
            description: text(annotations, "description"),
            category: text(&entry, "category").unwrap_or_else(|| "pattern".into()),
            pattern: text(&entry, "pattern")
                .unwrap_or_else(|| format!("keywords: {}", texts(&entry, "keywords").join(", "))),
            severity: word(&entry, "severity").unwrap_or(Severity::Medium),
            action: word(&entry, "action").unwrap_or(Action::Deny),
            enabled: entry.get("enabled").and_then(Value::as_bool).unwrap_or(true),
            phases: word(&entry, "phases").unwrap_or_else(|| vec![Phase::PreCheck]),
            tenants: texts(&entry, "tenants"),
            priority: annotations.get("priority").and_then(Value::as_i64),
            tags: texts(annotations, "tags"),
            version: annotations.get("version").and_then(Value::as_u64).unwrap_or(1),
            created_at: time("created_at"),
            updated_at: time("updated_at"),
            updated_by: text(annotations, "updated_by"),
            name,
            entry,
        })
    }

    /// To whom it applies.
    pub fn tier(&self) -> Tier {
        if self.tenants.len() == 1 { Tier::Tenant } else { Tier::Organization }
    }

    /// Whether it applies to requests of this tenant, who may then see it.
    pub fn applies_to(&self, tenant: &str) -> bool {
        self.tenants.is_empty() || self.tenants.iter().any(|it| it == tenant)
    }
}

/// Whether a text can be an id: letters, digits, `-`, `_` and `.`.
pub(super) fn is_id(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=128).contains(&text.len()) && text.bytes().all(inside)
}

fn word<T: DeserializeOwned>(map: &Entry, key: &str) -> Option<T> {
    T::deserialize(map.get(key)?).ok()
}

fn text(map: &Entry, key: &str) -> Option<String> {
    map.get(key)?.as_str().map(str::to_owned)
}

fn texts(map: &Entry, key: &str) -> Vec<String> {
    let items = map.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
