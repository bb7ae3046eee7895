//! Requests about texts: vectors and judgements. Pure.

use serde::Serialize;

use super::request::{self, Fields};
use crate::chat::{ChatRequest, Task};
use crate::provider::request::left_out;
use crate::provider::upstream::http::{self, Prepared};
use crate::provider::{Kind, ProviderError};

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
    #[serde(flatten)]
    extra: Fields<'a>,
}

/// The body of `POST /v1/embeddings` or `POST /v1/moderations`.
pub(super) fn about(request: &ChatRequest, kind: Kind, model: Option<&str>) -> Result<Prepared, ProviderError> {
    let form = (request.task == Task::Embed).then_some(&request.vectors);
    let (extra, foreign) = request::extra(request, kind);
    let body = http::json(&AboutTexts {
        model,
        input: request.texts().collect(),
        dimensions: form.and_then(|form| form.dimensions),
        encoding_format: form.and_then(|form| form.encoding.as_deref()),
        extra,
    })?;
    let dtype = form.and_then(|form| form.dtype.as_ref()).map(|_| "output_dtype");
    let notes = left_out::note(foreign.into_keys().chain(dtype)).into_iter().collect();
    Ok(Prepared { body, notes })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::chat::HELD_FIELDS;

    #[test]
    fn fields_that_the_vendor_may_have_are_passed_on() {
        let mut request = ChatRequest::about(Task::Embed, None, vec!["a".to_owned()]);
        request.vectors.dtype = Some("int8".to_owned());
        request.extra = serde_json::from_value(json!({ "metadata": { "a": 1 }, "truncate": true })).unwrap();
        let note = |fields: &str| vec![format!("fields left out that the provider does not know: {fields}")];
        let all = json!({ "model": "m", "input": ["a"], "truncate": true, "metadata": { "a": 1 } });
        let some = json!({ "model": "m", "input": ["a"], "truncate": true });
        for (kind, expected, notes) in
            [(Kind::OpenAi, some, note("metadata, output_dtype")), (Kind::OpenAiCompatible, all, note("output_dtype"))]
        {
            let prepared = about(&request, kind, Some("m")).unwrap();
            let sent: Value = serde_json::from_slice(&prepared.body).unwrap();
            assert_eq!((sent, prepared.notes), (expected, notes), "{kind}");
        }
    }

    #[test]
    fn no_field_stands_in_a_body_twice_in_whatever_letters() {
        for task in [Task::Embed, Task::Moderate] {
            let mut request = ChatRequest::about(task, None, vec!["seen".to_owned()]);
            let odd = HELD_FIELDS.map(|held| [held.to_owned(), held.to_uppercase(), held.replace('s', "ſ")]);
            request.extra =
                odd.into_iter().flatten().map(|name| (name, serde_json::from_str("\"unseen\"").unwrap())).collect();
            let prepared = about(&request, Kind::OpenAiCompatible, Some("m")).unwrap();
            let sent: Value = serde_json::from_slice(&prepared.body).unwrap();
            assert_eq!(sent, json!({ "model": "m", "input": ["seen"] }), "{task:?}");
        }
    }
}
