//! A provider's base URL.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;
use serde::{Serialize, Serializer};

use super::scalar::FromText;

/// An `http` or `https` URL without credentials, query and fragment, and without a slash at its end. The API's own path
/// (`/v1/...`) is appended to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Url);

impl Endpoint {
    /// The URL, if `text` is one. That of a single call is none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        // What the URL's own parser would mend without a word.
        let clean = text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains(['@', '?', '#', '\\']);
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        let endpoint = Self(url).without("");
        let is_call = |call: &&str| endpoint.0.path().ends_with(call);
        let origin = clean && text.contains("://") && !CALLS.iter().any(is_call);
        origin.then_some(endpoint)
    }

    /// The same without this at the end of its path, if it is there.
    pub(crate) fn without(&self, end: &str) -> Self {
        let path = self.0.path().trim_end_matches('/');
        let mut url = self.0.clone();
        url.set_path(path.strip_suffix(end).unwrap_or(path).trim_end_matches('/'));
        Self(url)
    }

    /// What has this path under it, which begins with a slash.
    pub(crate) fn under(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", self.0.path().trim_end_matches('/')));
        url
    }

    /// As a URL, which has a slash at its end where it has no path.
    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// Whether what is sent there leaves this machine unencrypted.
    pub(crate) fn is_in_clear(&self) -> bool {
        self.0.scheme() == "http" && !self.is_local()
    }

    /// Whether it is the host of Mistral's that has Codestral alone.
    pub(crate) fn is_codestrals(&self) -> bool {
        self.0.host_str() == Some("codestral.mistral.ai")
    }

    /// Whether its path leads to one of Azure's deployments.
    pub(super) fn is_of_a_deployment(&self) -> bool {
        self.0.path().split('/').any(|step| step == "deployments")
    }

    /// Whether it is this machine.
    pub(super) fn is_local(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

const CALLS: [&str; 4] = ["/completions", "/models", "/embeddings", "/messages"];

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl FromText for Endpoint {
    fn allowed() -> String {
        "an http or https URL without a call's path, credentials, query and fragment, such as \
         \"https://api.mistral.ai\""
            .into()
    }

    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_taken_as_people_write_it() {
        for (text, plain, without_version) in [
            ("https://api.mistral.ai", "https://api.mistral.ai", "https://api.mistral.ai"),
            (" https://API.mistral.ai/v1/ ", "https://api.mistral.ai/v1", "https://api.mistral.ai"),
            ("HTTPS://host:8443/base//", "https://host:8443/base", "https://host:8443/base"),
            ("https://proxy.example/mistral/v1", "https://proxy.example/mistral/v1", "https://proxy.example/mistral"),
            ("http://v1", "http://v1", "http://v1"),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!((endpoint.as_str(), endpoint.without("/v1").as_str()), (plain, without_version), "{text}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "",
            "api.mistral.ai",
            "https:api.mistral.ai",
            "ftp://api.mistral.ai",
            "https://key@api.mistral.ai",
            "https://api.mistral.ai?key=1",
            "https://api.mistral.ai/#key",
            "https://api.mistral.ai\\v1",
            "https://api.mistral.ai/a b",
            "https://api.mistral.ai/v1/chat/completions",
        ] {
            assert_eq!(Endpoint::parse(text), None, "{text}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback() {
        for (url, in_clear) in [
            ("https://api.mistral.ai", false),
            ("http://127.0.0.1:9", false),
            ("http://[::1]:9", false),
            ("http://LOCALHOST:9", false),
            ("http://api.mistral.ai", true),
            ("http://10.0.0.1", true),
        ] {
            assert_eq!(Endpoint::parse(url).unwrap().is_in_clear(), in_clear, "{url}");
        }
    }
}
