//! What a canonical request looks like on the wire.

use serde_json::{Value, json};

use super::*;

const OPTIONS: Options<'_> = Options { model: "ministral-8b-latest", max_tokens: None };

fn request(messages: Vec<Message>) -> ChatRequest {
    ChatRequest { messages, ..ChatRequest::default() }
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts }
}

fn text(text: &str) -> Part {
    Part::Text { text: text.into() }
}

fn call(id: &str, arguments: &str) -> Part {
    Part::ToolCall { id: id.into(), name: "look".into(), arguments: arguments.into() }
}

fn result(id: &str, text: &str) -> Part {
    Part::ToolResult { id: id.into(), name: Some("look".into()), text: text.into() }
}

fn sent(request: &ChatRequest) -> (Value, Vec<String>) {
    let model = request.model.as_deref().unwrap_or(OPTIONS.model);
    let prepared = prepare(request, Options { model, ..OPTIONS }).unwrap();
    (serde_json::from_slice(&prepared.body).unwrap(), prepared.notes)
}

#[test]
fn nothing_is_sent_that_nobody_asked_for() {
    let mut request = request(vec![Message::text(Role::User, "Hi")]);
    let hi = json!([{"role": "user", "content": "Hi"}]);
    assert_eq!(sent(&request), (json!({"model": "ministral-8b-latest", "messages": hi}), vec![]));

    request.model = Some("mistral-large-latest".into());
    request.max_tokens = Some(7);
    request.temperature = Some(0.25);
    let (body, _) = sent(&request);
    assert_eq!(body, json!({"model": "mistral-large-latest", "messages": hi, "max_tokens": 7, "temperature": 0.25}));
}

#[test]
fn the_operators_max_tokens_yields_to_the_callers() {
    let options = Options { max_tokens: Some(4096), ..OPTIONS };
    for (asked, expected) in [(None, 4096), (Some(9), 9), (Some(9000), 9000)] {
        let request = ChatRequest { max_tokens: asked, ..request(vec![Message::text(Role::User, "Hi")]) };
        let body: Value = serde_json::from_slice(&prepare(&request, options).unwrap().body).unwrap();
        assert_eq!(body["max_tokens"], expected);
    }
}

#[test]
fn messages_take_the_form_that_mistral_takes() {
    let user = || Message::text(Role::User, "Hi");
    let user_wire = json!({"role": "user", "content": "Hi"});
    let cases: Vec<(&str, Vec<Message>, Value, usize)> = vec![
        (
            "system first",
            vec![Message::text(Role::System, "Be brief."), user()],
            json!([{"role": "system", "content": "Be brief."}, user_wire]),
            0,
        ),
        (
            "several texts are chunks",
            vec![message(Role::User, vec![text("a"), text("b")])],
            json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]),
            0,
        ),
        (
            "images in object form",
            vec![message(Role::User, vec![text("what?"), Part::Image { url: "https://example.com/a.png".into() }])],
            json!([{"role": "user", "content": [
                {"type": "text", "text": "what?"},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            ]}]),
            0,
        ),
        (
            "a conversation with tools; valid ids pass",
            vec![
                user(),
                message(Role::Assistant, vec![call("D681PevKs", "{\"a\":1}"), call("AAAAAAAA1", " ")]),
                message(Role::Tool, vec![result("D681PevKs", "one"), result("AAAAAAAA1", "two")]),
            ],
            json!([user_wire,
                {"role": "assistant", "content": "", "tool_calls": [
                    {"id": "D681PevKs", "type": "function", "function": {"name": "look", "arguments": "{\"a\":1}"}},
                    {"id": "AAAAAAAA1", "type": "function", "function": {"name": "look", "arguments": "{}"}},
                ]},
                {"role": "tool", "content": "one", "tool_call_id": "D681PevKs", "name": "look"},
                {"role": "tool", "content": "two", "tool_call_id": "AAAAAAAA1", "name": "look"},
            ]),
            0,
        ),
        (
            "a user's message with a tool's answer in it is two messages",
            vec![message(Role::User, vec![result("D681PevKs", "one"), text("and now?")])],
            json!([
                {"role": "tool", "content": "one", "tool_call_id": "D681PevKs", "name": "look"},
                {"role": "user", "content": "and now?"},
            ]),
            0,
        ),
        (
            "an answer at the end is a prefix",
            vec![user(), Message::text(Role::Assistant, "Well,")],
            json!([user_wire, {"role": "assistant", "content": "Well,", "prefix": true}]),
            1,
        ),
        (
            "an answer in the middle is none",
            vec![user(), Message::text(Role::Assistant, "Well,"), user()],
            json!([user_wire, {"role": "assistant", "content": "Well,"}, user_wire]),
            0,
        ),
        (
            "empty answers are dropped",
            vec![user(), Message::text(Role::Assistant, ""), message(Role::Assistant, vec![]), user()],
            json!([user_wire, user_wire]),
            1,
        ),
        (
            "reasoning is dropped where the model has none, and what is then empty with it",
            vec![user(), message(Role::Assistant, vec![Part::Thinking { text: "hm".into() }]), user()],
            json!([user_wire, user_wire]),
            2,
        ),
    ];
    for (claim, messages, expected, notes) in cases {
        let (body, noted) = sent(&request(messages));
        assert_eq!(body["messages"], expected, "{claim}");
        assert_eq!(noted.len(), notes, "{claim}: {noted:?}");
    }
}

#[test]
fn reasoning_is_replayed_to_models_that_reason() {
    let thought = message(Role::Assistant, vec![Part::Thinking { text: "hm".into() }, text("Yes.")]);
    let messages = vec![Message::text(Role::User, "Hi"), thought, Message::text(Role::User, "Sure?")];
    for (model, replayed) in [
        ("magistral-small-latest", true),
        ("mistral-medium-latest", true),
        ("mistral-medium", true),
        ("mistral-medium-2508", false),
        ("mistral-large-latest", false),
        ("codestral-latest", false),
    ] {
        let request = ChatRequest { model: Some(model.into()), ..request(messages.clone()) };
        let (body, notes) = sent(&request);
        let chunk = json!({"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": true});
        assert_eq!(body["messages"][1]["content"][0] == chunk, replayed, "{model}");
        assert_eq!(notes.is_empty(), replayed, "{model}");
    }
}

#[test]
fn foreign_ids_are_mapped_alike_in_calls_and_answers() {
    let (body, notes) = sent(&request(vec![
        Message::text(Role::User, "Hi"),
        message(Role::Assistant, vec![call("call_0123456789", "{}")]),
        message(Role::Tool, vec![result("call_0123456789", "one")]),
    ]));
    let id = body["messages"][1]["tool_calls"][0]["id"].as_str().unwrap();
    assert_eq!(id.len(), 9);
    assert_eq!(body["messages"][2]["tool_call_id"], id);
    assert_eq!(notes, ["1 tool call ids replaced by ones that the provider takes"]);
}

#[test]
fn a_request_without_anything_to_say_is_refused_here() {
    let error = prepare(&request(vec![Message::text(Role::Assistant, "")]), OPTIONS).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}
