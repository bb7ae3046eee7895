//! What an upstream says that is no answer, classed, and all that it says beside its answers: never with the key that it
//! was called with, which some repeat.

use jiff::Timestamp;
use reqwest::header::HeaderMap;

use crate::provider::ProviderError;
use crate::provider::answer::chunk;
use crate::provider::key::ApiKey;
use crate::provider::upstream::text;

/// How a vendor words what is no answer.
#[derive(Clone, Copy)]
pub(crate) struct Wording {
    /// Classes an answer whose status is not 200 and that came at that time.
    pub(crate) classify: fn(u16, &HeaderMap, &[u8], Timestamp) -> ProviderError,
    /// The status that an error would have had that was said under 200.
    pub(crate) status: fn(&[u8]) -> u16,
    /// Where the id is found under which the vendor finds a call, the best first.
    pub(crate) correlation_headers: &'static [&'static str],
}

impl Wording {
    /// An answer whose status is not 200 and that came at `now`, classed, with the id of its call.
    pub(crate) fn refusal(&self, status: u16, headers: &HeaderMap, body: &[u8], now: Timestamp) -> ProviderError {
        let error = (self.classify)(status, headers, body, now);
        match self.correlation_id(headers) {
            Some(id) => error.with_correlation_id(Some(id)),
            None => error,
        }
    }

    fn correlation_id<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        self.correlation_headers.iter().find_map(|name| headers.get(*name)?.to_str().ok())
    }
}

/// Reads the refusals of an upstream that is called with one key.
#[derive(Clone)]
pub(crate) struct Refusals {
    pub(crate) wording: Wording,
    pub(crate) key: Option<ApiKey>,
}

impl Refusals {
    /// An answer whose status is not 200.
    pub(crate) fn refusal(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> ProviderError {
        // Before its message is cut to a length: half a key is not recognised.
        let body = self.scrub(String::from_utf8_lossy(body).into_owned());
        self.scrubbed(self.wording.refusal(status, headers, body.as_bytes(), Timestamp::now()))
    }

    /// An error in place of an event of a stream.
    pub(crate) fn in_stream(&self, data: &[u8]) -> ProviderError {
        self.refusal((self.wording.status)(data), &HeaderMap::new(), data)
    }

    /// Why an answer of status 200 is none. Some say of a failure behind them in its body alone; else it is this error.
    pub(crate) fn no_answer(&self, error: ProviderError, headers: &HeaderMap, body: &[u8]) -> ProviderError {
        if chunk::says_error(body) {
            return self.refusal((self.wording.status)(body), headers, body);
        }
        self.scrubbed(error.with_status(200).with_correlation_id(self.wording.correlation_id(headers)))
    }

    /// An error on its way out.
    pub(crate) fn scrubbed(&self, error: ProviderError) -> ProviderError {
        match &self.key {
            Some(key) => error.scrubbed(key),
            None => error,
        }
    }

    /// The id under which the vendor finds a call, if it has the form of one.
    pub(crate) fn correlation_id(&self, headers: &HeaderMap) -> Option<String> {
        self.wording.correlation_id(headers).and_then(text::token).map(|id| self.scrub(id))
    }

    fn scrub(&self, text: String) -> String {
        match &self.key {
            Some(key) => key.scrub(text),
            None => text,
        }
    }
}

#[cfg(test)]
impl Wording {
    /// Of a vendor that says nothing of its own.
    pub(crate) fn plain() -> Self {
        Self {
            classify: |status, _, body, _| {
                ProviderError::new(crate::provider::ErrorKind::of_status(status), &String::from_utf8_lossy(body))
                    .with_status(status)
            },
            status: crate::provider::upstream::said::status,
            correlation_headers: &["cf-ray"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::ErrorKind;

    const KEY: &str = "sk-very-secret";

    fn refusals() -> Refusals {
        Refusals { wording: Wording::plain(), key: Some(ApiKey::new(KEY).unwrap()) }
    }

    #[test]
    fn nothing_that_is_no_answer_repeats_the_key() {
        let headers: HeaderMap = HeaderMap::from_iter([("cf-ray".parse().unwrap(), KEY.parse().unwrap())]);
        let own =
            || ProviderError::malformed(&format!("not {KEY}")).with_upstream_code(Some(KEY)).with_param(Some(KEY));
        let cut = format!("{}{KEY}", ".".repeat(595));
        for (error, kind, message) in [
            (refusals().refusal(401, &headers, KEY.as_bytes()), ErrorKind::Unauthorized, Some("[secret]")),
            (refusals().refusal(401, &headers, cut.as_bytes()), ErrorKind::Unauthorized, None),
            (refusals().in_stream(KEY.as_bytes()), ErrorKind::UpstreamFailed, Some("[secret]")),
            (refusals().scrubbed(own()), ErrorKind::MalformedAnswer, Some("not [secret]")),
            (refusals().no_answer(own(), &headers, b"{"), ErrorKind::MalformedAnswer, Some("not [secret]")),
        ] {
            assert_eq!(error.kind(), kind, "{error:?}");
            assert!(message.is_none_or(|message| error.message() == message), "{error:?}");
            assert!(!format!("{error:?}").contains("sk-"), "no part of it either: {error:?}");
        }
        assert_eq!(refusals().correlation_id(&headers).as_deref(), Some("[secret]"));
        let unreadable = refusals().no_answer(own(), &headers, b"{");
        assert_eq!((unreadable.status(), unreadable.correlation_id()), (Some(200), Some("[secret]")));
    }

    #[test]
    fn an_error_under_status_200_has_the_class_that_it_tells() {
        let own = || ProviderError::new(ErrorKind::MalformedAnswer, "no choices");
        let said = br#"{"error":{"message":"gone","code":503}}"#;
        let told = refusals().no_answer(own(), &HeaderMap::new(), said);
        assert_eq!((told.kind(), told.status()), (ErrorKind::UpstreamUnavailable, Some(503)));
        let untold = refusals().no_answer(own(), &HeaderMap::new(), br#"{"choices":[]}"#);
        assert_eq!((untold.kind(), untold.status()), (ErrorKind::MalformedAnswer, Some(200)));
    }
}
