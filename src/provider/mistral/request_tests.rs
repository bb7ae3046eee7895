//! What a canonical request looks like on the wire.

use serde_json::{Value, json};

use super::*;
use crate::chat::{Message, Part, Reference, Role, Seal, ToolChoice};
use crate::provider::fixtures::{call, from, message, read, request, text};

const OPTIONS: Options<'_> = Options {
    model: "ministral-8b-latest",
    reasons: false,
    max_tokens: None,
    without: &[],
    after_tool: AfterTool::Anything,
    derives_cache_key: false,
    stream: false,
};

fn result(id: &str, text: &str) -> Part {
    Part::ToolResult { id: id.into(), name: Some("look".into()), text: text.into() }
}

fn sent(request: &ChatRequest) -> (Value, Vec<String>) {
    let model = request.model.as_deref().unwrap_or(OPTIONS.model);
    read(prepare(request, Options { model, reasons: reasons(model), ..OPTIONS }).unwrap())
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
            "several texts are chunks",
            vec![message(Role::User, vec![text("a"), text("b")])],
            json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]),
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
            vec![
                user(),
                message(Role::Assistant, vec![call("D681PevKs", "{}")]),
                message(Role::User, vec![result("D681PevKs", "one"), text("and now?")]),
            ],
            json!([user_wire,
                {"role": "assistant", "content": "", "tool_calls": [
                    {"id": "D681PevKs", "type": "function", "function": {"name": "look", "arguments": "{}"}},
                ]},
                {"role": "tool", "content": "one", "tool_call_id": "D681PevKs", "name": "look"},
                {"role": "user", "content": "and now?"},
            ]),
            0,
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
            vec![user(), message(Role::Assistant, vec![Part::Thinking { text: "hm".into(), seal: None }]), user()],
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
    let thought = message(Role::Assistant, vec![Part::Thinking { text: "hm".into(), seal: None }, text("Yes.")]);
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
fn reasoning_stands_in_instructions_too_and_nowhere_else() {
    let parts = |thought: &str| vec![text("Think."), Part::Thinking { text: thought.into(), seal: None }];
    let kept = json!([{"type": "text", "text": "Think."},
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": true}]);
    let not_taken = "1 reasoning parts left out, which the model does not take";
    let misplaced = "1 reasoning parts left out, which stood in a message not the assistant's or the system's";
    for (model, role, thought, content, note) in [
        ("magistral-small-latest", Role::System, "hm", &kept, None),
        ("mistral-large-latest", Role::System, "hm", &json!("Think."), Some(not_taken)),
        ("magistral-small-latest", Role::User, "hm", &json!("Think."), Some(misplaced)),
        ("mistral-large-latest", Role::User, "hm", &json!("Think."), Some(misplaced)),
        ("mistral-large-latest", Role::System, "", &json!("Think."), None),
    ] {
        let messages = vec![message(role, parts(thought)), Message::text(Role::User, "Hi")];
        let (body, notes) = sent(&ChatRequest { model: Some(model.into()), ..request(messages) });
        assert_eq!(&body["messages"][0]["content"], content, "{model} {role:?}");
        assert_eq!(notes.first().map(String::as_str), note, "{model} {role:?}");
    }
}

#[test]
fn signatures_and_citations_are_replayed_where_they_stood() {
    let thought = |seal| Part::Thinking { text: "hm".into(), seal: Some(seal) };
    let cited = Part::Reference { ids: vec![Reference::Number(1), Reference::Id("two".into())] };
    let parts = vec![
        thought(Seal::Mistral("EqQB".into())),
        thought(Seal::Anthropic("EmwK".into())),
        Part::Thinking { text: String::new(), seal: Some(Seal::Mistral("AAEC".into())) },
        Part::Thinking { text: String::new(), seal: None },
        text("Paris"),
        cited.clone(),
        text(" is big"),
    ];
    let messages = vec![
        message(Role::User, vec![text("Hi"), cited]),
        message(Role::Assistant, parts),
        Message::text(Role::User, "Sure?"),
    ];
    let (body, notes) = sent(&ChatRequest { model: Some("magistral-small-latest".into()), ..request(messages) });
    let thinking = json!([{"type": "text", "text": "hm"}]);
    assert_eq!(
        body["messages"][1]["content"],
        json!([
            {"type": "thinking", "thinking": thinking, "closed": true, "signature": "EqQB"},
            {"type": "thinking", "thinking": thinking, "closed": true},
            {"type": "text", "text": "Paris"},
            {"type": "reference", "reference_ids": [1, "two"]},
            {"type": "text", "text": " is big"},
        ])
    );
    assert_eq!(body["messages"][0]["content"], "Hi");
    let seal = "1 signatures of reasoning left out, which stood beside none";
    assert_eq!(notes, [seal, "1 citations left out, which stood in a message not the assistant's"]);
}

#[test]
fn calls_of_one_id_at_once_have_their_answers() {
    let (body, notes) = sent(&request(vec![
        Message::text(Role::User, "Hi"),
        message(Role::Assistant, vec![call("D681PevKs", "1"), call("D681PevKs", "2"), call("D681PevKs", "3")]),
        message(Role::Tool, vec![result("D681PevKs", "one"), result("D681PevKs", "two")]),
        message(Role::Tool, vec![result("nobodys", "four")]),
    ]));
    let messages = body["messages"].as_array().unwrap();
    let calls: Vec<_> = messages[1]["tool_calls"].as_array().unwrap().iter().map(|call| &call["id"]).collect();
    let results = messages[2..].iter().map(|it| (&it["tool_call_id"], it["content"].as_str().unwrap()));
    let expected = [(calls[0], "one"), (calls[1], "two"), (calls[2], "This call was not executed.")];
    assert_eq!(results.collect::<Vec<_>>(), expected);
    assert!(calls[0] != calls[1] && calls[1] != calls[2] && calls[0] != calls[2], "{calls:?}");
    assert_eq!(notes.len(), 3, "{notes:?}");
}

#[test]
fn a_second_answer_to_a_call_becomes_part_of_the_first_in_each_turn() {
    let turn = |first: &str, second: &str| {
        let answers = [first, second].map(|text| message(Role::Tool, vec![result("call_0", text)]));
        [vec![Message::text(Role::User, "Hi"), message(Role::Assistant, vec![call("call_0", "{}")])], answers.into()]
    };
    let messages = [turn("a1", "a2"), turn("b1", "b2")].concat().concat();
    let (body, _) = sent(&request(messages));
    let messages = body["messages"].as_array().unwrap();
    let answers: Vec<_> = messages.iter().filter(|message| message["role"] == "tool").collect();
    let texts: Vec<_> = answers.iter().map(|answer| &answer["content"]).collect();
    assert_eq!(texts, ["a1\na2", "b1\nb2"]);
    let ids: Vec<_> = messages.iter().filter_map(|message| message["tool_calls"].get(0)).map(|it| &it["id"]).collect();
    assert_eq!(ids, answers.iter().map(|answer| &answer["tool_call_id"]).collect::<Vec<_>>());
}

#[test]
fn a_conversation_gets_a_key_for_the_cache_unless_it_has_one() {
    let options = Options { derives_cache_key: true, ..OPTIONS };
    let sent = |request: &ChatRequest| {
        serde_json::from_slice::<Value>(&prepare(request, options).unwrap().body).unwrap()["prompt_cache_key"].clone()
    };
    let request = asking(|it| it.tenant = "a".into());
    assert_eq!(sent(&request), super::super::cache_key::derived(&request));
    assert_eq!(sent(&asking(|it| it.extra = from(json!({"prompt_cache_key": "mine"})))), "mine");
}

#[test]
fn a_refused_keyword_leaves_every_schema() {
    let schema = json!({"type": "string", "format": "uri"});
    let request = asking(|it| {
        it.tools = from(json!([{"function": {"name": "f", "parameters": {"properties": {"a": schema}}}}]));
        it.response_format = Some(from(json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}})));
    });
    let prepared = prepare(&request, Options { without: &["format".to_owned()], ..OPTIONS }).unwrap();
    let body: Value = serde_json::from_slice(&prepared.body).unwrap();
    let kept = json!({"type": "string"});
    assert_eq!(body["tools"][0]["function"]["parameters"]["properties"]["a"], kept);
    assert_eq!(body["response_format"]["json_schema"]["schema"], kept);
    assert_eq!(prepared.notes.len(), 1, "{:?}", prepared.notes);
}

#[test]
fn a_request_without_anything_to_say_is_refused_here() {
    let error = prepare(&request(vec![Message::text(Role::Assistant, "")]), OPTIONS).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

fn asking(change: impl FnOnce(&mut ChatRequest)) -> ChatRequest {
    let mut request = request(vec![Message::text(Role::User, "Hi")]);
    change(&mut request);
    request
}

#[test]
fn parameters_take_the_form_that_mistral_takes() {
    type Change = Box<dyn FnOnce(&mut ChatRequest)>;
    let cases: Vec<(&str, Change, Value, usize)> = vec![
        ("a negative seed is one that is not", Box::new(|it| it.seed = Some(-1)), json!({"random_seed": i64::MAX}), 0),
        ("the highest temperature", Box::new(|it| it.temperature = Some(1.5)), json!({"temperature": 1.5}), 0),
        (
            "a tool by name; a schema without what breaks the grammar",
            Box::new(|it| {
                it.tools = from(
                    json!([{"type": "function", "function": {"name": "f", "description": "d", "strict": true,
                    "parameters": {"$schema": "http://x", "type": "object", "properties": {"a": {"$id": "b", "type": "string"}}}}}]),
                );
                it.tool_choice = Some(ToolChoice::Named("f".into()));
            }),
            json!({
                "tools": [{"type": "function", "function": {"name": "f", "description": "d", "strict": true,
                    "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}}],
                "tool_choice": {"type": "function", "function": {"name": "f"}},
            }),
            0,
        ),
        (
            "without tools nothing is said about them",
            Box::new(|it| {
                it.tool_choice = Some(ToolChoice::Auto);
                it.parallel_tool_calls = Some(true);
            }),
            json!({}),
            0,
        ),
        (
            "Mistral's own fields pass, those of others and null do not",
            Box::new(|it| {
                it.extra = from(json!({"prompt_cache_key": "k", "safe_prompt": false, "metadata": {"a": 1},
                    "service_tier": "flex", "logit_bias": {}, "user": "jane", "store": null, "odd name": 1, "top_k": 5,
                    "repetition_penalty": 1.5, "min_tokens": 3}));
            }),
            json!({"prompt_cache_key": "k", "metadata": {"a": 1}, "top_k": 5, "repetition_penalty": 1.5, "min_tokens": 3}),
            1,
        ),
    ];
    for (claim, change, expected, notes) in cases {
        let (mut body, noted) = sent(&asking(change));
        let body = body.as_object_mut().unwrap();
        body.remove("model");
        body.remove("messages");
        assert_eq!(Value::from(body.clone()), expected, "{claim}");
        assert_eq!(noted.len(), notes, "{claim}: {noted:?}");
    }
    // Few of its models have log probabilities; the others refuse the whole request.
    let (_, notes) = sent(&asking(|it| it.extra = from(json!({"logprobs": true, "top_logprobs": 2}))));
    assert_eq!(notes, ["fields left out that the provider does not know: logprobs, top_logprobs"]);
    let (_, notes) = sent(&asking(|it| it.extra = from(json!({"user": "jane", "odd name": 1, "seed": 2}))));
    assert_eq!(notes, ["fields left out that the provider does not know: seed, user and 1 more"]);
    let (body, notes) = sent(&asking(|it| it.cache.add(0, [(0, from(json!({"type": "ephemeral", "ttl": "1h"})))])));
    assert_eq!(notes, ["fields left out that the provider does not know: cache_control"]);
    assert!(!body.to_string().contains("cache_control"), "{body}");
}

#[test]
fn mistrals_own_models_know_two_efforts_and_others_all() {
    let words = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
    let two = ["none", "none", "high", "high", "high", "high", "high"];
    for (model, expected) in [("magistral-medium-latest", two), ("zai-glm-5-2", words), ("glm-5-2", words)] {
        for (asked, expected) in words.into_iter().zip(expected) {
            let request = asking(|it| {
                it.model = Some(model.into());
                it.reasoning_effort = Some(from(json!(asked)));
            });
            let (body, notes) = sent(&request);
            assert_eq!(body["reasoning_effort"], expected, "{model} {asked}");
            assert_eq!(notes.len(), usize::from(asked != expected), "{model} {asked}: {notes:?}");
        }
    }
}

#[test]
fn json_mode_says_json_unless_the_caller_does() {
    let system = || Message::text(Role::System, "Be brief.");
    let hi = || Message::text(Role::User, "Hi");
    for (messages, at) in [
        (vec![hi()], Some((0, "system"))),
        (vec![system(), hi()], Some((1, "system"))),
        // Instructions alone may not be several.
        (vec![system()], Some((1, "user"))),
        (vec![system(), system()], Some((2, "user"))),
        (vec![Message::text(Role::User, "As Json, please")], None),
    ] {
        let request = ChatRequest { response_format: Some(ResponseFormat::JsonObject), ..request(messages.clone()) };
        let (body, notes) = sent(&request);
        assert_eq!(body["response_format"], json!({"type": "json_object"}));
        let sent = body["messages"].as_array().unwrap();
        let found = sent.iter().position(|message| message["content"] == "Answer with a JSON object.");
        assert_eq!(found.map(|at| (at, sent[at]["role"].as_str().unwrap())), at);
        assert_eq!(sent.len(), messages.len() + usize::from(at.is_some()));
        let note = at.map(|(_, role)| format!("a {role} message added that asks for JSON, as JSON mode wants"));
        assert_eq!(notes, note.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn several_instructions_and_nothing_else_have_a_user_behind_them() {
    let system = || Message::text(Role::System, "Be brief.");
    let wire = |role: &str, text: &str| json!({"role": role, "content": text});
    let instruction = wire("system", "Be brief.");
    for (messages, expected, notes) in [
        (vec![system()], json!([instruction]), vec![]),
        (
            vec![system(), system()],
            json!([instruction, instruction, wire("user", "")]),
            vec!["an empty user message added, which the provider wants"],
        ),
    ] {
        let (body, noted) = sent(&request(messages));
        assert_eq!(body["messages"], expected);
        assert_eq!(noted, notes);
    }
}

#[test]
fn a_tools_name_is_checked_before_anything_is_sent() {
    for name in ["", "two words", "ümlaut", "fs.read", &"x".repeat(65)] {
        let request = asking(|it| it.tools = from(json!([{"function": {"name": name}}])));
        let error = prepare(&request, OPTIONS).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "others may take `{name}`");
    }
}

#[test]
fn names_in_a_history_are_such_as_the_vendor_takes() {
    let call = |name: &str| Message {
        role: Role::Assistant,
        parts: vec![Part::ToolCall { id: "D681PevKs".into(), name: name.into(), arguments: "{}".into(), seal: None }],
    };
    let result = |name: &str| Message {
        role: Role::Tool,
        parts: vec![Part::ToolResult { id: "D681PevKs".into(), name: Some(name.into()), text: "found".into() }],
    };
    let renamed = "1 tool calls renamed: the provider takes names of at most 64 letters, digits, `_` and `-`";
    for (name, of_call, of_result, notes) in [
        ("look", "look", json!("look"), vec![]),
        ("functions.look", "functions_look", json!("functions_look"), vec![renamed]),
        ("", "_", json!(null), vec![renamed]),
    ] {
        let messages = vec![Message::text(Role::User, "look"), call(name), result(name)];
        let (body, noted) = sent(&request(messages));
        assert_eq!(body["messages"][1]["tool_calls"][0]["function"]["name"], of_call);
        assert_eq!(body["messages"][2].get("name").unwrap_or(&json!(null)), &of_result, "{name}");
        assert_eq!(noted, notes, "{name}");
    }
}

#[test]
fn images_by_plain_http_are_for_others() {
    for (url, taken) in
        [("https://example.org/a.png", true), ("data:image/png;base64,aGk=", true), ("http://example.org/a.png", false)]
    {
        let parts = vec![Part::Image { url: url.into(), detail: None }];
        let prepared = prepare(&request(vec![Message { role: Role::User, parts }]), OPTIONS);
        assert_eq!(prepared.err().map(|error| error.kind()), (!taken).then_some(ErrorKind::Unsupported), "{url}");
    }
}
