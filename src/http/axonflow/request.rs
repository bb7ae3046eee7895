//! `POST /api/request`: the gateway asks the model.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::media::{self, Media};
use super::policy_info::PolicyInfo;
use super::request_type::RequestType;
use super::{required, stream, time};
use crate::chat::{Called, ChatRequest, Message, Object, Part, Role};
use crate::gateway::{self, Answered, Outcome, Refusal, Reply, StreamFailure, Surface};
use crate::http::answer::{json, json_that_holds, with_request_id};
use crate::http::errors::{retry_after, seconds, wait};
use crate::http::handled::{self, Counting, Handled};
use crate::http::stats::Ending;
use crate::http::{ApiError, App, body, meter, provider_key};
use crate::provider::{ErrorKind, ProviderError, names};
use crate::router::{Attempt, RouteError, Routed};

#[derive(Deserialize)]
struct Body {
    query: Option<String>,
    user_token: Option<String>,
    client_id: Option<String>,
    request_type: Option<String>,
    context: Option<Context>,
    media: Option<Vec<Object<Media>>>,
    skip_llm: Option<bool>,
    /// As in the context; the field's usual place.
    stream: Option<bool>,
    /// Beside the context in older Java clients.
    llm_provider: Option<String>,
    model: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    success: bool,
    request_id: &'a str,
    blocked: bool,
    data: Data<'a>,
    metadata: Metadata<'a>,
    policy_info: PolicyInfo<'a>,
}

/// The text under both names that SDKs look for.
#[derive(Serialize)]
struct Data<'a> {
    data: &'a str,
    result: &'a str,
    /// What the model wants to be run, in OpenAI's form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Called<'a>>,
    metadata: DataMetadata<'a>,
}

#[derive(Serialize)]
struct DataMetadata<'a> {
    processed_at: Timestamp,
    request_id: &'a str,
}

#[derive(Default, Serialize)]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_used: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<usize>,
    /// Under which the vendor finds the last call.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_id: Option<&'a str>,
    /// The stable name of the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    /// When to come again, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u64>,
    /// Policies only: no model was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    llm_skipped: Option<bool>,
}

impl<'a> Metadata<'a> {
    /// Who was asked last.
    fn of(attempts: &'a [Attempt]) -> Self {
        let last = Attempt::last_call(attempts);
        Self {
            provider: last.map(|call| call.provider.as_str()),
            model: last.map(|call| call.model.as_str()),
            upstream_id: last.and_then(|call| call.correlation_id.as_deref()),
            attempts: Some(Attempt::calls(attempts)),
            ..Self::default()
        }
    }
}

/// No `error`: Java's SDK would show it instead of the reason.
#[derive(Serialize)]
struct Blocked<'a> {
    success: bool,
    blocked: bool,
    block_reason: &'a str,
    /// The policy's own sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<&'a str>,
    policy_info: PolicyInfo<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct Failed<'a> {
    success: bool,
    error: &'a str,
    blocked: bool,
    request_id: &'a str,
    metadata: Metadata<'a>,
    policy_info: PolicyInfo<'a>,
    /// Python's SDK reads this of a 402 and a 403.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

/// `POST /api/request`.
pub(super) async fn handle(State(app): State<Arc<App>>, request: Request) -> Response {
    let mut counting = Counting::begin(&app, "invalid");
    let answered = answer(&app, request, &mut counting.kind).await;
    answered.unwrap_or_else(|error| handled::Answer::Whole(Err(error).into())).counted(counting)
}

async fn answer(app: &App, request: Request, kind: &mut &'static str) -> Result<handled::Answer, ApiError> {
    let (head, content) = request.into_parts();
    let presented = app.presented(&head)?;
    let content = body::read(&head, content, app.body_limit).await?;
    let length = content.len();
    let mut body: Body = body::parse(&content)?;
    drop(content);
    let caller = presented.caller(body.client_id.as_deref(), body.user_token.take())?;
    let request_type = RequestType::of(body.request_type.as_deref());
    *kind = request_type.as_str();
    let streams = body.stream.unwrap_or(false) || body.context.as_ref().is_some_and(|context| context.stream);
    let asked = gateway::Request {
        provider_key: provider_key::read(app, &head.headers)?,
        held: head.extensions.get().cloned(),
        ..asked(body, caller, request_type)?
    };
    body::settle(&head, length + asked.chat.room());
    let tenant = asked.caller.tenant.clone();
    let reply = if streams {
        match app.gateway.process_streaming(asked).await? {
            Answered::Reply(reply) => reply,
            Answered::Stream(begun) => {
                let (response, ended) = stream::response(begun, tenant);
                return Ok(handled::Answer::Streams(response, ended));
            }
        }
    } else {
        app.gateway.process(asked).await?
    };
    meter::policies_asked(reply.policies.asked.len());
    Ok(handled::Answer::Whole(answered(app, &reply, &tenant)))
}

/// The request in the gateway's terms.
fn asked(body: Body, caller: gateway::Caller, request_type: RequestType) -> Result<gateway::Request, ApiError> {
    let skip_llm = body.skip_llm.unwrap_or(false);
    if !skip_llm && !request_type.is_for_a_model() {
        return Err(ApiError::field("request_type", "this gateway has no planner and no connectors"));
    }
    let query = required("query", body.query)?;
    let mut context = body.context.unwrap_or_default();
    let preference = context.preference(body.llm_provider)?;
    let model = context.model(body.model)?;
    let mut messages = Vec::with_capacity(2);
    if let Some(prompt) = context.system_prompt.take().filter(|prompt| !prompt.is_empty()) {
        messages.push(Message::text(Role::System, prompt));
    }
    let mut parts = vec![Part::Text { text: query }];
    parts.append(&mut media::parts(body.media.unwrap_or_default())?);
    messages.push(Message { role: Role::User, parts });
    let mut chat = ChatRequest {
        model,
        messages,
        max_tokens: context.max_tokens,
        temperature: context.temperature,
        tools: std::mem::take(&mut context.tools),
        response_format: context.response_format.take(),
        ..ChatRequest::default()
    };
    if let Some(index) = chat.tools.iter().position(|tool| !names::is_call(&tool.name)) {
        return Err(ApiError::field(format!("context.tools[{index}].function.name"), names::EXPECTED));
    }
    if context.tool_choice.take().is_some_and(|asked| !chat.choose(asked)) {
        return Err(ApiError::field("context.tool_choice", "names a function that is not among `context.tools`"));
    }
    Ok(gateway::Request {
        surface: Surface::Proxy,
        caller,
        request_type: request_type.as_str().to_owned(),
        chat,
        preference,
        attributes: context.attributes(),
        provider_key: None,
        skip_llm,
        held: None,
    })
}

fn answered(app: &App, reply: &Reply, tenant: &str) -> Handled {
    let policy_info = PolicyInfo::new(&reply.policies, tenant);
    let id = reply.request_id.as_str();
    let (ending, response) = match &reply.outcome {
        Outcome::Answered(routed) => (Ending::Success, from_model(routed, id, policy_info)),
        Outcome::Checked => {
            let metadata = Metadata { llm_skipped: Some(true), ..Metadata::default() };
            (Ending::Success, json(StatusCode::OK, &success("", Vec::new(), metadata, id, policy_info)))
        }
        Outcome::Refused(refusal) | Outcome::Withheld(refusal, _) => {
            (Ending::Blocked, json(StatusCode::FORBIDDEN, &blocked(refusal, id, policy_info)))
        }
        Outcome::Failed(error) => (Ending::Error, failed(app, error, id, policy_info)),
    };
    Handled { ending, response: with_request_id(response, id) }
}

fn from_model(routed: &Routed, id: &str, policy_info: PolicyInfo<'_>) -> Response {
    let nothing = Message { role: Role::Assistant, parts: Vec::new() };
    let said = routed.answer.choices.first().map_or(&nothing, |choice| &choice.message);
    let text = said.plain_text();
    let answer = of_model(routed, said, &text, id, policy_info);
    json_that_holds(routed.answer.held.as_ref(), StatusCode::OK, &answer)
}

/// The same as text, of an answer of which this went out.
pub(super) fn routed_body(routed: &Routed, said: &Message, id: &str, policy_info: PolicyInfo<'_>) -> String {
    text(&of_model(routed, said, &said.plain_text(), id, policy_info))
}

fn of_model<'a>(
    routed: &'a Routed,
    said: &'a Message,
    text: &'a str,
    id: &'a str,
    policy_info: PolicyInfo<'a>,
) -> Answer<'a> {
    let usage = routed.answer.usage;
    let metadata = Metadata {
        provider: Some(&routed.provider),
        model: Some(&routed.model),
        tokens_used: usage.map(|usage| usage.total_tokens()),
        prompt_tokens: usage.map(|usage| usage.prompt_tokens),
        completion_tokens: usage.map(|usage| usage.completion_tokens),
        cost_usd: routed.answer.cost_usd,
        finish_reason: routed.answer.choices.first().map(|choice| choice.finish_reason.as_str()),
        ..Metadata::of(&routed.attempts)
    };
    success(text, said.tool_calls().collect(), metadata, id, policy_info)
}

fn success<'a>(
    text: &'a str,
    tool_calls: Vec<Called<'a>>,
    metadata: Metadata<'a>,
    id: &'a str,
    policy_info: PolicyInfo<'a>,
) -> Answer<'a> {
    let data = Data {
        data: text,
        result: text,
        tool_calls,
        metadata: DataMetadata { processed_at: time::now(), request_id: id },
    };
    Answer { success: true, request_id: id, blocked: false, data, metadata, policy_info }
}

fn blocked<'a>(refusal: &'a Refusal, id: &'a str, policy_info: PolicyInfo<'a>) -> Blocked<'a> {
    let (block_reason, explanation) = (&refusal.reason, refusal.explanation.as_deref());
    Blocked { success: false, blocked: true, block_reason, explanation, policy_info, request_id: id }
}

/// A refusal as text.
pub(super) fn refusal_body(refusal: &Refusal, id: &str, policy_info: PolicyInfo<'_>) -> String {
    text(&blocked(refusal, id, policy_info))
}

/// An answer that broke off while it streamed, as text.
pub(super) fn broken_off(failure: &StreamFailure, routed: &Routed, id: &str, policy_info: PolicyInfo<'_>) -> String {
    let error = failure.to_string();
    let metadata = Metadata {
        provider: Some(&routed.provider),
        model: Some(&routed.model),
        error_code: Some(failure.code()),
        ..Metadata::of(&routed.attempts)
    };
    text(&Failed {
        success: false,
        error: &error,
        blocked: false,
        request_id: id,
        metadata,
        policy_info,
        message: None,
    })
}

fn text<T: Serialize>(body: &T) -> String {
    serde_json::to_string(body).unwrap_or_default()
}

/// No model answered. AxonFlow's clients fail open on a 5xx in their production mode, so that 200 is the default.
fn failed(app: &App, error: &RouteError, id: &str, policy_info: PolicyInfo<'_>) -> Response {
    let surface = error.surface_as();
    // Nobody was asked, and asking again as it is would lead nowhere. But AxonFlow's wrappers of vendors' clients name
    // their vendor in a mere check, make the call themselves, and fail where a check has another status.
    let is_of_wrappers = matches!(error, RouteError::UnknownProvider { .. } | RouteError::NoTraffic { .. });
    let is_callers = surface.status == 400 && error.provider_error().is_none() && !is_of_wrappers;
    // What is said of a caller's own key comes back as it was said.
    let is_of_key = error.provider_error().is_some_and(ProviderError::is_of_callers_key);
    // That is the gateway's own limit, and no failure of a model.
    let has_no_room = error.provider_error().is_some_and(|error| error.kind() == ErrorKind::NoRoom);
    let honest = app.honest_status || is_callers || is_of_key || has_no_room;
    let status = if honest { surface.status } else { 200 };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let text = error.to_string();
    let needs_message = matches!(status, StatusCode::PAYMENT_REQUIRED | StatusCode::FORBIDDEN);
    let wait = wait(error);
    let metadata = Metadata {
        error_code: Some(error.code()),
        retry_after_seconds: wait.map(seconds),
        ..Metadata::of(error.attempts())
    };
    let body = Failed {
        success: false,
        error: &text,
        blocked: false,
        request_id: id,
        metadata,
        policy_info,
        message: needs_message.then_some(&text),
    };
    let mut response = json(status, &body);
    if let Some(wait) = wait.filter(|_| honest) {
        retry_after(&mut response, wait);
    }
    response
}
