//! Prices as data: one dated table for each vendor, read once, applied to real usage. A model that is not in its table has
//! no price; none is ever made up.

pub(super) mod bill;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::Deserialize;

use super::Kind;
use crate::chat::Usage;

/// The prices that this version was made with: a section for each kind of provider.
const SHIPPED: &str = include_str!("prices.json");

/// The id of the row for all models that have none of their own.
const ANY: &str = "*";

/// Why prices do not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PriceError {
    /// Not the JSON that was expected.
    #[error("{}{reason}", path.as_deref().map(|path| format!("{path}: ")).unwrap_or_default())]
    Format {
        /// The way to the value at fault, such as `mistral.models[0].input`, where there is one.
        path: Option<String>,
        /// What is wrong, and in which line.
        reason: serde_json::Error,
    },
    /// The same id twice.
    #[error("`{section}`: model `{model}` has two prices")]
    Duplicate {
        /// The vendor, or the provider.
        section: String,
        /// The id.
        model: String,
    },
    /// A price or a factor that is none.
    #[error("`{section}`: {what} must be a number of zero or more")]
    Negative {
        /// The vendor, or the provider.
        section: String,
        /// Which one.
        what: String,
    },
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
    /// When there is room, at a discount.
    Flex,
    /// On terms of one's own with the vendor, that no table knows.
    Other,
}

impl Tier {
    /// The tier by the vendors' word for it.
    pub(crate) fn named(word: Option<&str>) -> Self {
        match word {
            // `on_demand` is Groq's.
            None | Some("" | "default" | "standard" | "auto" | "on_demand") => Self::Standard,
            Some("priority") => Self::Priority,
            Some("flex") => Self::Flex,
            Some(_) => Self::Other,
        }
    }
}

/// US dollars a million tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// For tokens of the prompt.
    pub input: f64,
    /// For those of them that came from the vendor's cache.
    pub cached_input: f64,
    /// For those that were written to it, where the vendor charges for that.
    pub cache_write: Option<f64>,
    /// For those that it keeps for an hour.
    pub cache_write_1h: Option<f64>,
    /// For tokens of the answer.
    pub output: f64,
}

/// What a model costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// At the standard tier.
    pub rates: Rates,
    /// US dollars an image of the prompt, beside its tokens, where the vendor charges for that.
    pub image: Option<f64>,
    /// For calls whose prompt has more than so many tokens, where that makes a difference.
    pub long_prompt: Option<(u64, Rates)>,
    priority_factor: Option<f64>,
    flex_factor: Option<f64>,
}

/// A vendor's prices on one day.
#[derive(Clone, Debug, Default)]
pub struct PriceTable {
    as_of: jiff::civil::Date,
    factors: Factors,
    models: BTreeMap<String, Price>,
    /// Those of them that an operator's file names.
    operators: BTreeSet<String>,
}

/// What prices are multiplied with, where the vendor says so.
#[derive(Clone, Copy, Debug, Default)]
struct Factors {
    /// The part of `input` that cached tokens cost, where a model does not say. Without it they cost what others do.
    cached_input: Option<f64>,
    /// What `input` is multiplied with for tokens that are written to the cache, where a model does not say.
    cache_write: Option<f64>,
    cache_write_1h: Option<f64>,
    priority: Option<f64>,
    flex: Option<f64>,
    regional: Option<f64>,
}

impl Factors {
    /// These, and where they say nothing the others.
    fn or(self, others: Self) -> Self {
        Self {
            cached_input: self.cached_input.or(others.cached_input),
            cache_write: self.cache_write.or(others.cache_write),
            cache_write_1h: self.cache_write_1h.or(others.cache_write_1h),
            priority: self.priority.or(others.priority),
            flex: self.flex.or(others.flex),
            regional: self.regional.or(others.regional),
        }
    }
}

/// All prices: those that are shipped, and what an operator's file puts over them.
#[derive(Clone, Debug)]
pub struct Prices {
    sheets: HashMap<String, Sheet>,
}

/// A section's prices as they are written. Its factors are not applied: a model's may be those of the section below.
#[derive(Clone, Debug, Default)]
struct Sheet {
    as_of: jiff::civil::Date,
    factors: Factors,
    models: BTreeMap<String, Arc<Row>>,
    /// Those of them that an operator's file names.
    operators: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    as_of: jiff::civil::Date,
    #[serde(default, rename = "sources")]
    _sources: Vec<String>,
    cached_input_factor: Option<f64>,
    cache_write_factor: Option<f64>,
    cache_write_1h_factor: Option<f64>,
    priority_factor: Option<f64>,
    flex_factor: Option<f64>,
    regional_factor: Option<f64>,
    models: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    ids: Vec<String>,
    input: f64,
    cached_input: Option<f64>,
    cache_write: Option<f64>,
    cache_write_1h: Option<f64>,
    output: f64,
    image: Option<f64>,
    priority_factor: Option<f64>,
    flex_factor: Option<f64>,
    long_prompt: Option<LongPrompt>,
    /// For readers: retired models keep their price, since audits of old calls still ask for it.
    #[serde(default, rename = "retired")]
    _retired: Option<jiff::civil::Date>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LongPrompt {
    above: u64,
    input: f64,
    cached_input: f64,
    cache_write: Option<f64>,
    cache_write_1h: Option<f64>,
    output: f64,
}

const PER: f64 = 1_000_000.0;

impl Prices {
    /// The shipped prices.
    pub fn shipped() -> Result<Self, PriceError> {
        let sheets = sheets(SHIPPED)?;
        Ok(Self { sheets: sheets.into_iter().collect() })
    }

    /// Puts a file of the same form over these prices: its sections are named as kinds of providers are, or as one
    /// provider is. Models of the file replace those of the same id, the others stay, and so do factors. Gives the
    /// sections' names.
    pub fn put_over(&mut self, json: &str) -> Result<Vec<String>, PriceError> {
        let mut sections = Vec::new();
        for (name, sheet) in sheets(json)? {
            sections.push(name.clone());
            let operators = sheet.models.keys().cloned().collect();
            let sheet = Sheet { operators, ..sheet };
            let below = self.sheets.remove(&name).unwrap_or_default();
            self.sheets.insert(name, below.under(&sheet));
        }
        Ok(sections)
    }

    /// The prices of a provider: those of its kind, and over them those under its own name.
    pub fn of(&self, name: &str, kind: Kind) -> Arc<PriceTable> {
        self.over(Sheet::default(), name, kind)
    }

    /// The same of a provider at Azure: unless they say otherwise, its deployment costs what the model of OpenAI's that
    /// it is costs there.
    pub fn of_deployment(&self, name: &str, deployment: &str, model: &str) -> Arc<PriceTable> {
        let openais = self.sheets.get(Kind::OpenAi.as_str()).cloned().unwrap_or_default();
        let row = openais.models.get(model).map(|row| (deployment.to_owned(), row.clone()));
        self.over(Sheet { models: row.into_iter().collect(), ..openais }, name, Kind::AzureOpenAi)
    }

    fn over(&self, sheet: Sheet, name: &str, kind: Kind) -> Arc<PriceTable> {
        let own = self.sheets.get(name).filter(|_| name != kind.as_str());
        let sheets = self.sheets.get(kind.as_str()).into_iter().chain(own);
        Arc::new(sheets.fold(sheet, Sheet::under).into())
    }
}

/// The sections of a file by name.
fn sheets(json: &str) -> Result<Vec<(String, Sheet)>, PriceError> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let file: BTreeMap<String, Section> = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().iter().next().is_some().then(|| error.path().to_string());
        PriceError::Format { path, reason: error.into_inner() }
    })?;
    deserializer.end().map_err(|reason| PriceError::Format { path: None, reason })?;
    file.into_iter().map(|(name, section)| Ok((name.clone(), Sheet::read(section, &name)?))).collect()
}

impl Sheet {
    fn read(section: Section, name: &str) -> Result<Self, PriceError> {
        let checked = |what: &str, number: f64| match number.is_finite() && number >= 0.0 {
            true => Ok(number),
            false => Err(PriceError::Negative { section: name.to_owned(), what: what.to_owned() }),
        };
        let factor = |what: &str, factor: Option<f64>| factor.map(|it| checked(what, it)).transpose();
        let factors = Factors {
            cached_input: factor("cached_input_factor", section.cached_input_factor)?,
            cache_write: factor("cache_write_factor", section.cache_write_factor)?,
            cache_write_1h: factor("cache_write_1h_factor", section.cache_write_1h_factor)?,
            priority: factor("priority_factor", section.priority_factor)?,
            flex: factor("flex_factor", section.flex_factor)?,
            regional: factor("regional_factor", section.regional_factor)?,
        };
        let mut models = BTreeMap::new();
        for row in section.models.into_iter().map(Arc::new) {
            let first = row.ids.first().map_or("", String::as_str);
            for (what, number) in row.numbers() {
                factor(&format!("{what} of model `{first}`"), number)?;
            }
            for model in &row.ids {
                if models.insert(model.clone(), row.clone()).is_some() {
                    return Err(PriceError::Duplicate { section: name.to_owned(), model: model.clone() });
                }
            }
        }
        Ok(Self { as_of: section.as_of, factors, models, operators: BTreeSet::new() })
    }

    /// This one with another over it.
    fn under(mut self, over: &Self) -> Self {
        self.as_of = over.as_of;
        self.factors = over.factors.or(self.factors);
        self.models.extend(over.models.iter().map(|(model, row)| (model.clone(), row.clone())));
        self.operators.extend(over.operators.iter().cloned());
        self
    }
}

impl Row {
    /// All its numbers, with their names.
    fn numbers(&self) -> impl Iterator<Item = (&'static str, Option<f64>)> {
        let long = self.long_prompt.as_ref();
        [
            ("input", Some(self.input)),
            ("cached_input", self.cached_input),
            ("cache_write", self.cache_write),
            ("cache_write_1h", self.cache_write_1h),
            ("output", Some(self.output)),
            ("image", self.image),
            ("priority_factor", self.priority_factor),
            ("flex_factor", self.flex_factor),
            ("long_prompt.input", long.map(|it| it.input)),
            ("long_prompt.cached_input", long.map(|it| it.cached_input)),
            ("long_prompt.cache_write", long.and_then(|it| it.cache_write)),
            ("long_prompt.cache_write_1h", long.and_then(|it| it.cache_write_1h)),
            ("long_prompt.output", long.map(|it| it.output)),
        ]
        .into_iter()
    }

    fn price(&self, factors: &Factors) -> Price {
        let written = |rates: Rates| Rates {
            cache_write: rates.cache_write.or(factors.cache_write.map(|factor| rates.input * factor)),
            cache_write_1h: rates.cache_write_1h.or(factors.cache_write_1h.map(|factor| rates.input * factor)),
            ..rates
        };
        let long = |given: LongPrompt| {
            let LongPrompt { above, input, cached_input, cache_write, cache_write_1h, output } = given;
            (above, written(Rates { input, cached_input, cache_write, cache_write_1h, output }))
        };
        Price {
            rates: written(Rates {
                input: self.input,
                cached_input: self.cached_input.unwrap_or(self.input * factors.cached_input.unwrap_or(1.0)),
                cache_write: self.cache_write,
                cache_write_1h: self.cache_write_1h,
                output: self.output,
            }),
            image: self.image,
            long_prompt: self.long_prompt.map(long),
            priority_factor: self.priority_factor,
            flex_factor: self.flex_factor,
        }
    }
}

impl From<Sheet> for PriceTable {
    fn from(Sheet { as_of, factors, models, operators }: Sheet) -> Self {
        let models = models.into_iter().map(|(model, row)| (model, row.price(&factors))).collect();
        Self { as_of, factors, models, operators }
    }
}

impl PriceTable {
    /// The day on which these prices were read.
    pub fn as_of(&self) -> jiff::civil::Date {
        self.as_of
    }

    /// The name of the row that a model is priced by: an alias moves, and the vendor's own name for what stands behind it,
    /// `told`, is the better one wherever it has a row. What an operator's file says of the name that was asked for holds.
    pub(crate) fn priced_as(&self, asked: &str, told: Option<String>) -> String {
        let told = told.filter(|told| self.names(told) && !self.operators.contains(asked));
        told.unwrap_or_else(|| asked.to_owned())
    }

    /// The price of a model by the name of its row, mostly the one that was asked for.
    pub fn get(&self, model: &str) -> Option<Price> {
        self.models.get(model).or_else(|| self.models.get(ANY)).copied()
    }

    /// Whether a model has a price of its own, not that of `*`.
    pub fn names(&self, model: &str) -> bool {
        model != ANY && self.models.contains_key(model)
    }

    /// Every model with its price, by name. `*` stands for all others.
    pub fn models(&self) -> impl Iterator<Item = (&str, Price)> {
        self.models.iter().map(|(model, price)| (model.as_str(), *price))
    }

    /// What `usage` cost in US dollars; `None` where the model, the tier for it, or writing to the cache has no price.
    pub fn cost(&self, model: &str, usage: &Usage, terms: Terms) -> Option<f64> {
        let price = self.get(model)?;
        let rates = price.long_prompt.filter(|(above, _)| usage.prompt_tokens > *above).map_or(price.rates, |it| it.1);
        let cached = usage.cached_tokens.min(usage.prompt_tokens);
        let written = usage.cache_write_tokens.min(usage.prompt_tokens - cached);
        let for_an_hour = usage.cache_write_1h_tokens.min(written);
        let fresh = usage.prompt_tokens - cached - written;
        let writes = writing(written - for_an_hour, rates.cache_write)? + writing(for_an_hour, rates.cache_write_1h)?;
        let input = fresh as f64 * rates.input + cached as f64 * rates.cached_input + writes;
        let output = usage.completion_tokens as f64 * rates.output;
        let images = usage.images as f64 * price.image.unwrap_or(0.0);
        let cost = (input + output) / PER + images;
        // Nothing times a factor that nobody knows is still nothing.
        if cost == 0.0 { Some(0.0) } else { Some(cost * self.factor(&price, terms)?) }
    }

    /// What a price is multiplied with on these terms; `None` where that is not known.
    pub fn factor(&self, price: &Price, terms: Terms) -> Option<f64> {
        let host = match terms.host {
            Host::Global => 1.0,
            Host::Regional => self.factors.regional.unwrap_or(1.0),
        };
        let tier = match terms.tier {
            Tier::Standard => 1.0,
            Tier::Priority => price.priority_factor.or(self.factors.priority)?,
            Tier::Flex => price.flex_factor.or(self.factors.flex)?,
            Tier::Other => return None,
        };
        Some(host * tier)
    }
}

/// What writing so many tokens to the cache costs.
fn writing(tokens: u64, rate: Option<f64>) -> Option<f64> {
    if tokens == 0 { Some(0.0) } else { rate.map(|rate| tokens as f64 * rate) }
}

#[cfg(test)]
mod tests;
