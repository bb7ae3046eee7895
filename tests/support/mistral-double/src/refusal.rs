//! Why the double refuses a request, and the body it says so with.

use hyper::StatusCode;
use serde_json::{Value, json};

/// The body a 422 comes in. Mistral has used all four; the labels are those of the contract's table of error shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ValidationShape {
    /// E2: `{"object":"error","message":{"detail":[..]},..}`, the chat route's.
    MessageObject,
    /// E3: `{"detail":[..]}`, the documented one.
    #[default]
    DetailList,
    /// E4: `{"object":"Error","detail":[..],"message":[..],"type":"invalid_request_error","code":3001}`.
    CapitalError,
    /// E10: E1 with the detail as a JSON text in `message`, `"code":"1000"`.
    MessageText,
}

/// One pydantic error.
#[derive(Debug, Clone)]
pub(crate) struct FieldFault {
    pub(crate) kind: &'static str,
    pub(crate) location: Vec<Value>,
    pub(crate) message: String,
    pub(crate) input: Value,
    pub(crate) context: Option<Value>,
}

impl FieldFault {
    /// A fault of the body as a whole or of one place in it, named by keys and indexes.
    pub(crate) fn at(kind: &'static str, location: Value, message: impl Into<String>, input: Value) -> Self {
        let location = match location {
            Value::Array(steps) => steps,
            step => vec![step],
        };
        Self { kind, location, message: message.into(), input, context: None }
    }

    fn into_json(self) -> Value {
        let mut fault = json!({ "type": self.kind, "loc": self.location, "msg": self.message, "input": self.input });
        if let (Some(context), Some(fields)) = (self.context, fault.as_object_mut()) {
            fields.insert("ctx".to_owned(), context);
        }
        fault
    }
}

/// A request that is answered with an error because of what it says, not because a test asked for the error.
#[derive(Debug, Clone)]
pub(crate) enum Refusal {
    /// 422: the body breaks the schema.
    Fields(Vec<FieldFault>),
    /// E1: the body is well formed and says something impossible.
    Request { status: StatusCode, kind: &'static str, code: &'static str, message: String },
    /// E5: `{"detail": ..}`.
    Detail { status: StatusCode, detail: &'static str },
    /// E6: the edge does not know the route.
    NoRoute,
    /// The body is larger than the double reads.
    TooLarge,
}

impl Refusal {
    pub(crate) fn order(message: impl Into<String>) -> Self {
        Self::request("invalid_request_message_order", "3230", message)
    }

    pub(crate) fn function_call(message: impl Into<String>) -> Self {
        Self::request("invalid_function_call", "3280", message)
    }

    pub(crate) fn arguments(message: impl Into<String>) -> Self {
        Self::request("invalid_request_invalid_args", "3051", message)
    }

    pub(crate) fn prompt(message: impl Into<String>) -> Self {
        Self::request("invalid_request_prompt", "3210", message)
    }

    pub(crate) fn model(name: &str) -> Self {
        Self::request("invalid_model", "1500", format!("Invalid model: {name}"))
    }

    fn request(kind: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self::Request { status: StatusCode::BAD_REQUEST, kind, code, message: message.into() }
    }

    /// The refusal as it is answered.
    pub(crate) fn written(self, shape: ValidationShape) -> double::Refusal {
        let (status, body) = match self {
            Self::Fields(faults) => {
                let faults = faults.into_iter().map(FieldFault::into_json).collect();
                (StatusCode::UNPROCESSABLE_ENTITY, validation_body(shape, faults))
            }
            Self::Request { status, kind, code, message } => {
                (status, error_body(status.as_u16(), kind, Some(code), &Value::from(message)))
            }
            Self::Detail { status, detail } => (status, json!({ "detail": detail })),
            Self::NoRoute => {
                let body = json!({ "message": "no Route matched with those values", "request_id": request_id() });
                (StatusCode::NOT_FOUND, body)
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, json!({ "message": "Request size limit exceeded" })),
        };
        double::Refusal { status: status.as_u16(), body }
    }
}

/// E1, the normal error.
pub(crate) fn error_body(status: u16, kind: &str, code: Option<&str>, message: &Value) -> Value {
    json!({
        "object": "error",
        "message": message,
        "type": kind,
        "param": null,
        "code": code,
        "raw_status_code": status,
    })
}

/// A list of pydantic errors in one of the four shapes.
pub(crate) fn validation_body(shape: ValidationShape, faults: Vec<Value>) -> Value {
    match shape {
        ValidationShape::MessageObject => error_body(422, "invalid_request_error", None, &json!({ "detail": faults })),
        ValidationShape::DetailList => json!({ "detail": faults }),
        ValidationShape::CapitalError => {
            let faults = Value::Array(faults);
            json!({
                "object": "Error",
                "detail": faults,
                "message": faults,
                "type": "invalid_request_error",
                "code": 3001,
            })
        }
        ValidationShape::MessageText => {
            let text = json!({ "detail": faults }).to_string();
            error_body(422, "internal_error_proxy", Some("1000"), &Value::from(text))
        }
    }
}

/// The edge's request id: 32 hexadecimal digits.
pub(crate) fn request_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}
