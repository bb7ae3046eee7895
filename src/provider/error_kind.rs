//! What can go wrong with an upstream, classed once. What is decided later for all vendors alike (retry, failover, health,
//! the answer to the client) reads the class; a status or a text is looked at by the vendor's own adapter alone.

/// The classes of failure, vendor-neutral.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong in itself; no other provider would take it.
    InvalidRequest,
    /// This provider cannot take the request, others may. It was not sent, or its model refused it as what it cannot do.
    Unsupported,
    /// A field that the upstream's schema does not accept.
    InvalidField,
    /// Larger than the upstream takes.
    RequestTooLarge,
    /// More tokens than the model's context holds.
    ContextLength,
    /// More inputs in one batch than the upstream takes.
    BatchTooLarge,
    /// Roles in an order that this upstream refuses and others accept.
    MessageOrder,
    /// A tool call's id that this upstream refuses and others accept.
    ToolCallId,
    /// No such model.
    ModelNotFound,
    /// The model exists, but this key may not use it.
    ModelNotAllowed,
    /// The vendor's guardrail refused the content.
    ContentFilter,
    /// The vendor's guardrail could not decide, and was told to block then.
    GuardrailFailed,
    /// The key was refused.
    Unauthorized,
    /// The account may not do this.
    Forbidden,
    /// The account's budget is spent.
    SpendCap,
    /// There is no such route upstream: a wrong endpoint in the configuration, or nothing behind it any more.
    EndpointNotFound,
    /// The upstream answered with a redirect, which is never followed: it would carry the key along.
    Redirected,
    /// Too many requests or tokens for now.
    RateLimited,
    /// The vendor has no capacity for the model now.
    CapacityExceeded,
    /// The upstream asks to try again (408, 409, 425).
    TryAgain,
    /// The upstream failed.
    UpstreamFailed,
    /// The upstream is not available (503).
    UpstreamUnavailable,
    /// A gateway of the vendor's gave up waiting (504).
    UpstreamTimeout,
    /// Another refusal that names no reason we know: it may be of the request.
    Rejected,
    /// No connection: name, route, refusal, TLS.
    ConnectFailed,
    /// The connection broke before the answer was whole.
    ReadFailed,
    /// No whole answer within the provider's time-out.
    Timeout,
    /// No answer within what was left of the request's own time, which was less than the provider's time-out.
    DeadlineExceeded,
    /// An answer larger than we read.
    ResponseTooLarge,
    /// An answer that cannot be understood.
    MalformedAnswer,
    /// The model itself reported failure.
    GenerationFailed,
    /// The gateway has no room for the answer, or no file for the connection, now; the upstream is not at fault.
    NoRoom,
}

/// How a failure is shown to a client that asked for honest statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surface {
    /// The HTTP status.
    pub status: u16,
    /// The public code, stable.
    pub code: &'static str,
}

/// What a failure says about the provider's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthEffect {
    /// Nothing: the request or a limit was at fault.
    None,
    /// One more failure.
    Failure,
    /// The key does not work: unhealthy at once.
    KeyRejected,
}

/// May the same request be sent to the same provider again?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Retry {
    Never,
    Later,
}

/// May another provider be asked?
#[derive(Clone, Copy, PartialEq, Eq)]
enum FailOver {
    No,
    Yes,
}

struct Class {
    code: &'static str,
    retry: Retry,
    fail_over: FailOver,
    health: HealthEffect,
    surface: Surface,
}

impl ErrorKind {
    /// Every class, for tables in documentation and tests.
    pub const ALL: &'static [Self] = &[
        Self::InvalidRequest,
        Self::Unsupported,
        Self::InvalidField,
        Self::RequestTooLarge,
        Self::ContextLength,
        Self::BatchTooLarge,
        Self::MessageOrder,
        Self::ToolCallId,
        Self::ModelNotFound,
        Self::ModelNotAllowed,
        Self::ContentFilter,
        Self::GuardrailFailed,
        Self::Unauthorized,
        Self::Forbidden,
        Self::SpendCap,
        Self::EndpointNotFound,
        Self::Redirected,
        Self::RateLimited,
        Self::CapacityExceeded,
        Self::TryAgain,
        Self::UpstreamFailed,
        Self::UpstreamUnavailable,
        Self::UpstreamTimeout,
        Self::Rejected,
        Self::ConnectFailed,
        Self::ReadFailed,
        Self::Timeout,
        Self::DeadlineExceeded,
        Self::ResponseTooLarge,
        Self::MalformedAnswer,
        Self::GenerationFailed,
        Self::NoRoom,
    ];

    /// The class of a refusal of which nothing is known but its HTTP status.
    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            400 => Self::InvalidRequest,
            401 => Self::Unauthorized,
            402 => Self::SpendCap,
            403 => Self::Forbidden,
            404 | 405 | 501 => Self::EndpointNotFound,
            408 | 409 | 425 => Self::TryAgain,
            413 => Self::RequestTooLarge,
            422 => Self::InvalidField,
            429 => Self::RateLimited,
            503 => Self::UpstreamUnavailable,
            504 | 522 | 524 => Self::UpstreamTimeout,
            _ => match status / 100 {
                3 => Self::Redirected,
                4 => Self::Rejected,
                5 => Self::UpstreamFailed,
                _ => Self::MalformedAnswer,
            },
        }
    }

    /// The one table that all decisions come from.
    #[rustfmt::skip]
    fn class(self) -> Class {
        use FailOver::{No, Yes};
        use HealthEffect::{Failure, KeyRejected, None};
        use Retry::{Later, Never};
        let class = |code, retry, fail_over, health, status, public| {
            Class { code, retry, fail_over, health, surface: Surface { status, code: public } }
        };
        match self {
            //                                   code                     retry  other health       status public code
            Self::InvalidRequest => class(       "invalid_request",       Never, No,   None,        400, "invalid_request"),
            Self::Unsupported => class(          "unsupported",           Never, Yes,  None,        400, "invalid_request"),
            Self::InvalidField => class(         "invalid_field",         Never, No,   None,        422, "invalid_request"),
            Self::RequestTooLarge => class(      "request_too_large",     Never, Yes,  None,        413, "request_too_large"),
            Self::ContextLength => class(        "context_length",        Never, Yes,  None,        400, "context_length_exceeded"),
            Self::BatchTooLarge => class(        "batch_too_large",       Never, No,   None,        400, "batch_too_large"),
            Self::MessageOrder => class(         "message_order",         Never, Yes,  None,        400, "invalid_message_order"),
            Self::ToolCallId => class(           "tool_call_id",          Never, Yes,  None,        400, "invalid_tool_call_id"),
            Self::ModelNotFound => class(        "model_not_found",       Never, Yes,  None,        404, "model_not_found"),
            Self::ModelNotAllowed => class(      "model_not_allowed",     Never, Yes,  None,        403, "model_not_allowed"),
            Self::ContentFilter => class(        "content_filter",        Never, No,   None,        403, "content_filter"),
            Self::GuardrailFailed => class(      "guardrail_failed",      Never, No,   None,        403, "content_filter"),
            Self::Unauthorized => class(         "upstream_unauthorized", Never, Yes,  KeyRejected, 502, "upstream_auth"),
            Self::Forbidden => class(            "upstream_forbidden",    Never, Yes,  None,        502, "upstream_auth"),
            Self::SpendCap => class(             "spend_cap",             Never, Yes,  KeyRejected, 402, "spend_cap_reached"),
            Self::EndpointNotFound => class(     "endpoint_not_found",    Never, Yes,  Failure,     502, "upstream_misconfigured"),
            Self::Redirected => class(           "redirected",            Never, Yes,  Failure,     502, "upstream_misconfigured"),
            Self::RateLimited => class(          "rate_limited",          Later, Yes,  None,        429, "rate_limited"),
            Self::CapacityExceeded => class(     "capacity_exceeded",     Later, Yes,  Failure,     503, "capacity_exceeded"),
            Self::TryAgain => class(             "try_again",             Later, Yes,  None,        503, "upstream_unavailable"),
            Self::UpstreamFailed => class(       "upstream_failed",       Later, Yes,  Failure,     502, "upstream_failed"),
            Self::UpstreamUnavailable => class(  "upstream_unavailable",  Later, Yes,  Failure,     503, "upstream_unavailable"),
            Self::UpstreamTimeout => class(      "upstream_timeout",      Later, Yes,  Failure,     504, "upstream_timeout"),
            Self::Rejected => class(             "rejected",              Never, No,   None,        502, "upstream_rejected"),
            Self::ConnectFailed => class(        "connect_failed",        Later, Yes,  Failure,     502, "upstream_unreachable"),
            Self::ReadFailed => class(           "read_failed",           Later, Yes,  Failure,     502, "upstream_failed"),
            Self::Timeout => class(              "timeout",               Never, Yes,  Failure,     504, "upstream_timeout"),
            Self::DeadlineExceeded => class(     "deadline_exceeded",     Never, No,   None,        504, "upstream_timeout"),
            Self::ResponseTooLarge => class(     "response_too_large",    Never, No,   None,        502, "upstream_failed"),
            Self::MalformedAnswer => class(      "malformed_answer",      Later, Yes,  Failure,     502, "upstream_failed"),
            Self::GenerationFailed => class(     "generation_failed",     Later, Yes,  Failure,     502, "upstream_failed"),
            Self::NoRoom => class(               "no_room",               Never, No,   None,        429, "no_room"),
        }
    }

    /// The stable name, the label in metrics and records.
    pub fn code(self) -> &'static str {
        self.class().code
    }

    /// Whether the same request may be sent to the same provider again, after a wait.
    pub fn retryable(self) -> bool {
        self.class().retry == Retry::Later
    }

    /// Whether another provider may be asked.
    pub fn fail_over(self) -> bool {
        self.class().fail_over == FailOver::Yes
    }

    /// What it says about the provider's health.
    pub fn health_effect(self) -> HealthEffect {
        self.class().health
    }

    /// Whether it is the provider's doing, and not the request's or the gateway's: then it says how soon others are answered.
    pub(crate) fn is_of_provider(self) -> bool {
        let counts = self.health_effect() != HealthEffect::None;
        counts || matches!(self, Self::RateLimited | Self::TryAgain | Self::DeadlineExceeded)
    }

    /// Whether it may be the provider's doing or the request's.
    pub(crate) fn may_be_of_provider(self) -> bool {
        matches!(self, Self::Forbidden | Self::Rejected)
    }

    /// How it is shown to a client.
    pub fn surface_as(self) -> Surface {
        self.class().surface
    }

    /// Of what is said about a key and its account, what a caller is told whose key it is not: the vendor's words have
    /// parts of the key in them, the account's name and its limits.
    pub(super) fn about_account(self) -> Option<&'static str> {
        match self {
            Self::Unauthorized => Some("the provider refuses the gateway's key"),
            Self::SpendCap => Some("the budget of the gateway's account is spent"),
            Self::Forbidden => Some("the provider does not allow this to the gateway's account"),
            Self::ModelNotAllowed => Some("the provider does not allow this model to the gateway's account"),
            Self::RateLimited => Some("the gateway's account is over its limit"),
            _ => None,
        }
    }

    /// Of what is said about a key, the status that says it. Some vendors say it under 400, and inside a stream the
    /// status is 200 already.
    pub(super) fn status_about_key(self) -> Option<u16> {
        match self {
            Self::Unauthorized => Some(401),
            Self::SpendCap => Some(402),
            Self::Forbidden | Self::ModelNotAllowed => Some(403),
            Self::RateLimited => Some(429),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_class_has_a_code_of_its_own() {
        let codes: HashSet<_> = ErrorKind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
    }

    #[test]
    fn what_may_be_retried_may_also_go_elsewhere() {
        for kind in ErrorKind::ALL {
            assert!(!kind.retryable() || kind.fail_over(), "{kind:?}");
        }
    }
}
