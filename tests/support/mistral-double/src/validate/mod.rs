//! Whether Mistral would take a request: first its JSON, then its fields, then its model, then what it says.

mod chat;
mod embeddings;
mod order;
mod tools;

use double::ReceivedRequest;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};

use crate::models::{self, Ability, Model};
use crate::refusal::{FieldFault, Refusal};
use crate::route::Endpoint;
use crate::schema;
use crate::settings::{Quirk, Settings};

/// A request that was taken: its body, and the model it is for.
pub(crate) struct Accepted<'s> {
    pub(crate) body: Value,
    pub(crate) model: &'s Model,
}

/// Checks the bearer key.
pub(crate) fn key(settings: &Settings, headers: &HeaderMap) -> Result<(), Refusal> {
    let refuse = |detail| Err(Refusal::Detail { status: StatusCode::UNAUTHORIZED, detail });
    let Some(header) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
        return refuse("Unauthorized");
    };
    match header.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => {
            if settings.keys.iter().any(|known| known == key) {
                return Ok(());
            }
            refuse("Invalid API Key")
        }
        _ => refuse("Unauthorized"),
    }
}

/// Checks a request with a body.
pub(crate) fn request<'s>(
    settings: &'s Settings,
    endpoint: Endpoint,
    request: &ReceivedRequest,
) -> Result<Accepted<'s>, Refusal> {
    let mut body = json_body(request)?;
    if let Some(fields) = body.as_object_mut()
        && settings.has(Quirk::AcceptStreamOptions)
    {
        fields.remove("stream_options");
    }
    let (fields, ability) = match endpoint {
        Endpoint::Chat => (schema::CHAT, Ability::Chat),
        Endpoint::Fim => (schema::FIM, Ability::Fim),
        Endpoint::Embeddings => (schema::EMBEDDINGS, Ability::Embeddings),
        Endpoint::Moderations => (schema::MODERATION, Ability::Moderation),
        Endpoint::ChatModerations => (schema::CHAT_MODERATION, Ability::Moderation),
        Endpoint::Models => return Err(Refusal::NoRoute),
    };
    let mut faults = schema::check(fields, &body);
    if endpoint == Endpoint::Chat {
        chat::fields(settings, &body, &mut faults);
    }
    if !faults.is_empty() {
        return Err(Refusal::Fields(faults));
    }
    let model = model_with(settings, &body, ability)?;
    match endpoint {
        Endpoint::Chat => chat::meaning(settings, model, &body)?,
        Endpoint::Embeddings => embeddings::meaning(model, &body)?,
        Endpoint::Fim => {
            let prompt = crate::tokens::count(body["prompt"].as_str().unwrap_or_default());
            let suffix = crate::tokens::count(body["suffix"].as_str().unwrap_or_default());
            context(model, prompt + suffix)?;
        }
        Endpoint::Moderations | Endpoint::ChatModerations | Endpoint::Models => {}
    }
    Ok(Accepted { body, model })
}

fn json_body(request: &ReceivedRequest) -> Result<Value, Refusal> {
    if let Some(kind) = request.headers.get(CONTENT_TYPE) {
        let kind = kind.to_str().unwrap_or_default().to_ascii_lowercase();
        if !kind.starts_with("application/json") {
            let message = "Input should be a valid dictionary or object to extract fields from";
            let fault = FieldFault::at("model_attributes_type", json!("body"), message, Value::from(request.text()));
            return Err(Refusal::Fields(vec![fault]));
        }
    }
    serde_json::from_slice(&request.body).map_err(|error| {
        let place = json!(["body", error.column()]);
        let mut fault = FieldFault::at("json_invalid", place, "JSON decode error", json!({}));
        fault.context = Some(json!({ "error": error.to_string() }));
        Refusal::Fields(vec![fault])
    })
}

fn model_with<'s>(settings: &'s Settings, body: &Value, ability: Ability) -> Result<&'s Model, Refusal> {
    let name = body["model"].as_str().unwrap_or_default();
    match models::find(&settings.models, name) {
        Some(model) if model.can(ability) => Ok(model),
        None if name.starts_with("labs-") => Err(Refusal::Request {
            status: StatusCode::FORBIDDEN,
            kind: "model_not_enabled",
            code: "1913",
            message: format!("Labs model {name} is not enabled for this organization."),
        }),
        _ => Err(Refusal::model(name)),
    }
}

/// Refuses a prompt that is longer than the model reads.
fn context(model: &Model, tokens: u64) -> Result<(), Refusal> {
    let most = model.context_length;
    if tokens > most {
        return Err(Refusal::arguments(format!(
            "Prompt contains {tokens} tokens and 0 draft tokens, too large for model with {most} maximum context length"
        )));
    }
    Ok(())
}
