//! `GET /api/v1/pricing`: what models cost.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use crate::http::answer::json;
use crate::http::{ApiError, App};
use crate::provider::{self, Host, Price, PriceTable, Terms, Tier};

#[derive(Default, Deserialize)]
struct Asked {
    provider: Option<String>,
    model: Option<String>,
}

/// What a model costs at a provider, by US dollars and the standard tier.
#[derive(Serialize)]
struct Row<'a> {
    provider: &'a str,
    /// `*`: every model that has no row of its own.
    model: &'a str,
    pricing: Rates,
    /// For calls with a longer prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    long_prompt: Option<LongPrompt>,
    /// What prices are multiplied with, where that changes them.
    #[serde(skip_serializing_if = "Factors::are_none")]
    factors: Factors,
    /// When the price was read.
    as_of: jiff::civil::Date,
}

#[derive(Serialize)]
struct LongPrompt {
    /// Tokens of the prompt.
    above: u64,
    pricing: Rates,
}

#[derive(Serialize)]
struct Factors {
    /// On a host that keeps calls in a region.
    #[serde(skip_serializing_if = "Option::is_none")]
    regional: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flex: Option<f64>,
}

impl Factors {
    fn of(price: &Price, table: &PriceTable) -> Self {
        let factor = |host, tier| table.factor(price, Terms { host, tier }).filter(|factor| *factor != 1.0);
        Self {
            regional: factor(Host::Regional, Tier::Standard),
            priority: factor(Host::Global, Tier::Priority),
            flex: factor(Host::Global, Tier::Flex),
        }
    }

    fn are_none(&self) -> bool {
        self.regional.or(self.priority).or(self.flex).is_none()
    }
}

#[derive(Serialize)]
struct Rates {
    input_per_1k: f64,
    cached_input_per_1k: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_per_1k: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_1h_per_1k: Option<f64>,
    output_per_1k: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_image: Option<f64>,
}

#[derive(Serialize)]
struct All<'a> {
    pricing: Vec<Row<'a>>,
}

/// The family's errors: the status in words, and what is wrong.
#[derive(Serialize)]
struct Failure<'a> {
    error: &'a str,
    message: &'a str,
}

/// Price tables are by the million. Fractions of binary numbers are not shown.
fn per_1k(million: f64) -> f64 {
    (million * 1e6).round() / 1e9
}

fn rates(rates: provider::Rates, image: Option<f64>) -> Rates {
    Rates {
        input_per_1k: per_1k(rates.input),
        cached_input_per_1k: per_1k(rates.cached_input),
        cache_write_per_1k: rates.cache_write.map(per_1k),
        cache_write_1h_per_1k: rates.cache_write_1h.map(per_1k),
        output_per_1k: per_1k(rates.output),
        per_image: image,
    }
}

fn row<'a>(provider: &'a str, model: &'a str, price: Price, table: &PriceTable) -> Row<'a> {
    let long_prompt = price.long_prompt.map(|(above, long)| LongPrompt { above, pricing: rates(long, price.image) });
    let (pricing, factors) = (rates(price.rates, price.image), Factors::of(&price, table));
    Row { provider, model, pricing, long_prompt, factors, as_of: table.as_of() }
}

fn failure(status: StatusCode, message: &str) -> Response {
    json(status, &Failure { error: status.canonical_reason().unwrap_or_default(), message })
}

/// `GET /api/v1/pricing?provider&model`: one row where both are named, else all that fit, of the providers that were
/// started.
pub(super) async fn handle(State(app): State<Arc<App>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    app.identity.presented(&headers)?;
    let Ok(Query(asked)) = Query::<Asked>::try_from_uri(&uri) else {
        return Ok(failure(StatusCode::BAD_REQUEST, "expected `provider` and `model`, each at most once"));
    };
    let provider = asked.provider.as_deref().filter(|it| !it.is_empty());
    let model = asked.model.as_deref().filter(|it| !it.is_empty());
    let router = app.gateway.router();
    let started: Vec<_> = router.providers().map(|status| status.info.name.as_str()).collect();
    if provider.is_some_and(|name| !started.iter().any(|it| it.eq_ignore_ascii_case(name))) {
        return Ok(failure(StatusCode::NOT_FOUND, "no provider of this name was started"));
    }
    let tables = started.iter().filter(|name| provider.is_none_or(|it| name.eq_ignore_ascii_case(it)));
    let tables = tables.filter_map(|name| {
        let provider = router.provider(name)?;
        Some((*name, provider, provider.prices()?))
    });
    let pricing: Vec<Row<'_>> = match model {
        Some(model) => tables
            .filter_map(|(name, it, table)| Some(row(name, model, table.get(&it.priced_as(model))?, table)))
            .collect(),
        None => tables
            .flat_map(|(name, _, table)| table.models().map(move |(model, price)| row(name, model, price, table)))
            .collect(),
    };
    match (provider.and(model), pricing.as_slice()) {
        (Some(_), [only]) => Ok(json(StatusCode::OK, only)),
        (Some(_), _) => Ok(failure(StatusCode::NOT_FOUND, "the price of this model is not known")),
        _ => Ok(json(StatusCode::OK, &All { pricing })),
    }
}
