//! What a policy answered, made safe: every size bounded, every edit compared with the text it claims to replace.
//!
//! A [`Proposal`] is what the component said, in our own words; [`Verdict::accept`] is the one way from there to a
//! [`Verdict`].

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::bindings::octroi::policy::types as wit;
use crate::chat::Message;
use crate::text::{does_harm, one_line};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

impl Severity {
    /// As it stands in WIT, manifests and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
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
    /// How many further edits a policy made on a stream: more than one verdict can have are counted and not kept.
    pub edits_left_out: u32,
    /// Limits on where the request may go.
    pub routing: Option<Routing>,
    /// Names and values for the record.
    pub tags: Vec<(String, String)>,
}

/// A component's answer, before anything in it is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    /// What it wants to happen.
    pub action: Action,
    /// For the caller, when it refuses.
    pub reason: Option<String>,
    /// What it noticed.
    pub findings: Vec<Finding>,
    /// What it wants replaced, in any order.
    pub edits: Vec<ProposedEdit>,
    /// Limits on where the request may go.
    pub routing: Option<Routing>,
    /// Names and values for the record.
    pub tags: Vec<(String, String)>,
}

/// One replacement, with the text that the component believes to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposedEdit {
    /// Where.
    pub place: Place,
    /// What must stand there now.
    pub original: String,
    /// What stands there afterwards.
    pub replacement: String,
}

impl From<wit::Verdict> for Proposal {
    fn from(verdict: wit::Verdict) -> Self {
        Self {
            action: verdict.action.into(),
            reason: verdict.reason,
            findings: verdict
                .findings
                .into_iter()
                .map(|finding| Finding {
                    rule: finding.rule,
                    category: finding.category,
                    severity: finding.severity.into(),
                    place: finding.place.map(Place::from),
                })
                .collect(),
            edits: verdict
                .edits
                .into_iter()
                .map(|edit| ProposedEdit {
                    place: edit.place.into(),
                    original: edit.original,
                    replacement: edit.replacement,
                })
                .collect(),
            routing: verdict.routing.map(|it| Routing { providers: it.providers, regions: it.regions }),
            tags: verdict.tags,
        }
    }
}

/// The most findings, edits and tags that are accepted, and the longest texts in bytes.
pub(super) mod bounds {
    pub(in crate::policy) const FINDINGS: usize = 10_000;
    pub(in crate::policy) const EDITS: usize = 10_000;
    /// Of a stream's edits together: each of its pieces may bring as much as a whole answer.
    pub(in crate::policy) const REPLACEMENTS: usize = 1 << 20;
    pub(in crate::policy) const TAGS: usize = 64;
    pub(in crate::policy) const PROVIDERS: usize = 256;
    pub(in crate::policy) const ID: usize = 128;
    pub(in crate::policy) const TAG_VALUE: usize = 1_024;
    pub(in crate::policy) const REASON: usize = 1_024;
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
    /// Checks what a component answered about `messages`. Names and sentences become lines without control characters:
    /// they end in records, logs and on terminals.
    pub fn accept(proposal: Proposal, messages: &[Message]) -> Result<Self, VerdictError> {
        let Proposal { action, reason, mut findings, edits, routing, mut tags } = proposal;
        at_most("findings", findings.len(), bounds::FINDINGS)?;
        at_most("edits", edits.len(), bounds::EDITS)?;
        at_most("tags", tags.len(), bounds::TAGS)?;
        for finding in &mut findings {
            harmless("bytes in finding.rule", &mut finding.rule, bounds::ID)?;
            harmless("bytes in finding.category", &mut finding.category, bounds::ID)?;
        }
        for (name, value) in &mut tags {
            harmless("bytes in a tag's name", name, bounds::ID)?;
            harmless("bytes in a tag's value", value, bounds::TAG_VALUE)?;
        }
        if let Some(routing) = &routing {
            at_most("routing.providers", routing.providers.len(), bounds::PROVIDERS)?;
            at_most("routing.regions", routing.regions.len(), bounds::PROVIDERS)?;
        }
        let routing = routing
            .map(|mut routing| {
                for name in routing.providers.iter_mut().chain(&mut routing.regions) {
                    harmless("bytes in a name in routing", name, bounds::ID)?;
                }
                Ok(routing)
            })
            .transpose()?;
        Ok(Self {
            action,
            reason: reason.map(|reason| one_line(&reason, bounds::REASON)).filter(|reason| !reason.is_empty()),
            findings,
            edits: check_edits(edits, messages)?,
            edits_left_out: 0,
            routing,
            tags,
        })
    }

    /// Forgets what was said of these matches of a stream before they had grown.
    pub(super) fn outgrow(&mut self, edits: &[Edit], findings: &[Finding]) {
        let begins = |place: &Place| (place.message, place.part, place.start);
        let grown: HashSet<_> = edits.iter().map(|edit| begins(&edit.place)).collect();
        self.edits.retain(|edit| !grown.contains(&begins(&edit.place)));
        let grown: HashSet<_> =
            findings.iter().filter_map(|it| Some((it.rule.as_str(), begins(it.place.as_ref()?)))).collect();
        self.findings.retain(|it| it.place.is_none_or(|place| !grown.contains(&(it.rule.as_str(), begins(&place)))));
    }

    /// Adds what was said later of a stream, as far as one verdict has room for it.
    pub(super) fn extend(&mut self, edits: Vec<Edit>, findings: Vec<Finding>, tags: &[(String, String)]) {
        let mut bytes: usize = self.edits.iter().map(|edit| edit.replacement.len()).sum();
        for edit in edits {
            bytes = bytes.saturating_add(edit.replacement.len());
            if self.edits.len() < bounds::EDITS && bytes <= bounds::REPLACEMENTS {
                self.edits.push(edit);
            } else {
                self.edits_left_out = self.edits_left_out.saturating_add(1);
            }
        }
        let room = bounds::FINDINGS.saturating_sub(self.findings.len());
        self.findings.extend(findings.into_iter().take(room));
        for tag in tags {
            if self.tags.len() < bounds::TAGS && !self.tags.contains(tag) {
                self.tags.push(tag.clone());
            }
        }
    }

    /// How many edits it has.
    pub fn edits_made(&self) -> u32 {
        u32::try_from(self.edits.len()).unwrap_or(u32::MAX).saturating_add(self.edits_left_out)
    }

    /// Whether the edits count: with `redact` or stronger.
    pub fn edits_apply(&self) -> bool {
        self.action >= Action::Redact && self.edits_made() > 0
    }
}

fn at_most(what: &'static str, found: usize, allowed: usize) -> Result<(), VerdictError> {
    if found > allowed { Err(VerdictError::TooMuch { what, found, allowed }) } else { Ok(()) }
}

/// Refuses a text that is too long, and escapes what could do harm where it is shown.
fn harmless(what: &'static str, text: &mut String, allowed: usize) -> Result<(), VerdictError> {
    at_most(what, text.len(), allowed)?;
    if text.chars().any(does_harm) {
        *text = one_line(text, usize::MAX);
    }
    Ok(())
}

/// The text that an edit's place points into.
fn text_at(messages: &[Message], place: Place) -> Option<&str> {
    messages.get(place.message as usize)?.parts.get(place.part as usize)?.text()
}

fn check_edits(edits: Vec<ProposedEdit>, messages: &[Message]) -> Result<Vec<Edit>, VerdictError> {
    let mut checked = Vec::with_capacity(edits.len());
    for (index, edit) in edits.into_iter().enumerate() {
        let place = edit.place;
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
///
/// Each text is written anew, once: ten thousand edits that each moved the rest of a long text would take seconds.
pub fn apply(edits: &[Edit], messages: &mut [Message]) {
    let of_one_text =
        |one: &Edit, two: &Edit| (one.place.message, one.place.part) == (two.place.message, two.place.part);
    for edits in edits.chunk_by(of_one_text) {
        let text = edits.first().and_then(|edit| {
            messages.get_mut(edit.place.message as usize)?.parts.get_mut(edit.place.part as usize)?.text_mut()
        });
        let Some(text) = text else { continue };
        let mut edited = String::with_capacity(text.len());
        let mut rest = 0;
        for edit in edits {
            edited.push_str(text.get(rest..edit.place.start as usize).unwrap_or_default());
            edited.push_str(&edit.replacement);
            rest = edit.place.end as usize;
        }
        edited.push_str(text.get(rest..).unwrap_or_default());
        *text = edited;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Role;

    fn edit(start: u32, end: u32, original: &str, replacement: &str) -> ProposedEdit {
        ProposedEdit {
            place: Place { message: 0, part: 0, start, end },
            original: original.into(),
            replacement: replacement.into(),
        }
    }

    fn verdict(edits: Vec<ProposedEdit>) -> Proposal {
        Proposal { action: Action::Redact, edits, ..Proposal::default() }
    }

    #[test]
    fn what_a_stream_keeps_of_its_edits_is_bounded_in_number_and_bytes() {
        let edits = |count: u32, bytes: usize| -> Vec<Edit> {
            let place = |start| Place { message: 0, part: 0, start, end: start + 1 };
            (0..count).map(|start| Edit { place: place(start), replacement: "x".repeat(bytes) }).collect()
        };
        let mut said = Verdict::default();
        for _ in 0..3 {
            said.extend(edits(2, bounds::REPLACEMENTS / 3), Vec::new(), &[]);
        }
        assert_eq!((said.edits.len(), said.edits_left_out), (3, 3));
        let mut said = Verdict { action: Action::Redact, ..Verdict::default() };
        said.extend(edits(1, bounds::REPLACEMENTS + 1), Vec::new(), &[]);
        assert!(said.edits.is_empty() && said.edits_apply(), "what was left out was applied all the same");
        let mut said = Verdict::default();
        said.extend(edits(10_005, 1), Vec::new(), &[]);
        assert_eq!((said.edits.len(), said.edits_made()), (bounds::EDITS, 10_005));
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
                ProposedEdit { place: Place { message: 7, part: 0, start: 0, end: 0 }, ..edit(0, 0, "", "") },
                "message 7 has no text part 0",
            ),
            (
                ProposedEdit { place: Place { message: 0, part: 3, start: 0, end: 0 }, ..edit(0, 0, "", "") },
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
    fn what_is_said_of_a_stream_has_the_bounds_of_one_verdict_and_the_rest_is_counted() {
        let edit = Edit { place: Place { message: 0, part: 0, start: 0, end: 0 }, replacement: String::new() };
        let mut said = Verdict::default();
        for _ in 0..3 {
            said.extend(vec![edit.clone(); 4_000], Vec::new(), &[("tag".to_owned(), String::new())]);
        }
        assert_eq!((said.edits.len(), said.edits_made(), said.tags.len()), (10_000, 12_000, 1));
    }

    #[test]
    fn names_in_a_verdict_are_shown_without_control_characters() {
        let finding =
            |rule: &str| Finding { rule: rule.into(), category: "a\nb".into(), severity: Severity::Info, place: None };
        let proposal = Proposal {
            findings: vec![finding("\u{1b}]0;owned\u{7}"), finding("plain")],
            tags: vec![("t\r".into(), "\u{202e}v".into())],
            routing: Some(Routing { providers: vec!["mis\ttral".into()], regions: vec![] }),
            ..Proposal::default()
        };
        let verdict = Verdict::accept(proposal, &[]).unwrap();
        assert_eq!(verdict.findings[0].rule, "\\u{1b}]0;owned\\u{7}");
        assert_eq!((verdict.findings[1].rule.as_str(), verdict.findings[1].category.as_str()), ("plain", "a\\nb"));
        assert_eq!(verdict.tags, [("t\\r".to_owned(), "\\u{202e}v".to_owned())]);
        assert_eq!(verdict.routing.unwrap().providers, ["mis\\ttral"]);
        let long = Proposal { findings: vec![finding(&"x".repeat(129))], ..Proposal::default() };
        assert!(Verdict::accept(long, &[]).unwrap_err().to_string().contains("finding.rule"));
    }
}
