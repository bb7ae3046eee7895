//! What a canonical request looks like in Gemini's dialect.

use serde_json::{Value, json};

use super::*;
use crate::chat::{Message, Part, Role, Seal, ToolChoice};
use crate::provider::ErrorKind;
use crate::provider::fixtures::{call, from, hi, message, read, request, result, text};

const OPTIONS: Options<'_> = Options { model: "gemini-2.5-flash", max_tokens: None };

fn sealed(id: &str, seal: Seal) -> Part {
    Part::ToolCall { id: id.into(), name: "look".into(), arguments: "{}".into(), seal: Some(seal) }
}

fn sent(request: &ChatRequest, options: Options<'_>) -> (Value, Vec<String>) {
    read(prepare(request, options).unwrap())
}

#[test]
fn nothing_is_sent_that_nobody_asked_for() {
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]});
    assert_eq!(sent(&hi(), OPTIONS), (body, vec![]));
    for (asked, operators, expected) in [(None, Some(7), 7), (Some(9), Some(7), 9)] {
        let request = ChatRequest { max_tokens: asked, ..hi() };
        let (body, _) = sent(&request, Options { max_tokens: operators, ..OPTIONS });
        assert_eq!(body["generationConfig"], json!({"maxOutputTokens": expected}));
    }
}

#[test]
fn messages_take_the_form_that_gemini_takes() {
    let user = |parts: Value| json!({"role": "user", "parts": parts});
    let model = |parts: Value| json!({"role": "model", "parts": parts});
    let two_calls = || message(Role::Assistant, vec![sealed("one", Seal::Google("EqQB".into())), call("two", "{}")]);
    let called_twice = || {
        model(json!([
            {"functionCall": {"id": "one", "name": "look", "args": {}}, "thoughtSignature": "EqQB"},
            {"functionCall": {"id": "two", "name": "look", "args": {}}},
        ]))
    };
    let both_answers = || {
        user(json!([
            {"functionResponse": {"id": "one", "name": "look", "response": {"output": "a"}}},
            {"functionResponse": {"id": "two", "name": "look", "response": {"output": "b"}}},
        ]))
    };
    type Case = (&'static str, &'static str, Vec<Message>, Value, Value, usize);
    let cases: Vec<Case> = vec![
        (
            "instructions stand outside, wherever they were",
            "gemini-2.5-flash",
            vec![
                Message::text(Role::System, "Be brief."),
                Message::text(Role::User, "Hi"),
                Message::text(Role::System, "Be kind."),
            ],
            json!({"parts": [{"text": "Be brief."}, {"text": "Be kind."}]}),
            json!([user(json!([{"text": "Hi"}]))]),
            1,
        ),
        (
            "one speaker's messages are one turn, without what is empty",
            "gemini-2.5-flash",
            vec![
                Message::text(Role::User, "a"),
                message(Role::Assistant, vec![text("")]),
                Message::text(Role::User, "b"),
            ],
            json!(null),
            json!([user(json!([{"text": "a"}, {"text": "b"}]))]),
            0,
        ),
        (
            "tools, whose answers name them",
            "gemini-2.5-flash",
            vec![
                Message::text(Role::User, "Hi"),
                message(Role::Assistant, vec![text("Well,"), call("one", "{\"b\":1,\"a\":2}"), call("two", "")]),
                message(Role::Tool, vec![result("one", "{\"ok\": true}")]),
                message(Role::Tool, vec![result("two", "fine")]),
            ],
            json!(null),
            json!([
                user(json!([{"text": "Hi"}])),
                model(json!([
                    {"text": "Well,"},
                    {"functionCall": {"id": "one", "name": "look", "args": {"b": 1, "a": 2}}},
                    {"functionCall": {"id": "two", "name": "look", "args": {}}},
                ])),
                user(json!([
                    {"functionResponse": {"id": "one", "name": "look", "response": {"ok": true}}},
                    {"functionResponse": {"id": "two", "name": "look", "response": {"output": "fine"}}},
                ])),
            ]),
            0,
        ),
        (
            "an answer that refers to itself is sent as text",
            "gemini-2.5-flash",
            vec![
                Message::text(Role::User, "Hi"),
                message(Role::Assistant, vec![call("one", "{}")]),
                message(Role::Tool, vec![result("one", r##"{"schema":{"$ref":"#/a"}}"##)]),
            ],
            json!(null),
            json!([
                user(json!([{"text": "Hi"}])),
                model(json!([{"functionCall": {"id": "one", "name": "look", "args": {}}}])),
                user(json!([{"functionResponse": {"id": "one", "name": "look",
                    "response": {"output": r##"{"schema":{"$ref":"#/a"}}"##}}}])),
            ]),
            0,
        ),
        (
            "newer models want a signature on the first call of a step; arguments that are no object are wrapped",
            "gemini-3.5-flash",
            vec![
                Message::text(Role::User, "Hi"),
                message(Role::Assistant, vec![call("one", "[1]"), call("two", "{}")]),
                message(Role::Tool, vec![result("one", "a"), result("two", "b")]),
            ],
            json!(null),
            json!([
                user(json!([{"text": "Hi"}])),
                model(json!([
                    {"functionCall": {"id": "one", "name": "look", "args": {"arguments": "[1]"}},
                        "thoughtSignature": "skip_thought_signature_validator"},
                    {"functionCall": {"id": "two", "name": "look", "args": {}}},
                ])),
                both_answers(),
            ]),
            1,
        ),
        (
            "a call's own signature goes back with it; another vendor's does not",
            "gemini-3.5-flash",
            vec![
                Message::text(Role::User, "Hi"),
                two_calls(),
                message(Role::Tool, vec![result("one", "a"), result("two", "b")]),
                message(Role::Assistant, vec![sealed("three", Seal::Anthropic("EmwK".into()))]),
                message(Role::Tool, vec![result("three", "c")]),
            ],
            json!(null),
            json!([
                user(json!([{"text": "Hi"}])),
                called_twice(),
                both_answers(),
                model(json!([
                    {"functionCall": {"id": "three", "name": "look", "args": {}},
                        "thoughtSignature": "skip_thought_signature_validator"},
                ])),
                user(json!([{"functionResponse": {"id": "three", "name": "look", "response": {"output": "c"}}}])),
            ]),
            0,
        ),
        (
            "beside tools' answers stands nothing else, and they stand right behind their calls",
            "gemini-3.5-flash",
            vec![
                Message::text(Role::User, "Hi"),
                two_calls(),
                message(Role::Tool, vec![result("one", "a")]),
                message(Role::User, vec![text("And"), result("two", "b"), text("so?")]),
                message(Role::User, vec![Part::Image { url: "data:image/png;base64,aGk=".into(), detail: None }]),
            ],
            json!(null),
            json!([
                user(json!([{"text": "Hi"}])),
                called_twice(),
                both_answers(),
                user(json!([
                    {"text": "And"},
                    {"text": "so?"},
                    {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
                ])),
            ]),
            0,
        ),
        (
            "reasoning stays here, and so does what is misplaced",
            "gemini-2.5-flash",
            vec![
                message(Role::User, vec![text("Hi"), call("x", "{}")]),
                message(
                    Role::Assistant,
                    vec![Part::Thinking { text: "hm".into(), seal: None }, text("Yes."), result("x", "y")],
                ),
            ],
            json!(null),
            json!([user(json!([{"text": "Hi"}])), model(json!([{"text": "Yes."}]))]),
            2,
        ),
    ];
    for (claim, model, messages, system, expected, notes) in cases {
        let (body, noted) = sent(&ChatRequest { messages, ..ChatRequest::default() }, Options { model, ..OPTIONS });
        assert_eq!(body["contents"], expected, "{claim}");
        assert_eq!(body["systemInstruction"], system, "{claim}");
        assert_eq!(noted.len(), notes, "{claim}: {noted:?}");
    }
}

#[test]
fn what_cannot_be_sent_is_refused_here() {
    for message in [
        message(Role::User, vec![]),
        message(Role::User, vec![Part::Image { url: "https://example.com/a.png".into(), detail: None }]),
        message(Role::Tool, vec![result("nobody's", "a")]),
    ] {
        let request = ChatRequest { messages: vec![message], ..ChatRequest::default() };
        let error = prepare(&request, OPTIONS).unwrap_err();
        assert_eq!((error.kind(), error.was_sent()), (ErrorKind::Unsupported, false), "{request:?}");
    }
}

#[test]
fn a_tools_name_is_one_that_gemini_takes() {
    let long = "x".repeat(65);
    for (name, kind) in [
        ("two words", Some(ErrorKind::Unsupported)),
        ("1st", Some(ErrorKind::Unsupported)),
        ("-x", Some(ErrorKind::Unsupported)),
        (&long, Some(ErrorKind::Unsupported)),
        ("fs.read", None),
        ("_mcp:fs-read", None),
    ] {
        let named = ChatRequest { tools: from(json!([{"function": {"name": name}}])), ..hi() };
        assert_eq!(prepare(&named, OPTIONS).err().map(|error| error.kind()), kind, "{name}");
    }
    let other = Part::ToolCall { id: "1".into(), name: "fs/read".into(), arguments: "{}".into(), seal: None };
    let answer = Part::ToolResult { id: "1".into(), name: Some("fs/read".into()), text: "found".into() };
    let messages = vec![
        message(Role::User, vec![text("Look")]),
        message(Role::Assistant, vec![other]),
        message(Role::Tool, vec![answer, result("1", "found")]),
    ];
    let (body, notes) = sent(&ChatRequest { messages, ..ChatRequest::default() }, OPTIONS);
    assert_eq!(body["contents"][1]["parts"][0]["functionCall"]["name"], "fs_read");
    for at in 0..2 {
        assert_eq!(body["contents"][2]["parts"][at]["functionResponse"]["name"], "fs_read");
    }
    assert_eq!(notes.len(), 1, "{notes:?}");
}

#[test]
fn an_answer_with_an_empty_name_has_that_of_its_call() {
    let unnamed = Part::ToolResult { id: "c1".into(), name: Some(String::new()), text: "4".into() };
    let messages = vec![
        message(Role::User, vec![text("Look")]),
        message(Role::Assistant, vec![call("c1", "{}")]),
        message(Role::Tool, vec![unnamed]),
    ];
    let (body, _) = sent(&ChatRequest { messages, ..ChatRequest::default() }, OPTIONS);
    assert_eq!(body["contents"][2]["parts"][0]["functionResponse"]["name"], "look");
}

#[test]
fn an_answer_has_the_name_of_the_call_before_it_where_an_id_calls_again() {
    let named = |name: &str| Part::ToolCall { id: "".into(), name: name.into(), arguments: "{}".into(), seal: None };
    let messages = vec![
        message(Role::User, vec![text("Look")]),
        message(Role::Assistant, vec![named("weather"), named("clock")]),
        message(Role::Tool, vec![result("", "sun"), result("", "noon")]),
        message(Role::Assistant, vec![named("map")]),
        message(Role::Tool, vec![result("", "here")]),
    ];
    let (body, notes) = sent(&request(messages), OPTIONS);
    for (turn, at, name, output) in [(2, 0, "weather", "sun"), (2, 1, "clock", "noon"), (4, 0, "map", "here")] {
        let answer = &body["contents"][turn]["parts"][at]["functionResponse"];
        assert_eq!((answer["name"].as_str(), answer["response"]["output"].as_str()), (Some(name), Some(output)));
    }
    assert_eq!(notes, ["2 tool call ids replaced by ones that the provider takes"]);
}

#[test]
fn parameters_take_the_form_that_gemini_takes() {
    let look = json!([{"type": "function", "function": {"name": "look"}}]);
    let look_wire = json!([{"functionDeclarations": [{"name": "look"}]}]);
    let schema = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"$id": "x", "type": "object"}}});
    type Change = Box<dyn FnOnce(&mut ChatRequest)>;
    let as_schema = |tools: Value| -> Change {
        let schema = schema.clone();
        Box::new(move |it| {
            it.tools = from(tools);
            it.response_format = Some(from(schema));
        })
    };
    let effort = |word: &'static str| -> Change { Box::new(move |it| it.reasoning_effort = Some(from(json!(word)))) };
    let thought = |config: Value| json!({"generationConfig": {"thinkingConfig": config}});
    let shown = |name: &str, amount: Value| thought(json!({name: amount, "includeThoughts": true}));
    let (old, usual, new) = ("gemini-2.0-flash", "gemini-2.5-flash", "gemini-3.5-flash");
    let cases: Vec<(&str, &str, Change, Value, usize)> = vec![
        (
            "sampling",
            old,
            Box::new(|it| {
                it.temperature = Some(1.5);
                it.top_p = Some(0.5);
                it.n = Some(2);
                it.seed = Some(-1);
                it.presence_penalty = Some(0.5);
                it.frequency_penalty = Some(-0.5);
                it.stop = vec!["END".into()];
                it.extra = from(json!({"top_k": 7}));
            }),
            json!({"generationConfig": {"temperature": 1.5, "topP": 0.5, "topK": 7, "candidateCount": 2, "seed": i32::MAX,
                "presencePenalty": 0.5, "frequencyPenalty": -0.5, "stopSequences": ["END"]}}),
            0,
        ),
        (
            "what newer models have not, and fields of others",
            usual,
            Box::new(|it| {
                it.n = Some(1);
                it.presence_penalty = Some(0.5);
                it.frequency_penalty = Some(0.0);
                it.extra = from(json!({"user": "jane", "store": null, "top_k": "many"}));
            }),
            json!({}),
            1,
        ),
        ("newer models give one answer", new, Box::new(|it| it.n = Some(2)), json!({}), 1),
        (
            "without tools nothing is said about them",
            usual,
            Box::new(|it| {
                it.tool_choice = Some(ToolChoice::Auto);
                it.parallel_tool_calls = Some(false);
            }),
            json!({}),
            0,
        ),
        (
            "with tools older models are told in words",
            usual,
            as_schema(look.clone()),
            json!({"tools": look_wire, "systemInstruction": {"parts": [{"text":
                "Answer with JSON that follows this JSON schema, and nothing else:\n{\"$id\":\"x\",\"type\":\"object\"}"}]}}),
            1,
        ),
        (
            "and newer ones are held to it",
            new,
            as_schema(look.clone()),
            json!({"tools": look_wire,
                "generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}}}),
            0,
        ),
        ("no thinking where there is none", old, effort("high"), json!({}), 1),
        ("nor any to be stopped", old, effort("none"), json!({}), 0),
        ("a budget of nothing", usual, effort("none"), thought(json!({"thinkingBudget": 0})), 0),
        ("a budget", usual, effort("medium"), shown("thinkingBudget", json!(8192)), 0),
        (
            "the least of one that always thinks",
            "gemini-2.5-pro",
            effort("none"),
            thought(json!({"thinkingBudget": 1024})),
            1,
        ),
        ("a level", new, effort("max"), shown("thinkingLevel", json!("high")), 0),
        ("the least level", new, effort("none"), thought(json!({"thinkingLevel": "minimal"})), 0),
        ("which not all have", "gemini-3.1-pro-preview", effort("minimal"), shown("thinkingLevel", json!("low")), 1),
        (
            "and of the newest none but the lite",
            "gemini-3.7-flash",
            effort("none"),
            thought(json!({"thinkingLevel": "low"})),
            1,
        ),
        (
            "nor what tells no version",
            "gemini-flash-latest",
            effort("minimal"),
            shown("thinkingLevel", json!("low")),
            1,
        ),
    ];
    for (claim, model, change, expected, notes) in cases {
        let mut request = hi();
        change(&mut request);
        let (mut body, noted) = sent(&request, Options { model, ..OPTIONS });
        let body = body.as_object_mut().unwrap();
        body.remove("contents");
        assert_eq!(Value::from(body.clone()), expected, "{claim}");
        assert_eq!(noted.len(), notes, "{claim}: {noted:?}");
    }
    let (names, extra) = ([(0, "jane".to_owned())].into(), from(json!({"user": "jane", "odd name": 1})));
    let odd = ChatRequest { presence_penalty: Some(1.0), names, extra, ..hi() };
    assert_eq!(
        sent(&odd, OPTIONS).1,
        ["fields left out that the provider does not know: name, presence_penalty, user and 1 more"]
    );
}

#[test]
fn behind_instructions_alone_a_user_begins() {
    let request =
        ChatRequest { messages: vec![Message::text(Role::System, "Tell a story.")], ..ChatRequest::default() };
    let (body, notes) = read(prepare(&request, OPTIONS).unwrap());
    assert_eq!(body["contents"], json!([{"role": "user", "parts": [{"text": "Begin."}]}]));
    assert_eq!(body["systemInstruction"]["parts"], json!([{"text": "Tell a story."}]));
    assert_eq!(notes, ["1 user message added at the beginning, where the provider wants one"]);
}
