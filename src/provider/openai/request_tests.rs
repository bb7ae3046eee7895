//! What a canonical request looks like in OpenAI's dialect.

use serde_json::{Value, json};

use super::*;
use crate::chat::{HELD_FIELDS, ReasoningEffort, Seal, Tool, ToolChoice};
use crate::provider::fixtures::{from, hi, read, text};

const OPTIONS: Options<'_> = Options {
    kind: Kind::OpenAi,
    model: "gpt-4o",
    known_as: "gpt-4o",
    azure_version: None,
    max_tokens: None,
    bound: Bound::CompletionTokens,
    stream: None,
    thinking: Thinking::Drop,
    signatures: Signatures::Drop,
    effort: Effort::Sent,
};

fn sent(request: &ChatRequest, options: Options<'_>) -> (Value, Vec<String>) {
    read(prepare(request, options).unwrap())
}

#[test]
fn nothing_is_sent_that_nobody_asked_for() {
    let request = hi();
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(sent(&request, OPTIONS), (body, vec![]));
}

#[test]
fn a_stream_is_asked_for_its_tokens_where_that_can_be_asked() {
    let request = hi();
    let asked = json!({"include_usage": true});
    for (usage, expected) in [(StreamUsage::Asked, asked), (StreamUsage::Unasked, Value::Null)] {
        let (body, _) = sent(&request, Options { stream: Some(usage), ..OPTIONS });
        assert_eq!((&body["stream"], &body["stream_options"]), (&json!(true), &expected));
    }
}

#[test]
fn messages_take_the_form_that_openai_takes() {
    let call = |arguments: &str| Part::ToolCall {
        id: "call_1".into(),
        name: "look".into(),
        arguments: arguments.into(),
        seal: None,
    };
    let result = Part::ToolResult { id: "call_1".into(), name: Some("look".into()), text: "one".into() };
    let message = |role, parts| Message { role, parts };
    let cases: Vec<(&str, Message, Value, usize)> = vec![
        (
            "a call without arguments",
            message(Role::Assistant, vec![call(" ")]),
            json!([{"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]}]),
            0,
        ),
        (
            "a tool's answer has no name",
            message(Role::Tool, vec![result]),
            json!([{"role": "tool", "content": "one", "tool_call_id": "call_1"}]),
            0,
        ),
        ("nothing", message(Role::Assistant, vec![]), json!([{"role": "assistant", "content": ""}]), 0),
        (
            "a call of the user's",
            message(Role::User, vec![call("{}"), text("a")]),
            json!([{"role": "user", "content": "a"}]),
            1,
        ),
    ];
    for (claim, message, expected, notes) in cases {
        let (body, noted) = sent(&ChatRequest { messages: vec![message], ..ChatRequest::default() }, OPTIONS);
        assert_eq!(body["messages"], expected, "{claim}");
        assert_eq!(noted.len(), notes, "{claim}: {noted:?}");
    }
}

#[test]
fn reasoning_goes_back_beside_tool_calls_where_servers_want_it() {
    let thought = |text: &str| Part::Thinking { text: text.into(), seal: None };
    let call = || Part::ToolCall { id: "call_1".into(), name: "look".into(), arguments: "{}".into(), seal: None };
    let redacted = || Part::Thinking { text: String::new(), seal: Some(Seal::AnthropicRedacted("x".into())) };
    let hm = json!("hm");
    for (claim, thinking, parts, expected, notes) in [
        ("replayed", Thinking::Replay, vec![thought("h"), thought("m"), call()], Some(hm), 0),
        ("the empty one too", Thinking::Replay, vec![thought(""), call()], Some(json!("")), 0),
        ("none is made up", Thinking::Replay, vec![call()], None, 0),
        ("none without calls", Thinking::Replay, vec![thought("hm"), text("Yes.")], None, 1),
        ("none that is encrypted", Thinking::Replay, vec![redacted(), call()], None, 1),
        ("none where it is refused", Thinking::Drop, vec![thought("hm"), call()], None, 1),
    ] {
        let messages = vec![Message { role: Role::Assistant, parts }];
        let request = ChatRequest { messages, ..ChatRequest::default() };
        let (body, noted) = sent(&request, Options { thinking, ..OPTIONS });
        assert_eq!(body["messages"][0].get("reasoning_content"), expected.as_ref(), "{claim}");
        assert_eq!(noted.len(), notes, "{claim}: {noted:?}");
    }
}

#[test]
fn googles_signature_goes_back_beside_its_call_where_servers_want_it() {
    let signed = json!({"google": {"thought_signature": "EqQB"}});
    for (seal, signatures, expected) in [
        (Some(Seal::Google("EqQB".into())), Signatures::Replay, Some(&signed)),
        (Some(Seal::Google("EqQB".into())), Signatures::Drop, None),
        (Some(Seal::Anthropic("EmwK".into())), Signatures::Replay, None),
        (None, Signatures::Replay, None),
    ] {
        let call = Part::ToolCall { id: "call_1".into(), name: "look".into(), arguments: "{}".into(), seal };
        let messages = vec![Message { role: Role::Assistant, parts: vec![call] }];
        let request = ChatRequest { messages, ..ChatRequest::default() };
        let (body, _) = sent(&request, Options { signatures, ..OPTIONS });
        let call = &body["messages"][0]["tool_calls"][0];
        assert_eq!((call.get("extra_content"), &call["id"]), (expected, &json!("call_1")), "{request:?}");
    }
}

#[test]
fn ollama_gets_arguments_that_are_an_object() {
    let wrapped = "1 tool calls whose arguments are no JSON object: sent in a field `arguments`";
    for (kind, arguments, expected, note) in [
        (Kind::Ollama, "{\"a\": 1}", "{\"a\": 1}", None),
        (Kind::Ollama, " ", "{}", None),
        (Kind::Ollama, "[1]", "{\"arguments\":\"[1]\"}", Some(wrapped)),
        (Kind::Ollama, "{\"cut\": ", "{\"arguments\":\"{\\\"cut\\\": \"}", Some(wrapped)),
        (Kind::OpenAi, "{\"cut\": ", "{\"cut\": ", None),
    ] {
        let (id, name) = ("call_1".to_owned(), "look".to_owned());
        let call = Part::ToolCall { id, name, arguments: arguments.to_owned(), seal: None };
        let messages = vec![Message { role: Role::Assistant, parts: vec![call] }];
        let request = ChatRequest { messages, ..ChatRequest::default() };
        let (body, notes) = sent(&request, Options { kind, ..OPTIONS });
        let sent = &body["messages"][0]["tool_calls"][0]["function"]["arguments"];
        assert_eq!((sent, notes.first().map(String::as_str)), (&json!(expected), note), "{kind} {arguments}");
    }
}

#[test]
fn every_parameter_is_sent_under_its_name() {
    let tools =
        json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}, "strict": true}}]);
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"$id": "x"}, "strict": true}});
    let mut request = ChatRequest {
        messages: vec![Message::text(Role::User, "Hi")],
        max_tokens: Some(7),
        temperature: Some(1.5),
        top_p: Some(0.0),
        n: Some(2),
        stop: vec!["END".into()],
        seed: Some(-1),
        presence_penalty: Some(0.5),
        frequency_penalty: Some(-0.5),
        tools: from(tools.clone()),
        tool_choice: Some(ToolChoice::Required),
        parallel_tool_calls: Some(false),
        response_format: Some(from(format.clone())),
        reasoning_effort: Some(ReasoningEffort::Xhigh),
        extra: from(json!({"logit_bias": {"1": 2}, "user": "jane", "safe_prompt": true, "stream": true})),
        ..ChatRequest::default()
    };
    request.cache.add(0, [(0, from(json!({"type": "ephemeral"})))]);
    let mut expected = json!({
        "model": "any", "messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 7,
        "temperature": 1.5, "top_p": 0.0, "n": 2, "stop": ["END"], "seed": -1, "presence_penalty": 0.5,
        "frequency_penalty": -0.5, "tools": tools, "tool_choice": "required", "parallel_tool_calls": false,
        "response_format": format, "reasoning_effort": "xhigh", "logit_bias": {"1": 2}, "user": "jane",
    });
    let (body, notes) = sent(&request, Options { model: "any", known_as: "any", ..OPTIONS });
    assert_eq!(body, expected);
    assert_eq!(notes, ["fields left out that the provider does not know: cache_control, safe_prompt, stream"]);

    // A server that only answers like OpenAI may know the old name of the bound and fields of its own.
    let compatible =
        Options { kind: Kind::OpenAiCompatible, model: "any", known_as: "any", bound: Bound::Tokens, ..OPTIONS };
    let fields = expected.as_object_mut().unwrap();
    let bound = fields.remove("max_completion_tokens").unwrap();
    fields.insert("max_tokens".into(), bound);
    fields.insert("safe_prompt".into(), json!(true));
    assert_eq!(sent(&request, compatible).0, expected);
}

/// A request that may call a tool.
fn with_tool(choice: ToolChoice) -> ChatRequest {
    let tools: Vec<Tool> = from(json!([{"type": "function", "function": {"name": "look"}}]));
    let messages = vec![Message::text(Role::User, "Hi")];
    ChatRequest { messages, tools, tool_choice: Some(choice), ..ChatRequest::default() }
}

#[test]
fn versions_of_azures_are_not_sent_what_they_do_not_know() {
    let request = ChatRequest {
        parallel_tool_calls: Some(false),
        reasoning_effort: Some(ReasoningEffort::Low),
        ..with_tool(ToolChoice::Auto)
    };
    let note = |names: &str| vec![format!("fields left out that the provider does not know: {names}")];
    for (version, parallel, effort, expected) in [
        ("2024-08-01-preview", json!(null), json!(null), note("parallel_tool_calls, reasoning_effort")),
        ("2024-10-21", json!(false), json!(null), note("reasoning_effort")),
        ("2024-12-01-preview", json!(false), json!("low"), vec![]),
        ("preview", json!(false), json!("low"), vec![]),
    ] {
        let options = Options { kind: Kind::AzureOpenAi, known_as: "mine", azure_version: Some(version), ..OPTIONS };
        let (body, notes) = sent(&request, options);
        assert_eq!((&body["parallel_tool_calls"], &body["reasoning_effort"]), (&parallel, &effort), "{version}");
        assert_eq!(notes, expected, "{version}");
    }
}

#[test]
fn an_effort_is_fitted_to_the_model_and_the_record_says_so() {
    let fitted = Some("reasoning_effort sent as the nearest that the model takes");
    let refused = Some("fields left out that the model does not take: reasoning_effort");
    for (kind, model, asked, expected, note) in [
        (Kind::OpenAi, "gpt-4o", "low", json!(null), refused),
        (Kind::OpenAi, "gpt-4o", "none", json!(null), None),
        (Kind::OpenAi, "gpt-5", "none", json!("minimal"), fitted),
        (Kind::AzureOpenAi, "o4-mini", "minimal", json!("low"), fitted),
        (Kind::OpenAi, "gpt-5.1", "none", json!("none"), None),
        (Kind::Ollama, "gpt-oss:20b", "max", json!("high"), fitted),
        (Kind::OpenAiCompatible, "gpt-4o", "xhigh", json!("xhigh"), None),
    ] {
        let messages = vec![Message::text(Role::User, "Hi")];
        let request = ChatRequest { messages, reasoning_effort: Some(from(json!(asked))), ..ChatRequest::default() };
        let (body, notes) = sent(&request, Options { kind, known_as: model, ..OPTIONS });
        assert_eq!(body["reasoning_effort"], expected, "{kind} {model} {asked}");
        assert_eq!(notes.first().map(String::as_str), note, "{kind} {model} {asked}");
    }
}

#[test]
fn what_ollama_passes_over_is_noted_and_no_tool_is_called_where_none_may_be() {
    let note = |names: &str| vec![format!("fields left out that the provider does not know: {names}")];
    for (choice, n, tools, expected) in [
        (ToolChoice::Auto, 1, true, vec![]),
        (ToolChoice::None, 1, false, vec![]),
        (ToolChoice::Required, 2, true, note("n, tool_choice")),
        (ToolChoice::Named("look".into()), 1, true, note("tool_choice")),
    ] {
        let request = ChatRequest { n: Some(n), ..with_tool(choice.clone()) };
        let (body, notes) = sent(&request, Options { kind: Kind::Ollama, ..OPTIONS });
        assert_eq!(body.get("tools").is_some(), tools, "{choice:?}");
        assert!(body.get("tool_choice").is_none() && body.get("n").is_none(), "{body}");
        assert_eq!(notes, expected, "{choice:?}");
        let (body, _) = sent(&request, OPTIONS);
        assert!(body.get("tools").is_some() && body.get("tool_choice").is_some(), "{body}");
    }
}

#[test]
fn fields_that_openai_refuses_are_left_out_and_passed_on_to_servers_like_it() {
    let others = json!({"top_k": 5, "repetition_penalty": 1.5, "prompt_logprobs": 1, "top_prompt_logprobs": 1});
    let names = "prompt_logprobs, repetition_penalty, top_k, top_prompt_logprobs";
    let tier = |word: &str| json!({ "service_tier": word });
    for (kind, extra, left_out) in [
        (Kind::OpenAi, others.clone(), Some(names)),
        (Kind::AzureOpenAi, others.clone(), Some(names)),
        (Kind::OpenAiCompatible, others.clone(), None),
        (Kind::Ollama, others, None),
        (Kind::OpenAi, tier("standard_only"), Some("service_tier")),
        (Kind::AzureOpenAi, tier("standard_only"), Some("service_tier")),
        (Kind::OpenAi, tier("flex"), None),
        (Kind::OpenAiCompatible, tier("standard_only"), None),
    ] {
        let messages = vec![Message::text(Role::User, "Hi")];
        let request = ChatRequest { messages, extra: from(extra.clone()), ..ChatRequest::default() };
        let (mut body, notes) = sent(&request, Options { kind, ..OPTIONS });
        let body = body.as_object_mut().unwrap();
        body.retain(|name, _| name != "model" && name != "messages");
        let expected = if left_out.is_some() { json!({}) } else { extra.clone() };
        assert_eq!(Value::from(body.clone()), expected, "{kind} {extra}");
        let note = left_out.map(|names| format!("fields left out that the provider does not know: {names}"));
        assert_eq!(notes, note.into_iter().collect::<Vec<_>>(), "{kind} {extra}");
    }
}

#[test]
fn no_field_stands_in_a_body_twice_in_whatever_letters() {
    let odd = HELD_FIELDS.map(|held| {
        let mut capital = held.to_owned();
        capital[..1].make_ascii_uppercase();
        [held.to_owned(), held.to_uppercase(), capital, held.replace('s', "ſ"), held.replace('k', "\u{212a}")]
    });
    let extra = odd.into_iter().flatten().map(|name| (name, serde_json::from_str("\"unseen\"").unwrap())).collect();
    let messages = vec![Message::text(Role::User, "seen")];
    let request = ChatRequest { messages, extra, ..ChatRequest::default() };
    for kind in [Kind::OpenAi, Kind::AzureOpenAi, Kind::Ollama, Kind::OpenAiCompatible] {
        let (mut body, _) = sent(&request, Options { kind, ..OPTIONS });
        body.as_object_mut().unwrap().remove("model");
        assert_eq!(body, json!({"messages": [{"role": "user", "content": "seen"}]}), "{kind}");
    }
}

#[test]
fn the_operators_max_tokens_yields_to_the_callers() {
    for (asked, expected) in [(None, 4096), (Some(9), 9)] {
        let messages = vec![Message::text(Role::User, "Hi")];
        let request = ChatRequest { max_tokens: asked, messages, ..ChatRequest::default() };
        let (body, _) = sent(&request, Options { max_tokens: Some(4096), ..OPTIONS });
        assert_eq!(body["max_completion_tokens"], expected);
    }
}

#[test]
fn json_mode_says_json_unless_the_caller_does() {
    let system = json!({"role": "system", "content": "Answer with a JSON object."});
    let thought =
        Message { role: Role::Assistant, parts: vec![Part::Thinking { text: "JSON?".into(), seal: None }, text("Hm")] };
    for (messages, format, at) in [
        (vec![Message::text(Role::User, "Hi")], "json_object", Some(0)),
        (vec![Message::text(Role::System, "Be brief."), Message::text(Role::User, "Hi")], "json_object", Some(1)),
        (vec![Message::text(Role::User, "As Json, please")], "json_object", None),
        // What is left out of the request says nothing.
        (vec![thought, Message::text(Role::User, "Hi")], "json_object", Some(0)),
        (vec![Message::text(Role::User, "Hi")], "text", None),
    ] {
        let response_format = Some(from(json!({ "type": format })));
        let request = ChatRequest { response_format, messages: messages.clone(), ..ChatRequest::default() };
        let (body, notes) = sent(&request, OPTIONS);
        let sent = body["messages"].as_array().unwrap();
        assert_eq!(sent.iter().position(|message| *message == system), at, "{sent:?}");
        assert_eq!(sent.len(), messages.len() + usize::from(at.is_some()));
        assert_eq!(notes.iter().filter(|note| note.contains("JSON")).count(), usize::from(at.is_some()));
    }
}

#[test]
fn names_of_tools_are_those_that_openai_takes_and_others_go_to_servers_like_it() {
    let offered = ChatRequest { tools: from(json!([{"function": {"name": "fs.read"}}])), ..ChatRequest::default() };
    let call = Part::ToolCall { id: "1".into(), name: "functions.x".into(), arguments: "{}".into(), seal: None };
    let messages = vec![Message { role: Role::Assistant, parts: vec![call] }];
    let called = ChatRequest { messages, ..ChatRequest::default() };
    let renamed = "1 tool calls renamed: the provider takes names of at most 64 letters, digits, `_` and `-`";
    for (kind, refused, name, notes) in [
        (Kind::OpenAi, Some(ErrorKind::Unsupported), "functions_x", vec![renamed]),
        (Kind::AzureOpenAi, Some(ErrorKind::Unsupported), "functions_x", vec![renamed]),
        (Kind::OpenAiCompatible, None, "functions.x", vec![]),
        (Kind::Ollama, None, "functions.x", vec![]),
    ] {
        let options = Options { kind, ..OPTIONS };
        assert_eq!(prepare(&offered, options).err().map(|error| error.kind()), refused, "{kind}");
        let (body, noted) = sent(&called, options);
        assert_eq!(body["messages"][0]["tool_calls"][0]["function"]["name"], name, "{kind}");
        assert_eq!(noted, notes, "{kind}");
    }
}

#[test]
fn ids_that_are_too_long_for_openai_are_replaced_alike_in_calls_and_answers() {
    let (long, taken) = ("x".repeat(41), "x".repeat(40));
    let call = |id: &str| Part::ToolCall { id: id.into(), name: "look".into(), arguments: "{}".into(), seal: None };
    let result = |id: &str| Part::ToolResult { id: id.into(), name: None, text: "found".into() };
    let messages = vec![
        Message { role: Role::Assistant, parts: vec![call(&long), call(&taken)] },
        Message { role: Role::Tool, parts: vec![result(&long), result(&taken)] },
    ];
    let request = ChatRequest { messages, ..ChatRequest::default() };
    let note = "1 tool call ids replaced by ones that the provider takes";
    for (kind, replaced, notes) in [
        (Kind::OpenAi, true, vec![note]),
        (Kind::AzureOpenAi, true, vec![note]),
        (Kind::OpenAiCompatible, false, vec![]),
    ] {
        let (body, noted) = sent(&request, Options { kind, ..OPTIONS });
        let id = body["messages"][0]["tool_calls"][0]["id"].as_str().unwrap();
        assert_eq!((id != long, id.len() <= 40), (replaced, replaced), "{kind}");
        assert_eq!(body["messages"][1]["tool_call_id"], id, "{kind}");
        assert_eq!(body["messages"][0]["tool_calls"][1]["id"], taken, "{kind}");
        assert_eq!(body["messages"][2]["tool_call_id"], taken, "{kind}");
        assert_eq!(noted, notes, "{kind}");
    }
}
