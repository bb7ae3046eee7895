//! How the order of candidates is found.

use std::fmt;
use std::str::FromStr;

/// The strategies of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Higher priority first; inside a priority a draw by weight.
    #[default]
    Weighted,
    /// Each in its turn. Not available yet.
    RoundRobin,
    /// The default first, then by priority, then by falling weight.
    Failover,
    /// The quickest first. Not available yet.
    LeastLatency,
    /// The cheapest first. Not available yet.
    LowestCost,
}

/// A name that no strategy has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown routing strategy `{0}`; available: {available}", available = Strategy::available())]
pub struct UnknownStrategy(pub String);

impl Strategy {
    const ALL: [Self; 5] = [Self::Weighted, Self::RoundRobin, Self::Failover, Self::LeastLatency, Self::LowestCost];

    /// The name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Weighted => "weighted",
            Self::RoundRobin => "round_robin",
            Self::Failover => "failover",
            Self::LeastLatency => "least_latency",
            Self::LowestCost => "lowest_cost",
        }
    }

    /// Whether this version routes by it.
    pub fn is_available(self) -> bool {
        matches!(self, Self::Weighted | Self::Failover)
    }

    /// The names of those that this version routes by.
    pub(crate) fn available() -> String {
        let names: Vec<_> = Self::ALL.iter().filter(|one| one.is_available()).map(|one| one.as_str()).collect();
        names.join(", ")
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|one| one.as_str() == name).ok_or_else(|| UnknownStrategy(name.to_owned()))
    }
}
