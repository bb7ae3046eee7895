//! What a policy answered, made safe: every size bounded, every edit compared with the text it claims to replace.

use serde::{Deserialize, Serialize};

use super::bindings::octroi::policy::types as wit;
use crate::chat::Message;

/// What a policy wants to happen, weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Nothing to object to.
    #[default]
    Allow,
    /// Worth keeping.
    Log,
    /// Worth a look.
    Warn,
    /// Let it pass with the edits.
    Redact,
    /// Refuse until a person has approved.
    RequireApproval,
    /// Refuse.
    Deny,
}

impl Action {
    /// As it stands in WIT, manifests and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Log => "log",
            Self::Warn => "warn",
            Self::Redact => "redact",
            Self::RequireApproval => "require-approval",
            Self::Deny => "deny",
        }
    }

    /// Whether a request with this action is refused.
    pub fn refuses(self) -> bool {
        self >= Self::RequireApproval
    }
}

impl From<wit::Action> for Action {
    fn from(action: wit::Action) -> Self {
        match action {
            wit::Action::Allow => Self::Allow,
            wit::Action::Log => Self::Log,
            wit::Action::Warn => Self::Warn,
            wit::Action::Redact => Self::Redact,
            wit::Action::RequireApproval => Self::RequireApproval,
            wit::Action::Deny => Self::Deny,
        }
    }
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// For the record.
    Info,
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// As much as there is.
    Critical,
}

impl From<wit::Severity> for Severity {
    fn from(severity: wit::Severity) -> Self {
        match severity {
            wit::Severity::Info => Self::Info,
            wit::Severity::Low => Self::Low,
            wit::Severity::Medium => Self::Medium,
            wit::Severity::High => Self::High,
            wit::Severity::Critical => Self::Critical,
        }
    }
}

/// A place in the text that the policy was shown; bytes of UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Index of the message.
    pub message: u32,
    /// Index of the part in it.
    pub part: u32,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl From<wit::Place> for Place {
    fn from(place: wit::Place) -> Self {
        Self { message: place.message, part: place.part, start: place.start, end: place.end }
    }
}

/// One thing that a policy noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule's id.
    pub rule: String,
    /// What kind of thing it is.
    pub category: String,
    /// How grave it is.
    pub severity: Severity,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// One replacement, compared with the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// Where.
    pub place: Place,
    /// What stands there afterwards.
    pub replacement: String,
}

/// Limits on where a request may go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Routing {
    /// Only these providers; empty: any.
    pub providers: Vec<String>,
    /// Only providers in these regions; empty: any.
    pub regions: Vec<String>,
}

/// A policy's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What it wants to happen.
    pub action: Action,
    /// For the caller, when it refuses.
    pub reason: Option<String>,
    /// What it noticed.
    pub findings: Vec<Finding>,
    /// What it wants replaced, in order of place, without overlap, each checked against the text.
    pub edits: Vec<Edit>,
    /// Limits on where the request may go.
    pub routing: Option<Routing>,
    /// Names and values for the record.
    pub tags: Vec<(String, String)>,
}

/// The most findings, edits and tags that are accepted, and the longest texts in bytes.
mod bounds {
    pub(super) const FINDINGS: usize = 10_000;
    pub(super) const EDITS: usize = 10_000;
    pub(super) const TAGS: usize = 64;
    pub(super) const PROVIDERS: usize = 256;
    pub(super) const ID: usize = 128;
    pub(super) const TAG_VALUE: usize = 1_024;
    pub(super) const REASON: usize = 1_024;
}

/// Why an answer is not a verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerdictError {
    /// An edit does not fit the text.
    #[error("edit {index}: {problem}")]
    BadEdit {
        /// Index among the verdict's edits.
        index: usize,
        /// What does not fit.
        problem: String,
    },
    /// A list or text is larger than accepted.
    #[error("{what}: {found} found, at most {allowed} allowed")]
    TooMuch {
        /// Which.
        what: &'static str,
        /// How much there was.
        found: usize,
        /// How much is accepted.
        allowed: usize,
    },
}

impl Verdict {
    /// Checks what a component answered about `messages`.
    pub(super) fn accept(verdict: wit::Verdict, messages: &[Message]) -> Result<Self, VerdictError> {
        at_most("findings", verdict.findings.len(), bounds::FINDINGS)?;
        at_most("edits", verdict.edits.len(), bounds::EDITS)?;
        at_most("tags", verdict.tags.len(), bounds::TAGS)?;
        let findings = verdict
            .findings
            .into_iter()
            .map(|finding| {
                at_most("bytes in finding.rule", finding.rule.len(), bounds::ID)?;
                at_most("bytes in finding.category", finding.category.len(), bounds::ID)?;
                Ok(Finding {
                    rule: finding.rule,
                    category: finding.category,
                    severity: finding.severity.into(),
                    place: finding.place.map(Place::from),
                })
            })
            .collect::<Result<_, VerdictError>>()?;
        for (name, value) in &verdict.tags {
            at_most("bytes in a tag's name", name.len(), bounds::ID)?;
            at_most("bytes in a tag's value", value.len(), bounds::TAG_VALUE)?;
        }
        if let Some(routing) = &verdict.routing {
            at_most("routing.providers", routing.providers.len(), bounds::PROVIDERS)?;
            at_most("routing.regions", routing.regions.len(), bounds::PROVIDERS)?;
        }
        Ok(Self {
            action: verdict.action.into(),
            reason: verdict.reason.map(|reason| one_line(&reason, bounds::REASON)).filter(|reason| !reason.is_empty()),
            findings,
            edits: check_edits(verdict.edits, messages)?,
            routing: verdict.routing.map(|it| Routing { providers: it.providers, regions: it.regions }),
            tags: verdict.tags,
        })
    }

    /// Whether the edits count: with `redact` or stronger.
    pub fn edits_apply(&self) -> bool {
        self.action >= Action::Redact && !self.edits.is_empty()
    }
}

fn at_most(what: &'static str, found: usize, allowed: usize) -> Result<(), VerdictError> {
    if found > allowed { Err(VerdictError::TooMuch { what, found, allowed }) } else { Ok(()) }
}

/// Text of a guest as one bounded line without control characters.
pub(super) fn one_line(text: &str, max_bytes: usize) -> String {
    let mut line = String::with_capacity(text.len().min(max_bytes));
    for character in text.chars() {
        let harmless = !character.is_control()
            && !matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let before = line.len();
        if harmless {
            line.push(character);
        } else {
            line.extend(character.escape_default());
        }
        if line.len() > max_bytes {
            line.truncate(before);
            break;
        }
    }
    line
}

/// The text that an edit's place points into.
fn text_at(messages: &[Message], place: Place) -> Option<&str> {
    messages.get(place.message as usize)?.parts.get(place.part as usize)?.text()
}

fn check_edits(edits: Vec<wit::Edit>, messages: &[Message]) -> Result<Vec<Edit>, VerdictError> {
    let mut checked = Vec::with_capacity(edits.len());
    for (index, edit) in edits.into_iter().enumerate() {
        let place = Place::from(edit.place);
        let bad = |problem: String| VerdictError::BadEdit { index, problem };
        let text = text_at(messages, place)
            .ok_or_else(|| bad(format!("message {} has no text part {}", place.message, place.part)))?;
        let found = text.get(place.start as usize..place.end as usize).ok_or_else(|| {
            bad(format!(
                "bytes {}..{} are outside the text of {} bytes, or inside a character",
                place.start,
                place.end,
                text.len()
            ))
        })?;
        if found != edit.original {
            return Err(bad(format!(
                "`original` is not what stands at bytes {}..{} (offsets count bytes of UTF-8)",
                place.start, place.end
            )));
        }
        checked.push((index, Edit { place, replacement: edit.replacement }));
    }
    checked.sort_by_key(|(_, edit)| edit.place);
    for pair in checked.windows(2) {
        let [(_, first), (index, second)] = pair else { continue };
        let same_part = (first.place.message, first.place.part) == (second.place.message, second.place.part);
        if same_part && (second.place.start < first.place.end || second.place == first.place) {
            return Err(VerdictError::BadEdit { index: *index, problem: "overlaps another edit".into() });
        }
    }
    Ok(checked.into_iter().map(|(_, edit)| edit).collect())
}

/// Applies checked edits. They must have been checked against these very messages.
pub fn apply(edits: &[Edit], messages: &mut [Message]) {
    // From the last to the first, so that earlier offsets stay true.
    for edit in edits.iter().rev() {
        let place = edit.place;
        let text = messages
            .get_mut(place.message as usize)
            .and_then(|message| message.parts.get_mut(place.part as usize))
            .and_then(|part| part.text_mut());
        if let Some(text) = text {
            text.replace_range(place.start as usize..place.end as usize, &edit.replacement);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Role;

    fn edit(start: u32, end: u32, original: &str, replacement: &str) -> wit::Edit {
        wit::Edit {
            place: wit::Place { message: 0, part: 0, start, end },
            original: original.into(),
            replacement: replacement.into(),
        }
    }

    fn verdict(edits: Vec<wit::Edit>) -> wit::Verdict {
        wit::Verdict { action: wit::Action::Redact, reason: None, findings: vec![], edits, routing: None, tags: vec![] }
    }

    #[test]
    fn edits_behind_other_alphabets_land_where_they_should() {
        let mut messages = vec![Message::text(Role::User, "Grüße 😀 an jane@example.org und bob@example.org!")];
        let text = messages[0].plain_text();
        let at = |needle: &str| text.find(needle).unwrap() as u32;
        let (jane, bob) = (at("jane"), at("bob"));
        let edits =
            vec![edit(bob, bob + 15, "bob@example.org", "[2]"), edit(jane, jane + 16, "jane@example.org", "[1]")];
        let verdict = Verdict::accept(verdict(edits), &messages).unwrap();
        apply(&verdict.edits, &mut messages);
        assert_eq!(messages[0].plain_text(), "Grüße 😀 an [1] und [2]!");
    }

    #[test]
    fn an_edit_that_does_not_fit_the_text_refuses_the_verdict() {
        let messages = vec![Message::text(Role::User, "Grüße")];
        let cases = [
            (edit(0, 9, "Grüße", ""), "outside the text"),
            (edit(3, 4, "", ""), "inside a character"),
            (edit(4, 2, "", ""), "outside the text"),
            (edit(0, 2, "gr", ""), "`original`"),
            (
                wit::Edit { place: wit::Place { message: 7, part: 0, start: 0, end: 0 }, ..edit(0, 0, "", "") },
                "message 7 has no text part 0",
            ),
            (
                wit::Edit { place: wit::Place { message: 0, part: 3, start: 0, end: 0 }, ..edit(0, 0, "", "") },
                "message 0 has no text part 3",
            ),
        ];
        for (edit, expected) in cases {
            let error = Verdict::accept(verdict(vec![edit]), &messages).unwrap_err().to_string();
            assert!(error.contains(expected), "{error} should name {expected}");
        }
        let overlapping = verdict(vec![edit(0, 2, "Gr", ""), edit(1, 2, "r", "")]);
        assert!(Verdict::accept(overlapping, &messages).unwrap_err().to_string().contains("overlaps"));
    }

    #[test]
    fn a_guests_text_becomes_one_bounded_harmless_line() {
        assert_eq!(one_line("a\nb\u{1b}[31mc\u{202e}d", 100), "a\\nb\\u{1b}[31mc\\u{202e}d");
        assert_eq!(one_line("ääää", 5), "ää");
    }
}
