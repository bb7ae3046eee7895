//! Prices as data: a dated table per vendor, read once, applied to real usage. A model that is not in the table has no
//! price; none is ever made up.

use std::collections::HashMap;

use serde::Deserialize;

use crate::chat::Usage;

/// Why a price table does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PriceError {
    /// Not the JSON that was expected.
    #[error("{0}")]
    Format(#[from] serde_json::Error),
    /// The same id twice.
    #[error("model `{0}` has two prices")]
    Duplicate(String),
    /// A price below zero.
    #[error("model `{0}`: a price must be zero or more")]
    Negative(String),
    /// A factor below zero.
    #[error("`{0}` must be zero or more")]
    Factor(&'static str),
}

/// What changes the price of a call beside its tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Where it is served.
    pub host: Host,
    /// How urgently it was served: what the answer says, not what was asked for.
    pub tier: Tier,
}

/// Where a call is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Host {
    /// The vendor's usual host.
    #[default]
    Global,
    /// A host that keeps the call in a region, at a surcharge.
    Regional,
}

/// How urgently a call was served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    /// As usual.
    #[default]
    Standard,
    /// Before others, at a surcharge.
    Priority,
}

/// US dollars a million tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// For tokens of the prompt.
    pub input: f64,
    /// For those of them that came from the vendor's cache.
    pub cached_input: f64,
    /// For tokens of the answer.
    pub output: f64,
}

/// A vendor's prices on one day.
#[derive(Debug)]
pub struct PriceTable {
    as_of: jiff::civil::Date,
    priority_factor: f64,
    regional_factor: f64,
    models: HashMap<String, Price>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    as_of: jiff::civil::Date,
    #[serde(rename = "sources")]
    _sources: Vec<String>,
    cached_input_factor: f64,
    priority_factor: f64,
    regional_factor: f64,
    models: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    ids: Vec<String>,
    input: f64,
    /// Where it is not the usual part of `input`.
    #[serde(default)]
    cached_input: Option<f64>,
    output: f64,
    /// For readers: retired models keep their price, since audits of old calls still ask for it.
    #[serde(default, rename = "retired")]
    _retired: Option<jiff::civil::Date>,
}

const PER: f64 = 1_000_000.0;

impl PriceTable {
    /// Reads and checks a table.
    pub fn parse(json: &str) -> Result<Self, PriceError> {
        let file: File = serde_json::from_str(json)?;
        for (name, factor) in [
            ("cached_input_factor", file.cached_input_factor),
            ("priority_factor", file.priority_factor),
            ("regional_factor", file.regional_factor),
        ] {
            if factor < 0.0 {
                return Err(PriceError::Factor(name));
            }
        }
        let mut models = HashMap::new();
        for row in file.models {
            let cached_input = row.cached_input.unwrap_or(row.input * file.cached_input_factor);
            let price = Price { input: row.input, cached_input, output: row.output };
            for id in row.ids {
                if price.input < 0.0 || price.cached_input < 0.0 || price.output < 0.0 {
                    return Err(PriceError::Negative(id));
                }
                if models.insert(id.clone(), price).is_some() {
                    return Err(PriceError::Duplicate(id));
                }
            }
        }
        Ok(Self {
            as_of: file.as_of,
            priority_factor: file.priority_factor,
            regional_factor: file.regional_factor,
            models,
        })
    }

    /// The day on which these prices were read.
    pub fn as_of(&self) -> jiff::civil::Date {
        self.as_of
    }

    /// The price of a model by the name that was asked for.
    pub fn get(&self, model: &str) -> Option<Price> {
        self.models.get(model).copied()
    }

    /// What `usage` cost in US dollars.
    pub fn cost(&self, model: &str, usage: &Usage, terms: Terms) -> Option<f64> {
        let price = self.get(model)?;
        let cached = usage.cached_tokens.min(usage.prompt_tokens);
        let fresh = usage.prompt_tokens - cached;
        let input = fresh as f64 * price.input + cached as f64 * price.cached_input;
        let output = usage.completion_tokens as f64 * price.output;
        let host = match terms.host {
            Host::Global => 1.0,
            Host::Regional => self.regional_factor,
        };
        let tier = match terms.tier {
            Tier::Standard => 1.0,
            Tier::Priority => self.priority_factor,
        };
        Some((input + output) / PER * host * tier)
    }
}
