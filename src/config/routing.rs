//! `routing`: which provider a request goes to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::assembly::Assembly;
use super::error::ConfigError;
use super::provider::{Provider, ProviderName};
use super::providers::Providers;
use super::retry::{Breaker, RawBreaker, RawRetry, Retry};
use super::scalar::{FromText, Line, Parsed, Size, Span, Whole};
use super::yaml::{self, KeyPath, Problem};

/// Which provider a request goes to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Routing {
    /// How one is chosen.
    pub strategy: Strategy,
    /// Each provider's part of the traffic.
    pub weights: Weights,
    /// The first choice of `failover`.
    pub default: Option<ProviderName>,
    /// Time for a request, from its first attempt to the end of its last.
    pub deadline: Duration,
    /// Time that a streamed answer may take, from its beginning.
    pub stream_deadline: Duration,
    /// The longest answer that is read from an upstream, in bytes.
    pub max_response_bytes: usize,
    /// A file of prices that go over the shipped ones; relative to the working directory.
    pub prices: Option<PathBuf>,
    /// How often a failed call is tried again.
    pub retry: Retry,
    /// When a provider that keeps failing is left in peace.
    pub breaker: Breaker,
}

/// How a provider is chosen. A higher priority comes first in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Inside a priority a draw by weight.
    #[default]
    Weighted,
    /// Inside a priority each in its turn.
    RoundRobin,
    /// The default before all, then by priority, then by falling weight.
    Failover,
    /// Inside a priority the one that would answer soonest: the peak-sensitive average of its answers' times, times the
    /// calls that it has in hand.
    LeastLatency,
    /// Inside a priority the lowest price of the model that it would be asked for; unknown prices last. AxonFlow's name
    /// is accepted too.
    #[serde(alias = "cost_optimized")]
    LowestCost,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Weighted, Self::RoundRobin, Self::Failover, Self::LeastLatency, Self::LowestCost];

    /// As it is written in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Weighted => "weighted",
            Self::RoundRobin => "round_robin",
            Self::Failover => "failover",
            Self::LeastLatency => "least_latency",
            Self::LowestCost => "lowest_cost",
        }
    }

    fn named(text: &str) -> Option<Self> {
        match text.trim() {
            "cost_optimized" => Some(Self::LowestCost),
            text => Self::ALL.into_iter().find(|strategy| strategy.as_str() == text),
        }
    }
}

/// Where weights stand.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// Each provider has its own.
    OfProviders,
    /// In one list; their sum is 1.
    Listed(BTreeMap<ProviderName, f64>),
}

impl Weights {
    /// That of a provider; 0 where others are listed.
    pub(super) fn of(&self, provider: &Provider) -> f64 {
        match self {
            Self::OfProviders => provider.weight,
            Self::Listed(weights) => {
                let named = |name: &ProviderName| name.as_str().eq_ignore_ascii_case(provider.name.as_str());
                weights.iter().find(|(name, _)| named(name)).map_or(0.0, |(_, weight)| *weight)
            }
        }
    }

    /// Without those of these providers. The others share their part, if there are any.
    pub(super) fn leave_out(&mut self, names: &[ProviderName]) {
        let Self::Listed(weights) = self else { return };
        weights.retain(|name, _| !names.iter().any(|left_out| left_out.as_str().eq_ignore_ascii_case(name.as_str())));
        let sum: f64 = weights.values().sum();
        if sum > 0.0 {
            weights.values_mut().for_each(|weight| *weight /= sum);
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRouting {
    strategy: Option<Strategy>,
    weights: Option<BTreeMap<String, f64>>,
    default: Option<String>,
    /// Read with the providers, which it bounds.
    pub(super) max_providers: Option<Whole<1, 1_000>>,
    deadline: Option<Parsed<Span<1_000, 86_400_000>>>,
    stream_deadline: Option<Parsed<Span<1_000, 86_400_000>>>,
    max_response_bytes: Option<Size<1_024, { 1 << 30 }>>,
    prices: Option<Parsed<Line>>,
    retry: Option<RawRetry>,
    breaker: Option<RawBreaker>,
}

/// Time for a request where no provider is given longer for one call.
pub const DEADLINE: Duration = Duration::from_secs(300);

const WEIGHTS_ALLOWED: &str = "numbers that are not negative, at least one above 0";

impl RawRouting {
    /// The weights, of whichever providers are known. They decide too who is started, where that is bounded.
    pub(super) fn weights(
        &mut self,
        providers: &Providers,
        assembly: &mut Assembly<'_>,
    ) -> Result<Weights, ConfigError> {
        let Some(weights) = self.weights.take() else {
            let weights = weights_of_environment(providers, assembly);
            tell_of_idle("PROVIDER_WEIGHTS", &weights, providers, assembly);
            return Ok(weights);
        };
        let path = KeyPath::of("routing.weights");
        if let Some((name, _)) = weights.iter().find(|(_, weight)| !is_weight(**weight)) {
            return Err(assembly.wrong(path.key(name.as_str()), "a number, not negative"));
        }
        if let Some(name) = weights.keys().find(|name| !providers.known.contains(*name)) {
            let known = providers.known.iter().cloned().collect();
            let problem = Problem::UnknownKey { nearest: None, known };
            return Err(assembly.refuse(path.key(name.as_str()), problem).into());
        }
        let weights = normalised(weights).ok_or_else(|| assembly.wrong(path, WEIGHTS_ALLOWED))?;
        tell_of_idle("routing.weights", &weights, providers, assembly);
        Ok(weights)
    }

    pub(super) fn assemble(
        self,
        weights: Weights,
        providers: &Providers,
        assembly: &mut Assembly<'_>,
    ) -> Result<Routing, ConfigError> {
        let started = &providers.started;
        if !started.is_empty() && started.iter().all(|provider| weights.of(provider) == 0.0) {
            return Err(without_traffic(&weights, started, assembly));
        }
        let strategy = self.strategy.unwrap_or_else(|| strategy_of_environment(assembly));
        let default = match self.default.filter(|name| !name.is_empty()) {
            Some(name) if !providers.known.contains(&name) => {
                let known: Vec<&str> = providers.known.iter().map(String::as_str).collect();
                let known = if known.is_empty() { "none is configured".into() } else { known.join(", ") };
                return Err(assembly.wrong(KeyPath::of("routing.default"), format!("a provider's name ({known})")));
            }
            Some(name) => first_choice(&name, "routing.default", providers, assembly),
            None => match assembly.environment.get("DEFAULT_LLM_PROVIDER") {
                Some(name) => first_choice(name.trim(), "DEFAULT_LLM_PROVIDER", providers, assembly),
                None => None,
            },
        };
        let longest = providers.started.iter().map(|provider| provider.timeout).max().unwrap_or_default();
        let deadline = self.deadline.map_or(longest.max(DEADLINE), |Parsed(Span(deadline))| deadline);
        for provider in providers.started.iter().filter(|provider| provider.timeout > deadline) {
            assembly.warn(format!(
                "routing.deadline ends calls to {} before its timeout_seconds does: {} against {}",
                provider.name,
                humantime::format_duration(deadline),
                humantime::format_duration(provider.timeout)
            ));
        }
        Ok(Routing {
            strategy,
            weights,
            default,
            deadline,
            stream_deadline: self.stream_deadline.map_or(Duration::from_secs(3_600), |Parsed(Span(time))| time),
            max_response_bytes: self.max_response_bytes.map_or(32 << 20, Size::bytes),
            prices: self.prices.map(|Parsed(Line(file))| file.into()),
            retry: self.retry.unwrap_or_default().assemble(),
            breaker: self.breaker.unwrap_or_default().assemble(),
        })
    }
}

/// Warns of weights of providers that are known and not started.
fn tell_of_idle(said_by: &str, weights: &Weights, providers: &Providers, assembly: &mut Assembly<'_>) {
    let Weights::Listed(weights) = weights else { return };
    let is = |name: &ProviderName, other: &str| name.as_str().eq_ignore_ascii_case(other);
    for (name, _) in weights.iter().filter(|(_, weight)| **weight > 0.0) {
        let is_known = providers.known.iter().any(|known| is(name, known));
        if is_known && !providers.started.iter().any(|provider| is(name, provider.name.as_str())) {
            assembly.warn(format!("{said_by}: provider {name} is not started, and its share goes to the others"));
        }
    }
}

/// Where every request would fail.
fn without_traffic(weights: &Weights, started: &[Provider], assembly: &Assembly<'_>) -> ConfigError {
    let names: Vec<_> = started.iter().map(|provider| provider.name.as_str()).collect();
    let names = names.join(", ");
    let path = match weights {
        Weights::OfProviders => "llm_providers",
        Weights::Listed(_) if assembly.document.has(&KeyPath::of("routing.weights")) => "routing.weights",
        Weights::Listed(_) => {
            return ConfigError::Variable {
                name: "PROVIDER_WEIGHTS",
                found: yaml::quoted(assembly.environment.get("PROVIDER_WEIGHTS").unwrap_or_default()),
                allowed: format!("a weight above 0 for a provider that is started, which is {names}"),
            };
        }
    };
    let mut reason = format!(
        "no provider that is started has a weight above 0, and no request would be answered: give one to {names}"
    );
    if let Weights::Listed(weights) = weights {
        let idle: Vec<_> = weights.iter().filter(|(_, weight)| **weight > 0.0).map(|(name, _)| name.as_str()).collect();
        reason.push_str(&format!(", or start {}, which has one", idle.join(" or ")));
    }
    assembly.invalid(KeyPath::of(path), reason)
}

/// The name, unless no such provider is started.
fn first_choice(name: &str, said_by: &str, providers: &Providers, assembly: &mut Assembly<'_>) -> Option<ProviderName> {
    let found = providers.started.iter().find(|provider| provider.name.as_str().eq_ignore_ascii_case(name));
    if found.is_none() {
        assembly.warn(format!("{said_by} is passed over: provider \"{}\" is not started", name.escape_debug()));
    }
    found.map(|provider| provider.name.clone())
}

fn strategy_of_environment(assembly: &mut Assembly<'_>) -> Strategy {
    let Some(text) = assembly.environment.get("LLM_ROUTING_STRATEGY") else { return Strategy::default() };
    Strategy::named(text).unwrap_or_else(|| {
        assembly.warn(format!(
            "LLM_ROUTING_STRATEGY: found \"{}\", allowed: {}; weighted is used",
            text.escape_debug(),
            Strategy::ALL.map(Strategy::as_str).join(", ")
        ));
        Strategy::default()
    })
}

/// `NAME:NUMBER,...`; one wrong part discards the whole, as in AxonFlow.
fn weights_of_environment(providers: &Providers, assembly: &mut Assembly<'_>) -> Weights {
    let Some(text) = assembly.environment.get("PROVIDER_WEIGHTS") else { return Weights::OfProviders };
    let parsed = text.split(',').filter(|part| !part.trim().is_empty()).map(|part| {
        let (name, weight) = part.split_once(':')?;
        let weight: f64 = weight.trim().parse().ok().filter(|weight| is_weight(*weight))?;
        Some((name.trim().to_owned(), weight))
    });
    let Some(weights) = parsed.collect::<Option<Vec<_>>>() else {
        assembly.warn(format!(
            "PROVIDER_WEIGHTS is passed over: found \"{}\", allowed: NAME:NUMBER,... with {WEIGHTS_ALLOWED}",
            text.escape_debug()
        ));
        return Weights::OfProviders;
    };
    let given = |name: &str| weights.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).count();
    if let Some((name, _)) = weights.iter().find(|(name, _)| given(name) > 1) {
        assembly.warn(format!("PROVIDER_WEIGHTS is passed over: \"{}\" has two weights", name.escape_debug()));
        return Weights::OfProviders;
    }
    let weights: BTreeMap<_, _> = weights.into_iter().collect();
    let is_known = |name: &str| providers.known.iter().any(|known| known.eq_ignore_ascii_case(name));
    for name in weights.keys().filter(|name| !is_known(name)) {
        assembly.warn(format!("PROVIDER_WEIGHTS: no provider is called \"{}\"", name.escape_debug()));
    }
    normalised(weights).unwrap_or_else(|| {
        assembly.warn(format!("PROVIDER_WEIGHTS is passed over, allowed: {WEIGHTS_ALLOWED}"));
        Weights::OfProviders
    })
}

fn is_weight(weight: f64) -> bool {
    // Bounded, so that a sum is finite.
    (0.0..=1e9).contains(&weight)
}

/// The weights with a sum of 1, if there is any to share out.
fn normalised(weights: BTreeMap<String, f64>) -> Option<Weights> {
    let sum: f64 = weights.values().sum();
    let named = weights.into_iter().filter_map(|(name, weight)| Some((ProviderName::from_text(&name)?, weight / sum)));
    (sum > 0.0).then(|| Weights::Listed(named.collect()))
}
