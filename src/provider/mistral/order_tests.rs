//! In which order a conversation goes to Mistral.

use super::*;
use crate::chat::{Message, Part};
use crate::provider::mistral::wire::{Blank, Thinking};
use crate::provider::tools::call_id::fits;
use crate::provider::tools::tool_ids::ToolIds;

/// A conversation in short: `s`ystem, `u`ser, `a`ssistant; `a:x,y` calls tools, `t:x` is a tool's answer.
fn conversation(short: &str) -> Vec<Message> {
    let message = |word: &str| {
        let (role, ids) = word.split_once(':').unwrap_or((word, ""));
        let ids = ids.split(',').filter(|id| !id.is_empty());
        let call = |id: &str| Part::ToolCall { id: long(id), name: "look".into(), arguments: "{}".into(), seal: None };
        let result = |id: &str| Part::ToolResult { id: long(id), name: None, text: "found".into() };
        match role {
            "a" if word.contains(':') => Message { role: Role::Assistant, parts: ids.map(call).collect() },
            "t" => Message { role: Role::Tool, parts: ids.map(result).collect() },
            "s" => Message::text(Role::System, "s"),
            "a" => Message::text(Role::Assistant, "a"),
            _ => Message::text(Role::User, "u"),
        }
    };
    short.split_whitespace().map(message).collect()
}

fn long(id: &str) -> String {
    format!("{id:0>9}")
}

/// The wire's messages in short: `t!` is an answer that nobody gave, `b` a bridge, `a+` an answer to be continued.
fn short(messages: &[Wire<'_>]) -> String {
    let one = |message: &Wire<'_>| {
        let json = serde_json::to_value(message).unwrap();
        let id = |id: &serde_json::Value| id.as_str().unwrap().trim_start_matches('0').to_owned();
        let calls: Vec<String> =
            json["tool_calls"].as_array().into_iter().flatten().map(|call| id(&call["id"])).collect();
        match (message.role, json["content"].as_str()) {
            (Role::Assistant, Some(BRIDGE)) => "b".to_owned(),
            (Role::Assistant, _) if !calls.is_empty() => format!("a:{}", calls.join(",")),
            (Role::Assistant, _) if json["prefix"] == true => "a+".to_owned(),
            (Role::Tool, Some(NOT_EXECUTED)) => format!("t!:{}", id(&json["tool_call_id"])),
            (Role::Tool, _) => format!("t:{}", id(&json["tool_call_id"])),
            (Role::Assistant, _) => "a".to_owned(),
            (Role::User, _) => "u".to_owned(),
            (Role::System, _) => "s".to_owned(),
        }
    };
    messages.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn put_right(before: &str, after_tool: AfterTool) -> (String, Vec<String>) {
    let messages = conversation(before);
    let ids = ToolIds::of(&messages, fits);
    let mut repairs = Repairs::default();
    let wires = Wire::all(&messages, &ids, Thinking::Drop, Blank::Drop, &mut repairs);
    (short(&repaired(wires, after_tool, &mut repairs)), repairs.notes())
}

#[test]
fn what_is_in_order_stays_and_what_is_not_is_put_right() {
    for (claim, before, after, notes) in [
        ("a conversation", "s s u a u", "s s u a u", 0),
        ("one system message", "s", "s", 0),
        ("instructions between users", "u s u", "u s u", 0),
        ("instructions behind an answer", "s u a s u", "s s u a u", 1),
        ("several of them", "u a s s u", "s s u a u", 1),
        ("instructions behind a tool's answer", "u a:1 t:1 s u", "s u a:1 t:1 u", 1),
        ("instructions at the end", "u s", "s u", 1),
        ("instructions before a late answer", "u a:1 u s t:1", "s u a:1 t:1 u", 2),
        ("instructions before an answer that goes", "u s t:1", "s u", 2),
        ("answers in another order than the calls", "u a:1,2 t:2 t:1 u", "u a:1,2 t:2 t:1 u", 0),
        ("a user behind a tool's answer", "u a:1 t:1 u", "u a:1 t:1 u", 0),
        ("a late answer", "u a:1,2 t:1 u t:2", "u a:1,2 t:1 t:2 u", 1),
        ("a late answer behind the next turn", "u a:1 u a t:1 u", "u a:1 t:1 u a u", 1),
        ("a call that was cancelled", "u a:1 u", "u a:1 t!:1 u", 1),
        ("one of several", "u a:1,2,3 t:2 a", "u a:1,2,3 t:2 t!:1 t!:3 a+", 2),
        ("a conversation that ends with calls", "u a:1", "u a:1 t!:1", 1),
        ("an id that is used twice", "u a:1 u a:1 t:1", "u a:1 t!:1 u a:1 t:1", 1),
        ("an id that is used and answered twice", "u a:1 t:1 a:1 t:1", "u a:1 t:1 a:1 t:1", 0),
        ("a call that is answered twice", "u a:1 t:1 t:1 u", "u a:1 t:1 u", 1),
        ("and once more later", "u a:1 t:1 u t:1 a:1 t:1 t:1", "u a:1 t:1 u a:1 t:1", 1),
        ("the first calls anew", "a:1,2 a:1 t:1 t:2", "a:1,2 t:2 t!:1 a:1 t:1", 2),
        ("answers to calls that wait together", "u a:1 a:2 t:1 t:2", "u a:1 t:1 a:2 t:2", 1),
        ("an answer to no call", "u t:1 u", "u u", 1),
        ("an answer before its call", "u t:1 a:1 u", "u a:1 t!:1 u", 2),
        ("an answer to be continued", "u a", "u a+", 1),
        ("and nothing else", "a", "u a+", 2),
        ("nor anything that stays", "t:1 a", "u a+", 3),
        ("behind instructions", "s a", "s a+", 1),
    ] {
        let (found, noted) = put_right(before, AfterTool::Anything);
        assert_eq!(found, after, "{claim}");
        assert_eq!(noted.len(), notes, "{claim}: {noted:?}");
    }
}

#[test]
fn further_answers_to_a_call_are_part_of_the_first() {
    let mut messages = conversation("u a:1 t:1 u t:1 t:1");
    for (message, said) in messages.iter_mut().filter(|message| message.role == Role::Tool).zip(["one", "two", ""]) {
        message.parts = vec![Part::ToolResult { id: long("1"), name: None, text: said.into() }];
    }
    let ids = ToolIds::of(&messages, fits);
    let mut repairs = Repairs::default();
    let wires = Wire::all(&messages, &ids, Thinking::Drop, Blank::Drop, &mut repairs);
    let sent = serde_json::to_value(repaired(wires, AfterTool::Anything, &mut repairs)).unwrap();
    assert_eq!(sent[2]["content"], "one\ntwo\n");
    assert_eq!(sent.as_array().unwrap().len(), 4);
    assert_eq!(
        repairs.notes(),
        ["2 further answers to a tool call put into the first: the provider takes one to each"]
    );
}

#[test]
fn a_bridge_stands_only_where_a_model_wants_one() {
    for (before, after, bridges) in [
        ("u a:1,2 t:1 t:2 u a:1 t:1 u", "u a:1,2 t:1 t:2 b u a:1 t:1 b u", 2),
        ("u a:1 u", "u a:1 t!:1 b u", 1),
        ("u a:1 t:1 a u", "u a:1 t:1 a u", 0),
        ("u a:1 t:1", "u a:1 t:1", 0),
    ] {
        let (found, notes) = put_right(before, AfterTool::Assistant);
        assert_eq!(found, after);
        let noted = notes.iter().filter(|note| note.contains("put between")).map(String::as_str).collect::<Vec<_>>();
        let expected =
            format!("{bridges} assistant messages put between a tool's answer and the user, as the model wants");
        assert_eq!(noted, if bridges > 0 { vec![expected.as_str()] } else { vec![] });
    }
}

#[test]
fn many_calls_without_answers_are_put_right_in_the_time_that_reading_them_takes() {
    const MANY: usize = 100_000;
    let short: String = (0..MANY).map(|id| format!("a:{id} ")).collect();
    let messages = conversation(&short);
    let ids = ToolIds::of(&messages, fits);
    let mut repairs = Repairs::default();
    let wires = Wire::all(&messages, &ids, Thinking::Drop, Blank::Drop, &mut repairs);
    assert_eq!(repaired(wires, AfterTool::Anything, &mut repairs).len(), 2 * MANY);
    assert_eq!(repairs.unanswered_calls, MANY);
}
