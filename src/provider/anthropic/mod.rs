//! Anthropic: the adapter between the canonical chat types and `POST /v1/messages`.
//!
//! Owns Anthropic's dialect: what a request looks like (`request`, `messages`, `parameters`, `thinking`), to which schemas a
//! model is held (`held`, `schema`, `weight`), what each generation of models takes (`model`), and what an answer (`answer`,
//! `stream`, `usage`) and a refusal (`error`) mean. All of that is pure; only this file talks to the network, through the
//! provider's HTTP client. It retries nothing but a request that is refused for what it can be sent without (`without`),
//! never chooses among providers and never looks at what was said.

mod answer;
mod error;
mod held;
mod messages;
mod model;
mod parameters;
mod request;
mod schema;
mod stream;
mod thinking;
mod usage;
mod weight;
mod without;

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Url;

use super::answer::dialect;
use super::names::{self, Vendor};
use super::price::PriceTable;
use super::price::bill::Bill;
use super::upstream::http::{Credential, Upstream};
use super::upstream::resend::until_taken;
use super::{ApiKey, BuildError, Catalogue, Info, Provider, ProviderError, Settings, Streamed};
use crate::chat::{ChatAnswer, ChatRequest};
use answer::Parsed;
use request::Options;
use stream::Reading;
use without::Without;

/// The version of the API that this adapter speaks. Later ones refuse fields that this one takes.
const API_VERSION: &str = "2023-06-01";

/// One account at Anthropic.
#[derive(Clone, Debug)]
pub struct Anthropic {
    info: Info,
    catalogue: Catalogue,
    max_tokens: Option<u32>,
    upstream: Upstream,
    messages_url: Url,
    models_url: Url,
    prices: Arc<PriceTable>,
}

impl Anthropic {
    /// Makes the provider; nothing is sent yet.
    pub fn new(settings: Settings) -> Result<Self, BuildError> {
        let origin = settings.origin()?;
        let info = settings.info(&origin);
        let mut models_url = origin.under("/v1/models");
        // One page of as many models as there can be in one; unasked there would be 20.
        models_url.set_query(Some("limit=1000"));
        let upstream = Upstream::new(origin.url(), settings.credential(credential)?, error::WORDING, &settings)?;
        let Settings { entry, prices, .. } = settings;
        Ok(Self {
            info,
            catalogue: Catalogue::new(entry.models),
            max_tokens: entry.max_tokens,
            upstream,
            messages_url: origin.under("/v1/messages"),
            models_url,
            prices,
        })
    }
}

fn credential(key: &ApiKey) -> Option<Credential> {
    Some(Credential::header("x-api-key", key)?.and("anthropic-version", API_VERSION))
}

#[async_trait]
impl Provider for Anthropic {
    fn info(&self) -> &Info {
        &self.info
    }

    fn catalogue(&self) -> Option<&Catalogue> {
        Some(&self.catalogue)
    }

    /// The default model, those that are configured and, where none is, every name that is Anthropic's, and those on its list
    /// that are plainly nobody else's.
    fn serves(&self, model: &str) -> bool {
        names::listed(model, &self.info.model, self.catalogue.configured())
            .unwrap_or_else(|| Vendor::Anthropic.serves(model, &self.catalogue))
    }

    async fn chat(&self, request: &ChatRequest) -> Result<ChatAnswer, ProviderError> {
        let model = self.model_of(request);
        let options = Options { model, max_tokens: self.max_tokens, without: Without::default(), stream: false };
        let prepare = |without: &Without| request::prepare(request, Options { without: *without, ..options });
        let send = |body| self.upstream.post(&self.messages_url, body);
        let (reply, notes) = until_taken(&mut Without::default(), request, prepare, send).await?;
        let Parsed { answer, terms } = reply.read(|body| answer::parse(body, model))?;
        Ok(reply.complete(answer, &Bill::new(request, model, &self.prices), terms, notes))
    }

    async fn stream(&self, request: &ChatRequest) -> Result<Streamed, ProviderError> {
        let model = self.model_of(request);
        let options = Options { model, max_tokens: self.max_tokens, without: Without::default(), stream: true };
        let prepare = |without: &Without| request::prepare(request, Options { without: *without, ..options });
        let send = |body| self.upstream.stream(&self.messages_url, body);
        let ((_, body), notes) = until_taken(&mut Without::default(), request, prepare, send).await?;
        let reading = Reading::new(Bill::new(request, model, &self.prices));
        Ok(dialect::streamed(body, reading, notes))
    }

    /// The list of models: free of charge; says that the key is valid and the edge is up, not that a model serves.
    async fn probe(&self) -> Result<(), ProviderError> {
        self.upstream.probe(&self.models_url, &self.catalogue).await
    }

    fn with_key(&self, key: &ApiKey) -> Option<Arc<dyn Provider>> {
        let upstream = self.upstream.opened_by(credential(key)?);
        Some(Arc::new(Self { upstream, ..self.clone() }))
    }

    fn prices(&self) -> Option<&PriceTable> {
        Some(&self.prices)
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod client_tests;
