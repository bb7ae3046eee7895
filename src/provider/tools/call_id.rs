//! Ids of tool calls that the gateway makes: nine letters and digits, which every vendor takes and Mistral takes alone.

use sha2::{Digest, Sha256};

use crate::chat::TOOL_NAME;
use crate::provider::ProviderError;

/// What Mistral wants of an id.
const LENGTH: usize = 9;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Whether every vendor takes an id.
pub(crate) fn fits(id: &str) -> bool {
    id.len() == LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The longest id that a caller may send: Kimi's are `functions.NAME:INDEX`, others' have about thirty bytes.
const LONGEST: usize = TOOL_NAME + 16;

/// An id of a caller's message, or a stand-in where it could hold a text: no policy sees ids, and models do. The same id
/// has the same stand-in, so that a result finds its call.
pub(crate) fn bounded(id: String) -> String {
    if is_bounded(&id) { id } else { derive(id.as_bytes(), 0) }
}

fn is_bounded(id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    id.len() <= LONGEST && id.bytes().all(fits)
}

/// The first nine base-62 digits of the SHA-256 of the seed; of seed and round from the second round on.
pub(crate) fn derive(seed: &[u8], round: u32) -> String {
    digits(Sha256::new_with_prefix(seed), round)
}

fn digits(mut hash: Sha256, round: u32) -> String {
    if round > 0 {
        hash.update(round.to_be_bytes());
    }
    let digest = hash.finalize();
    let mut number = digest.iter().take(16).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    let mut out = String::with_capacity(LENGTH);
    for _ in 0..LENGTH {
        let digit = ALPHABET.get((number % 62) as usize).copied().unwrap_or(b'0');
        out.push(char::from(digit));
        number /= 62;
    }
    out
}

/// Ids for the calls of one answer that came without: clients tell calls apart by them, and name them in what they send
/// back.
#[derive(Debug)]
pub(crate) struct Made<A> {
    answer: A,
    /// Of all its bytes, once one is made: they may be many, and so may be the calls.
    hash: Option<Sha256>,
    made: u32,
}

impl<A: AsRef<[u8]>> Made<A> {
    /// Ids that no other answer has. `answer`: its bytes, or those of its first event.
    pub(crate) fn of(answer: A) -> Self {
        Self { answer, hash: None, made: 0 }
    }

    /// The upstream's id if it is one, else one that is made.
    pub(crate) fn or_made(&mut self, id: Option<&str>) -> String {
        match id.filter(|id| is_one(id)) {
            Some(id) => id.to_owned(),
            None => {
                self.made = self.made.saturating_add(1);
                let hash = self.hash.get_or_insert_with(|| Sha256::new_with_prefix(&self.answer));
                digits(hash.clone(), self.made)
            }
        }
    }
}

/// More calls of one choice than any vendor takes tools.
const MOST: usize = 1024;

/// Whether a choice may have so many calls.
pub(crate) fn check_count(calls: usize) -> Result<(), ProviderError> {
    if calls <= MOST {
        Ok(())
    } else {
        Err(ProviderError::malformed("the upstream's answer has more tool calls than are read"))
    }
}

/// Whether an upstream's id is one, and no text. Some models of Mistral's and of others write `null`.
pub(crate) fn is_one(id: &str) -> bool {
    !id.is_empty() && id != "null" && is_bounded(id)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn calls_without_an_id_get_one_of_their_own() {
        let mut made = Made::of("an answer");
        let ids = [None, Some(""), Some("null")].map(|id| made.or_made(id));
        assert!(ids.iter().all(|id| fits(id)), "{ids:?}");
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
        assert_eq!(made.or_made(Some("call_1")), "call_1");
        assert!(fits(&made.or_made(Some("write to jane@example.org"))));
        assert_ne!(Made::of("another").or_made(None), ids[0]);
    }

    #[test]
    fn however_many_ids_are_made_the_answer_is_read_once() {
        let reads = Cell::new(0);
        let mut made = Made::of(Counted { bytes: b"an answer", reads: &reads });
        assert_eq!(made.or_made(Some("call_1")), "call_1");
        assert_eq!(reads.get(), 0);
        let ids = [1, 2, 3].map(|round| (made.or_made(None), derive(b"an answer", round)));
        assert!(ids.iter().all(|(id, expected)| id == expected), "{ids:?}");
        assert_eq!(reads.get(), 1);
    }

    struct Counted<'a> {
        bytes: &'a [u8],
        reads: &'a Cell<u32>,
    }

    impl AsRef<[u8]> for Counted<'_> {
        fn as_ref(&self) -> &[u8] {
            self.reads.set(self.reads.get() + 1);
            self.bytes
        }
    }
}
