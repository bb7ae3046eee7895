//! How many texts go into one request about them.

use crate::chat::{Task, Usage};
use crate::provider::answer::results;

/// Texts in one request for vectors, at most.
const TEXTS: usize = 512;

/// Tokens in one request for vectors, at most.
const TOKENS: usize = 16_384;

/// Bytes in one request for vectors, at most: few texts have more than one token for two bytes, and those are refused and cut
/// in half.
const BYTES: usize = 2 * TOKENS;

/// What fits into the next batch. One that is refused is cut in half, and those behind it stay as small until some were
/// taken. That is one, and twice as many each time that the next larger batch is refused as well: a server with a smaller
/// limit is not asked for more again and again. Once a batch is taken that has as many texts as a refused one, it is one
/// again: a few long texts make not all the others go in small batches.
#[derive(Debug)]
pub(super) struct BatchRoom {
    texts: usize,
    most_texts: usize,
    /// `None`: the vendor names no bound.
    bytes: Option<usize>,
    /// So many batches are taken before one is larger.
    patience: u32,
    taken: u32,
    /// So many texts had the batch that was refused last, unless as many were taken since.
    too_many: Option<usize>,
}

impl BatchRoom {
    /// For texts of this task. The vendor names bounds for vectors alone.
    pub(super) fn of(task: Task) -> Self {
        let (texts, bytes) = match task {
            Task::Embed => (TEXTS, Some(BYTES)),
            _ => (usize::MAX, None),
        };
        Self { texts, most_texts: texts, bytes, patience: 1, taken: 0, too_many: None }
    }

    /// How many of these are the next batch.
    pub(super) fn size(&self, texts: &[&str]) -> usize {
        results::batch(texts.iter().copied(), self.texts, self.bytes.unwrap_or(usize::MAX))
    }

    /// A batch of several was too large.
    pub(super) fn refused(&mut self, batch: &[&str]) {
        // On the way down, where no batch grew since, it is still the same refusal.
        if self.too_many.is_some_and(|before| batch.len() > before / 2) {
            self.patience = self.patience.saturating_mul(2);
        }
        self.too_many = Some(batch.len());
        self.texts = batch.len() / 2;
        self.bytes = self.bytes.map(|_| bytes(batch) / 2);
        self.taken = 0;
    }

    /// A batch was taken, and used so much: the next one's texts may have as many tokens. Hardly a text has more than one
    /// for each byte.
    pub(super) fn taken(&mut self, batch: &[&str], usage: Option<Usage>) {
        let tokens = usage.map_or(0, |usage| usize::try_from(usage.prompt_tokens).unwrap_or(usize::MAX));
        let room = bytes(batch).saturating_mul(TOKENS).checked_div(tokens);
        self.bytes = self.bytes.map(|_| room.map_or(BYTES, |room| room.clamp(TOKENS, BYTES)));
        // It was their length that the server refused, and not their number.
        if self.too_many.is_some_and(|refused| batch.len() >= refused) {
            (self.too_many, self.patience) = (None, 1);
        }
        self.taken += 1;
        if self.taken >= self.patience {
            self.texts = self.texts.saturating_mul(2).min(self.most_texts);
            self.taken = 0;
        }
    }
}

fn bytes(texts: &[&str]) -> usize {
    texts.iter().map(|text| text.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of the batches of these texts that a server is sent, and how many it refused.
    fn batches(task: Task, texts: &[&str], is_taken: impl Fn(&[&str]) -> bool) -> (Vec<usize>, usize) {
        let (mut rest, mut room) = (texts, BatchRoom::of(task));
        let (mut sizes, mut refused) = (Vec::new(), 0);
        while !rest.is_empty() {
            let (batch, others) = rest.split_at(room.size(rest));
            sizes.push(batch.len());
            if is_taken(batch) {
                room.taken(batch, Some(Usage { prompt_tokens: 1, ..Usage::default() }));
                rest = others;
            } else {
                refused += 1;
                room.refused(batch);
            }
        }
        (sizes, refused)
    }

    /// The same for so many texts and a server that takes at most `limit` of them.
    fn sent(task: Task, texts: usize, limit: usize) -> (Vec<usize>, usize) {
        batches(task, &vec!["text"; texts], |batch| batch.len() <= limit)
    }

    #[test]
    fn vectors_are_asked_for_by_the_vendors_bounds_and_judgements_at_once() {
        assert_eq!(sent(Task::Embed, 1200, 512), (vec![512, 512, 176], 0));
        assert_eq!(sent(Task::Moderate, 1200, 5000), (vec![1200], 0));
    }

    #[test]
    fn a_smaller_limit_is_learnt_and_not_run_into_again_and_again() {
        for task in [Task::Embed, Task::Moderate] {
            let (sizes, refused) = sent(task, 2000, 64);
            assert!(refused <= 10 && sizes.len() <= 50, "{refused} of {}", sizes.len());
            let (sizes, refused) = sent(task, 3000, 1);
            assert!(refused <= 22 && sizes.len() <= 3022, "{refused} of {}", sizes.len());
        }
    }

    #[test]
    fn a_few_long_texts_make_not_all_the_others_small_wherever_they_stand() {
        let long = "x".repeat(10_000);
        for at in [vec![0, 1], vec![1998, 1999], (0..2000).step_by(200).flat_map(|at| [at, at + 1]).collect()] {
            let mut texts = vec!["short"; 2000];
            at.iter().for_each(|at| texts[*at] = &long);
            let (sizes, _) = batches(Task::Moderate, &texts, |batch| batch.len() == 1 || bytes(batch) <= 16_384);
            assert!(sizes.len() <= 30 * at.len() / 2, "{} for {at:?}", sizes.len());
        }
    }

    #[test]
    fn one_batch_of_long_texts_makes_not_all_the_others_small() {
        let mut room = BatchRoom::of(Task::Embed);
        let texts = vec!["text"; 600];
        room.refused(&texts[..512]);
        assert_eq!(room.size(&texts), 256);
        for _ in 0..2 {
            room.taken(&texts[..256], Some(Usage { prompt_tokens: 1, ..Usage::default() }));
        }
        assert_eq!(room.size(&texts), 512);
    }
}
