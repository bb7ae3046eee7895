//! What Azure does in another way: the key's header, the version in the query, the deployment in the path, and the results
//! of its filter in every answer.

use double::{ReceivedRequest, Refusal};
use serde_json::{Value, json};

use crate::KEY;

/// The deployment that there is, of the model `gpt-4o`.
pub const DEPLOYMENT: &str = "acme-gpt";

/// The versions that are known. The first knows neither `stream_options` nor `max_completion_tokens`.
const VERSIONS: [&str; 2] = ["2024-08-01-preview", "2024-10-21"];

fn refuse(status: u16, code: &str, message: &str) -> Refusal {
    Refusal { status, body: json!({ "error": { "code": code, "message": message } }) }
}

/// Checks the key, which has a header of its own, and the version.
pub(crate) fn enter(request: &ReceivedRequest) -> Result<(), Refusal> {
    if request.header("api-key") != Some(KEY) || request.header("authorization").is_some() {
        let message = "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid \
                       key for an active subscription and use a correct regional API endpoint for your resource.";
        return Err(refuse(401, "401", message));
    }
    if VERSIONS.contains(&version(request)) { Ok(()) } else { Err(not_found()) }
}

pub(crate) fn not_found() -> Refusal {
    refuse(404, "404", "Resource not found")
}

/// Checks that the path names the deployment, and what its version does not know. Gives the body with its model.
pub(crate) fn body(request: &ReceivedRequest) -> Result<Value, Refusal> {
    let mut body = crate::check::json(request)?;
    let path = request.path().strip_prefix("/openai/deployments/").unwrap_or_default();
    let vectors = path.strip_suffix("/embeddings");
    match vectors.or_else(|| path.strip_suffix("/chat/completions")) {
        Some(DEPLOYMENT) => {}
        Some(_) => {
            let message = "The API deployment for this resource does not exist. If you created the deployment within the \
                           last 5 minutes, please wait a moment and try again.";
            return Err(refuse(404, "DeploymentNotFound", message));
        }
        None => return Err(not_found()),
    }
    if version(request) == VERSIONS[0] {
        let newer = ["stream_options", "max_completion_tokens"];
        if let Some(name) = newer.into_iter().find(|name| !body[*name].is_null()) {
            let message = format!("Unrecognized request argument supplied: {name}");
            let body = crate::check::error(&message, "invalid_request_error", None, None);
            return Err(Refusal { status: 400, body });
        }
    }
    if let Some(fields) = body.as_object_mut() {
        let model = if vectors.is_some() { "text-embedding-3-small" } else { "gpt-4o" };
        fields.insert("model".to_owned(), json!(model));
    }
    Ok(body)
}

/// An answer with what the filter found.
pub(crate) fn filtered(mut completion: Value) -> Value {
    completion["prompt_filter_results"] = prompt_results();
    for choice in completion["choices"].as_array_mut().into_iter().flatten() {
        choice["content_filter_results"] = results();
    }
    completion
}

/// The chunk before all others: it has no choice.
pub(crate) fn first_chunk() -> Value {
    json!({ "id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": prompt_results() })
}

fn prompt_results() -> Value {
    json!([{ "prompt_index": 0, "content_filter_results": results() }])
}

fn results() -> Value {
    let safe = json!({ "filtered": false, "severity": "safe" });
    json!({ "hate": safe, "self_harm": safe, "sexual": safe, "violence": safe })
}

fn version(request: &ReceivedRequest) -> &str {
    let pairs = request.uri.query().unwrap_or_default().split('&');
    pairs.filter_map(|pair| pair.strip_prefix("api-version=")).next().unwrap_or_default()
}
