//! The hash chain: each record of a node covers the one before it.
//!
//! `docs/audit.md` describes these bytes for other implementations. They are never changed; a second version would have
//! another domain.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What the hash of a record begins with, so that it is the hash of nothing else.
const RECORD_DOMAIN: &[u8] = b"octroi.audit.record.1\0";

/// A record's number in its node's chain. The first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub i64);

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash(pub(crate) [u8; 32]);

impl ChainHash {
    /// What the first record of a chain has for its predecessor.
    pub const NONE: Self = Self([0; 32]);
}

impl fmt::Display for ChainHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for ChainHash {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

/// What the hash of a record covers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Covered<'r> {
    pub(crate) node: &'r str,
    pub(crate) seq: Seq,
    /// The hash of the record before.
    pub(crate) previous: ChainHash,
    pub(crate) at_microseconds: i64,
    pub(crate) kind: &'r str,
    pub(crate) id: &'r str,
    pub(crate) body: &'r str,
}

impl Covered<'_> {
    pub(crate) fn hash(&self) -> ChainHash {
        let mut hash = Sha256::new();
        hash.update(RECORD_DOMAIN);
        hash.update(self.seq.0.to_be_bytes());
        hash.update(self.previous.0);
        hash.update(self.at_microseconds.to_be_bytes());
        for text in [self.node, self.kind, self.id, self.body] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        ChainHash(hash.finalize().into())
    }
}

/// The end of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many records the chain has had.
    pub seq: Seq,
    /// The hash of the last.
    pub hash: ChainHash,
}

impl Head {
    /// Of a chain without records.
    pub const EMPTY: Self = Self { seq: Seq(0), hash: ChainHash::NONE };
}

/// A record's place in a store: its node's number there, and its number in that node's chain, in one integer. Records
/// of a node are neighbours, in order. Node 0 is for records that are older than the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Place(pub(crate) i64);

/// A chain has room for 10^12 records.
const SEQ_BITS: u32 = 40;

impl Place {
    pub(crate) fn new(node: i64, seq: Seq) -> Self {
        Self((node << SEQ_BITS) | seq.0)
    }

    pub(crate) fn node(self) -> i64 {
        self.0 >> SEQ_BITS
    }

    pub(crate) fn seq(self) -> Seq {
        Seq(self.0 & ((1 << SEQ_BITS) - 1))
    }

    /// All places of a node, the first and the last.
    pub(crate) fn of_node(node: i64) -> (Self, Self) {
        (Self::new(node, Seq(0)), Self::new(node, Seq((1 << SEQ_BITS) - 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_its_node_and_its_number() {
        for (node, seq) in [(0, 1), (1, 0), (1, 1), (3, (1 << SEQ_BITS) - 1), ((1 << 23) - 1, 7)] {
            let place = Place::new(node, Seq(seq));
            assert_eq!((place.node(), place.seq()), (node, Seq(seq)));
            let (first, last) = Place::of_node(node);
            assert!(first <= place && place <= last);
        }
        assert!(Place::new(1, Seq(9)) < Place::new(2, Seq(1)));
    }

    #[test]
    fn every_field_counts_and_none_runs_into_its_neighbour() {
        let first = Covered {
            node: "n",
            seq: Seq(1),
            previous: ChainHash::NONE,
            at_microseconds: 5,
            kind: "intent",
            id: "r1",
            body: "{}",
        };
        let others = [
            Covered { node: "m", ..first },
            Covered { seq: Seq(2), ..first },
            Covered { previous: ChainHash([1; 32]), ..first },
            Covered { at_microseconds: 6, ..first },
            Covered { kind: "outcome", ..first },
            Covered { id: "r2", ..first },
            Covered { body: "{} ", ..first },
            Covered { kind: "intentr", id: "1", ..first },
            Covered { node: "nintent", kind: "", ..first },
        ];
        for other in others {
            assert_ne!(other.hash(), first.hash(), "{other:?}");
        }
        assert_eq!(first.hash(), first.hash());
    }
}
