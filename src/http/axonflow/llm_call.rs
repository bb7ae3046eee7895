//! `POST /api/audit/llm-call`: the application reports a call that it made. The answer comes when it is recorded.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::name;
use super::time::Milliseconds;
use crate::chat::{Object, Room};
use crate::gateway::LlmCallReport;
use crate::http::answer::json;
use crate::http::handled::{Counting, Handled};
use crate::http::stats::Ending;
use crate::http::{ApiError, App, body, meter, whole};

#[derive(Deserialize)]
struct Body {
    context_id: Option<String>,
    client_id: Option<String>,
    user_token: Option<String>,
    provider: Option<String>,
    model: Option<String>,
    token_usage: Option<Object<TokenUsage>>,
    latency_ms: Option<Milliseconds>,
    response_summary: Option<String>,
    metadata: Option<Map<String, Value>>,
}

/// What clients in Java and Go read of a search.
const MOST_TOKENS: u64 = i32::MAX as u64;

#[derive(Clone, Copy, Default, Deserialize)]
struct TokenUsage {
    #[serde(default, deserialize_with = "whole::read")]
    prompt_tokens: Option<u64>,
    #[serde(default, deserialize_with = "whole::read")]
    completion_tokens: Option<u64>,
    #[serde(default, deserialize_with = "whole::read")]
    total_tokens: Option<u64>,
}

#[derive(Serialize)]
struct Answer<'a> {
    success: bool,
    audit_id: &'a str,
}

/// `POST /api/audit/llm-call`.
pub(super) async fn handle(State(app): State<Arc<App>>, request: Request) -> Response {
    let counting = Counting::begin(&app, "llm-call");
    let mut provider = None;
    let handled = answer(&app, request, &mut provider).await;
    let (response, ending, elapsed) = counting.end(handled.into());
    meter::reported(&app, provider.as_deref(), ending, elapsed);
    response
}

async fn answer(app: &App, request: Request, reported_for: &mut Option<String>) -> Result<Handled, ApiError> {
    let (head, content) = request.into_parts();
    let presented = app.presented(&head)?;
    let content = body::read(&head, content, app.body_limit).await?;
    let body: Body = body::parse(&content)?;
    body::settle(&head, content.len() + body.metadata.as_ref().map_or(0, Room::of_entries));
    drop(content);
    let needed = |field, value| name(field, value)?.ok_or(ApiError::Required(field));
    let context_id = needed("context_id", body.context_id)?;
    let caller =
        presented.named_caller(body.client_id.as_deref(), body.user_token)?.ok_or(ApiError::Required("client_id"))?;
    let provider = needed("provider", body.provider)?;
    let model = needed("model", body.model)?;
    let Object(tokens) = body.token_usage.unwrap_or_default();
    let (prompt_tokens, completion_tokens) = (tokens.prompt_tokens.unwrap_or(0), tokens.completion_tokens.unwrap_or(0));
    // Some clients write 0 where they did not count.
    let counted = tokens.total_tokens.filter(|total| *total > 0);
    let total_tokens = counted.unwrap_or(prompt_tokens.saturating_add(completion_tokens));
    for (field, count) in [
        ("token_usage.prompt_tokens", prompt_tokens),
        ("token_usage.completion_tokens", completion_tokens),
        ("token_usage.total_tokens", total_tokens),
    ] {
        if count > MOST_TOKENS {
            return Err(ApiError::field(field, format!("at most {MOST_TOKENS}")));
        }
    }
    *reported_for = Some(provider.clone());
    let report = LlmCallReport {
        context_id,
        provider,
        model,
        prompt_tokens,
        completion_tokens,
        total_tokens,
        latency_ms: body.latency_ms.map_or(0, |Milliseconds(number)| number),
        response_summary: body.response_summary.filter(|summary| !summary.is_empty()),
        metadata: body.metadata,
        held: head.extensions.get().cloned(),
    };
    let audit_id = app.gateway.report_llm_call(&caller, report).await?;
    let response = json(StatusCode::OK, &Answer { success: true, audit_id: &audit_id });
    Ok(Handled { ending: Ending::Success, response })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_send_is_read() {
        for (json, tokens, latency) in [
            (r#"{}"#, None, None),
            (r#"{"token_usage":null,"latency_ms":null,"metadata":null,"response_summary":null}"#, None, None),
            (r#"{"token_usage":{"prompt_tokens":1,"total_tokens":null},"latency_ms":812.6}"#, Some(1), Some(813)),
            (r#"{"token_usage":{"prompt_tokens":0},"latency_ms":-3}"#, Some(0), Some(0)),
            (r#"{"token_usage":{"prompt_tokens":7.0,"total_tokens":9.0}}"#, Some(7), None),
        ] {
            let body: Body = serde_json::from_str(json).unwrap();
            assert_eq!(body.token_usage.and_then(|Object(it)| it.prompt_tokens), tokens, "{json}");
            assert_eq!(body.latency_ms.map(|it| it.0), latency, "{json}");
        }
        for json in [
            r#"{"token_usage":{"prompt_tokens":-1}}"#,
            r#"{"latency_ms":"fast"}"#,
            r#"{"metadata":[]}"#,
            r#"{"token_usage":[1,2,3]}"#,
        ] {
            assert!(serde_json::from_str::<Body>(json).is_err(), "{json}");
        }
    }
}
