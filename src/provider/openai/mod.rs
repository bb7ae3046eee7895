//! OpenAI's dialect: the adapter between the canonical chat types and `POST /v1/chat/completions`, as OpenAI, Azure,
//! Ollama and the many servers that answer like them speak it.
//!
//! Owns what a request looks like (`request`) and what a refusal means (`error`); answers are read by the reader that
//! Mistral's are read by. Those are pure; only this file talks to the network, through the provider's HTTP client. It
//! sends a request again only without what it was refused for, never chooses among providers and never looks at what was
//! said.

mod error;
mod model;
mod own_version;
mod parameters;
mod request;
mod texts;

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Url;

use super::answer::chunked::{self, Call, End};
use super::answer::completion::{self, Parsed};
use super::answer::results;
use super::names::{self, Vendor};
use super::price::bill::Bill;
use super::price::{Host, PriceTable, Terms};
use super::upstream::http::{Credential, Upstream};
use super::upstream::resend::{Resend, until_taken};
use super::{ApiKey, BuildError, Catalogue, ErrorKind, Info, Kind, Provider, ProviderError, Settings, Streamed};
use crate::chat::{ChatAnswer, ChatRequest, Task};
use own_version::has_own_version;
use parameters::AZURE_2024_09;
use request::{Bound, Effort, Signatures, StreamUsage, Thinking};

/// AxonFlow's default.
const AZURE_API_VERSION: &str = "2024-08-01-preview";

/// Judges where the caller names no model: the provider's default is one that chats.
const MODERATION: &str = "omni-moderation-latest";

/// What OpenAI says of a restricted key whose scopes do not name the call, such as that for the list of models.
const LACKS_SCOPE: &str = "insufficient permissions for this operation";

/// Hosts, and those below them, that answer a message with `reasoning_content`, or another field that they do not know,
/// with 400.
const STRICT_HOSTS: [&str; 4] = ["api.groq.com", "api.cerebras.ai", "api.openai.com", "mistral.ai"];

/// One account at a vendor, or one server, that speaks OpenAI's dialect.
#[derive(Clone, Debug)]
pub struct OpenAi {
    info: Info,
    catalogue: Catalogue,
    /// The model of OpenAI's that the default one is, where Azure calls it by another name.
    base_model: Option<String>,
    max_tokens: Option<u32>,
    /// Models that take no reasoning back.
    forgetful: Vec<String>,
    upstream: Upstream,
    origin: Url,
    /// What stands between the origin and the name of a call.
    version: Option<&'static str>,
    /// Azure's; the path then names the deployment.
    api_version: Option<String>,
    prices: Arc<PriceTable>,
}

impl OpenAi {
    /// Makes the provider; nothing is sent yet.
    pub fn new(settings: Settings) -> Result<Self, BuildError> {
        let origin = settings.origin()?;
        let kind = settings.entry.kind;
        let credential = match &settings.api_key {
            None if matches!(kind, Kind::Ollama | Kind::OpenAiCompatible) => Credential::default(),
            _ => settings.credential(|key| credential(kind, origin.url(), key))?,
        };
        let wording = if kind == Kind::Ollama { error::OLLAMAS } else { error::WORDING };
        let upstream = Upstream::new(origin.url(), credential, wording, &settings)?;
        let mut info = settings.info(&origin);
        info.region = info.region.or_else(|| regional_host(origin.url()).map(str::to_owned));
        let Settings { entry, prices, .. } = settings;
        let own_version = kind == Kind::OpenAiCompatible && has_own_version(entry.endpoint.url());
        let azure = kind == Kind::AzureOpenAi;
        Ok(Self {
            info,
            catalogue: Catalogue::new(entry.models),
            base_model: entry.base_model,
            max_tokens: entry.max_tokens,
            forgetful: entry.without_reasoning_content,
            upstream,
            origin: origin.url().clone(),
            version: (!own_version).then_some("v1"),
            api_version: azure.then(|| entry.api_version.unwrap_or_else(|| AZURE_API_VERSION.to_owned())),
            prices,
        })
    }

    /// An address under the origin. A name becomes one segment of the path, whatever it holds.
    fn url(&self, steps: &[&str]) -> Url {
        let mut url = self.origin.clone();
        // An http URL always has segments.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(steps);
        }
        if let Some(version) = &self.api_version {
            url.query_pairs_mut().append_pair("api-version", version);
        }
        url
    }

    /// Where a call about a model goes.
    fn call_url(&self, model: &str, call: &[&str]) -> Url {
        match self.api_version {
            Some(_) => self.url(&[&["openai", "deployments", model][..], call].concat()),
            None => self.url(&[self.version.as_slice(), call].concat()),
        }
    }

    fn chat_url(&self, model: &str) -> Url {
        self.call_url(model, &["chat", "completions"])
    }

    fn models_url(&self) -> Url {
        match self.api_version {
            Some(_) => self.url(&["openai", "models"]),
            None => self.url(&[self.version.as_slice(), &["models"]].concat()),
        }
    }

    /// Where OpenAI itself renamed the bound, its models that reason refuse the old name; most others know only that.
    fn bound(&self) -> Bound {
        match (self.info.kind, self.api_version.as_deref()) {
            (Kind::OpenAi, _) => Bound::CompletionTokens,
            (_, Some(version)) if version >= AZURE_2024_09 => Bound::CompletionTokens,
            _ => Bound::Tokens,
        }
    }

    /// Whether it takes fields of messages that OpenAI does not have.
    fn is_lenient(&self) -> bool {
        let is_at = |host: &str, strict: &str| {
            host.strip_suffix(strict).is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        let refuses = self.origin.host_str().is_some_and(|host| STRICT_HOSTS.iter().any(|strict| is_at(host, strict)));
        self.info.kind == Kind::OpenAiCompatible && !refuses
    }

    /// Servers like OpenAI's take reasoning back, but for those that refuse the field.
    fn thinking(&self, model: &str) -> Thinking {
        let listed = self.forgetful.iter().any(|listed| listed == model || listed == "*");
        if self.is_lenient() && !listed { Thinking::Replay } else { Thinking::Drop }
    }

    /// Older versions of Azure's refuse to be asked.
    fn stream_usage(&self) -> StreamUsage {
        match self.api_version.as_deref() {
            Some(version) if version < AZURE_2024_09 => StreamUsage::Unasked,
            _ => StreamUsage::Asked,
        }
    }

    fn options<'a>(&'a self, model: &'a str, stream: Option<StreamUsage>, effort: Effort) -> request::Options<'a> {
        request::Options {
            kind: self.info.kind,
            model,
            known_as: self.base_model.as_deref().filter(|_| model == self.info.model).unwrap_or(model),
            azure_version: self.api_version.as_deref(),
            max_tokens: self.max_tokens,
            bound: self.bound(),
            stream,
            thinking: self.thinking(model),
            signatures: if self.is_lenient() { Signatures::Replay } else { Signatures::Drop },
            effort,
        }
    }

    /// One result for each text.
    async fn about_texts(&self, request: &ChatRequest, model: &str) -> Result<ChatAnswer, ProviderError> {
        let route = if request.task == Task::Embed { "embeddings" } else { "moderations" };
        let url = self.call_url(model, &[route]);
        let prepared = texts::about(request, self.info.kind, self.api_version.is_none().then_some(model))?;
        let reply = self.upstream.post(&url, prepared.body).await?;
        let answer = reply.read(|body| results::parse(body, request, model, request.texts().count()))?;
        Ok(reply.complete(answer, &Bill::new(request, model, &self.prices), Terms::default(), prepared.notes))
    }
}

#[async_trait]
impl Provider for OpenAi {
    fn info(&self) -> &Info {
        &self.info
    }

    fn catalogue(&self) -> Option<&Catalogue> {
        Some(&self.catalogue)
    }

    /// The default model and those that are configured. Where none is: of OpenAI every name that is OpenAI's, of Ollama
    /// the default with or without `:latest`, of both what is on their list and plainly nobody else's. Of the others the
    /// default alone: Azure lists models and not deployments, and some list all that there are.
    fn serves(&self, model: &str) -> bool {
        let default = self.info.model.as_str();
        let latest = |name: &str| name.strip_suffix(":latest").unwrap_or(name).to_owned();
        let lists = |name: &str| names::is_anyones(model) && self.catalogue.lists(name);
        names::listed(model, default, self.catalogue.configured()).unwrap_or_else(|| match self.info.kind {
            Kind::OpenAi => Vendor::OpenAi.serves(model, &self.catalogue),
            Kind::Ollama => latest(model) == latest(default) || lists(model) || lists(&format!("{model}:latest")),
            _ => false,
        })
    }

    /// Vectors are asked of all who speak the dialect, judgements of OpenAI itself.
    fn does(&self, task: Task) -> bool {
        match task {
            Task::Chat | Task::Embed => true,
            Task::Moderate => self.info.kind == Kind::OpenAi,
            Task::FillIn | Task::ModerateChats => false,
        }
    }

    fn default_model(&self, task: Task) -> &str {
        match task {
            Task::Moderate if self.info.kind == Kind::OpenAi => MODERATION,
            _ => &self.info.model,
        }
    }

    async fn chat(&self, request: &ChatRequest) -> Result<ChatAnswer, ProviderError> {
        let model = self.model_of(request);
        if request.task != Task::Chat {
            return self.about_texts(request, model).await;
        }
        let url = self.chat_url(model);
        let prepare = |effort: &Effort| request::prepare(request, self.options(model, None, *effort));
        let send = |body| self.upstream.post(&url, body);
        let (reply, notes) = until_taken(&mut Effort::Sent, request, prepare, send).await?;
        let Parsed { answer, tier } = reply.read(|body| completion::parse(body, model))?;
        let terms = Terms { tier, ..Terms::default() };
        Ok(reply.complete(answer, &Bill::new(request, model, &self.prices), terms, notes))
    }

    async fn stream(&self, request: &ChatRequest) -> Result<Streamed, ProviderError> {
        let model = self.model_of(request);
        let (url, usage) = (self.chat_url(model), Some(self.stream_usage()));
        let prepare = |effort: &Effort| request::prepare(request, self.options(model, usage, *effort));
        let send = |body| self.upstream.stream(&url, body);
        let ((_, body), notes) = until_taken(&mut Effort::Sent, request, prepare, send).await?;
        let call = Call {
            bill: Bill::new(request, model, &self.prices),
            host: Host::Global,
            // OpenAI's own say it, and Azure's; of the servers like them some do not.
            end: match self.info.kind {
                Kind::OpenAi | Kind::AzureOpenAi => End::Said,
                _ => End::Unsaid,
            },
        };
        Ok(chunked::streamed(body, call, notes))
    }

    /// The list of models: free of charge; says that the key is valid and the edge is up, not that a model serves.
    async fn probe(&self) -> Result<(), ProviderError> {
        let probed = self.upstream.probe(&self.models_url(), &self.catalogue).await;
        let has_no_list = |status: u16, error: &ProviderError| {
            self.info.kind == Kind::OpenAi && matches!(status, 401 | 403) && error.message().contains(LACKS_SCOPE)
        };
        probed.map_err(|error| match error.status() {
            Some(status) if has_no_list(status, &error) => {
                ProviderError::new(ErrorKind::EndpointNotFound, error.message()).with_status(status)
            }
            _ => error,
        })
    }

    fn with_key(&self, key: &ApiKey) -> Option<Arc<dyn Provider>> {
        let upstream = self.upstream.opened_by(credential(self.info.kind, &self.origin, key)?);
        Some(Arc::new(Self { upstream, ..self.clone() }))
    }

    fn prices(&self) -> Option<&PriceTable> {
        Some(&self.prices)
    }
}

impl Resend for Effort {
    fn change(&mut self, request: &ChatRequest, refusal: ProviderError) -> Result<(), ProviderError> {
        if *self == Self::Refused || request.reasoning_effort.is_none() || !error::refuses_effort(&refusal) {
            return Err(refusal);
        }
        *self = Self::Refused;
        Ok(())
    }
}

/// What the key is sent in: of Azure's hosts most have a header of their own.
fn credential(kind: Kind, endpoint: &Url, key: &ApiKey) -> Option<Credential> {
    match kind {
        Kind::AzureOpenAi if !takes_bearer(endpoint) => Credential::header("api-key", key),
        _ => Some(Credential::bearer(key)),
    }
}

/// The region in `REGION.api.openai.com`.
fn regional_host(url: &Url) -> Option<&str> {
    let region = url.host_str()?.strip_suffix(".api.openai.com")?;
    (!region.is_empty() && !region.contains('.')).then_some(region)
}

/// Azure's hosts of this family take the key as a bearer token.
fn takes_bearer(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host.ends_with(".cognitiveservices.azure.com"))
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod client_tests;
