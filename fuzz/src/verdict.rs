//! The target `verdict`: any answer of a component about any conversation.

use arbitrary::{Result, Unstructured};
use octroi::chat::{Message, Part, Role};
use octroi::policy::verdict::{self, Action, Finding, Place, Proposal, ProposedEdit, Routing, Severity, Verdict};

/// A verdict is accepted or refused, never a panic. Accepted edits replace what they name and leave every other byte
/// alone; the same answer is accepted again; about the edited text it is accepted only where it is still true.
pub fn verdict(data: &[u8]) -> bool {
    let mut input = Unstructured::new(data);
    let Ok(messages) = conversation(&mut input) else { return false };
    let Ok(proposal) = proposal(&mut input, &messages) else { return false };
    let accepted = match Verdict::accept(proposal.clone(), &messages) {
        Ok(accepted) => accepted,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    assert_eq!(Verdict::accept(proposal.clone(), &messages).as_ref(), Ok(&accepted));
    harmless(&accepted);
    let edited = applied(&accepted, &proposal, &messages);
    if let Ok(again) = Verdict::accept(proposal.clone(), &edited) {
        applied(&again, &proposal, &edited);
    }
    true
}

/// Applies the verdict, and compares with edits that are made one by one, on bytes, from behind.
fn applied(verdict: &Verdict, proposal: &Proposal, messages: &[Message]) -> Vec<Message> {
    let mut edited = messages.to_vec();
    verdict::apply(&verdict.edits, &mut edited);
    let mut edits: Vec<_> = proposal.edits.iter().collect();
    edits.sort_by_key(|edit| std::cmp::Reverse(edit.place));
    assert_eq!(edits.len(), verdict.edits.len());
    let mut expected = messages.to_vec();
    for edit in edits {
        let Place { message, part, start, end } = edit.place;
        let text = expected[message as usize].parts[part as usize].text_mut().expect("only texts are edited");
        let mut bytes = std::mem::take(text).into_bytes();
        let replaced: Vec<_> = bytes.splice(start as usize..end as usize, edit.replacement.bytes()).collect();
        assert_eq!(replaced, edit.original.as_bytes(), "what is replaced is what the policy said");
        *text = String::from_utf8(bytes).expect("characters stay whole");
    }
    assert_eq!(edited, expected);
    edited
}

/// Nothing in an accepted verdict can steer a terminal or forge a line.
fn harmless(verdict: &Verdict) {
    let names = verdict.findings.iter().flat_map(|it| [&it.rule, &it.category]);
    let tags = verdict.tags.iter().flat_map(|(name, value)| [name, value]);
    let routes = verdict.routing.iter().flat_map(|it| it.providers.iter().chain(&it.regions));
    for text in names.chain(tags).chain(routes).chain(&verdict.reason) {
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    assert!(verdict.reason.as_ref().is_none_or(|reason| reason.len() <= 1_024));
}

fn conversation(input: &mut Unstructured<'_>) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    for _ in 0..input.int_in_range(0..=3)? {
        let role = *input.choose(&[Role::System, Role::User, Role::Assistant, Role::Tool])?;
        let mut parts = Vec::new();
        for _ in 0..input.int_in_range(0..=3)? {
            let text: String = input.arbitrary()?;
            parts.push(match input.int_in_range(0..=4)? {
                0 => Part::Text { text },
                1 => Part::Thinking { text, seal: None },
                2 => Part::ToolCall { id: "call".into(), name: "tool".into(), arguments: text, seal: None },
                3 => Part::ToolResult { id: "call".into(), name: None, text },
                _ => Part::Image { url: text, detail: None },
            });
        }
        messages.push(Message { role, parts });
    }
    Ok(messages)
}

fn proposal(input: &mut Unstructured<'_>, messages: &[Message]) -> Result<Proposal> {
    const ACTIONS: [Action; 6] =
        [Action::Allow, Action::Log, Action::Warn, Action::Redact, Action::RequireApproval, Action::Deny];
    const SEVERITIES: [Severity; 2] = [Severity::Info, Severity::Critical];
    let mut proposal = Proposal {
        action: *input.choose(&ACTIONS)?,
        reason: input.arbitrary()?,
        routing: None,
        tags: Vec::new(),
        findings: Vec::new(),
        edits: Vec::new(),
    };
    for _ in 0..input.int_in_range(0..=5)? {
        proposal.edits.push(edit(input, messages)?);
    }
    for _ in 0..input.int_in_range(0..=2)? {
        proposal.findings.push(Finding {
            rule: input.arbitrary()?,
            category: input.arbitrary()?,
            severity: *input.choose(&SEVERITIES)?,
            place: if input.arbitrary()? { Some(place(input, messages)?) } else { None },
        });
    }
    for _ in 0..input.int_in_range(0..=2)? {
        proposal.tags.push((input.arbitrary()?, input.arbitrary()?));
    }
    if input.arbitrary()? {
        proposal.routing = Some(Routing { providers: vec![input.arbitrary()?], regions: vec![input.arbitrary()?] });
    }
    Ok(proposal)
}

/// Mostly one that could be right: with the text that stands there, where there is one.
fn edit(input: &mut Unstructured<'_>, messages: &[Message]) -> Result<ProposedEdit> {
    let place = place(input, messages)?;
    let there = messages
        .get(place.message as usize)
        .and_then(|message| message.parts.get(place.part as usize))
        .and_then(|part| part.text())
        .and_then(|text| text.get(place.start as usize..place.end as usize));
    let original = match there {
        Some(text) if input.ratio(9, 10)? => text.to_owned(),
        _ => input.arbitrary()?,
    };
    Ok(ProposedEdit { place, original, replacement: input.arbitrary()? })
}

/// Mostly inside the conversation, or just beyond it.
fn place(input: &mut Unstructured<'_>, messages: &[Message]) -> Result<Place> {
    if input.ratio(1, 20)? {
        let [message, part, start, end] = input.arbitrary()?;
        return Ok(Place { message, part, start, end });
    }
    let message = input.int_in_range(0..=messages.len())?;
    let parts = messages.get(message).map_or(&[][..], |message| &message.parts);
    let part = input.int_in_range(0..=parts.len())?;
    let length = parts.get(part).and_then(|part| part.text()).map_or(0, str::len);
    let start = input.int_in_range(0..=length + 1)?;
    let end = input.int_in_range(start.saturating_sub(1)..=length + 1)?;
    Ok(Place { message: message as u32, part: part as u32, start: start as u32, end: end as u32 })
}
