//! The manifest that holds the rules.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::{Deserialize as _, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::fields::{FieldError, Fields};
use super::history::{Change, Version};
use super::rule::{Rule, Tier};
use super::{Entry, MAX_RULES, MAX_RULES_OF_TENANT, MAX_RULES_OF_TENANTS, POLICY};
use crate::config::yaml;
use crate::policy::manifest::{BOUNDS, MAX_MANIFEST_BYTES, Manifest, Phase};
use crate::policy::verdict::{Action, Severity};

/// What stands above a file that was written here.
const HEADING: &str = "\
# Rules made over the gateway's API (/api/v1/static-policies). It writes this file anew with every change, and keeps
# what it finds in it, but for comments and the form. Edits by hand count as those of every manifest do.
";

/// Keys that stand first in the file.
const FIRST: &[&str] = &[
    "name",
    "module",
    "sha256",
    "order",
    "mode",
    "rollout",
    "match",
    "on_error",
    "limits",
    "capabilities",
    "shares",
    "pattern",
    "keywords",
    "validator",
    "category",
    "severity",
    "action",
    "replacement",
    "reason",
    "tenants",
    "roles",
    "phases",
    "enabled",
    "id",
    "title",
    "description",
    "tags",
    "priority",
    "version",
];

/// The manifest, and in it the rules.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleFile {
    /// Everything but `settings.patterns` and `phases`, which the rules make.
    document: Map<String, Value>,
    rules: Vec<Rule>,
}

/// Why a file or a change of it is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It is no manifest of this kind; the text names the place.
    #[error("{0}")]
    Unreadable(String),
    /// There are as many rules as there may be.
    #[error("there are {0} already; delete one first")]
    Full(String),
    /// With this change it would be larger than what is read.
    #[error("all static policies together would take more than {MAX_MANIFEST_BYTES} bytes; make some shorter")]
    TooLarge,
    /// There is no rule with this id.
    #[error("there is no rule with this id")]
    NoRule,
    /// A value that a rule cannot have.
    #[error(transparent)]
    Field(#[from] FieldError),
}

impl RuleFile {
    /// A file without rules.
    pub fn new() -> Self {
        let document = json!({
            "name": POLICY,
            "module": format!("../{}", super::MODULE),
            // Before policies that mask: a rule sees what the caller wrote.
            "order": 5,
            "limits": { "time": "50ms", "time_per_mib": "500ms", "settings": "8MiB" },
            // No tenant's expressions take the room of another's, nor all of them that of those for all.
            "settings": { "shares": { "of_rule": 512 << 10, "of_tenant": 1 << 20, "of_tenants": 16 << 20 } },
        });
        let Value::Object(document) = document else { return Self { document: Map::new(), rules: Vec::new() } };
        Self { document, rules: Vec::new() }
    }

    /// Reads a file.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        // With every check that it will meet when it is loaded.
        Manifest::parse(text, super::FILE).map_err(|error| FileError::Unreadable(error.to_string()))?;
        let document = yaml::parse_within(text, super::FILE, BOUNDS);
        Self::of(document.map_err(|error| FileError::Unreadable(error.to_string()))?)
    }

    /// The rules of settings that are in force.
    pub fn rules_in(settings: &Value) -> Vec<Rule> {
        let patterns = settings.get("patterns").and_then(Value::as_array).cloned().unwrap_or_default();
        read(patterns).unwrap_or_default()
    }

    fn of(mut document: Map<String, Value>) -> Result<Self, FileError> {
        document.remove("phases");
        let unreadable = |problem: &str| FileError::Unreadable(format!("{}: {problem}", super::FILE));
        let patterns = match document.get_mut("settings") {
            None => Value::Array(Vec::new()),
            Some(Value::Object(settings)) => settings.remove("patterns").unwrap_or(Value::Array(Vec::new())),
            Some(_) => return Err(unreadable("settings: expected a mapping")),
        };
        let Value::Array(patterns) = patterns else { return Err(unreadable("settings.patterns: expected a list")) };
        let rules =
            read(patterns).ok_or_else(|| unreadable("settings.patterns: expected mappings, each with a `name`"))?;
        Ok(Self { document, rules })
    }

    /// Whether the manifest says `mode: off`.
    pub fn is_off(&self) -> bool {
        self.says_mode("off")
    }

    fn says_mode(&self, word: &str) -> bool {
        self.document.get("mode").is_some_and(|mode| mode == word)
    }

    /// Whether it holds no rule, and nothing that somebody wrote by hand.
    pub fn is_bare(&self) -> bool {
        *self == Self::new()
    }

    /// The rules, in the order of the file.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule with this id, or this name.
    pub fn find(&self, id: &str) -> Option<&Rule> {
        find(&self.rules, id)
    }

    /// The file's text.
    pub fn text(&self) -> Result<String, FileError> {
        let mut document = self.document.clone();
        set(&mut document, "phases", self.phases());
        let patterns = self.rules.iter().map(|rule| Value::Object(rule.entry.clone())).collect();
        let settings = document.entry("settings").or_insert_with(|| json!({}));
        if let Value::Object(settings) = settings {
            settings.insert("patterns".into(), Value::Array(patterns));
        }
        let text = format!("{HEADING}{}", yaml::write(&Value::Object(document), FIRST));
        if text.len() > MAX_MANIFEST_BYTES { Err(FileError::TooLarge) } else { Ok(text) }
    }

    /// The phases in which a rule looks, or a case that somebody wrote by hand: the policy need not be asked in the others. A
    /// policy that judges answers costs every stream.
    fn phases(&self) -> Vec<Phase> {
        let cases = self.document.get("tests").and_then(Value::as_array).into_iter().flatten();
        let asked = cases.map(|case| case.get("phase").and_then(|it| Phase::deserialize(it).ok()));
        let asked: Vec<_> = asked.map(|phase| phase.unwrap_or(Phase::PreCheck)).collect();
        let looks = |phase: &Phase| self.rules.iter().any(|rule| rule.enabled && rule.phases.contains(phase));
        let phases: Vec<_> = Phase::ALL.into_iter().filter(|phase| looks(phase) || asked.contains(phase)).collect();
        if phases.is_empty() { vec![Phase::PreCheck] } else { phases }
    }

    /// Adds a rule for these tenants, or, if there are none, for all.
    pub fn create(
        &mut self,
        fields: &Fields,
        tenants: &[String],
        by: &str,
        at: Timestamp,
    ) -> Result<Version, FileError> {
        fields.check_new()?;
        self.has_place(tenants)?;
        let title = fields.name.as_deref().ok_or(FieldError::required("name"))?;
        let (id, name) = self.new_id(title);
        let mut entry = Entry::new();
        set(&mut entry, "name", name);
        set(&mut entry, "pattern", fields.pattern.as_deref().ok_or(FieldError::required("pattern"))?);
        set(&mut entry, "category", fields.category.as_deref().ok_or(FieldError::required("category"))?);
        set(&mut entry, "severity", Severity::Medium);
        set(&mut entry, "action", Action::Deny);
        set(&mut entry, "enabled", true);
        if !tenants.is_empty() {
            set(&mut entry, "tenants", tenants);
        }
        annotate(&mut entry, |annotations| {
            set(annotations, "id", id);
            set(annotations, "created_at", at);
        });
        apply(&mut entry, fields, 1, by, at);
        let rule = Rule::read(entry).ok_or(FieldError::required("name"))?;
        let version = Version::of(&rule, Change::Created, by, at, "created".to_owned());
        self.rules.push(rule);
        Ok(version)
    }

    /// Whether there may be one more rule for these tenants.
    fn has_place(&self, tenants: &[String]) -> Result<(), FileError> {
        let full = |most: usize, whose: &str| Err(FileError::Full(format!("{most} static policies{whose}")));
        let of = |tenant: &String| self.rules.iter().filter(|rule| rule.tenants.contains(tenant)).count();
        if tenants.iter().any(|tenant| of(tenant) >= MAX_RULES_OF_TENANT) {
            return full(MAX_RULES_OF_TENANT, " of this tenant");
        }
        let of_tenants = || self.rules.iter().filter(|rule| !rule.tenants.is_empty()).count();
        if !tenants.is_empty() && of_tenants() >= MAX_RULES_OF_TENANTS {
            return full(MAX_RULES_OF_TENANTS, " of tenants");
        }
        if self.rules.len() >= MAX_RULES { full(MAX_RULES, " of all tenants together") } else { Ok(()) }
    }

    /// Changes the rule with this id; `None` if it is so already.
    pub fn update(&mut self, id: &str, fields: &Fields, by: &str, at: Timestamp) -> Result<Option<Version>, FileError> {
        fields.check()?;
        let rule = find(&self.rules, id).ok_or(FileError::NoRule)?;
        let (id, mut entry) = (rule.id.clone(), rule.entry.clone());
        // Clients send back what they were shown: of keywords that is no expression, and in shadow every action is `log`.
        let pattern = fields.pattern.clone().filter(|pattern| *pattern != rule.pattern);
        let action = fields.action.filter(|action| !(self.says_mode("shadow") && *action == Action::Log));
        let fields = &Fields { pattern, action, ..fields.clone() };
        if fields.pattern.is_some() {
            entry.remove("keywords");
        }
        // A rule that was written by hand keeps the name by which it is known.
        annotate(&mut entry, |annotations| set(annotations, "id", &id));
        apply(&mut entry, fields, rule.version + 1, by, at);
        let changed = Rule::read(entry).ok_or(FieldError::required("name"))?;
        let Some((change, summary)) = differences(rule, &changed) else { return Ok(None) };
        let version = Version::of(&changed, change, by, at, summary);
        if let Some(place) = self.rules.iter_mut().find(|rule| rule.id == id) {
            *place = changed;
        }
        Ok(Some(version))
    }

    /// Takes the rule with this id out.
    pub fn delete(&mut self, id: &str) -> Option<Rule> {
        let id = &find(&self.rules, id)?.id;
        let index = self.rules.iter().position(|rule| rule.id == *id)?;
        Some(self.rules.remove(index))
    }

    /// An id, and a name for findings that begins like the title. The name ends in a part of the id whether the title is
    /// taken or not: what another tenant calls its rules is nobody's business.
    fn new_id(&self, title: &str) -> (String, String) {
        loop {
            let id = Uuid::new_v4().to_string();
            let word =
                |character: char| if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '_' };
            let slug: String = title.chars().map(word).take(60).collect();
            let slug = slug.trim_matches('_');
            let (digits, _) = id.split_at(8);
            let name = format!("{}-{digits}", if slug.is_empty() { "policy" } else { slug });
            if find(&self.rules, &id).or_else(|| find(&self.rules, &name)).is_none() {
                return (id, name);
            }
        }
    }
}

impl Default for RuleFile {
    fn default() -> Self {
        Self::new()
    }
}

/// The rule with this id, or this name.
fn find<'r>(rules: &'r [Rule], id: &str) -> Option<&'r Rule> {
    rules.iter().find(|rule| rule.id == id).or_else(|| rules.iter().find(|rule| rule.name == id))
}

/// `None` if one is no rule.
fn read(patterns: Vec<Value>) -> Option<Vec<Rule>> {
    let mut seen = HashSet::new();
    let mut rules = Vec::with_capacity(patterns.len());
    for pattern in patterns {
        let Value::Object(entry) = pattern else { return None };
        let mut rule = Rule::read(entry)?;
        // A rule that was copied by hand has its model's id; its name is its own.
        if !seen.insert(rule.id.clone()) {
            rule.id.clone_from(&rule.name);
            seen.insert(rule.id.clone());
        }
        rules.push(rule);
    }
    Some(rules)
}

/// Puts what is said into an entry.
fn apply(entry: &mut Entry, fields: &Fields, version: u64, by: &str, at: Timestamp) {
    let reason_before = Rule::read(entry.clone()).map(|rule| reason(&rule));
    if let Some(pattern) = &fields.pattern {
        set(entry, "pattern", pattern);
    }
    if let Some(category) = &fields.category {
        set(entry, "category", category);
    }
    if let Some(enabled) = fields.enabled {
        set(entry, "enabled", enabled);
    }
    if let Some(severity) = fields.severity {
        set(entry, "severity", severity);
    }
    if let Some(action) = fields.action {
        set(entry, "action", action);
    }
    if let Some(phases) = &fields.phases {
        let phases: Vec<_> = Phase::ALL.into_iter().filter(|phase| phases.contains(phase)).collect();
        set(entry, "phases", phases);
    }
    annotate(entry, |annotations| {
        if let Some(name) = &fields.name {
            set(annotations, "title", name);
        }
        match &fields.description {
            Some(description) if description.is_empty() => {
                annotations.remove("description");
            }
            Some(description) => set(annotations, "description", description),
            None => {}
        }
        if let Some(priority) = fields.priority {
            set(annotations, "priority", priority);
        }
        if let Some(tags) = &fields.tags {
            set(annotations, "tags", tags);
        }
        set(annotations, "version", version);
        set(annotations, "updated_at", at);
        set(annotations, "updated_by", by);
    });
    // A sentence that somebody wrote by hand stays.
    let own = entry.get("reason").and_then(Value::as_str).is_some_and(|own| Some(own) != reason_before.as_deref());
    if !own && let Some(rule) = Rule::read(entry.clone()) {
        set(entry, "reason", reason(&rule));
    }
}

/// What a caller whom the rule refuses is told.
fn reason(rule: &Rule) -> String {
    let tier = match rule.tier() {
        Tier::Tenant => "tenant",
        Tier::Organization => "organization",
    };
    format!("Blocked by {tier} policy: {}", rule.title)
}

fn set(map: &mut Entry, key: &str, value: impl Serialize) {
    // Texts, numbers and lists of them: that always works.
    map.insert(key.into(), serde_json::to_value(value).unwrap_or_default());
}

/// Changes what stands in an entry's annotations.
fn annotate(entry: &mut Entry, change: impl FnOnce(&mut Entry)) {
    let mut annotations = match entry.remove("annotations") {
        Some(Value::Object(annotations)) => annotations,
        _ => Entry::new(),
    };
    change(&mut annotations);
    entry.insert("annotations".into(), Value::Object(annotations));
}

/// What was changed, in words; `None` if nothing was.
fn differences(before: &Rule, after: &Rule) -> Option<(Change, String)> {
    let mut names = Vec::new();
    for (name, differs) in [
        ("name", before.title != after.title),
        ("description", before.description != after.description),
        ("category", before.category != after.category),
        ("pattern", before.pattern != after.pattern),
        ("severity", before.severity != after.severity),
        ("action", before.action != after.action),
        ("phases", before.phases != after.phases),
        ("enabled", before.enabled != after.enabled),
        ("priority", before.priority != after.priority),
        ("tags", before.tags != after.tags),
    ] {
        if differs {
            names.push(name);
        }
    }
    match (names.as_slice(), after.enabled) {
        ([], _) => None,
        (["enabled"], true) => Some((Change::Enabled, "enabled".to_owned())),
        (["enabled"], false) => Some((Change::Disabled, "disabled".to_owned())),
        (names, _) => Some((Change::Updated, format!("changed: {}", names.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Timestamp {
        "2026-11-20T09:00:00Z".parse().unwrap()
    }

    fn fields(name: &str) -> Fields {
        let [name, category, pattern] = [name, "sensitive-data", "x{3}"].map(|text| Some(text.to_owned()));
        Fields { name, category, pattern, ..Fields::default() }
    }

    fn created(file: &mut RuleFile, name: &str) -> Rule {
        file.create(&fields(name), &["north".into()], "one", at()).unwrap().rule().unwrap()
    }

    #[test]
    fn a_written_file_is_read_as_it_was() {
        let mut file = RuleFile::new();
        let rule = created(&mut file, "It's: [a] {new} 😀 one");
        let text = file.text().unwrap();
        assert!(text.starts_with('#'), "{text}");
        let again = RuleFile::parse(&text).unwrap();
        assert_eq!(again, RuleFile { document: again.document.clone(), ..file });
        assert_eq!((again.find(&rule.id), again.find(&rule.name)), (Some(&rule), Some(&rule)));
    }

    #[test]
    fn the_policy_is_asked_when_a_rule_looks_and_not_else() {
        let mut file = RuleFile::new();
        assert!(file.is_bare() && RuleFile::parse(&file.text().unwrap()).unwrap().is_bare());
        let phases = |file: &RuleFile| Manifest::parse(&file.text().unwrap(), "a").unwrap().phases.unwrap().to_vec();
        assert_eq!(phases(&file), [Phase::PreCheck]);
        let rule = created(&mut file, "one");
        assert_eq!((phases(&file), file.is_bare()), (vec![Phase::PreCheck], false));
        let by_hand = |text: &str| {
            let text = file.text().unwrap().replace("      action:", &format!("      phases: {text}\n      action:"));
            RuleFile::parse(&text).unwrap()
        };
        assert_eq!(phases(&by_hand("[response]")), [Phase::Response]);
        let mut both = by_hand("[response, pre-check]");
        assert_eq!(phases(&both), [Phase::PreCheck, Phase::Response]);
        both.update(&rule.id, &Fields { enabled: Some(false), ..Fields::default() }, "one", at()).unwrap();
        assert_eq!(phases(&both), [Phase::PreCheck], "none looks");
        let case = "tests: [{ name: kept, phase: response, query: x, expect: {} }]\n";
        let text = file.text().unwrap().replace("\n  - pre-check\n", "\n  - pre-check\n  - response\n");
        let mut tested = RuleFile::parse(&(text + case)).unwrap();
        assert_eq!(phases(&tested), [Phase::PreCheck, Phase::Response]);
        tested.delete(&rule.id).unwrap();
        assert!(!tested.is_bare());
        file.delete(&rule.id).unwrap();
        assert!(file.is_bare());
    }

    #[test]
    fn there_is_a_place_for_every_tenant_and_for_the_organization() {
        let mut file = RuleFile::new();
        let mut fill = |tenants: &[&str], times: usize| {
            let tenants: Vec<_> = tenants.iter().map(|it| (*it).to_owned()).collect();
            let made = (0..=times).map(|_| file.create(&fields("one"), &tenants, "one", at()).map(|_| ()));
            let made: Vec<_> = made.collect();
            assert!(made[..times].iter().all(Result::is_ok), "{tenants:?}: {made:?}");
            made[times].clone().unwrap_err().to_string()
        };
        for tenant in 0..8 {
            let full = fill(&[&format!("tenant-{tenant}")], MAX_RULES_OF_TENANT);
            assert_eq!(full, "there are 100 static policies of this tenant already; delete one first");
        }
        assert_eq!(fill(&["late"], 0), "there are 800 static policies of tenants already; delete one first");
        let full = fill(&[], MAX_RULES - MAX_RULES_OF_TENANTS);
        assert_eq!(full, "there are 1000 static policies of all tenants together already; delete one first");
    }

    #[test]
    fn names_in_findings_begin_like_the_title_and_are_nobodys() {
        let mut file = RuleFile::new();
        for (title, begins) in
            [("No project X!", "no_project_x-"), ("日本", "policy-"), ("No project X!", "no_project_x-")]
        {
            let rule = created(&mut file, title);
            assert!(rule.name.starts_with(begins) && rule.id.starts_with(&rule.name[begins.len()..]), "{rule:?}");
        }
        let long = created(&mut file, &"x".repeat(128));
        assert_eq!(long.name.len(), 60 + 9);
    }

    #[test]
    fn a_reason_follows_the_title_unless_somebody_wrote_it() {
        let mut file = RuleFile::new();
        let rule = created(&mut file, "Old");
        let rename = |name: &str| Fields { name: Some(name.to_owned()), ..Fields::default() };
        let reason = |file: &RuleFile| file.rules()[0].entry["reason"].clone();
        assert_eq!(reason(&file), "Blocked by tenant policy: Old");
        file.update(&rule.id, &rename("New"), "one", at()).unwrap().unwrap();
        assert_eq!(reason(&file), "Blocked by tenant policy: New");
        let text = file.text().unwrap().replace("'Blocked by tenant policy: New'", "Ask legal first");
        let mut file = RuleFile::parse(&text).unwrap();
        file.update(&rule.id, &rename("Newer"), "one", at()).unwrap().unwrap();
        assert_eq!(reason(&file), "Ask legal first");
    }

    #[test]
    fn what_was_written_by_hand_is_read_with_defaults_and_kept() {
        let text = "name: rules\nmodule: ../pattern.wasm\nsettings:\n  other: 1\n  patterns:\n    - name: plain\n      pattern: a\n    \
                    - name: copied\n      pattern: b\n      annotations: { id: same }\n    - name: again\n      pattern: c\n      \
                    annotations: { id: same, version: many, tags: 7 }\n    - name: odd\n      keywords: [d, e]\n      \
                    annotations: { id: ../../etc }\n";
        let mut file = RuleFile::parse(text).unwrap();
        let ids: Vec<_> = file.rules().iter().map(|rule| rule.id.as_str()).collect();
        assert_eq!(ids, ["plain", "same", "again", "odd"]);
        let odd = file.find("odd").unwrap();
        assert_eq!((odd.tier(), odd.version, odd.pattern.as_str()), (Tier::Organization, 1, "keywords: d, e"));
        let as_shown = Fields { pattern: Some("keywords: d, e".into()), ..Fields::default() };
        assert_eq!(file.update("odd", &as_shown, "one", at()), Ok(None), "it is so already");
        assert_eq!(file.find("odd").unwrap().version, 1);
        let described = Fields { description: Some("Odd".into()), ..as_shown };
        file.update("odd", &described, "one", at()).unwrap().unwrap();
        assert_eq!(file.find("odd").unwrap().pattern, "keywords: d, e");
        assert!(file.text().unwrap().contains("keywords:"), "they are keywords still");
        let change = Fields { pattern: Some("f".into()), enabled: Some(false), ..Fields::default() };
        file.update("odd", &change, "one", at()).unwrap().unwrap();
        let text = file.text().unwrap();
        assert!(text.contains("other: 1") && text.contains("version: many") && !text.contains("keywords"), "{text}");
        let file = RuleFile::parse(&text).unwrap();
        assert_eq!((file.find("odd").unwrap().version, file.find("odd").unwrap().enabled), (3, false));
        for (text, says) in [
            ("name: rules\nmodule: m\nsettings: { patterns: x }\n", "expected a list"),
            ("name: rules\nmodule: m\nsettings: { patterns: [{ pattern: x }] }\n", "each with a `name`"),
            ("name: rules\nmodule: m\nwrong: 1\n", "unknown key"),
        ] {
            assert!(RuleFile::parse(text).unwrap_err().to_string().contains(says), "{says}");
        }
    }
}
