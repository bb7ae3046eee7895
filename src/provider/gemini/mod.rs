//! Gemini: the adapter between the canonical chat types and `generateContent` of Google's Gemini API.
//!
//! Owns Gemini's dialect: what a request looks like (`request`, `contents`, `parameters`), what each generation of models
//! takes (`model`), and what an answer (`answer`, `stream`) and a refusal (`error`) mean. All of that is pure; only this file talks to the network, through the provider's HTTP client. It never retries, never chooses
//! among providers and never looks at what was said. The key goes into a header, never into the address.

mod answer;
mod contents;
mod error;
mod model;
mod parameters;
mod request;
mod stream;

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Url;

use super::answer::dialect;
use super::names::{self, Vendor};
use super::price::bill::Bill;
use super::price::{PriceTable, Terms};
use super::upstream::http::{Credential, Upstream};
use super::{ApiKey, BuildError, Catalogue, Info, Provider, ProviderError, Settings, Streamed};
use crate::chat::{ChatAnswer, ChatRequest};
use stream::Reading;

/// The version of the API in which thinking, JSON schemas and ids of calls are.
const API_VERSION: &str = "v1beta";

/// One account at Google.
#[derive(Clone, Debug)]
pub struct Gemini {
    info: Info,
    catalogue: Catalogue,
    max_tokens: Option<u32>,
    upstream: Upstream,
    origin: Url,
    prices: Arc<PriceTable>,
}

impl Gemini {
    /// Makes the provider; nothing is sent yet.
    pub fn new(settings: Settings) -> Result<Self, BuildError> {
        // As other software wants it.
        let origin = settings.origin()?.without("/v1beta");
        let info = settings.info(&origin);
        let upstream = Upstream::new(origin.url(), settings.credential(credential)?, error::WORDING, &settings)?;
        let Settings { entry, prices, .. } = settings;
        Ok(Self {
            info,
            catalogue: Catalogue::new(entry.models),
            max_tokens: entry.max_tokens,
            upstream,
            origin: origin.url().clone(),
            prices,
        })
    }

    /// `ORIGIN/v1beta/...`. A step becomes one segment of the path, whatever it holds.
    fn url(&self, steps: &[&str]) -> Url {
        let mut url = self.origin.clone();
        // An http URL always has segments.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(API_VERSION).extend(steps);
        }
        url
    }

    /// One page of as many models as there can be in one; unasked there would be 50.
    fn models_url(&self) -> Url {
        let mut url = self.url(&["models"]);
        url.set_query(Some("pageSize=1000"));
        url
    }
}

fn credential(key: &ApiKey) -> Option<Credential> {
    Credential::header("x-goog-api-key", key)
}

#[async_trait]
impl Provider for Gemini {
    fn info(&self) -> &Info {
        &self.info
    }

    fn catalogue(&self) -> Option<&Catalogue> {
        Some(&self.catalogue)
    }

    /// The default model, those that are configured and, where none is, every name that is Google's, and those on its list
    /// that are plainly nobody else's.
    fn serves(&self, model: &str) -> bool {
        names::listed(model, &self.info.model, self.catalogue.configured())
            .unwrap_or_else(|| Vendor::Google.serves(model, &self.catalogue))
    }

    async fn chat(&self, request: &ChatRequest) -> Result<ChatAnswer, ProviderError> {
        let model = self.model_of(request);
        let prepared = request::prepare(request, request::Options { model, max_tokens: self.max_tokens })?;
        let url = self.url(&["models", &format!("{model}:generateContent")]);
        let reply = self.upstream.post(&url, prepared.body).await?;
        let answer = reply.read(|body| answer::parse(body, model))?;
        Ok(reply.complete(answer, &Bill::new(request, model, &self.prices), Terms::default(), prepared.notes))
    }

    async fn stream(&self, request: &ChatRequest) -> Result<Streamed, ProviderError> {
        let model = self.model_of(request);
        let prepared = request::prepare(request, request::Options { model, max_tokens: self.max_tokens })?;
        let mut url = self.url(&["models", &format!("{model}:streamGenerateContent")]);
        url.set_query(Some("alt=sse"));
        let (_, body) = self.upstream.stream(&url, prepared.body).await?;
        let reading = Reading::new(Bill::new(request, model, &self.prices));
        Ok(dialect::streamed(body, reading, prepared.notes))
    }

    /// The list of models: free of charge; says that the key is valid and the edge is up, not that a model serves.
    async fn probe(&self) -> Result<(), ProviderError> {
        self.upstream.probe(&self.models_url(), &self.catalogue).await
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
