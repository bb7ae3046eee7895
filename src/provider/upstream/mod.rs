//! The way to an upstream and back: the HTTP client of one provider, what it refuses with, and what is sent again.

#[cfg(test)]
pub(crate) mod canned;
pub(crate) mod http;
pub(crate) mod refusals;
pub(crate) mod resend;
pub(crate) mod said;
pub(crate) mod sse;
pub(crate) mod text;
pub(crate) mod wait;
