//! The address of an upstream, as operators write it.

use std::net::IpAddr;

use reqwest::Url;

/// A base address that can be called.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Without a slash at the end and without `/v1`.
    pub(crate) origin: String,
    pub(crate) url: Url,
}

/// Why an address is none. Does not repeat it: it may hold credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error("is not a URL; write it like `https://api.mistral.ai`")]
    Url,
    #[error("must begin with `https://` or `http://`")]
    Scheme,
    #[error("holds a user or a password; put the key into `credentials.api_key`")]
    Credentials,
    #[error("holds a query or a fragment; write the origin alone, like `https://api.mistral.ai`")]
    Query,
    #[error("is the address of one call; write the origin alone, like `https://api.mistral.ai`")]
    Call,
}

/// Takes an origin with or without a path before, and with or without, `/v1`.
pub(crate) fn parse(text: &str) -> Result<Endpoint, EndpointError> {
    let url = Url::parse(text.trim()).map_err(|_| EndpointError::Url)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(EndpointError::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(EndpointError::Credentials);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(EndpointError::Query);
    }
    let origin = url.as_str().trim_end_matches('/');
    if ["/completions", "/models", "/embeddings", "/messages"].iter().any(|call| origin.ends_with(call)) {
        return Err(EndpointError::Call);
    }
    let origin = origin.strip_suffix("/v1").unwrap_or(origin).trim_end_matches('/').to_owned();
    Ok(Endpoint { origin, url })
}

/// Whether calls stand right under this address, without `/v1`: it ends in another version, or in one and `openai`, or
/// begins with one. In between a version is that of something else.
pub(crate) fn has_own_version(url: &Url) -> bool {
    let is_version = |step: &str| {
        let digits = step.strip_prefix('v').unwrap_or_default();
        digits.starts_with(|first: char| first.is_ascii_digit()) && digits.bytes().all(|it| it.is_ascii_alphanumeric())
    };
    let steps: Vec<&str> = url.path_segments().into_iter().flatten().filter(|step| !step.is_empty()).collect();
    match steps.as_slice() {
        [] | [.., "v1"] => false,
        [.., "inference"] if url.host_str() == Some("models.github.ai") => true,
        // Of gateways, whose customers stand behind their version.
        [first, ..] if first.starts_with("v1") && is_version(first) => true,
        [.., version, "openai" | "openapi"] | [.., version] => is_version(version),
    }
}

/// A key would travel in the clear.
pub(crate) fn is_exposed(url: &Url) -> bool {
    let loopback = url.host_str().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    });
    url.scheme() == "http" && !loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_taken_with_and_without_version() {
        for (text, origin) in [
            ("https://api.mistral.ai", "https://api.mistral.ai"),
            (" https://api.mistral.ai/ ", "https://api.mistral.ai"),
            ("https://api.mistral.ai/v1", "https://api.mistral.ai"),
            ("https://API.mistral.ai/v1/", "https://api.mistral.ai"),
            ("http://127.0.0.1:9001", "http://127.0.0.1:9001"),
            ("https://proxy.example/mistral/v1", "https://proxy.example/mistral"),
        ] {
            assert_eq!(parse(text).unwrap().origin, origin, "{text}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for (text, error) in [
            ("", EndpointError::Url),
            ("api.mistral.ai", EndpointError::Url),
            ("ftp://api.mistral.ai", EndpointError::Scheme),
            ("https://key@api.mistral.ai", EndpointError::Credentials),
            ("https://:key@api.mistral.ai", EndpointError::Credentials),
            ("https://api.mistral.ai?key=1", EndpointError::Query),
            ("https://api.mistral.ai/v1/chat/completions", EndpointError::Call),
        ] {
            assert_eq!(parse(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn an_address_may_have_a_version_of_its_own() {
        for (url, own) in [
            ("https://api.deepseek.com", false),
            ("https://api.groq.com/openai/v1", false),
            ("https://api.groq.com/openai", false),
            ("https://api.fireworks.ai/inference", false),
            ("https://mine.openai.azure.com/openai", false),
            ("https://api.cloudflare.com/client/v4/accounts/a/ai", false),
            ("https://proxy.example/api/v2/llm-proxy", false),
            ("https://api.cloudflare.com/client/v4/accounts/a/ai/v1/", false),
            ("https://proxy.example/vllm", false),
            ("https://open.bigmodel.cn/api/paas/v4", true),
            ("https://ark.cn-beijing.volces.com/api/v3/", true),
            ("https://generativelanguage.googleapis.com/v1beta/openai", true),
            ("https://api.deepinfra.com/v1/openai", true),
            ("https://region-aiplatform.googleapis.com/v1/projects/p/locations/l/endpoints/openapi", true),
            ("https://proxy.example/google/v1beta/openapi", true),
            ("https://gateway.ai.cloudflare.com/v1/account/gateway/compat", true),
            ("https://models.github.ai/inference", true),
        ] {
            assert_eq!(has_own_version(&Url::parse(url).unwrap()), own, "{url}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback() {
        for (url, exposed) in [
            ("https://api.mistral.ai", false),
            ("http://127.0.0.1:9", false),
            ("http://[::1]:9", false),
            ("http://localhost:9", false),
            ("http://api.mistral.ai", true),
            ("http://10.0.0.1", true),
        ] {
            assert_eq!(is_exposed(&Url::parse(url).unwrap()), exposed, "{url}");
        }
    }
}
