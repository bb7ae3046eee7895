//! Every way in which an upstream fails before its answer, and the bytes it does so with.

use bytes::Bytes;
use double::{Answer, Ending, Step};
use hyper::header::{HeaderValue, LOCATION};
use serde_json::{Value, json};

use crate::rate_limit::RateLimit;
use crate::refusal::{ValidationShape, error_body, request_id, validation_body};

/// The largest body that [`Failure::HugeBody`] sends.
pub const LARGEST_BODY: usize = 1 << 30;

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=UTF-8";

/// One way to fail. The labels E1 to E10 are those of the contract's table of error shapes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Failure {
    /// E1: the normal API error.
    Api {
        /// HTTP status.
        status: u16,
        /// `type`, for instance `invalid_request_invalid_args`.
        kind: String,
        /// `code`, for instance `3051`; `null` in older forms.
        code: Option<String>,
        /// `message`.
        message: String,
    },
    /// E2, E3, E4 or E10: a 422 about the field `unexpected` that no request has.
    Validation(ValidationShape),
    /// E5: `{"detail": ..}` with any status.
    Detail {
        /// HTTP status.
        status: u16,
        /// `detail`, for instance `Invalid API Key`.
        detail: String,
    },
    /// E6: the edge's `{"message", "request_id"}` with any status.
    Edge {
        /// HTTP status.
        status: u16,
        /// `message`, for instance `Unauthorized`.
        message: String,
    },
    /// E7: a guardrail blocks the input, 403.
    GuardrailBlock,
    /// E8: the guardrail engine failed, 403 with code 3201.
    GuardrailError,
    /// E9: a Cloudflare page, for instance with status 520.
    HtmlPage(u16),
    /// E9: plain text of the load balancer.
    PlainText {
        /// HTTP status.
        status: u16,
        /// The text, for instance `upstream connect error or disconnect/reset before headers`.
        text: String,
    },
    /// E9: no body at all, for instance with status 504.
    Empty(u16),
    /// 429.
    RateLimit(RateLimit),
    /// A redirect (302) to this address, which must never see the key.
    Redirect(String),
    /// The connection is reset (RST) without an answer.
    Reset,
    /// The connection is closed (FIN) without an answer.
    Close,
    /// No answer ever comes, and the connection stays.
    Silence,
    /// 200, and the connection is closed in the middle of the body.
    CutBody,
    /// 200 with a JSON text that ends too early, in a body that is complete.
    BadJson,
    /// 200 with JSON that is no completion.
    WrongShape,
    /// 200 with the double's normal first bytes but `text/html` as content type.
    WrongContentType,
    /// 200 with a JSON body of so many bytes (at most [`LARGEST_BODY`]), without a content length.
    HugeBody(usize),
}

impl Failure {
    /// 400 with code 3051: the prompt is too long.
    #[must_use]
    pub fn context_too_long() -> Self {
        Self::api(
            400,
            "invalid_request_invalid_args",
            "3051",
            "Prompt contains 300000 tokens and 0 draft tokens, too large for model with 262144 maximum context length",
        )
    }

    /// 403 with code 1910: the model is not in the plan.
    #[must_use]
    pub fn tier_not_allowed() -> Self {
        Self::api(403, "tier_not_allowed", "1910", "This model is not available in your plan.")
    }

    /// 401 as the application says it.
    #[must_use]
    pub fn invalid_key() -> Self {
        Self::Detail { status: 401, detail: "Invalid API Key".to_owned() }
    }

    /// 402: the workspace's monthly cap is spent. The body is a guess, none was recorded.
    #[must_use]
    pub fn spend_cap() -> Self {
        Self::Detail { status: 402, detail: "Monthly spend limit reached".to_owned() }
    }

    /// 500 of the application.
    #[must_use]
    pub fn internal() -> Self {
        Self::Detail { status: 500, detail: "Internal Server Error".to_owned() }
    }

    /// 503 of the load balancer.
    #[must_use]
    pub fn unavailable() -> Self {
        let text = "upstream connect error or disconnect/reset before headers. reset reason: connection failure";
        Self::PlainText { status: 503, text: text.to_owned() }
    }

    /// E1 with a code.
    #[must_use]
    pub fn api(status: u16, kind: &str, code: &str, message: &str) -> Self {
        Self::Api { status, kind: kind.to_owned(), code: Some(code.to_owned()), message: message.to_owned() }
    }

    /// The answer, or what comes in its place.
    pub(crate) fn render(&self) -> Answer {
        match self {
            Self::Api { status, kind, code, message } => {
                Answer::json(*status, &error_body(*status, kind, code.as_deref(), &Value::from(message.as_str())))
            }
            Self::Validation(shape) => {
                let fault = json!({
                    "type": "extra_forbidden",
                    "loc": ["body", "unexpected"],
                    "msg": "Extra inputs are not permitted",
                    "input": true,
                });
                Answer::json(422, &validation_body(*shape, vec![fault]))
            }
            Self::Detail { status, detail } => Answer::json(*status, &json!({ "detail": detail })),
            Self::Edge { status, message } => {
                Answer::json(*status, &json!({ "message": message, "request_id": request_id() }))
            }
            Self::GuardrailBlock => Answer::json(
                403,
                &json!({
                    "error": { "message": "The request was blocked by a guardrail.", "status": 403 },
                    "guardrails": { "results": { "moderation_llm_v2": { "violence_and_threats": 0.97 } } },
                }),
            ),
            Self::GuardrailError => Answer::json(
                403,
                &json!({
                    "object": "Error",
                    "message": "The guardrail could not be evaluated.",
                    "type": "invalid_request_error",
                    "code": 3201,
                    "guardrails": [],
                }),
            ),
            Self::HtmlPage(status) => Answer::whole(*status, Some(HTML), html_page(*status)),
            Self::PlainText { status, text } => Answer::whole(*status, Some("text/plain"), text.clone()),
            Self::Empty(status) => Answer::whole(*status, None, ""),
            Self::RateLimit(limit) => {
                let mut answer = Answer::json(429, &limit.body());
                limit.add_headers(answer.headers_mut());
                answer
            }
            Self::Redirect(address) => {
                let mut answer = Answer::whole(302, None, "");
                if let Ok(address) = HeaderValue::try_from(address) {
                    answer.headers_mut().insert(LOCATION, address);
                }
                answer
            }
            Self::CutBody => {
                let begun = Bytes::from_static(br#"{"id":"0123456789abcdef0123456789abcdef","object":"chat.comp"#);
                Answer::steps(JSON, vec![Step::Send(begun), Step::Flush, Step::Cut])
            }
            Self::BadJson => Answer::whole(200, Some(JSON), r#"{"id":"0123","choices":[{"#),
            Self::WrongShape => Answer::json(200, &json!({ "hello": "world", "choices": "none" })),
            Self::WrongContentType => Answer::whole(200, Some(HTML), r#"{"id":"0123456789abcdef"}"#),
            Self::HugeBody(size) => Answer::steps(JSON, huge_body(*size)),
            Self::Reset => Answer::none(Ending::Reset),
            Self::Close => Answer::none(Ending::Close),
            Self::Silence => Answer::none(Ending::Silence),
        }
    }
}

impl From<RateLimit> for Failure {
    fn from(limit: RateLimit) -> Self {
        Self::RateLimit(limit)
    }
}

/// `{"filler":"aaa.."}` in blocks that share one allocation.
fn huge_body(size: usize) -> Vec<Step> {
    const BLOCK: usize = 64 * 1024;
    const BEFORE: &[u8] = br#"{"filler":""#;
    const AFTER: &[u8] = br#""}"#;
    let mut left = size.min(LARGEST_BODY).saturating_sub(BEFORE.len() + AFTER.len());
    let block = Bytes::from(vec![b'a'; BLOCK.min(left)]);
    let mut steps = vec![Step::Send(Bytes::from_static(BEFORE))];
    while left > 0 {
        let length = left.min(BLOCK);
        steps.push(Step::Send(block.slice(..length)));
        left -= length;
    }
    steps.push(Step::Send(Bytes::from_static(AFTER)));
    steps
}

fn html_page(status: u16) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en-US\"><head><title>api.mistral.ai | {status}: Web server is returning an \
         unknown error</title></head><body><h1>Error {status}</h1><p>Cloudflare Ray ID: 0123456789abcdef</p></body></html>\n"
    )
}
