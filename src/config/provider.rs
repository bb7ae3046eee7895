//! `llm_providers.NAME`: one upstream.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;
use super::scalar::{FromText, Identifier};
use super::secret::Secret;

/// A provider that is started: enabled, of a kind that this version speaks, and with a key.
#[derive(Clone, Debug, Serialize)]
pub struct Provider {
    /// Its name in requests, records and metrics.
    pub name: ProviderName,
    /// Whose API it speaks.
    pub kind: ProviderKind,
    /// Its name for people.
    pub display_name: String,
    /// Where it runs, for policies that constrain routing by region.
    pub region: Option<String>,
    /// Sent to the endpoint, and nowhere else. None where the upstream wants none.
    #[serde(skip)]
    pub api_key: Option<Secret>,
    /// Further keys of the account: when one is over its limit or refused, the next is used.
    #[serde(skip)]
    pub further_keys: Vec<Secret>,
    /// The model for requests that name none. Azure's deployment.
    pub model: String,
    /// The model of OpenAI's that it is, where the file says both. Azure's alone.
    pub base_model: Option<String>,
    /// The models that may be asked beside it, `*` for all; empty: those of its kind.
    pub models: Vec<String>,
    /// Models that take no user's message right behind a tool's answer, `*` for all. Mistral's alone.
    pub bridge_user_after_tool: Vec<String>,
    /// Where the key of its prompt cache is from. Mistral's alone.
    pub prompt_cache_key: CacheKey,
    /// Models that refuse `reasoning_content` in a history, `*` for all. Of servers like OpenAI's alone.
    pub without_reasoning_content: Vec<String>,
    /// The version of Azure's API.
    pub api_version: Option<String>,
    /// What it calls the models that requests name. A name that stands here is served under its mapped one.
    pub model_map: BTreeMap<String, String>,
    /// Its base URL.
    pub endpoint: Endpoint,
    /// Whether it is spoken to in HTTP/2.
    pub http2: bool,
    /// The bound on an answer's tokens for requests that give none; none is sent when absent.
    pub max_tokens: Option<u32>,
    /// Time that a whole call may take.
    pub timeout: Duration,
    /// Higher is preferred.
    pub priority: i32,
    /// Its part of the traffic under `weighted`, 0 to 1.
    pub weight: f64,
}

#[cfg(test)]
impl Provider {
    /// One of this kind there, named as its kind, with this default model, no key, and otherwise every default.
    pub(crate) fn new(kind: ProviderKind, endpoint: &str, model: &str) -> Self {
        Self {
            name: ProviderName(kind.as_str().to_owned()),
            kind,
            display_name: kind.as_str().to_owned(),
            region: None,
            api_key: None,
            further_keys: Vec::new(),
            model: model.to_owned(),
            base_model: None,
            models: Vec::new(),
            bridge_user_after_tool: Vec::new(),
            prompt_cache_key: CacheKey::default(),
            without_reasoning_content: Vec::new(),
            api_version: None,
            model_map: BTreeMap::new(),
            endpoint: Endpoint::parse(endpoint).unwrap(),
            http2: false,
            max_tokens: None,
            timeout: DEFAULT_TIMEOUT,
            priority: DEFAULT_PRIORITY,
            weight: 1.0,
        }
    }
}

/// Time that a whole call may take when nothing says otherwise.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

/// AxonFlow's.
pub(super) const DEFAULT_PRIORITY: i32 = 5;

/// A provider's name: letters, digits, `.`, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ProviderName(String);

impl ProviderName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromText for ProviderName {
    fn allowed() -> String {
        Identifier::allowed()
    }

    fn from_text(text: &str) -> Option<Self> {
        Identifier::from_text(text).map(|Identifier(name)| Self(name))
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Borrow<str> for ProviderName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Whose API a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// `api.mistral.ai`, its regional hosts, and what answers like them.
    Mistral,
    /// `api.openai.com`.
    #[serde(rename = "openai")]
    OpenAi,
    /// OpenAI's models on Azure, by deployment.
    #[serde(rename = "azure-openai")]
    AzureOpenAi,
    /// `api.anthropic.com`.
    Anthropic,
    /// Google's `generativelanguage.googleapis.com`.
    Gemini,
    /// A machine's own models.
    Ollama,
    /// What answers like OpenAI: vLLM, Groq and so on.
    #[serde(rename = "openai-compatible")]
    OpenAiCompatible,
}

/// Where the key is from by which a vendor finds a prompt in its cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheKey {
    /// From the caller, if there is one.
    #[default]
    Caller,
    /// Where the caller has none, from the tenant and the beginning of the conversation.
    Derived,
}

/// What the environment and the defaults say about providers of one kind. A variable that is `None` does not exist.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variables {
    /// A provider of this kind is added when all of these are set; none ever is when there are none.
    pub(super) enabled_by: &'static [&'static str],
    pub(super) api_key: Option<&'static str>,
    pub(super) key: Key,
    pub(super) model: Option<&'static str>,
    pub(super) default_model: Option<&'static str>,
    pub(super) endpoint: Option<&'static str>,
    pub(super) default_endpoint: Option<&'static str>,
    pub(super) timeout_seconds: Option<&'static str>,
    pub(super) default_timeout: Duration,
    pub(super) api_version: Option<&'static str>,
}

/// Whether an upstream wants a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Without one the provider is left out.
    Needed,
    /// It is sent if there is one.
    Optional,
}

impl ProviderKind {
    /// Every kind that this version speaks.
    pub const ALL: [Self; 7] = [
        Self::Mistral,
        Self::OpenAi,
        Self::AzureOpenAi,
        Self::Anthropic,
        Self::Gemini,
        Self::Ollama,
        Self::OpenAiCompatible,
    ];

    /// The name in configuration, API answers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mistral => "mistral",
            Self::OpenAi => "openai",
            Self::AzureOpenAi => "azure-openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
            Self::OpenAiCompatible => "openai-compatible",
        }
    }

    /// The kind written as `text`.
    pub(super) fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Its variables and defaults.
    pub(super) fn variables(self) -> Variables {
        match self {
            Self::Mistral => Variables {
                enabled_by: &["MISTRAL_API_KEY"],
                api_key: Some("MISTRAL_API_KEY"),
                key: Key::Needed,
                model: Some("MISTRAL_MODEL"),
                default_model: Some("mistral-small-latest"),
                endpoint: Some("MISTRAL_ENDPOINT"),
                default_endpoint: Some("https://api.mistral.ai"),
                timeout_seconds: Some("MISTRAL_TIMEOUT_SECONDS"),
                default_timeout: DEFAULT_TIMEOUT,
                api_version: None,
            },
            Self::OpenAi => Variables {
                enabled_by: &["OPENAI_API_KEY"],
                api_key: Some("OPENAI_API_KEY"),
                key: Key::Needed,
                model: Some("OPENAI_MODEL"),
                default_model: Some("gpt-4o"),
                endpoint: Some("OPENAI_ENDPOINT"),
                default_endpoint: Some("https://api.openai.com"),
                timeout_seconds: Some("OPENAI_TIMEOUT_SECONDS"),
                default_timeout: DEFAULT_TIMEOUT,
                api_version: None,
            },
            Self::AzureOpenAi => Variables {
                enabled_by: &["AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_DEPLOYMENT_NAME"],
                api_key: Some("AZURE_OPENAI_API_KEY"),
                key: Key::Needed,
                model: Some("AZURE_OPENAI_DEPLOYMENT_NAME"),
                default_model: None,
                endpoint: Some("AZURE_OPENAI_ENDPOINT"),
                default_endpoint: None,
                timeout_seconds: None,
                default_timeout: DEFAULT_TIMEOUT,
                api_version: Some("AZURE_OPENAI_API_VERSION"),
            },
            Self::Ollama => Variables {
                enabled_by: &["OLLAMA_ENDPOINT"],
                api_key: None,
                key: Key::Optional,
                model: Some("OLLAMA_MODEL"),
                default_model: Some("llama3.1:latest"),
                endpoint: Some("OLLAMA_ENDPOINT"),
                default_endpoint: Some("http://localhost:11434"),
                timeout_seconds: Some("OLLAMA_TIMEOUT_SECONDS"),
                // A machine's own models may have to be loaded first.
                default_timeout: Duration::from_secs(300),
                api_version: None,
            },
            Self::OpenAiCompatible => Variables {
                enabled_by: &[],
                api_key: None,
                key: Key::Optional,
                model: None,
                default_model: None,
                endpoint: None,
                default_endpoint: None,
                timeout_seconds: None,
                default_timeout: DEFAULT_TIMEOUT,
                api_version: None,
            },
            Self::Anthropic => Variables {
                enabled_by: &["ANTHROPIC_API_KEY"],
                api_key: Some("ANTHROPIC_API_KEY"),
                key: Key::Needed,
                model: Some("ANTHROPIC_MODEL"),
                // AxonFlow's are retired; this is what their vendor names as replacement.
                default_model: Some("claude-sonnet-4-6"),
                endpoint: Some("ANTHROPIC_ENDPOINT"),
                default_endpoint: Some("https://api.anthropic.com"),
                timeout_seconds: Some("ANTHROPIC_TIMEOUT_SECONDS"),
                default_timeout: DEFAULT_TIMEOUT,
                api_version: None,
            },
            Self::Gemini => Variables {
                enabled_by: &["GOOGLE_API_KEY"],
                api_key: Some("GOOGLE_API_KEY"),
                key: Key::Needed,
                model: Some("GOOGLE_MODEL"),
                // AxonFlow's is shut down; this is at the end of the chain of replacements that its vendor names.
                default_model: Some("gemini-3.5-flash-lite"),
                endpoint: Some("GOOGLE_ENDPOINT"),
                default_endpoint: Some("https://generativelanguage.googleapis.com"),
                timeout_seconds: Some("GOOGLE_TIMEOUT_SECONDS"),
                default_timeout: DEFAULT_TIMEOUT,
                api_version: None,
            },
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
