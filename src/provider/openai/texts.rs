//! Requests about texts: vectors and judgements. Pure.

use serde::Serialize;

use crate::chat::{ChatRequest, Task};
use crate::provider::{ProviderError, http};

#[derive(Serialize)]
struct AboutTexts<'a> {
    /// None for Azure, where the path says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    input: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding_format: Option<&'a str>,
}

/// The body of `POST /v1/embeddings` or `POST /v1/moderations`, and what is left out of it.
pub(super) fn about(request: &ChatRequest, model: Option<&str>) -> Result<(Vec<u8>, Vec<String>), ProviderError> {
    let form = (request.task == Task::Embed).then_some(&request.vectors);
    let body = AboutTexts {
        model,
        input: request.texts().collect(),
        dimensions: form.and_then(|form| form.dimensions),
        encoding_format: form.and_then(|form| form.encoding.as_deref()),
    };
    let dtype = form.and_then(|form| form.dtype.as_deref());
    let notes = dtype.map(|_| "`output_dtype` left out: it is Mistral's".to_owned()).into_iter().collect();
    let body = http::json(&body)?;
    Ok((body, notes))
}
