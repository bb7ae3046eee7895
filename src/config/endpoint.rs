//! A provider's base URL.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::Serialize;

use super::scalar::FromText;

/// An `http` or `https` URL without credentials, query and fragment, and without a slash at its end. The API's own path
/// (`/v1/...`) is appended to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint(String);

impl Endpoint {
    /// The URL, if `text` is one.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let clean = rest.bytes().all(|byte| byte.is_ascii_graphic()) && !rest.contains(['@', '?', '#', '\\']);
        if !matches!(scheme.as_str(), "http" | "https") || !clean {
            return None;
        }
        let rest = rest.trim_end_matches('/');
        is_authority(rest.split('/').next()?).then(|| Self(format!("{scheme}://{rest}")))
    }

    /// The same with `/v1` behind it.
    pub(super) fn with_version(&self) -> Self {
        Self(format!("{}/v1", self.0))
    }

    /// The same without this at its end, if it is there.
    pub(super) fn without(&self, end: &str) -> Option<Self> {
        Self::parse(self.0.strip_suffix(end)?)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether what is sent there leaves this machine unencrypted.
    pub(super) fn is_in_clear(&self) -> bool {
        self.0.starts_with("http://") && !self.is_local()
    }

    /// Whether it is this machine.
    pub(super) fn is_local(&self) -> bool {
        let Some((_, rest)) = self.0.split_once("://") else { return false };
        let authority = rest.split('/').next().unwrap_or_default();
        let host = match authority.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
            Some((address, _)) => address,
            None => authority.split(':').next().unwrap_or_default(),
        };
        host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()) || host.eq_ignore_ascii_case("localhost")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// `HOST` or `HOST:PORT`.
pub(super) fn is_authority(text: &str) -> bool {
    if let Some((address, port)) = text.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
        return address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let in_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !host.is_empty() && host.bytes().all(in_host) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// An endpoint as people write it: the `/v1` that other software wants is dropped.
#[derive(Clone, Debug)]
pub(super) struct WrittenEndpoint {
    pub(super) endpoint: Endpoint,
    /// Whether a `/v1` was dropped.
    pub(super) had_version: bool,
}

impl FromText for WrittenEndpoint {
    fn allowed() -> String {
        "an http or https URL without credentials, query and fragment, such as \"https://api.mistral.ai\"".into()
    }

    fn from_text(text: &str) -> Option<Self> {
        let Endpoint(url) = Endpoint::parse(text)?;
        let (url, had_version) = match url.strip_suffix("/v1") {
            Some(base) => (base.trim_end_matches('/').to_owned(), true),
            None => (url, false),
        };
        Endpoint::parse(&url).map(|endpoint| Self { endpoint, had_version })
    }
}
