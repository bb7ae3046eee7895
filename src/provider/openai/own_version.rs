//! Endpoints that have a version of their own.

use reqwest::Url;

/// Whether calls stand right under this address, without `/v1`: it ends in another version, or in one and `openai`, or
/// begins with one. In between a version is that of something else.
pub(super) fn has_own_version(url: &Url) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
