//! The order of messages. Mistral refuses others with code 3230, and a conversation that was once out of order is refused
//! at every later turn. The numbers are those of the table of quirks in the documentation of the provider.

use std::collections::{HashMap, HashSet};

use super::repairs::Repairs;
use super::wire::Wire;
use crate::chat::{Called, Role};

/// What a model is told of a call that was never run.
const NOT_EXECUTED: &str = "This call was not executed.";

/// What stands between a tool's answer and the user where a model wants something there.
const BRIDGE: &str = "Understood.";

/// What may follow a tool's answer (Q4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterTool {
    /// A user's message too, as since April 2026.
    Anything,
    /// An assistant's message only.
    Assistant,
}

/// Puts messages into an order that the model takes.
pub(super) fn repaired<'a>(messages: Vec<Wire<'a>>, after_tool: AfterTool, repairs: &mut Repairs) -> Vec<Wire<'a>> {
    // What a result leaves behind it may be instructions, which then stand at the end.
    let messages = results_behind_calls(messages, repairs);
    let mut messages = instructions_first(messages, repairs);
    if after_tool == AfterTool::Assistant {
        messages = bridged(messages, repairs);
    }
    continue_last_answer(&mut messages, repairs);
    messages
}

/// Instructions may not follow an answer, the assistant's or a tool's, nor be the last of several messages (Q5): those
/// that do go to the others at the beginning.
fn instructions_first<'a>(messages: Vec<Wire<'a>>, repairs: &mut Repairs) -> Vec<Wire<'a>> {
    let last_other = messages.iter().rposition(|message| message.role != Role::System);
    let mut kept: Vec<Wire<'a>> = Vec::with_capacity(messages.len());
    let mut late = Vec::new();
    for (index, message) in messages.into_iter().enumerate() {
        let behind_an_answer = kept.last().is_some_and(|before| matches!(before.role, Role::Assistant | Role::Tool));
        let at_the_end = last_other.is_some_and(|last| index > last);
        let misplaced = message.role == Role::System && (behind_an_answer || at_the_end);
        if misplaced { late.push(message) } else { kept.push(message) }
    }
    repairs.moved_system += late.len();
    let beginning = kept.iter().take_while(|message| message.role == Role::System).count();
    kept.splice(beginning..beginning, late);
    kept
}

/// Each call has one answer, right behind it (Q6). Those that stand later are moved, further ones to the same call become
/// part of the first, those that are missing say that the call was not executed, and those to no call go: the vendor
/// refuses the conversation for them, at every later turn. An id that is called again later belongs to the later call from
/// there on; within a message each stands once.
fn results_behind_calls<'a>(messages: Vec<Wire<'a>>, repairs: &mut Repairs) -> Vec<Wire<'a>> {
    // Where the calls stand that wait for an answer.
    let mut open: HashMap<&'a str, usize> = HashMap::new();
    // And where those do that have got theirs, and which it is.
    let mut closed: HashMap<&'a str, (usize, usize)> = HashMap::new();
    // Each message with the answers to its calls.
    let mut answered: Vec<(Wire<'a>, Vec<Wire<'a>>)> = Vec::with_capacity(messages.len());
    for message in messages {
        let here = answered.len();
        if let Some(id) = message.tool_call_id {
            if let Some(caller) = open.remove(id) {
                let results = &mut answered[caller].1;
                repairs.moved_results += usize::from(caller + 1 != here);
                closed.insert(id, (caller, results.len()));
                results.push(message);
            } else if let Some((caller, result)) = closed.get(id) {
                repairs.joined_results += 1;
                answered[*caller].1[*result].join(message);
            } else {
                repairs.stray_results += 1;
            }
            continue;
        }
        open.extend(message.tool_calls.iter().map(|call| (call.id(), here)));
        answered.push((message, Vec::new()));
    }
    let mut ordered = Vec::with_capacity(answered.len());
    for (message, results) in answered {
        let given: HashSet<&'a str> = results.iter().filter_map(|result| result.tool_call_id).collect();
        let mut missing: Vec<&'a str> = message.tool_calls.iter().map(Called::id).collect();
        missing.retain(|id| !given.contains(id));
        repairs.unanswered_calls += missing.len();
        ordered.push(message);
        ordered.extend(results);
        ordered.extend(missing.into_iter().map(|call| Wire::result(call, None, NOT_EXECUTED)));
    }
    ordered
}

fn bridged<'a>(messages: Vec<Wire<'a>>, repairs: &mut Repairs) -> Vec<Wire<'a>> {
    let mut bridged: Vec<Wire<'a>> = Vec::with_capacity(messages.len());
    for message in messages {
        if message.role == Role::User && bridged.last().is_some_and(|before| before.role == Role::Tool) {
            bridged.push(Wire::text(Role::Assistant, BRIDGE));
            repairs.bridges += 1;
        }
        bridged.push(message);
    }
    bridged
}

/// A conversation may end with an answer only if that is to be continued, and may not be that alone (Q5).
fn continue_last_answer(messages: &mut Vec<Wire<'_>>, repairs: &mut Repairs) {
    if let Some(last) = messages.last_mut()
        && last.role == Role::Assistant
        && last.tool_calls.is_empty()
    {
        last.prefix = Some(true);
        repairs.prefixed = true;
        if messages.len() == 1 {
            messages.insert(0, Wire::text(Role::User, ""));
            repairs.added_user = true;
        }
    }
}

/// Of instructions alone there may be one (Q5): behind several stands a user who says nothing.
pub(super) fn never_instructions_alone(messages: &mut Vec<Wire<'_>>, repairs: &mut Repairs) {
    if messages.len() > 1 && messages.iter().all(|message| message.role == Role::System) {
        messages.push(Wire::text(Role::User, ""));
        repairs.added_user = true;
    }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
