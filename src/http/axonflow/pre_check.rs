//! `POST /api/policy/pre-check`: may the application make this call? A refusal is a 200 as well.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::capabilities;
use super::context::CheckedContext;
use super::policy_info::processing_time;
use super::request_type::RequestType;
use super::required;
use super::words::Verdict;
use crate::chat::{Message, Role};
use crate::gateway::{PreCheckReply, PreCheckRequest, REQUIRE_APPROVAL};
use crate::http::answer::json;
use crate::http::handled::{Counting, Handled};
use crate::http::stats::Ending;
use crate::http::{ApiError, App, body, meter};
use crate::router::Preference;

#[derive(Deserialize)]
struct Body {
    query: Option<String>,
    client_id: Option<String>,
    user_token: Option<String>,
    request_type: Option<String>,
    data_sources: Option<Vec<String>>,
    context: Option<CheckedContext>,
}

#[derive(Serialize)]
struct Answer<'a> {
    context_id: &'a str,
    approved: bool,
    requires_redaction: bool,
    policies: &'a [String],
    expires_at: Timestamp,
    decision_id: &'a str,
    verdict: Verdict,
    processing_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_reason: Option<&'a str>,
    /// The policy's own sentence about the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<&'a str>,
}

/// `POST /api/policy/pre-check`.
pub(super) async fn handle(State(app): State<Arc<App>>, request: Request) -> Response {
    let counting = Counting::begin(&app, "pre-check");
    let handled = answer(&app, request).await;
    let (response, ending, elapsed) = counting.end(handled.into());
    meter::pre_check(ending, elapsed);
    response
}

async fn answer(app: &App, request: Request) -> Result<Handled, ApiError> {
    let (head, content) = request.into_parts();
    let presented = app.presented(&head)?;
    let can_redact = capabilities::can_redact(&head.headers)?;
    let content = body::read(&head, content, app.body_limit).await?;
    let body: Body = body::parse(&content)?;
    body::settle(&head, content.len());
    drop(content);
    let query = required("query", body.query)?;
    let caller =
        presented.named_caller(body.client_id.as_deref(), body.user_token)?.ok_or(ApiError::Required("client_id"))?;
    let CheckedContext(mut context) = body.context.unwrap_or_default();
    let provider = match context.preference(None)? {
        Preference::Any => None,
        Preference::Prefer(provider) | Preference::Pin(provider) => Some(provider),
    };
    let mut messages = Vec::with_capacity(2);
    if let Some(prompt) = context.system_prompt.take().filter(|prompt| !prompt.is_empty()) {
        messages.push(Message::text(Role::System, prompt));
    }
    messages.push(Message::text(Role::User, query));
    let model = context.model(None)?;
    if let Some(sources) = body.data_sources.filter(|sources| !sources.is_empty()) {
        context.add_fact("data_sources", sources.join(","));
    }
    let asked = PreCheckRequest {
        caller,
        request_type: RequestType::of(body.request_type.as_deref()).as_str().to_owned(),
        messages,
        provider,
        model,
        attributes: context.attributes(),
        can_redact,
        held: head.extensions.get().cloned(),
    };
    let reply = app.gateway.pre_check(asked).await?;
    meter::policies_asked(reply.policies.asked.len());
    Ok(answered(&reply))
}

fn answered(reply: &PreCheckReply) -> Handled {
    let reason = reply.refusal.as_ref().map(|refusal| refusal.reason.as_str());
    let verdict = match reason {
        Some(REQUIRE_APPROVAL) => Verdict::NeedsApproval,
        Some(_) => Verdict::Blocked,
        None if reply.requires_redaction => Verdict::Redacted,
        None => Verdict::Allowed,
    };
    let answer = Answer {
        context_id: &reply.context_id,
        approved: reason.is_none(),
        requires_redaction: reply.requires_redaction,
        policies: &reply.policies.matched,
        expires_at: reply.expires_at,
        decision_id: &reply.context_id,
        verdict,
        processing_time: processing_time(reply.policies.elapsed),
        block_reason: reason,
        explanation: reply.refusal.as_ref().and_then(|refusal| refusal.explanation.as_deref()),
    };
    let ending = if reason.is_some() { Ending::Blocked } else { Ending::Success };
    Handled { ending, response: json(StatusCode::OK, &answer) }
}
