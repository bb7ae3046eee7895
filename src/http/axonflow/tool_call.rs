//! `POST /api/v1/audit/tool-call`: the application reports a tool that it ran. The answer comes when it is recorded.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::name;
use super::read_scope::user_token;
use super::time::Milliseconds;
use crate::chat::Room;
use crate::gateway::ToolCallReport;
use crate::http::answer::json;
use crate::http::handled::{Counting, Handled};
use crate::http::identity::user;
use crate::http::stats::Ending;
use crate::http::{ApiError, App, body};

/// The most names that `policies_applied` may have: they stand in the record's body.
const POLICIES: usize = 100;

#[derive(Deserialize)]
struct Body {
    client_id: Option<String>,
    tool_name: Option<String>,
    caller_name: Option<String>,
    tool_type: Option<String>,
    input: Option<Value>,
    output: Option<Value>,
    workflow_id: Option<String>,
    step_id: Option<String>,
    user_id: Option<String>,
    duration_ms: Option<Milliseconds>,
    policies_applied: Option<Vec<String>>,
    success: Option<bool>,
    error_message: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    audit_id: &'a str,
    status: &'static str,
    timestamp: Timestamp,
}

/// `POST /api/v1/audit/tool-call`.
pub(super) async fn handle(State(app): State<Arc<App>>, request: Request) -> Response {
    let counting = Counting::begin(&app, "tool-call");
    let handled = answer(&app, request).await;
    counting.end(handled.into()).0
}

async fn answer(app: &App, request: Request) -> Result<Handled, ApiError> {
    let (head, content) = request.into_parts();
    let presented = app.presented(&head)?;
    let content = body::read(&head, content, app.body_limit).await?;
    let body: Body = body::parse(&content)?;
    let values: usize = [&body.input, &body.output].into_iter().flatten().map(Room::of_value).sum();
    body::settle(&head, content.len() + values);
    drop(content);
    let person = match body.user_id.and_then(user) {
        Some(person) => Some(person),
        None => user_token(&head.headers)?,
    };
    let caller = presented.caller(body.client_id.as_deref(), person)?;
    let named = |field, value| Ok::<_, ApiError>(name(field, value)?.unwrap_or_default());
    let report = ToolCallReport {
        tool: name("tool_name", body.tool_name)?.ok_or(ApiError::Required("tool_name"))?,
        caller_name: named("caller_name", body.caller_name)?,
        tool_type: named("tool_type", body.tool_type)?,
        workflow_id: named("workflow_id", body.workflow_id)?,
        step_id: named("step_id", body.step_id)?,
        policies_applied: applied(body.policies_applied.unwrap_or_default())?,
        success: body.success,
        latency_ms: body.duration_ms.map_or(0, |Milliseconds(number)| number),
        input: body.input,
        output: body.output,
        error_message: body.error_message.filter(|message| !message.is_empty()),
        held: head.extensions.get().cloned(),
    };
    let recorded = app.gateway.report_tool_call(&caller, report).await?;
    let answer = Answer { audit_id: &recorded.audit_id, status: "recorded", timestamp: recorded.at };
    Ok(Handled { ending: Ending::Success, response: json(StatusCode::OK, &answer) })
}

/// The names of policies; empty ones are passed over.
fn applied(names: Vec<String>) -> Result<Vec<String>, ApiError> {
    if names.len() > POLICIES {
        return Err(ApiError::field("policies_applied", format!("expected at most {POLICIES} names")));
    }
    names.into_iter().filter_map(|it| name("policies_applied", Some(it)).transpose()).collect()
}
