//! Signed checkpoints: a signature over how long a chain is and what it ends with.
//!
//! They are what a reader trusts: whoever can write the store but has no key can forge records, never a checkpoint that
//! fits them.

use jiff::Timestamp;

use super::chain::{ChainHash, Head, Seq};
use super::key::{AuditKey, PublicKey};
use super::row::whole_microseconds;

/// What a checkpoint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointKind {
    /// It says what the chain was.
    Checkpoint,
    /// It says as well that the records up to it were removed on purpose.
    Cut,
}

impl CheckpointKind {
    /// The word in stores and exports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Cut => "cut",
        }
    }

    /// The kind of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Checkpoint, Self::Cut].into_iter().find(|kind| kind.as_str() == word)
    }

    /// What the signed bytes begin with: a signature of one kind is worth nothing as the other.
    fn domain(self) -> &'static [u8] {
        match self {
            Self::Checkpoint => b"octroi.audit.checkpoint.1\0",
            Self::Cut => b"octroi.audit.cut.1\0",
        }
    }
}

/// A signed checkpoint of one node's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// What it is for.
    pub kind: CheckpointKind,
    /// When it was signed.
    pub at: Timestamp,
    /// The last record that it covers.
    pub head: Head,
    /// The key that signed it.
    pub public_key: PublicKey,
    /// The Ed25519 signature.
    pub signature: [u8; 64],
}

impl Checkpoint {
    /// Signs the head of a node's chain.
    pub(crate) fn sign(kind: CheckpointKind, node: &str, at: Timestamp, head: Head, key: &AuditKey) -> Self {
        let at = whole_microseconds(at);
        let signature = key.sign(&signed_bytes(kind, node, at, head));
        Self { kind, at, head, public_key: key.public(), signature }
    }

    /// Whether the signature is that of its own key over what it says of this node. Whether the key is to be trusted is
    /// another question.
    pub fn is_signed_for(&self, node: &str) -> bool {
        self.public_key.verifies(&signed_bytes(self.kind, node, self.at, self.head), &self.signature)
    }
}

fn signed_bytes(kind: CheckpointKind, node: &str, at: Timestamp, Head { seq: Seq(seq), hash }: Head) -> Vec<u8> {
    let mut bytes = kind.domain().to_vec();
    bytes.extend((node.len() as u64).to_be_bytes());
    bytes.extend(node.as_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend(at.as_microsecond().to_be_bytes());
    let ChainHash(hash) = hash;
    bytes.extend(hash);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_covers_kind_node_time_and_head() {
        let key = AuditKey::random().unwrap();
        let head = Head { seq: Seq(7), hash: ChainHash([3; 32]) };
        let signed = Checkpoint::sign(CheckpointKind::Checkpoint, "a", Timestamp::UNIX_EPOCH, head, &key);
        assert!(signed.is_signed_for("a"));
        assert!(!signed.is_signed_for("b"));
        for forged in [
            Checkpoint { kind: CheckpointKind::Cut, ..signed.clone() },
            Checkpoint { at: Timestamp::MAX, ..signed.clone() },
            Checkpoint { head: Head { seq: Seq(8), ..head }, ..signed.clone() },
            Checkpoint { head: Head { hash: ChainHash([4; 32]), ..head }, ..signed.clone() },
            Checkpoint { public_key: AuditKey::random().unwrap().public(), ..signed.clone() },
        ] {
            assert!(!forged.is_signed_for("a"), "{forged:?}");
        }
    }
}
