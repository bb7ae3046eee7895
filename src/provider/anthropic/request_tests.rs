//! What a canonical request looks like in Anthropic's dialect.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::*;
use crate::chat::{CacheControl, Message, Part, Role, Seal, ToolChoice};
use crate::provider::ErrorKind;
use crate::provider::fixtures::{call, from, hi, message, read, request, result, text};

const OPTIONS: Options<'_> = Options { model: "claude-sonnet-4-5", max_tokens: None, without: NOTHING, stream: false };

const NOTHING: Without = Without { thoughts: false, schemas: false };

fn image(url: &str) -> Part {
    Part::Image { url: url.into(), detail: None }
}

fn sent(request: &ChatRequest, options: Options<'_>) -> (Value, Vec<String>) {
    read(prepare(request, options).unwrap())
}

#[test]
fn nothing_is_sent_that_nobody_asked_for_but_the_bound_that_is_wanted() {
    let body = json!({"model": "claude-sonnet-4-5", "max_tokens": 4096,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]});
    assert_eq!(sent(&hi(), OPTIONS), (body, vec![]));
    assert_eq!(sent(&hi(), Options { stream: true, ..OPTIONS }).0["stream"], true);
    for (asked, operators, expected) in [(None, Some(7), 7), (Some(9), Some(7), 9), (Some(9000), None, 9000)] {
        let request = ChatRequest { max_tokens: asked, ..hi() };
        assert_eq!(sent(&request, Options { max_tokens: operators, ..OPTIONS }).0["max_tokens"], expected);
    }
}

#[test]
fn what_is_to_be_cached_is_marked_where_the_vendor_takes_it() {
    let control = |json: Value| -> CacheControl { from(json) };
    let (short, hour) = (json!({"type": "ephemeral"}), json!({"type": "ephemeral", "ttl": "1h"}));
    let mut request = ChatRequest {
        messages: vec![
            Message::text(Role::System, "Be brief."),
            message(Role::User, vec![text("what?"), image("https://example.com/a.jpg"), text(" ")]),
            message(
                Role::Assistant,
                vec![Part::Thinking { text: "hm".into(), seal: None }, text("Well,"), call("toolu_1", "{}")],
            ),
            message(Role::Tool, vec![result("toolu_1", "one")]),
        ],
        tools: from(json!([
            {"function": {"name": "look"}, "cache_control": hour},
            {"function": {"name": "see", "cache_control": hour}},
        ])),
        ..ChatRequest::default()
    };
    for (message, part, of) in
        [(0, 0, &hour), (1, 1, &short), (1, 2, &short), (2, 0, &short), (2, 2, &short), (3, 0, &short)]
    {
        request.cache.add(message, [(part, control(of.clone()))]);
    }
    let (body, notes) = sent(&request, OPTIONS);
    assert_eq!(body["system"], json!([{"type": "text", "text": "Be brief.", "cache_control": hour}]));
    assert_eq!((&body["tools"][0]["cache_control"], &body["tools"][1]["cache_control"]), (&hour, &hour));
    let source = json!({"type": "url", "url": "https://example.com/a.jpg"});
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [
                {"type": "text", "text": "what?"}, {"type": "image", "source": source, "cache_control": short}]},
            {"role": "assistant", "content": [
                {"type": "text", "text": "Well,"},
                {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}, "cache_control": short}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "one", "cache_control": short}]},
        ])
    );
    // An empty text, and reasoning.
    assert!(notes.iter().any(|note| note.starts_with("2 parts whose cache_control")), "{notes:?}");
}

#[test]
fn messages_take_the_form_that_anthropic_takes() {
    let said = |text: &str| json!({"type": "text", "text": text});
    let user = |content: Value| json!({"role": "user", "content": content});
    let assistant = |content: Value| json!({"role": "assistant", "content": content});
    let used = |id: &str, input: Value| json!({"type": "tool_use", "id": id, "name": "look", "input": input});
    let resulted = |id: &str, text: &str| json!({"type": "tool_result", "tool_use_id": id, "content": text});
    let cases: Vec<(&str, Vec<Message>, Value, Value, usize)> = vec![
        (
            "instructions stand outside, wherever they were",
            vec![
                Message::text(Role::System, "Be brief."),
                Message::text(Role::User, "Hi"),
                Message::text(Role::System, "Be kind."),
            ],
            json!([said("Be brief."), said("Be kind.")]),
            json!([user(json!([said("Hi")]))]),
            1,
        ),
        (
            "one speaker's messages are one turn, without what is empty",
            vec![
                Message::text(Role::User, "a"),
                Message::text(Role::User, " "),
                message(Role::Assistant, vec![]),
                Message::text(Role::User, "b"),
            ],
            json!(null),
            json!([user(json!([said("a"), said("b")]))]),
            0,
        ),
        (
            "tools' answers begin the user's turn",
            vec![
                Message::text(Role::User, "Hi"),
                message(Role::Assistant, vec![text("Well,"), call("toolu_1", "{\"b\":1,\"a\":2}"), call("call-2", "")]),
                message(Role::Tool, vec![result("toolu_1", "one")]),
                message(Role::User, vec![text("and?"), result("call-2", "")]),
            ],
            json!(null),
            json!([
                user(json!([said("Hi")])),
                assistant(json!([said("Well,"), used("toolu_1", json!({"b": 1, "a": 2})), used("call-2", json!({}))])),
                user(json!([
                    resulted("toolu_1", "one"),
                    {"type": "tool_result", "tool_use_id": "call-2"},
                    said("and?"),
                ])),
            ]),
            0,
        ),
        (
            "ids that are not taken are replaced alike, arguments that are no object are wrapped",
            vec![
                Message::text(Role::User, "Hi"),
                message(Role::Assistant, vec![call("a:b", "[1]")]),
                message(Role::Tool, vec![result("a:b", "one")]),
            ],
            json!(null),
            json!([
                user(json!([said("Hi")])),
                assistant(json!([used("toolu_6783a31eabf68ccc0660f935", json!({"arguments": "[1]"}))])),
                user(json!([resulted("toolu_6783a31eabf68ccc0660f935", "one")])),
            ]),
            1,
        ),
        (
            "reasoning stays here, and so does what is misplaced",
            vec![
                message(Role::User, vec![text("Hi"), call("x", "{}")]),
                message(
                    Role::Assistant,
                    vec![
                        Part::Thinking { text: "hm".into(), seal: None },
                        text("Yes."),
                        image("https://x"),
                        result("x", "y"),
                    ],
                ),
                Message::text(Role::User, "Sure?"),
            ],
            json!(null),
            json!([user(json!([said("Hi")])), assistant(json!([said("Yes.")])), user(json!([said("Sure?")]))]),
            2,
        ),
        (
            "a user begins",
            vec![Message::text(Role::Assistant, "How can I help?"), Message::text(Role::User, "Hi")],
            json!(null),
            json!([
                user(json!([said("Begin.")])),
                assistant(json!([said("How can I help?")])),
                user(json!([said("Hi")]))
            ]),
            1,
        ),
        (
            "behind instructions alone too",
            vec![Message::text(Role::System, "Tell a story.")],
            json!([said("Tell a story.")]),
            json!([user(json!([said("Begin.")]))]),
            1,
        ),
        (
            "an answer to be continued does not end in white space",
            vec![Message::text(Role::User, "Hi"), Message::text(Role::Assistant, "Well, \n")],
            json!(null),
            json!([user(json!([said("Hi")])), assistant(json!([said("Well,")]))]),
            0,
        ),
    ];
    for (claim, messages, system, expected, notes) in cases {
        let (body, noted) = sent(&ChatRequest { messages, ..ChatRequest::default() }, OPTIONS);
        assert_eq!(body["messages"], expected, "{claim}");
        assert_eq!(body["system"], system, "{claim}");
        assert_eq!(noted.len(), notes, "{claim}: {noted:?}");
    }
}

#[test]
fn each_call_has_an_id_of_its_own_and_its_answer_has_it_too() {
    for ids in [["", "", ""], ["functions.look:0", "functions.look:1", "functions.look:0"], ["c", "c", "c"]] {
        let [one, two, three] = ids;
        let messages = vec![
            Message::text(Role::User, "Hi"),
            message(Role::Assistant, vec![call(one, "{}"), call(two, "{}")]),
            message(Role::Tool, vec![result(one, "1"), result(two, "2")]),
            message(Role::Assistant, vec![call(three, "{}")]),
            message(Role::Tool, vec![result(three, "3")]),
        ];
        let (body, notes) = sent(&request(messages), OPTIONS);
        let blocks = |turn: usize, field: &str| -> Vec<String> {
            let blocks = body["messages"][turn]["content"].as_array().unwrap();
            blocks.iter().map(|block| block[field].as_str().unwrap().to_owned()).collect()
        };
        let calls = [blocks(1, "id"), blocks(3, "id")];
        assert_eq!([blocks(2, "tool_use_id"), blocks(4, "tool_use_id")], calls);
        assert_eq!(HashSet::<String>::from_iter(calls.concat()).len(), 3, "{body}");
        assert_eq!(notes.len(), 1, "{notes:?}");
    }
}

#[test]
fn later_instructions_stand_behind_a_users_turn_where_the_model_takes_them() {
    let said = |role: &str, text: &str| json!({"role": role, "content": [{"type": "text", "text": text}]});
    let (system, user, assistant) = (Role::System, Role::User, Role::Assistant);
    for (claim, messages, outside, turns, notes) in [
        (
            "at the end",
            vec![(system, "a"), (user, "b"), (system, "c")],
            json!([{"type": "text", "text": "a"}]),
            json!([said("user", "b"), said("system", "c")]),
            0,
        ),
        (
            "before what the user says",
            vec![(user, "a"), (assistant, "b"), (system, "c"), (user, "d"), (assistant, "e"), (user, "f")],
            json!(null),
            json!([
                said("user", "a"),
                said("assistant", "b"),
                said("user", "d"),
                said("system", "c"),
                said("assistant", "e"),
                said("user", "f")
            ]),
            1,
        ),
        (
            "behind an answer, with nothing after it",
            vec![(user, "a"), (assistant, "b"), (system, "c")],
            json!([{"type": "text", "text": "c"}]),
            json!([said("user", "a"), said("assistant", "b")]),
            1,
        ),
    ] {
        let messages = messages.into_iter().map(|(role, text)| Message::text(role, text)).collect();
        let request = ChatRequest { messages, ..ChatRequest::default() };
        let (body, noted) = sent(&request, Options { model: "claude-opus-5-5", ..OPTIONS });
        assert_eq!((&body["system"], &body["messages"]), (&outside, &turns), "{claim}");
        assert_eq!(noted.len(), notes, "{claim}: {noted:?}");
    }
}

#[test]
fn what_cannot_be_sent_is_refused_here() {
    for parts in [
        vec![],
        vec![text("")],
        vec![image("data:image/bmp;base64,aGk=")],
        vec![image("data:image/png,hi")],
        vec![image("http://example.com/a.png")],
    ] {
        let request = ChatRequest { messages: vec![message(Role::User, parts)], ..ChatRequest::default() };
        assert_eq!(prepare(&request, OPTIONS).unwrap_err().kind(), ErrorKind::Unsupported, "{request:?}");
    }
}

#[test]
fn a_tools_name_is_one_that_anthropic_takes() {
    let (long, longer) = ("x".repeat(128), "x".repeat(129));
    for (name, kind) in [
        ("two words", Some(ErrorKind::Unsupported)),
        ("fs.read", Some(ErrorKind::Unsupported)),
        (&longer, Some(ErrorKind::Unsupported)),
        (&long, None),
        ("1st", None),
    ] {
        let named = ChatRequest { tools: from(json!([{"function": {"name": name}}])), ..hi() };
        assert_eq!(prepare(&named, OPTIONS).err().map(|error| error.kind()), kind, "{name}");
    }
    let other = Part::ToolCall { id: "1".into(), name: "functions.look".into(), arguments: "{}".into(), seal: None };
    let messages = vec![
        message(Role::User, vec![text("Look")]),
        message(Role::Assistant, vec![other]),
        message(Role::Tool, vec![result("1", "found")]),
    ];
    let (body, notes) = sent(&ChatRequest { messages, ..ChatRequest::default() }, OPTIONS);
    assert_eq!(body["messages"][1]["content"][0]["name"], "functions_look");
    assert_eq!(notes, ["1 tool calls renamed: the provider takes names of at most 128 letters, digits, `_` and `-`"]);
}

#[test]
fn parameters_take_the_form_that_anthropic_takes() {
    let look = json!([{"type": "function", "function": {"name": "look"}}]);
    let look_wire = json!([{"name": "look", "input_schema": {"type": "object", "properties": {}}}]);
    type Change = Box<dyn FnOnce(&mut ChatRequest)>;
    let with_look = |change: fn(&mut ChatRequest)| -> Change {
        let tools = look.clone();
        Box::new(move |it| {
            it.tools = from(tools);
            change(it);
        })
    };
    let old = "claude-3-5-haiku-20241022";
    let usual = "claude-sonnet-4-5";
    let newest = "claude-opus-5-5";
    let cases: Vec<(&str, &str, Change, Value, usize)> = vec![
        (
            "a nucleus alone",
            usual,
            Box::new(|it| {
                it.top_p = Some(0.5);
                it.extra = from(json!({"top_k": 7}));
            }),
            json!({"top_p": 0.5, "top_k": 7}),
            0,
        ),
        (
            "no sampling for those that refuse it",
            newest,
            Box::new(|it| {
                it.temperature = Some(0.0);
                it.extra = from(json!({"top_k": 7}));
            }),
            json!({}),
            2,
        ),
        ("the default is no loss", newest, Box::new(|it| it.temperature = Some(1.0)), json!({}), 0),
        (
            "thinking and sampling exclude each other",
            usual,
            Box::new(|it| {
                it.temperature = Some(0.0);
                it.reasoning_effort = Some(from(json!("low")));
            }),
            json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}),
            1,
        ),
        (
            "what Anthropic has not",
            usual,
            Box::new(|it| {
                it.n = Some(2);
                it.seed = Some(7);
                it.presence_penalty = Some(0.5);
                it.frequency_penalty = Some(0.0);
                it.extra = from(json!({"user": "jane", "store": null, "stream": true}));
            }),
            json!({}),
            1,
        ),
        (
            "Anthropic's own fields",
            usual,
            Box::new(|it| {
                it.extra =
                    from(json!({"service_tier": "standard_only", "metadata": {"user_id": "u"}, "inference_geo": "us"}));
            }),
            json!({"service_tier": "standard_only", "metadata": {"user_id": "u"}, "inference_geo": "us"}),
            0,
        ),
        (
            "others' fields of the same names",
            usual,
            Box::new(|it| it.extra = from(json!({"service_tier": "flex", "metadata": {"a": "b"}}))),
            json!({}),
            1,
        ),
        (
            "a tool by name",
            usual,
            with_look(|it| it.tool_choice = Some(ToolChoice::Named("look".into()))),
            json!({"tools": look_wire, "tool_choice": {"type": "tool", "name": "look"}}),
            0,
        ),
        (
            "one tool at a time",
            usual,
            with_look(|it| it.parallel_tool_calls = Some(false)),
            json!({"tools": look_wire, "tool_choice": {"type": "auto", "disable_parallel_tool_use": true}}),
            0,
        ),
        (
            "a model that always thinks cannot be made to call",
            newest,
            with_look(|it| it.tool_choice = Some(ToolChoice::Required)),
            json!({"tools": look_wire, "tool_choice": {"type": "auto"}}),
            1,
        ),
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
            "schemas of arguments, strict and not",
            usual,
            Box::new(|it| {
                it.tools = from(json!([
                    {"function": {"name": "a", "description": "d", "parameters": {"properties": {"x": {"minimum": 1}}}}},
                    {"function": {"name": "b", "strict": true, "parameters": {"type": "object", "properties": {"x": {"minimum": 1}}}}},
                ]));
            }),
            json!({"tools": [
                {"name": "a", "description": "d", "input_schema": {"type": "object", "properties": {"x": {"minimum": 1}}}},
                {"name": "b", "strict": true, "input_schema": {"type": "object", "properties": {"x": {}}, "additionalProperties": false}},
            ]}),
            1,
        ),
        (
            "a model cannot be held to a mapping: a tool's schema is not strict, and the answer's is asked for in words",
            usual,
            Box::new(|it| {
                let schema = json!({"type": "object", "additionalProperties": {"type": "number"}});
                it.tools = from(json!([{"function": {"name": "a", "strict": true, "parameters": schema}}]));
                it.response_format =
                    Some(from(json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}})));
            }),
            json!({
                "tools": [{"name": "a", "input_schema": {"type": "object", "additionalProperties": {"type": "number"}}}],
                "system": [{"type": "text", "text": "Answer with JSON that follows this JSON schema, and nothing else:\n\
                    {\"additionalProperties\":{\"type\":\"number\"},\"type\":\"object\"}"}],
            }),
            2,
        ),
        (
            "a strict tool without parameters",
            usual,
            Box::new(|it| it.tools = from(json!([{"function": {"name": "look", "strict": true}}]))),
            json!({"tools": look_wire}),
            0,
        ),
        (
            "a schema for the answer",
            newest,
            Box::new(|it| {
                it.reasoning_effort = Some(from(json!("medium")));
                it.response_format = Some(from(json!({"type": "json_schema", "json_schema": {"name": "n",
                    "schema": {"type": "object", "properties": {"a": {}}}, "strict": true}})));
            }),
            json!({
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "medium", "format": {"type": "json_schema",
                    "schema": {"type": "object", "properties": {"a": {}}, "additionalProperties": false}}},
            }),
            0,
        ),
        (
            "a schema in words for those that cannot be held to it",
            old,
            Box::new(|it| {
                it.response_format = Some(from(json!({"type": "json_schema", "json_schema": {"name": "n",
                    "schema": {"type":"object"}}})));
            }),
            json!({"system": [{"type": "text",
                "text": "Answer with JSON that follows this JSON schema, and nothing else:\n{\"type\":\"object\"}"}]}),
            1,
        ),
        ("text", newest, Box::new(|it| it.response_format = Some(from(json!({"type": "text"})))), json!({}), 0),
    ];
    for (claim, model, change, expected, notes) in cases {
        let mut request = hi();
        change(&mut request);
        let (mut body, noted) = sent(&request, Options { model, ..OPTIONS });
        let body = body.as_object_mut().unwrap();
        for given in ["model", "messages", "max_tokens"] {
            body.remove(given);
        }
        assert_eq!(Value::from(body.clone()), expected, "{claim}");
        assert_eq!(noted.len(), notes, "{claim}: {noted:?}");
    }
    let names = [(0, "jane".to_owned())].into();
    let odd = ChatRequest { seed: Some(1), extra: from(json!({"user": "jane", "odd name": 1})), names, ..hi() };
    assert_eq!(sent(&odd, OPTIONS).1, ["fields left out that the provider does not know: name, seed, user and 1 more"]);
}

#[test]
fn no_tool_is_strict_where_that_is_more_than_the_vendor_takes() {
    let property = |schema: Value, count: usize| -> Value {
        (0..count).map(|at| (format!("p{at}"), schema.clone())).collect::<serde_json::Map<_, _>>().into()
    };
    let optional = |count| json!({"type": "object", "properties": property(json!({"type": "string"}), count)});
    let unions = |count: usize| {
        let required: Vec<_> = (0..count).map(|at| format!("p{at}")).collect();
        let properties = property(json!({"type": ["string", "null"]}), count);
        json!({"type": "object", "properties": properties, "required": required})
    };
    let none = json!({"type": "object", "properties": {}});
    for (claim, schemas, answer, strict, held) in [
        ("twenty tools", vec![none.clone(); 20], None, true, false),
        ("one more", vec![none.clone(); 21], None, false, false),
        ("twenty-four optional", vec![optional(12), optional(11)], Some(optional(1)), true, true),
        ("one more in the answer", vec![optional(12), optional(11)], Some(optional(2)), false, true),
        ("the answer's alone", vec![optional(1)], Some(optional(25)), true, false),
        ("sixteen unions", vec![unions(16)], None, true, false),
        ("one more union", vec![unions(16), unions(1)], None, false, false),
    ] {
        let tools: Vec<Value> = schemas
            .iter()
            .enumerate()
            .map(|(at, schema)| json!({"function": {"name": format!("t{at}"), "strict": true, "parameters": schema}}))
            .collect();
        let format =
            answer.map(|schema| from(json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}})));
        let request = ChatRequest { tools: from(json!(tools)), response_format: format, ..hi() };
        let (body, notes) = sent(&request, OPTIONS);
        for (tool, schema) in body["tools"].as_array().unwrap().iter().zip(&schemas) {
            assert_eq!(tool["strict"] == true, strict, "{claim}: {tool}");
            assert!(strict || tool["input_schema"] == *schema, "{claim}: as the caller wrote it: {tool}");
        }
        assert_eq!(body["output_config"]["format"].is_object(), held, "{claim}");
        assert_eq!(notes.iter().any(|note| note.starts_with("strict left out")), !strict, "{claim}: {notes:?}");
        let without = Without { schemas: true, ..NOTHING };
        let (body, _) = sent(&request, Options { without, ..OPTIONS });
        assert!(!body.to_string().contains("\"strict\"") && body["output_config"].is_null(), "{claim}: {body}");
    }
}

#[test]
fn reasoning_goes_back_under_its_signature_to_models_that_think() {
    let thought = |seal: Seal| Part::Thinking { text: "hm".into(), seal: Some(seal) };
    let signed = || thought(Seal::Anthropic("EqQB".into()));
    let redacted = Part::Thinking { text: String::new(), seal: Some(Seal::AnthropicRedacted("EmwK".into())) };
    let wire = json!({"type": "thinking", "thinking": "hm", "signature": "EqQB"});
    let redacted_wire = json!({"type": "redacted_thinking", "data": "EmwK"});
    let unsigned = Part::Thinking { text: "hm".into(), seal: None };
    let effort = Some(ReasoningEffort::High);
    for (claim, model, asked, parts, expected, thinking, notes) in [
        ("a budget", "claude-sonnet-4-5", effort, vec![signed()], vec![&wire], "enabled", 0),
        (
            "encrypted too",
            "claude-sonnet-4-5",
            effort,
            vec![redacted, signed()],
            vec![&redacted_wire, &wire],
            "enabled",
            0,
        ),
        ("an effort", "claude-opus-4-8", effort, vec![signed()], vec![&wire], "adaptive", 0),
        ("unasked", "claude-opus-5", None, vec![signed()], vec![&wire], "", 0),
        ("nobody asked it to think", "claude-sonnet-4-5", None, vec![signed()], vec![], "", 1),
        ("it cannot think", "claude-3-5-haiku-20241022", None, vec![signed()], vec![], "", 1),
        ("without a signature the budget is left out too", "claude-sonnet-4-5", effort, vec![unsigned], vec![], "", 2),
        ("another vendor's", "claude-opus-5", None, vec![thought(Seal::Google("x".into()))], vec![], "", 1),
    ] {
        let parts = parts.into_iter().chain([call("a", "{}")]).collect();
        let messages = vec![
            Message::text(Role::User, "Hi"),
            message(Role::Assistant, parts),
            message(Role::Tool, vec![result("a", "one")]),
        ];
        let request = ChatRequest { messages, reasoning_effort: asked, ..ChatRequest::default() };
        let (body, noted) = sent(&request, Options { model, ..OPTIONS });
        let blocks = body["messages"][1]["content"].as_array().unwrap();
        assert_eq!(blocks[..blocks.len() - 1].iter().collect::<Vec<_>>(), expected, "{claim}");
        assert_eq!(body["thinking"]["type"].as_str().unwrap_or_default(), thinking, "{claim}");
        assert_eq!(noted.len(), notes, "{claim}: {noted:?}");
    }
    let begun = vec![Message::text(Role::User, "Hi"), message(Role::Assistant, vec![signed(), text("Well,")])];
    let request = ChatRequest { messages: begun, reasoning_effort: effort, ..ChatRequest::default() };
    let (body, _) = sent(&request, OPTIONS);
    assert_eq!(body["messages"][1]["content"], json!([{"type": "text", "text": "Well,"}]), "an answer to be continued");
}

#[test]
fn many_answers_of_tools_are_joined_in_the_time_that_reading_them_takes() {
    const MANY: usize = 50_000;
    let turn = || [message(Role::User, vec![text("u")]), message(Role::Tool, vec![result("a", "r")])];
    let request = ChatRequest { messages: (0..MANY).flat_map(|_| turn()).collect(), ..hi() };
    let (body, _) = sent(&request, Options { model: "claude-sonnet-4-6", ..OPTIONS });
    let content = body["messages"][0]["content"].as_array().unwrap();
    let kinds: Vec<_> = content.iter().map(|block| block["type"].as_str().unwrap()).collect();
    assert_eq!((kinds.len(), kinds[MANY - 1], kinds[MANY]), (2 * MANY, "tool_result", "text"));
}
