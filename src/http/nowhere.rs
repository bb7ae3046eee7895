//! Paths that are no route, and what helps whoever asked for one: mostly a client whose base URL is another vendor's, or
//! that speaks an API which is not here.

use axum::http::Uri;
use axum::response::{IntoResponse, Response};

use super::{ApiError, openai};

/// The answer, in the shape that the client reads.
pub(super) async fn handle(uri: Uri) -> Response {
    let path = uri.path();
    let error = ApiError::NotFound { hint: hint(path) };
    if openai::is_at(path) || lacks_prefix(path) { openai::refused(error) } else { error.into_response() }
}

fn hint(path: &str) -> &'static str {
    if is_below(path, "/v1/responses") || is_below(path, "/responses") {
        "; this gateway has no Responses API: use /v1/chat/completions (in the AI SDK `openai.chat(model)`)"
    } else if lacks_prefix(path) {
        "; OpenAI's routes stand under /v1: let the base URL end with /v1"
    } else if is_below(path, "/v1/v1") {
        "; /v1 stands there twice: leave it out of the base URL, this client adds it by itself"
    } else if is_below(path, "/v1") {
        "; under /v1 there are chat/completions, completions, fim/completions, embeddings, moderations, \
         chat/moderations, models and models/{id}"
    } else if is_below(path, "/api") {
        "; it is not in Octroi, see docs/http.md"
    } else {
        ""
    }
}

/// Whether a path would be one of OpenAI's with `/v1` before it.
fn lacks_prefix(path: &str) -> bool {
    ["/chat", "/completions", "/fim", "/embeddings", "/moderations", "/models", "/responses"]
        .iter()
        .any(|first| is_below(path, first))
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_lost_is_told_what_helps() {
        for (path, expected) in [
            ("/v1/responses", "openai.chat(model)"),
            ("/v1/responses/resp_1/cancel", "openai.chat(model)"),
            ("/responses", "openai.chat(model)"),
            ("/v1/audio/speech", "chat/completions, completions"),
            ("/v1/responsesx", "chat/completions, completions"),
            ("/v1", "chat/completions, completions"),
            ("/v1/chat/completions/", "chat/completions, completions"),
            ("/v1/v1/chat/completions", "twice"),
            ("/chat/completions", "end with /v1"),
            ("/models", "end with /v1"),
            ("/api/v1/plans", "docs/http.md"),
        ] {
            assert!(hint(path).contains(expected), "{path}: {}", hint(path));
        }
        assert_eq!((hint("/"), hint("/apis"), hint("/chats")), ("", "", ""));
    }
}
