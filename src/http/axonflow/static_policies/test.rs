//! `POST /api/v1/static-policies/test`: an expression on texts, before it becomes a policy.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Answered, author};
use crate::http::answer::json;
use crate::http::{ApiError, App, body};

/// The longest expression, in characters.
const MAX_PATTERN: usize = 1_000;
/// The most texts.
const MAX_INPUTS: usize = 100;
/// The longest text, in bytes.
const MAX_INPUT: usize = 10_000;

#[derive(Deserialize)]
struct Body {
    pattern: Option<String>,
    inputs: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Answer<'a> {
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    pattern: &'a str,
    inputs: &'a [String],
    matches: Vec<Match<'a>>,
}

#[derive(Serialize)]
struct Match<'a> {
    input: &'a str,
    matched: bool,
    /// What matched first, and the byte where it begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    matched_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
}

/// `POST /api/v1/static-policies/test`.
pub(super) async fn handle(State(app): State<Arc<App>>, request: Request) -> Answered {
    let (head, content) = request.into_parts();
    let author = author(&app, &head)?;
    let body: Body = body::parse(&body::read(&head, content, app.body_limit).await?)?;
    let pattern = super::super::required("pattern", body.pattern)?;
    let inputs = body.inputs.unwrap_or_default();
    if pattern.chars().nth(MAX_PATTERN).is_some() {
        return Err(ApiError::field("pattern", format!("expected at most {MAX_PATTERN} characters")).into());
    }
    if inputs.len() > MAX_INPUTS || inputs.iter().any(|input| input.len() > MAX_INPUT) {
        let problem = format!("expected at most {MAX_INPUTS} texts of at most {MAX_INPUT} bytes");
        return Err(ApiError::field("inputs", problem).into());
    }
    let trial = app.gateway.static_policies().test(&author.tenant, &pattern, &inputs).await?;
    let matches = inputs.iter().zip(trial.matches).map(|(input, found)| match found {
        None => Match { input, matched: false, matched_text: None, position: None, groups: Vec::new() },
        Some(found) => Match {
            input,
            matched: true,
            matched_text: input.get(found.start..found.end),
            position: Some(found.start),
            groups: found.groups,
        },
    });
    let matches = matches.collect();
    let answer =
        Answer { valid: trial.error.is_none(), error: trial.error, pattern: &pattern, inputs: &inputs, matches };
    Ok(json(StatusCode::OK, &answer))
}
