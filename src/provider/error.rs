//! A failed call to an upstream: its class, and what is known of it.

use std::fmt;
use std::time::Duration;

use super::error_kind::{ErrorKind, HealthEffect, Surface};
use super::key::ApiKey;
use super::upstream::text::{MESSAGE_CHARS, clean, field_path, token};
use crate::chat::Usage;

/// A failed call to an upstream. Its message is one line of bounded length, without control characters, without the key;
/// as text it is what the caller may know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderError {
    kind: ErrorKind,
    message: String,
    status: Option<u16>,
    upstream_code: Option<Box<str>>,
    param: Option<Box<str>>,
    correlation_id: Option<Box<str>>,
    retry_after: Option<Duration>,
    spent: Option<Box<Usage>>,
    /// The caller's own key was used, and this is about that key: the status under which the caller is told.
    of_callers_key: Option<u16>,
}

/// What a vendor says about a key.
const ABOUT_THE_KEY: [u16; 4] = [401, 402, 403, 429];

impl ProviderError {
    /// A failure of a class; the message is cleaned.
    pub fn new(kind: ErrorKind, message: &str) -> Self {
        Self {
            kind,
            message: clean(message, MESSAGE_CHARS),
            status: None,
            upstream_code: None,
            param: None,
            correlation_id: None,
            retry_after: None,
            spent: None,
            of_callers_key: None,
        }
    }

    /// An answer that cannot be understood, for this reason: never one that repeats what the model said.
    pub(crate) fn malformed(reason: &str) -> Self {
        Self::new(ErrorKind::MalformedAnswer, reason)
    }

    /// An answer that is none of what it ought to be, such as a `message`. serde's own words may quote what the model said;
    /// the place does not.
    pub(crate) fn unreadable(error: &serde_json::Error, expected: &str) -> Self {
        let what = match error.classify() {
            serde_json::error::Category::Data => format!("is JSON, but no {expected}"),
            _ => "is not JSON".to_owned(),
        };
        Self::malformed(&format!("the upstream's answer {what} (line {}, column {})", error.line(), error.column()))
    }

    /// More of an answer came when it had said that it was over.
    pub(crate) fn went_on() -> Self {
        Self::malformed("the upstream's answer went on behind its end")
    }

    /// Of another kind, which is known better where it is read.
    #[must_use]
    pub(crate) fn with_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// In other words; they are cleaned.
    #[must_use]
    pub(crate) fn with_message(mut self, message: &str) -> Self {
        self.message = clean(message, MESSAGE_CHARS);
        self
    }

    /// With the upstream's HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// With the upstream's own code, if it has the form of one.
    #[must_use]
    pub fn with_upstream_code(mut self, code: Option<&str>) -> Self {
        self.upstream_code = code.and_then(token).map(Into::into);
        self
    }

    /// With the field of the request that the upstream names as the one at fault, if it has the form of a field's path.
    #[must_use]
    pub fn with_param(mut self, param: Option<&str>) -> Self {
        self.param = param.and_then(field_path).map(Into::into);
        self
    }

    /// With the id under which the vendor finds the call, if it has the form of one.
    #[must_use]
    pub fn with_correlation_id(mut self, id: Option<&str>) -> Self {
        self.correlation_id = id.and_then(token).map(Into::into);
        self
    }

    /// With the time after which the upstream, or its known windows, would take the request.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// With the tokens of what was answered before it, and is lost.
    #[must_use]
    pub fn with_spent(mut self, usage: Option<Usage>) -> Self {
        self.spent = usage.map(Box::new);
        self
    }

    /// The same, the caller's own key having been used: what the vendor says about it is the caller's affair, and comes
    /// back as it is.
    #[must_use]
    pub fn with_callers_key(mut self) -> Self {
        let said = self.status.filter(|status| ABOUT_THE_KEY.contains(status));
        self.of_callers_key = said.or_else(|| self.kind.status_about_key());
        self
    }

    /// Whether it is about the caller's own key, and so says nothing about the provider.
    pub fn is_of_callers_key(&self) -> bool {
        self.of_callers_key.is_some()
    }

    /// Without the key, should the upstream have repeated it.
    #[must_use]
    pub(crate) fn scrubbed(mut self, key: &ApiKey) -> Self {
        self.message = key.scrub(self.message);
        let scrub = |text: Option<Box<str>>| text.map(|text| key.scrub(text.into()).into());
        self.upstream_code = scrub(self.upstream_code);
        self.param = scrub(self.param);
        self.correlation_id = scrub(self.correlation_id);
        self
    }

    /// The class.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The stable name of the class.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// Whether the same request may be sent to the same provider again, after a wait.
    pub fn retryable(&self) -> bool {
        self.kind.retryable() && !self.is_of_callers_key()
    }

    /// Whether another provider may be asked.
    pub fn fail_over(&self) -> bool {
        self.kind.fail_over() && !self.is_of_callers_key()
    }

    /// Whether the provider's health counts it.
    pub fn counts_against_health(&self) -> bool {
        self.health_effect() != HealthEffect::None
    }

    /// Whether the breaker of the provider's model counts it. What is said of the operator's key does not touch it: a
    /// caller's own key may be a good one, and nobody else is told more by a breaker than by the refusal itself.
    pub fn counts_against_model(&self) -> bool {
        self.health_effect() == HealthEffect::Failure
    }

    /// What it says about the provider's health.
    pub fn health_effect(&self) -> HealthEffect {
        if self.is_of_callers_key() { HealthEffect::None } else { self.kind.health_effect() }
    }

    /// How it is shown to a client.
    pub fn surface_as(&self) -> Surface {
        let surface = self.kind.surface_as();
        Surface { status: self.of_callers_key.unwrap_or(surface.status), ..surface }
    }

    /// What happened, in one line: mostly the vendor's words. Callers are [told](Self::told) less.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same for callers: of the operator's key and account no more than what the matter is.
    pub fn told(&self) -> &str {
        self.of_operators_account().unwrap_or(&self.message)
    }

    /// The [class](Self::brief) for the log, with the vendor's words where they are about the operator's account and not
    /// about a request.
    pub(crate) fn logged(&self) -> String {
        match self.of_operators_account() {
            Some(_) => format!("{}: {}", self.brief(), self.message),
            None => self.brief(),
        }
    }

    fn of_operators_account(&self) -> Option<&'static str> {
        self.kind.about_account().filter(|_| !self.is_of_callers_key())
    }

    /// The class, and the upstream's status and code: what may be kept, and shown to others than the caller, whose text the
    /// vendor's words may repeat.
    pub fn brief(&self) -> String {
        let class = self.code();
        match (self.status, &self.upstream_code) {
            (Some(status), Some(code)) => format!("{class} (status {status}, code {code})"),
            (Some(status), None) => format!("{class} (status {status})"),
            (None, _) => class.to_owned(),
        }
    }

    /// The upstream's HTTP status, where there was an answer.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// The upstream's own code.
    pub fn upstream_code(&self) -> Option<&str> {
        self.upstream_code.as_deref()
    }

    /// The field at fault, such as `messages[0].content`, as the upstream names it: of the request that was sent to it.
    pub fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// The id under which the vendor finds the call in its own logs.
    pub fn correlation_id(&self) -> Option<&str> {
        self.correlation_id.as_deref()
    }

    /// The tokens of what was answered before it, and is lost.
    pub fn spent(&self) -> Option<Usage> {
        self.spent.as_deref().copied()
    }

    /// Whether the upstream was asked at all, and did not merely have the request prepared for it.
    pub fn was_sent(&self) -> bool {
        let is_of_request = matches!(self.kind, ErrorKind::Unsupported | ErrorKind::InvalidRequest);
        !is_of_request || self.status.is_some() || self.spent.is_some()
    }

    /// When to come again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.told())?;
        // Of an answer that finds no room here its status says nothing.
        let told = self.status.filter(|status| self.kind != ErrorKind::NoRoom || !(200..300).contains(status));
        match (told, &self.upstream_code) {
            (Some(status), Some(code)) => write!(formatter, " (upstream {status}, code {code})"),
            (Some(status), None) => write!(formatter, " (upstream {status})"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for ProviderError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_provider_cannot_take_is_asked_of_another() {
        let error = ProviderError::new(ErrorKind::Unsupported, "no such images here");
        assert!(error.fail_over() && !error.retryable() && !error.counts_against_health());
        assert_eq!(error.surface_as(), Surface { status: 400, code: "invalid_request" });
    }

    #[test]
    fn what_is_refused_without_a_word_of_the_upstream_was_not_sent() {
        let before = Usage::default();
        for (kind, status, spent, sent) in [
            (ErrorKind::Unsupported, None, None, false),
            (ErrorKind::InvalidRequest, None, None, false),
            (ErrorKind::InvalidRequest, Some(400), None, true),
            (ErrorKind::InvalidRequest, None, Some(before), true),
            (ErrorKind::ConnectFailed, None, None, true),
            (ErrorKind::Timeout, None, None, true),
        ] {
            let error = ProviderError::new(kind, "no").with_spent(spent);
            let error = status.into_iter().fold(error, ProviderError::with_status);
            assert_eq!(error.was_sent(), sent, "{kind:?} {status:?}");
        }
    }

    #[test]
    fn what_is_said_about_a_callers_key_is_the_callers_alone_whatever_its_status() {
        for (kind, status, shown) in [
            (ErrorKind::Unauthorized, Some(400), Some(401)),
            (ErrorKind::Unauthorized, Some(200), Some(401)),
            (ErrorKind::Unauthorized, None, Some(401)),
            (ErrorKind::Unauthorized, Some(403), Some(403)),
            (ErrorKind::SpendCap, Some(400), Some(402)),
            (ErrorKind::SpendCap, Some(429), Some(429)),
            (ErrorKind::Forbidden, Some(400), Some(403)),
            (ErrorKind::ModelNotAllowed, Some(200), Some(403)),
            (ErrorKind::RateLimited, Some(200), Some(429)),
            (ErrorKind::CapacityExceeded, Some(429), Some(429)),
            (ErrorKind::UpstreamFailed, Some(500), None),
            (ErrorKind::InvalidRequest, Some(400), None),
        ] {
            let error = ProviderError::new(kind, "no");
            let error = status.into_iter().fold(error, ProviderError::with_status).with_callers_key();
            assert_eq!(error.is_of_callers_key(), shown.is_some(), "{kind:?} {status:?}");
            assert_eq!(error.surface_as().status, shown.unwrap_or(kind.surface_as().status), "{kind:?} {status:?}");
            if shown.is_some() {
                assert_eq!(error.health_effect(), HealthEffect::None, "{kind:?} {status:?}");
                assert!(!error.retryable() && !error.fail_over(), "{kind:?} {status:?}");
            }
        }
    }

    #[test]
    fn callers_are_told_nothing_of_the_operators_account() {
        let said = "Incorrect API key provided: sk-proj-****abcd, in organization org-1";
        for kind in ErrorKind::ALL {
            let error = ProviderError::new(*kind, said).with_status(401).with_upstream_code(Some("invalid_api_key"));
            let hidden = kind.about_account().is_some();
            assert_eq!(error.to_string().contains("sk-proj"), !hidden, "{kind:?}");
            assert!(error.to_string().ends_with(" (upstream 401, code invalid_api_key)"), "{error}");
            assert_eq!(error.logged().contains(said), hidden, "{kind:?}");
            let of_callers_key = error.with_callers_key();
            assert!(
                of_callers_key.to_string().starts_with(said) && !of_callers_key.logged().contains(said),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_message_is_one_bounded_line() {
        let error = ProviderError::new(ErrorKind::UpstreamFailed, &format!("a\nb\u{0}{}", "x".repeat(5000)));
        assert!(error.message().starts_with("a b\\u{0}xxx"));
        assert!(error.message().chars().count() < 620);
        let error = error.with_status(502).with_upstream_code(Some("bad\ncode")).with_correlation_id(Some("abc"));
        assert_eq!(error.upstream_code(), None);
        assert!(error.to_string().ends_with("(upstream 502)"));
    }
}
