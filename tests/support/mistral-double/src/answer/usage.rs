//! `usage`, in the forms Mistral has written it.

use std::borrow::Cow;

use serde::Serialize;

use crate::behaviour::UsageForm;

#[derive(Debug, Serialize)]
pub(crate) struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<Cached>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_token_details: Option<Cached>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_cached_tokens: Option<u64>,
    service_tier: Cow<'static, str>,
}

#[derive(Debug, Serialize)]
struct Cached {
    cached_tokens: u64,
}

impl Usage {
    pub(crate) fn new(
        form: UsageForm,
        prompt_tokens: u64,
        completion_tokens: u64,
        cached_tokens: u64,
        service_tier: Cow<'static, str>,
    ) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
            prompt_tokens_details: (form == UsageForm::PromptTokensDetails).then_some(Cached { cached_tokens }),
            prompt_token_details: (form == UsageForm::PromptTokenDetails).then_some(Cached { cached_tokens }),
            num_cached_tokens: (form == UsageForm::NumCachedTokens).then_some(cached_tokens),
            service_tier,
        }
    }
}
