//! The order of messages: code 3230, after the rules of mistral-common for tokenizers of version 13.

use std::collections::HashSet;

use double::array;
use serde_json::Value;

use crate::conversation::{has_content, role};
use crate::refusal::Refusal;
use crate::settings::{Quirk, Settings};

pub(super) fn check(settings: &Settings, messages: &[Value]) -> Result<(), Refusal> {
    ends(messages)?;
    neighbours(settings, messages)?;
    results(messages)?;
    assistants(settings, messages)
}

/// How a conversation may begin when it is one message, and how it must end.
fn ends(messages: &[Value]) -> Result<(), Refusal> {
    let Some(last) = messages.last() else {
        return Err(Refusal::order("Conversation must have at least one message"));
    };
    if messages.len() == 1 {
        return match role(last) {
            "user" | "system" => Ok(()),
            _ => Err(Refusal::order("Conversation must start with a user message or system message")),
        };
    }
    match role(last) {
        "user" | "tool" => Ok(()),
        "assistant" if last["prefix"] == true => Ok(()),
        other => Err(Refusal::order(format!(
            "Expected last role User or Tool (or Assistant with prefix True) for serving but got {other}"
        ))),
    }
}

/// Which role may follow which.
fn neighbours(settings: &Settings, messages: &[Value]) -> Result<(), Refusal> {
    for (before, after) in messages.iter().zip(messages.iter().skip(1)) {
        let (before, after) = (role(before), role(after));
        let allowed = match before {
            "system" | "user" => after != "tool",
            "assistant" => after != "system",
            "tool" => match after {
                "user" => !settings.has(Quirk::RefuseUserAfterTool),
                _ => after != "system",
            },
            _ => true,
        };
        if !allowed {
            return Err(Refusal::order(format!("Unexpected role '{after}' after role '{before}'")));
        }
    }
    Ok(())
}

/// Every call has one result, before the next assistant turn and before the end.
fn results(messages: &[Value]) -> Result<(), Refusal> {
    let mut expected: HashSet<&str> = HashSet::new();
    let mut seen: HashSet<&str> = HashSet::new();
    let unequal = || Refusal::order("Not the same number of function calls and responses");
    for message in messages {
        match role(message) {
            "tool" => {
                let id = message["tool_call_id"].as_str().unwrap_or_default();
                if seen.contains(id) {
                    return Err(Refusal::order(format!("Duplicate tool call id {id} in tool results")));
                }
                if !expected.contains(id) {
                    return Err(Refusal::order(format!("Unexpected tool call id {id} in tool results")));
                }
                seen.insert(id);
            }
            "assistant" => {
                if expected.len() != seen.len() {
                    return Err(unequal());
                }
                expected.clear();
                seen.clear();
                for call in array(&message["tool_calls"]) {
                    let id = call["id"].as_str().unwrap_or("null");
                    if !expected.insert(id) {
                        return Err(Refusal::order(format!("Duplicate tool call id {id} in assistant message")));
                    }
                }
            }
            _ => {}
        }
    }
    if expected.len() == seen.len() { Ok(()) } else { Err(unequal()) }
}

/// What an assistant message may hold. The code of these two was never recorded; 3230 is their family's.
fn assistants(settings: &Settings, messages: &[Value]) -> Result<(), Refusal> {
    let last = messages.len().saturating_sub(1);
    for (index, message) in messages.iter().enumerate().filter(|(_, message)| role(message) == "assistant") {
        let calls = !array(&message["tool_calls"]).is_empty();
        let both = calls && has_content(message) && settings.has(Quirk::RefuseContentBesideToolCalls);
        let neither = !calls && !has_content(message);
        if both || neither {
            return Err(Refusal::order("Assistant message must have either content or tool_calls, but not both."));
        }
        if message["prefix"] == true && index != last {
            return Err(Refusal::order("Assistant message with prefix True must be last message"));
        }
    }
    Ok(())
}
