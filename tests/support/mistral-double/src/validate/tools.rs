//! Names of functions and ids of calls: code 3280.

use double::{array, is_function_name};
use serde_json::Value;

use crate::conversation::{messages, role};
use crate::refusal::Refusal;

pub(super) fn check(body: &Value) -> Result<(), Refusal> {
    for message in messages(body) {
        match role(message) {
            "assistant" => {
                for call in array(&message["tool_calls"]) {
                    id(call["id"].as_str().unwrap_or("null"))?;
                    name(call["function"]["name"].as_str().unwrap_or_default())?;
                }
            }
            "tool" => {
                if let Some(tool) = message["name"].as_str() {
                    name(tool)?;
                }
                match message["tool_call_id"].as_str() {
                    Some(call) => id(call)?,
                    None => return Err(Refusal::function_call("Tool call id has to be defined.")),
                }
            }
            _ => {}
        }
    }
    array(&body["tools"]).iter().filter_map(|tool| tool["function"]["name"].as_str()).try_for_each(name)
}

/// `^[a-zA-Z0-9]{9}$`.
fn id(id: &str) -> Result<(), Refusal> {
    if id == "null" {
        return Err(Refusal::function_call("Tool call id has to be defined in serving mode."));
    }
    if id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(Refusal::function_call(format!("Tool call id was {id} but must be a-z, A-Z, 0-9, with a length of 9.")))
}

fn name(name: &str) -> Result<(), Refusal> {
    if is_function_name(name, 64) {
        return Ok(());
    }
    Err(Refusal::function_call(format!(
        "Function name was {name} but must be a-z, A-Z, 0-9, or contain underscores and dashes, with a maximum length \
         of 64."
    )))
}
