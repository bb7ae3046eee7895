//! How the order of candidates is found.

use std::fmt;
use std::str::FromStr;

/// The strategies of the configuration. A higher priority comes first in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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
    /// Inside a priority the lowest price of the model that it would be asked for; unknown prices last.
    LowestCost,
}

/// A name that no strategy has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown routing strategy `{0}`; available: {available}", available = Strategy::ALL.map(Strategy::as_str).join(", "))]
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
