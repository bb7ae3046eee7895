//! What the body of a refusal says, whatever its shape: an API's own, that of its validators, of the edges before it, a
//! page of HTML, or nothing at all. Never repeats what a validator quotes of the request.

use serde_json::Value;

use crate::provider::answer::values;
use crate::provider::{ErrorKind, ProviderError};

/// The part of an HTML page or a plain text that is looked at, in bytes.
const PROSE_BYTES: usize = 4096;

/// What the body says.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) message: String,
    pub(crate) code: Option<String>,
    pub(crate) kind: Option<String>,
    /// The field at fault.
    pub(crate) param: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) guardrails: bool,
    /// Whether a vendor behind a router says it: of the request it tells all, of the router's account and routes nothing.
    pub(crate) is_wrapped: bool,
    /// Whether it has the form in which an API says its errors, and not that of an edge or a router before it.
    of_api: bool,
}

/// What APIs say in their own form of a route that they do not have.
const NO_ROUTE: [&str; 9] = [
    "not found",
    "page not found",
    "404 page not found",
    "file not found",
    "resource not found",
    "route not found",
    "endpoint not found",
    "method not found",
    "not implemented",
];

/// How they begin where they name it.
const NO_ROUTE_AT: [&str; 12] = [
    "invalid url",
    "unknown request url",
    "unrecognized request url",
    "unexpected endpoint",
    "no route",
    "cannot post",
    "cannot get",
    "route get",
    "route post",
    "the route",
    "the requested url",
    "no static resource",
];

impl Said {
    pub(crate) fn read(body: &[u8]) -> Self {
        let said = Self::read_all(body);
        Self { message: before_input(&said.message).to_owned(), ..said }
    }

    fn read_all(body: &[u8]) -> Self {
        match refusal(body) {
            Some(Value::Object(fields)) => {
                let nested = fields.get("error").filter(|error| error.is_object());
                let field = |name: &str| fields.get(name).filter(|value| !value.is_null());
                let either = |name: &str| field(name).or_else(|| nested.and_then(|error| error.get(name)));
                let wrapped = nested.and_then(Self::wrapped);
                let is_wrapped = wrapped.is_some();
                let Said { message: wrapped, code: wrapped_code, .. } = wrapped.unwrap_or_default();
                let own = [either("message"), field("detail"), field("error")];
                Said {
                    message: std::iter::once(wrapped)
                        .chain(own.into_iter().flatten().map(prose))
                        .find(|text| !text.trim().is_empty())
                        .unwrap_or_default(),
                    code: wrapped_code.or_else(|| either("code").and_then(scalar)),
                    // Anthropic's outer type says only that it is an error.
                    kind: nested.and_then(|error| error.get("type")).or_else(|| field("type")).and_then(scalar),
                    param: either("param").and_then(scalar).or_else(|| own.into_iter().flatten().find_map(at_fault)),
                    request_id: field("request_id").and_then(scalar),
                    guardrails: field("guardrails").is_some(),
                    is_wrapped,
                    of_api: nested.is_some()
                        || field("object").and_then(Value::as_str).is_some_and(|it| it.eq_ignore_ascii_case("error")),
                }
            }
            Some(other) => Said { message: prose(&other), ..Said::default() },
            None => Said { message: page(body), ..Said::default() },
        }
    }

    /// What the vendor behind a router says: OpenRouter puts its body as text into an error of its own, whose message says
    /// only that there was one.
    fn wrapped(error: &Value) -> Option<Self> {
        let raw = error.pointer("/metadata/raw")?.as_str()?;
        Some(Self::read_all(raw.as_bytes()))
    }

    /// Whether code or type is this one.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code) || self.kind.as_deref() == Some(code)
    }

    /// The class of a refusal of which nothing more is known than its HTTP status. Where an API has found something else
    /// missing than a route, a model that takes images or a file, it is the request that asked for it.
    pub(crate) fn class(&self, status: u16) -> ErrorKind {
        match status {
            // The router's own key was taken, and its route is there. 403 stays what it is: some vendors say it of a text.
            401 | 402 if self.is_wrapped => ErrorKind::ModelNotAllowed,
            404 | 405 | 501 if self.is_wrapped => ErrorKind::Unsupported,
            404 | 501 if self.of_api && !self.lacks_route() => ErrorKind::Unsupported,
            _ => ErrorKind::of_status(status),
        }
    }

    /// Whether it says no more than that there is no such route.
    fn lacks_route(&self) -> bool {
        let said = self.message.trim().trim_end_matches('.').to_ascii_lowercase();
        said.is_empty() || NO_ROUTE.contains(&said.as_str()) || NO_ROUTE_AT.iter().any(|at| said.starts_with(at))
    }

    /// Whether it speaks of a model, and does not merely repeat the path of a route that is not there, which may be that of
    /// the models. How it begins tells: callers write into the rest.
    pub(crate) fn is_of_model(&self) -> bool {
        self.has("model") && !self.lacks_route()
    }

    /// The refusal as an error of this class.
    pub(crate) fn error(&self, kind: ErrorKind, status: u16) -> ProviderError {
        let message = match (kind, self.message.trim()) {
            (ErrorKind::Redirected, _) => "the upstream answered with a redirect, which is not followed".to_owned(),
            (_, "") => format!("the upstream answered {status} without a message"),
            (_, message) => message.to_owned(),
        };
        ProviderError::new(kind, &message)
            .with_status(status)
            .with_upstream_code(self.code.as_deref().or(self.kind.as_deref()))
            .with_param(self.param.as_deref())
            .with_correlation_id(self.request_id.as_deref())
    }

    /// Whether the message begins so. What a vendor says of the key or the account it says first: further on a refusal may
    /// quote the caller, who could otherwise make the operator's key look refused.
    pub(crate) fn begins(&self, text: &str) -> bool {
        self.message.trim_start().starts_with(text)
    }

    /// Whether the message holds a text, in whatever case.
    pub(crate) fn has(&self, text: &str) -> bool {
        let (haystack, needle) = (self.message.as_bytes(), text.as_bytes());
        haystack.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
    }
}

/// The status that an error in a stream would have had before it: the one that it names, or that of its code, else that
/// of a failure.
pub(crate) fn status(body: &[u8]) -> u16 {
    const NAMES: [&str; 4] = ["raw_status_code", "status", "status_code", "code"];
    const LIMITS: [&str; 6] =
        ["rate_limit_exceeded", "rate_limited", "1300", "service_tier_capacity_exceeded", "3505", "insufficient_quota"];
    const REQUESTS: [&str; 3] = ["invalid_request_error", "context_length_exceeded", "content_filter"];
    let fields = refusal(body).unwrap_or_default();
    let named = [&fields, &fields["error"]].into_iter().flat_map(|object| NAMES.map(|name| &object[name]));
    let mut statuses = named.filter_map(|value| scalar(value)?.parse().ok());
    let said = Said::read(body);
    let one_of = |codes: &[&str]| codes.iter().any(|code| said.is(code));
    match statuses.find(|status| (400..600).contains(status)) {
        Some(status) => status,
        None if one_of(&LIMITS) => 429,
        None if one_of(&REQUESTS) => 400,
        None => 500,
    }
}

/// A body that is JSON, and not of more values than an answer may have.
pub(crate) fn json(body: &[u8]) -> Option<Value> {
    values::check(body).ok()?;
    serde_json::from_slice(body).ok()
}

/// The same of a refusal: Google answers with a list of one.
pub(crate) fn refusal(body: &[u8]) -> Option<Value> {
    match json(body)? {
        Value::Array(mut items) if items.len() == 1 && items.iter().all(|item| item.get("error").is_some()) => {
            items.pop()
        }
        whole => Some(whole),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The text of a message: a string, a string that is JSON itself, a validator's list, or an object around one of these.
fn prose(message: &Value) -> String {
    match message {
        Value::String(text) => match json(text.as_bytes()) {
            Some(inner @ (Value::Object(_) | Value::Array(_))) => prose(&inner),
            _ => text.clone(),
        },
        Value::Array(items) => items.iter().map(prose).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; "),
        Value::Object(fields) => match (fields.get("msg"), fields.get("detail").or_else(|| fields.get("message"))) {
            (Some(message), _) => complaint(fields.get("loc"), message),
            (None, Some(inner)) => prose(inner),
            (None, None) => String::new(),
        },
        _ => String::new(),
    }
}

/// The field that a validator's first complaint is of, such as `messages[0].name`.
fn at_fault(said: &Value) -> Option<String> {
    match said {
        Value::String(text) => at_fault(&json(text.as_bytes()).filter(|inner| !inner.is_string())?),
        Value::Array(items) => items.iter().find_map(at_fault),
        Value::Object(fields) => {
            let Some(steps) = fields.get("loc").and_then(Value::as_array) else {
                return at_fault(fields.get("detail").or_else(|| fields.get("message"))?);
            };
            let mut field = String::new();
            for step in steps.iter().skip_while(|step| *step == "body") {
                match step {
                    Value::Number(index) => field.push_str(&format!("[{index}]")),
                    step => {
                        field.push_str(if field.is_empty() { "" } else { "." });
                        field.push_str(step.as_str()?);
                    }
                }
            }
            Some(field).filter(|field| !field.is_empty())
        }
        _ => None,
    }
}

/// `body.messages.0.name: Extra inputs are not permitted`. The input itself is never repeated: it is the caller's text.
fn complaint(place: Option<&Value>, message: &Value) -> String {
    let message = message.as_str().unwrap_or_default();
    let place = place.and_then(Value::as_array).map(|steps| steps.iter().filter_map(scalar).collect::<Vec<_>>());
    match place {
        Some(place) if !place.is_empty() => format!("{}: {message}", place.join(".")),
        _ => message.to_owned(),
    }
}

/// What stands before the input that a validator in Python repeats in its own notation.
fn before_input(text: &str) -> &str {
    let input = [", 'input':", "{'input':", "input_value="].iter().filter_map(|name| text.find(name)).min();
    match input.and_then(|at| text.get(..at)) {
        Some(before) => before.trim_end_matches([' ', ',']),
        None => text,
    }
}

/// What an edge wrote: the title of a page, or the text.
fn page(body: &[u8]) -> String {
    let start = body.get(..PROSE_BYTES).unwrap_or(body);
    let text = String::from_utf8_lossy(start);
    if !text.trim_start().starts_with('<') {
        return text.into_owned();
    }
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title>").map(|at| at + "<title>".len()).and_then(|from| {
        let length = lower.get(from..)?.find("</title>")?;
        text.get(from..from + length)
    });
    match title.map(str::trim).filter(|title| !title.is_empty()) {
        Some(title) => format!("the upstream answered with a page titled `{title}`"),
        None => "the upstream answered with a page instead of JSON".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_that_is_json_of_too_many_values_is_not_read_as_such() {
        let inner = format!(r#"{{"message":"inside","x":[0{}]}}"#, ",0".repeat(1_200_000));
        let said = Said::read(Value::from_iter([("message", inner)]).to_string().as_bytes());
        assert!(said.message.starts_with("{\"message\""), "{:.80}", said.message);
    }

    #[test]
    fn what_a_validator_quotes_of_the_request_is_not_repeated() {
        for (body, said) in [
            (r#"{"detail":[{"loc":["body","n"],"msg":"Too many","input":"SECRET"}]}"#, "body.n: Too many"),
            (
                r#"{"message":"[{'type': 'missing', 'loc': ('body', 'model'), 'msg': 'Field required', 'input': {'a': 'SECRET'}}]"}"#,
                "[{'type': 'missing', 'loc': ('body', 'model'), 'msg': 'Field required'",
            ),
            (
                r#"{"error":{"message":"1 validation error: n [type=int, input_value='SECRET', input_type=str]"}}"#,
                "1 validation error: n [type=int",
            ),
            ("no [input_value='SECRET']", "no ["),
            (r#"{"message":[],"detail":[{"loc":["body","tools"],"msg":"too short"}]}"#, "body.tools: too short"),
            (r#"{"message":"","detail":"Not Found"}"#, "Not Found"),
            (r#"{"message":"the input is too long"}"#, "the input is too long"),
            (r#"{"message":"Invalid 'input': maximum context length"}"#, "Invalid 'input': maximum context length"),
        ] {
            assert_eq!(Said::read(body.as_bytes()).message, said);
        }
    }

    #[test]
    fn what_a_router_wraps_is_what_the_vendor_behind_it_says() {
        let wrapped = |raw: Value| {
            let metadata = json!({ "raw": raw, "provider_name": "X" });
            let error = json!({ "message": "Provider returned error", "code": 400, "metadata": metadata });
            let said = Said::read(json!({ "error": error }).to_string().as_bytes());
            (said.message, said.code.unwrap_or_default())
        };
        let too_long = r#"{"error":{"message":"It is too long.","code":"context_length_exceeded"}}"#;
        for (raw, message, code) in [
            (json!(too_long), "It is too long.", "context_length_exceeded"),
            (json!("Preserve the details."), "Preserve the details.", "400"),
            (json!("<html><title>Oops</title>"), "the upstream answered with a page titled `Oops`", "400"),
            (json!("no [input_value='SECRET']"), "no [", "400"),
            (json!(""), "Provider returned error", "400"),
            (json!({ "message": "an object" }), "Provider returned error", "400"),
            (json!(null), "Provider returned error", "400"),
        ] {
            assert_eq!(wrapped(raw), (message.to_owned(), code.to_owned()));
        }
    }

    #[test]
    fn what_holds_too_many_values_is_not_read() {
        let values = vec!["0"; 1_100_000].join(",");
        let body = format!(r#"{{"error":{{"message":"over","code":503}},"x":[{values}]}}"#);
        assert_eq!((Said::read(body.as_bytes()).code, status(body.as_bytes())), (None, 500));
        assert!(!crate::provider::answer::chunk::says_error(body.as_bytes()));
        let inside = Value::from_iter([("message", format!("[{values}]"))]).to_string();
        assert!(Said::read(inside.as_bytes()).message.starts_with("[0,0"));
    }

    #[test]
    fn what_an_api_does_not_find_is_the_requests_affair_unless_it_is_the_route() {
        let (of_request, no_route) = (ErrorKind::Unsupported, ErrorKind::EndpointNotFound);
        for (status, body, class) in [
            (404, r#"{"error":{"message":"No endpoints found that support image input","code":404}}"#, of_request),
            (404, r#"{"error":{"message":"No allowed providers are available for the selected model."}}"#, of_request),
            (404, r#"{"error":{"message":"File not found: file-1","type":"not_found_error"}}"#, of_request),
            (404, r#"{"object":"error","message":"Agent ag_1 not found","type":"not_found","code":null}"#, of_request),
            (501, r#"{"error":{"code":501,"message":"This server does not support embeddings."}}"#, of_request),
            (404, r#"{"error":{"message":"Invalid URL (POST /v2/chat)","type":"invalid_request_error"}}"#, no_route),
            (404, r#"{"error":{"message":"Unknown request URL: POST /x.","code":"unknown_url"}}"#, no_route),
            (404, r#"{"error":{"message":"Not Found","type":"NotFoundError","code":404}}"#, no_route),
            (404, r#"{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}"#, no_route),
            (404, r#"{"error":{"code":"404","message":"Resource not found"}}"#, no_route),
            (404, r#"{"error":{}}"#, no_route),
            (404, r#"{"error":"model router: nothing here"}"#, no_route),
            (404, r#"{"message":"no Route matched with those values"}"#, no_route),
            (404, r#"{"detail":"Not Found"}"#, no_route),
            (404, "<html>", no_route),
            (404, "", no_route),
            (405, r#"{"error":{"message":"use GET"}}"#, no_route),
            (501, "", no_route),
        ] {
            assert_eq!(Said::read(body.as_bytes()).class(status), class, "{status} {body}");
        }
    }

    #[test]
    fn an_error_in_a_stream_has_the_status_that_it_tells() {
        for (body, expected) in [
            (r#"{"object":"error","message":"m","type":"rate_limited","code":"1300","raw_status_code":429}"#, 429),
            (r#"{"object":"error","message":"m","type":"internal_server_error","code":"3000"}"#, 500),
            (r#"{"object":"error","message":"m","type":"service_tier_capacity_exceeded","code":"3505"}"#, 429),
            (r#"{"error":{"message":"blocked","status":403},"guardrails":{}}"#, 403),
            (r#"{"error":{"message":"m","code":502}}"#, 502),
            (r#"{"error":{"message":"m","type":"tokens","code":"rate_limit_exceeded"}}"#, 429),
            (r#"{"error":{"message":"m","type":"invalid_request_error","code":"context_length_exceeded"}}"#, 400),
            (r#"{"error":{"message":"m","type":"server_error","code":null}}"#, 500),
            (r#"{"error":"m","code":12}"#, 500),
            ("m", 500),
        ] {
            assert_eq!(status(body.as_bytes()), expected, "{body}");
        }
    }
}
