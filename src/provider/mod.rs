//! Providers: who answers a chat.
//!
//! A [`Provider`] speaks the canonical chat types of [`crate::chat`] on this side and one vendor's dialect on the other.
//! This module owns the trait, the one classification of failures ([`ProviderError`]), the price tables, the keys of an
//! account, one folder per vendor, and what vendors share: the client that upstreams are called with (`upstream`), and what
//! becomes of requests (`request`, `tools`) and answers (`answer`) on their way. It never chooses among providers,
//! retries nothing with the same key (but a batch of texts behind others that were answered, and a request without what it
//! was refused for), and reads no file: it is handed [`Settings`]. Between calls it keeps idle connections, which keys rest,
//! which models a vendor lists, and what they have refused. A key goes into it as an [`ApiKey`] and comes out in one place
//! only, the one header of the configured host that opens it.

pub(crate) mod answer;
pub mod anthropic;
mod catalogue;
mod error;
mod error_kind;
#[cfg(test)]
mod fixtures;
pub mod gemini;
mod key;
pub mod mistral;
pub(crate) mod names;
pub mod openai;
mod pool;
mod price;
mod request;
mod settings;
pub(crate) mod tools;
mod upstream;

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;

use crate::chat::{ChatAnswer, ChatRequest, Task, Usage};

pub use crate::config::ProviderKind as Kind;
pub(crate) use answer::spent::Spent;
pub use answer::stream::{Delta, EventStream, Sealed, StreamEvent, Streamed};
pub use catalogue::{Card, Catalogue};
pub use error::ProviderError;
pub use error_kind::{ErrorKind, HealthEffect, Surface};
pub use key::{ApiKey, KeyError};
pub(crate) use names::chats;
pub use price::{Host, Price, PriceError, PriceTable, Prices, Rates, Terms, Tier};
pub use settings::{BuildError, Info, Settings};
pub use upstream::text::clean as safe_text;

/// One account at one vendor.
#[async_trait]
pub trait Provider: std::fmt::Debug + Send + Sync {
    /// What it tells about itself.
    fn info(&self) -> &Info;

    /// Whether a model that a caller named may be asked of this provider. Names of other vendors' models are never sent.
    fn serves(&self, model: &str) -> bool;

    /// Whether it [serves](Self::serves) a name only because nothing speaks against it: neither is it set up for it, nor
    /// does its vendor list it, nor does the name itself tell. Where another provider knows the name, it is that one's.
    fn assumes(&self, _model: &str) -> bool {
        false
    }

    /// The models that it lists, beside its default one.
    fn catalogue(&self) -> Option<&Catalogue> {
        None
    }

    /// Whether it is asked for this at all.
    fn does(&self, task: Task) -> bool {
        task == Task::Chat
    }

    /// The model for requests that name none.
    fn default_model(&self, _task: Task) -> &str {
        &self.info().model
    }

    /// The model that a request goes to here.
    fn model_of<'a>(&'a self, request: &'a ChatRequest) -> &'a str {
        request.model.as_deref().unwrap_or_else(|| self.default_model(request.task))
    }

    /// Asks for a whole answer to a task that it [does](Self::does), once. Dropping the future closes the upstream's connection.
    async fn chat(&self, request: &ChatRequest) -> Result<ChatAnswer, ProviderError>;

    /// Asks for a streamed answer, once. An error here comes before the first byte and is classed as that of
    /// [`Provider::chat`]; later ones are items of the stream and are never failed over.
    async fn stream(&self, request: &ChatRequest) -> Result<Streamed, ProviderError>;

    /// Asks the upstream whether the key is valid and its edge is up, free of charge.
    async fn probe(&self) -> Result<(), ProviderError>;

    /// The same with another key; `None` where it can be none. Everything but the key is shared.
    fn with_key(&self, _key: &ApiKey) -> Option<Arc<dyn Provider>> {
        None
    }

    /// The same with a caller's own key: what the vendor says of that is told at once, and waited for by nobody.
    fn with_callers_key(&self, key: &ApiKey) -> Option<Arc<dyn Provider>> {
        self.with_key(key)
    }

    /// What models cost here, as far as that is known.
    fn prices(&self) -> Option<&PriceTable> {
        None
    }

    /// The name by which a model stands in [`prices`](Self::prices).
    fn priced_as<'m>(&self, model: &'m str) -> Cow<'m, str> {
        Cow::Borrowed(model)
    }

    /// What `usage` of `model` costs here in US dollars at the standard tier; `None` when the price is not known.
    fn price(&self, model: &str, usage: &Usage) -> Option<f64> {
        self.prices()?.cost(&self.priced_as(model), usage, Terms::default())
    }
}

/// Makes a provider of the kind that the settings name, with all of its keys.
pub fn build(mut settings: Settings) -> Result<Arc<dyn Provider>, BuildError> {
    let further_keys = std::mem::take(&mut settings.further_keys);
    let provider: Arc<dyn Provider> = match settings.entry.kind {
        Kind::Mistral => Arc::new(mistral::Mistral::new(settings)?),
        Kind::Anthropic => Arc::new(anthropic::Anthropic::new(settings)?),
        Kind::Gemini => Arc::new(gemini::Gemini::new(settings)?),
        Kind::OpenAi | Kind::AzureOpenAi | Kind::Ollama | Kind::OpenAiCompatible => {
            Arc::new(openai::OpenAi::new(settings)?)
        }
    };
    if further_keys.is_empty() {
        return Ok(provider);
    }
    let others: Vec<_> = further_keys.iter().filter_map(|key| provider.with_key(key)).collect();
    Ok(Arc::new(pool::KeyPool::new(provider, others)))
}
