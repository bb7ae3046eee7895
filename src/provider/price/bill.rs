//! What the answer to one call costs, whole or streamed.

use std::sync::Arc;

use crate::chat::{ChatRequest, Usage, images};
use crate::provider::price::{PriceTable, Terms};

/// What is known of a call before its answer counts the tokens.
#[derive(Clone, Debug)]
pub(crate) struct Bill {
    /// The model that was asked.
    model: String,
    /// The name that it is priced by.
    priced_as: String,
    /// The images that it was shown.
    images: u64,
    prices: Arc<PriceTable>,
}

impl Bill {
    /// Of a request that goes to this model.
    pub(crate) fn new(request: &ChatRequest, model: &str, prices: &Arc<PriceTable>) -> Self {
        let (model, priced_as) = (model.to_owned(), model.to_owned());
        Self { model, priced_as, images: images(&request.messages), prices: prices.clone() }
    }

    /// The same, priced by another name for the model.
    pub(crate) fn priced_as(self, name: String) -> Self {
        Self { priced_as: name, ..self }
    }

    /// The model that was asked.
    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    /// US dollars for an answer of these tokens, served on these terms; `None` where there is no price.
    pub(crate) fn cost(&self, usage: Usage, terms: Terms) -> Option<f64> {
        self.prices.cost(&self.priced_as, &Usage { images: self.images, ..usage }, terms)
    }
}

#[cfg(test)]
impl Bill {
    /// Of a call about `asked-for`: a dollar for each token of the prompt, a hundred for each image.
    pub(crate) fn of_a_dollar_a_token(request: &ChatRequest) -> Self {
        let rates = r#""input": 1e6, "cached_input": 1e6, "cache_write_1h": 1e6, "output": 0, "image": 100"#;
        let json = format!(r#"{{"dear": {{"as_of": "2026-11-01", "models": [{{"ids": ["asked-for"], {rates}}}]}}}}"#);
        let mut prices = crate::provider::Prices::shipped().unwrap();
        prices.put_over(&json).unwrap();
        Self::new(request, "asked-for", &prices.of("dear", crate::provider::Kind::Ollama))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Message, Part, Role};
    use crate::provider::price::Tier;

    #[test]
    fn a_call_costs_its_tokens_and_its_images_unless_they_were_bought_ahead() {
        let image = Part::Image { url: "https://a.example/b.png".to_owned(), detail: None };
        let shown = Message { role: Role::User, parts: vec![image.clone(), image] };
        let bill = Bill::of_a_dollar_a_token(&ChatRequest { messages: vec![shown], ..ChatRequest::default() });
        let usage = Usage { prompt_tokens: 3, ..Usage::default() };
        assert_eq!(bill.cost(usage, Terms::default()), Some(203.0));
        assert_eq!(bill.cost(usage, Terms { tier: Tier::Other, ..Terms::default() }), None);
    }
}
