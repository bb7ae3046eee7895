//! Mistral: the adapter between the canonical chat types and `api.mistral.ai`.
//!
//! Owns Mistral's dialect: what a request looks like (`request`, `wire`, `order`, `parameters`,
//! `cache_key`) and what a refusal means (`error`, `limits`). All of that is pure; only this file talks to the network,
//! through the provider's HTTP client. It retries nothing but a batch of texts behind others that are answered already, and
//! a request whose schemas have a keyword that the vendor refuses, never chooses among providers and never looks at what was
//! said.

mod batch_room;
mod cache_key;
mod error;
mod limits;
mod order;
mod parameters;
mod repairs;
mod request;
mod texts;
mod wire;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;
use reqwest::header::HeaderMap;

use super::answer::chunked::{self, Call, End};
use super::answer::completion::{self, Parsed};
use super::answer::{results, spent};
use super::names::{self, Vendor};
use super::price::bill::Bill;
use super::price::{Host, PriceTable, Terms, Tier};
use super::upstream::http::{Credential, Prepared, Reply, Upstream};
use super::upstream::resend::{Resend, until_taken};
use super::{ApiKey, BuildError, Catalogue, ErrorKind, Info, Provider, ProviderError, Settings, Streamed};
use crate::chat::{ChatAnswer, ChatRequest, Task, Usage};
use crate::config::CacheKey;
use batch_room::BatchRoom;
use order::AfterTool;

/// How often a batch of texts is asked for again that fails behind others: what those cost would be lost with it.
const BATCH_RETRIES: u32 = 3;

/// The wait before that where the vendor names none, doubled each time.
const BATCH_WAIT: Duration = Duration::from_millis(500);

/// The longest such wait. Before a longer one others decide, who know of other keys and providers and of a deadline.
const LONGEST_BATCH_WAIT: Duration = Duration::from_secs(5);

/// Judges where the caller names no model: the provider's default is one that chats.
const MODERATION: &str = "mistral-moderation-latest";

/// So many keywords of schemas a request is sent without that the vendor refuses one after the other.
const KEYWORDS: usize = 4;

/// One account at one of Mistral's hosts.
#[derive(Clone, Debug)]
pub struct Mistral {
    info: Info,
    catalogue: Catalogue,
    bridged: Vec<String>,
    max_tokens: Option<u32>,
    derives_cache_key: bool,
    /// Whether the key is a caller's own.
    is_callers: bool,
    /// Whether it is Codestral's own host, which chats and fills in with Codestral's models, and has keys of its own.
    is_codestrals: bool,
    upstream: Upstream,
    chat_url: Url,
    fill_in_url: Url,
    embed_url: Url,
    moderate_url: Url,
    moderate_chats_url: Url,
    models_url: Url,
    prices: Arc<PriceTable>,
    host: Host,
}

impl Mistral {
    /// Makes the provider; nothing is sent yet.
    pub fn new(settings: Settings) -> Result<Self, BuildError> {
        let origin = settings.origin()?;
        let mut info = settings.info(&origin);
        let credential = settings.credential(|key| Some(Credential::bearer(key)))?;
        let upstream = Upstream::new(origin.url(), credential, error::WORDING, &settings)?;
        let region = regional_host(origin.url());
        info.region = info.region.or_else(|| region.map(str::to_owned));
        let host = if region.is_some() { Host::Regional } else { Host::Global };
        let Settings { entry, prices, .. } = settings;
        Ok(Self {
            info,
            catalogue: Catalogue::new(entry.models),
            bridged: entry.bridge_user_after_tool,
            max_tokens: entry.max_tokens,
            derives_cache_key: entry.prompt_cache_key == CacheKey::Derived,
            is_callers: false,
            is_codestrals: origin.is_codestrals(),
            upstream,
            chat_url: origin.under("/v1/chat/completions"),
            fill_in_url: origin.under("/v1/fim/completions"),
            embed_url: origin.under("/v1/embeddings"),
            moderate_url: origin.under("/v1/moderations"),
            moderate_chats_url: origin.under("/v1/chat/moderations"),
            models_url: origin.under("/v1/models"),
            prices,
            host,
        })
    }

    /// `without`: keywords of schemas.
    fn prepare(
        &self,
        request: &ChatRequest,
        model: &str,
        without: &[String],
        stream: bool,
    ) -> Result<Prepared, ProviderError> {
        let bridged = self.bridged.iter().any(|listed| listed == model || listed == "*");
        let after_tool = if bridged { AfterTool::Assistant } else { AfterTool::Anything };
        let reasons = self.catalogue.says(model, "reasoning").unwrap_or_else(|| request::reasons(model));
        let options = request::Options {
            model,
            reasons,
            max_tokens: self.max_tokens,
            without,
            after_tool,
            derives_cache_key: self.derives_cache_key,
            stream,
        };
        match request.task {
            Task::FillIn => texts::fill_in(request, options),
            _ => request::prepare(request, options),
        }
    }

    /// Where a request for text goes.
    fn text_url(&self, task: Task) -> &Url {
        if task == Task::FillIn { &self.fill_in_url } else { &self.chat_url }
    }

    /// One result for each text, which are asked for in batches.
    async fn about_texts(&self, request: &ChatRequest, model: &str) -> Result<ChatAnswer, ProviderError> {
        let all: Vec<&str> = request.texts().collect();
        let (mut rest, mut answer) = (all.as_slice(), None::<ChatAnswer>);
        let (mut room, mut failures) = (BatchRoom::of(request.task), 0);
        while !rest.is_empty() {
            let size = room.size(rest);
            let (batch, others) = rest.split_at(size);
            let next = match self.ask_about(request, model, batch).await {
                Err(error) if error.kind() == ErrorKind::BatchTooLarge && size > 1 => {
                    room.refused(batch);
                    continue;
                }
                Err(error) => {
                    let error = texts::placed(error, all.len() - rest.len(), size);
                    let error = if self.is_callers { error.with_callers_key() } else { error };
                    let (Some(answered), Some(wait)) = (answer.as_mut(), batch_wait(&error, failures)) else {
                        let before = answer.and_then(|answered| answered.usage);
                        let spent = before.into_iter().chain(error.spent()).reduce(Usage::plus);
                        return Err(error.with_spent(spent));
                    };
                    answered.notes.push(format!("a batch of texts asked for again after {}", error.code()));
                    self.lose(answered, model, error.spent());
                    failures += 1;
                    tokio::time::sleep(wait).await;
                    continue;
                }
                Ok(next) => next,
            };
            next.usage.into_iter().for_each(spent::add);
            room.taken(batch, next.usage);
            (rest, failures) = (others, 0);
            match &mut answer {
                None => answer = Some(next),
                Some(answer) => results::merge(answer, next),
            }
        }
        answer.ok_or_else(|| ProviderError::new(ErrorKind::InvalidRequest, "there is no text to be looked at"))
    }

    /// Tokens of a batch that is of no use are used, and cost, all the same.
    fn lose(&self, answered: &mut ChatAnswer, model: &str, lost: Option<Usage>) {
        let Some(lost) = lost else { return };
        spent::add(lost);
        answered.usage = answered.usage.map(|before| before.plus(lost));
        answered.cost_usd = answered.cost_usd.zip(self.price(model, &lost)).map(|(before, cost)| before + cost);
    }

    async fn ask_about(&self, request: &ChatRequest, model: &str, texts: &[&str]) -> Result<ChatAnswer, ProviderError> {
        let url = if request.task == Task::Embed { &self.embed_url } else { &self.moderate_url };
        self.results(url, texts::about(request, model, texts)?, request, model, texts.len()).await
    }

    /// One result for each conversation.
    async fn about_chats(&self, request: &ChatRequest, model: &str) -> Result<ChatAnswer, ProviderError> {
        let prepared = texts::about_chats(request, model)?;
        self.results(&self.moderate_chats_url, prepared, request, model, request.lengths.len()).await
    }

    /// Asks for so many results.
    async fn results(
        &self,
        url: &Url,
        Prepared { body, notes }: Prepared,
        request: &ChatRequest,
        model: &str,
        count: usize,
    ) -> Result<ChatAnswer, ProviderError> {
        let reply = self.upstream.post(url, body).await?;
        let answer = reply.read(|body| results::parse(body, request, model, count))?;
        let bill = self.bill(request, model);
        Ok(self.complete(reply, Parsed { answer, tier: Tier::Standard }, &bill, notes))
    }

    fn bill(&self, request: &ChatRequest, model: &str) -> Bill {
        Bill::new(request, model, &self.prices).priced_as(self.priced_as(model).into_owned())
    }

    /// An answer with what is known of its call, and of its model.
    fn complete(&self, reply: Reply, parsed: Parsed, bill: &Bill, notes: Vec<String>) -> ChatAnswer {
        let deprecation = self.deprecation(bill.model(), &reply.headers);
        let terms = Terms { host: self.host, tier: parsed.tier };
        let mut answer = reply.complete(parsed.answer, bill, terms, notes);
        answer.notes.extend(deprecation.as_deref().map(deprecated));
        answer.aside.deprecation = deprecation;
        answer
    }

    /// Mistral says of a model that is about to be retired when that will be (Q28).
    fn deprecation(&self, model: &str, headers: &HeaderMap) -> Option<String> {
        let date = headers
            .get("x-model-deprecation-timestamp")
            .and_then(|date| super::upstream::text::token(date.to_str().ok()?));
        self.catalogue.announce(model, date.as_deref());
        date
    }
}

#[async_trait]
impl Provider for Mistral {
    fn info(&self) -> &Info {
        &self.info
    }

    fn catalogue(&self) -> Option<&Catalogue> {
        Some(&self.catalogue)
    }

    /// Mistral's names are an open set (aliases, dated ids, fine-tuned models, third parties'): the vendor decides about
    /// every name that is not plainly another vendor's.
    fn serves(&self, model: &str) -> bool {
        names::listed(model, &self.info.model, self.catalogue.configured()).unwrap_or_else(|| {
            match self.is_codestrals {
                true => model.starts_with("codestral-"),
                false => Vendor::of(model).is_none(),
            }
        })
    }

    fn assumes(&self, model: &str) -> bool {
        names::listed(model, &self.info.model, self.catalogue.configured()).is_none()
            && !names::is_mistrals(model)
            && !self.catalogue.lists(model)
    }

    fn does(&self, task: Task) -> bool {
        !self.is_codestrals || matches!(task, Task::Chat | Task::FillIn)
    }

    fn default_model(&self, task: Task) -> &str {
        match task {
            Task::Moderate | Task::ModerateChats => MODERATION,
            Task::Chat | Task::FillIn | Task::Embed => &self.info.model,
        }
    }

    async fn chat(&self, request: &ChatRequest) -> Result<ChatAnswer, ProviderError> {
        let model = self.model_of(request);
        match request.task {
            Task::Embed | Task::Moderate => return self.about_texts(request, model).await,
            Task::ModerateChats => return self.about_chats(request, model).await,
            Task::Chat | Task::FillIn => {}
        }
        let mut schemas = Schemas::known(&self.catalogue, request, model);
        let prepare = |schemas: &Schemas| self.prepare(request, model, &schemas.without, false);
        let send = |body| self.upstream.post(self.text_url(request.task), body);
        let (reply, notes) = until_taken(&mut schemas, request, prepare, send).await?;
        schemas.taken(&self.catalogue, model);
        let parsed = reply.read(|body| completion::parse(body, model))?;
        Ok(self.complete(reply, parsed, &self.bill(request, model), notes))
    }

    async fn stream(&self, request: &ChatRequest) -> Result<Streamed, ProviderError> {
        let model = self.model_of(request);
        let mut schemas = Schemas::known(&self.catalogue, request, model);
        let prepare = |schemas: &Schemas| self.prepare(request, model, &schemas.without, true);
        let send = |body| self.upstream.stream(self.text_url(request.task), body);
        let ((headers, body), mut notes) = until_taken(&mut schemas, request, prepare, send).await?;
        schemas.taken(&self.catalogue, model);
        notes.extend(self.deprecation(model, &headers).as_deref().map(deprecated));
        let call = Call { bill: self.bill(request, model), host: self.host, end: End::Said };
        Ok(chunked::streamed(body, call, notes))
    }

    /// `GET /v1/models`: free of charge and without limits; says that the key is valid and the edge is up, not that a
    /// model serves.
    async fn probe(&self) -> Result<(), ProviderError> {
        self.upstream.probe(&self.models_url, &self.catalogue).await
    }

    fn with_key(&self, key: &ApiKey) -> Option<Arc<dyn Provider>> {
        let upstream = self.upstream.opened_by(Credential::bearer(key));
        Some(Arc::new(Self { upstream, ..self.clone() }))
    }

    fn with_callers_key(&self, key: &ApiKey) -> Option<Arc<dyn Provider>> {
        let upstream = self.upstream.opened_by(Credential::bearer(key));
        Some(Arc::new(Self { is_callers: true, upstream, ..self.clone() }))
    }

    fn prices(&self) -> Option<&PriceTable> {
        Some(&self.prices)
    }

    /// Aliases have moved from one price to another, and an answer names the alias that was asked for.
    fn priced_as<'m>(&self, model: &'m str) -> Cow<'m, str> {
        Cow::Owned(self.prices.priced_as(model, self.catalogue.canonical(model)))
    }

    fn price(&self, model: &str, usage: &Usage) -> Option<f64> {
        self.prices.cost(&self.priced_as(model), usage, Terms { host: self.host, ..Terms::default() })
    }
}

/// How long to wait with a batch that failed, behind so many failures before, if it is asked for again at all.
fn batch_wait(error: &ProviderError, failures: u32) -> Option<Duration> {
    let wait = error.retry_after().unwrap_or(BATCH_WAIT * 2_u32.pow(failures));
    (error.retryable() && failures < BATCH_RETRIES && wait <= LONGEST_BATCH_WAIT).then_some(wait)
}

/// The keywords of a request's schemas without which it is sent (Q17).
struct Schemas {
    without: Vec<String>,
    /// How many of them the model was known to refuse.
    known: usize,
}

impl Schemas {
    fn known(catalogue: &Catalogue, request: &ChatRequest, model: &str) -> Self {
        let mut without = catalogue.refused(model);
        without.retain(|keyword| parameters::has_keyword(request, keyword));
        Self { known: without.len(), without }
    }

    /// Remembers what was found. Not before the request was taken: a refusal may repeat what a caller wrote.
    fn taken(self, catalogue: &Catalogue, model: &str) {
        if self.without.len() > self.known {
            catalogue.refuse(model, &self.without);
        }
    }
}

impl Resend for Schemas {
    /// One keyword more, if the refusal is for one. Where that does not help any more, others may take the schema as it is.
    fn change(&mut self, request: &ChatRequest, refusal: ProviderError) -> Result<(), ProviderError> {
        let named = parameters::refused_keyword(request, refusal.message());
        match named.filter(|_| refusal.status().is_some()) {
            None => Err(refusal),
            Some(keyword) if self.without.len() - self.known < KEYWORDS && !self.without.contains(&keyword) => {
                self.without.push(keyword);
                Ok(())
            }
            Some(_) => Err(refusal.with_kind(ErrorKind::Unsupported)),
        }
    }
}

fn deprecated(date: &str) -> String {
    format!("the model is deprecated by its vendor: {date}")
}

/// The region in `api.REGION.mistral.ai`.
fn regional_host(url: &Url) -> Option<&str> {
    let region = url.host_str()?.strip_prefix("api.")?.strip_suffix(".mistral.ai")?;
    (!region.is_empty() && !region.contains('.')).then_some(region)
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod client_tests;
