//! Leaves the memory in a state in which evaluations write side by side.
//!
//! Building a thousand rules leaves thousands of small holes between what stays, all over the memory that is frozen. An
//! evaluation would put its own small things there, each into another page, and the gateway would have to put back every
//! one of these pages. So the holes are filled, and what an evaluation needs is cut from one large piece.

/// The largest holes that are filled, in bytes; larger ones are few.
const LARGEST: usize = 1_024;

/// Allocators hand out blocks of multiples of this.
const STEP: usize = 8;

/// As many blocks in a row come from one large piece, and not from holes.
const IN_A_ROW: usize = 16;

/// What may be spent on it.
const MOST_BLOCKS: usize = 50_000;

/// Fills the holes. Called once, when everything is built.
pub(crate) fn settle() {
    let mut left = MOST_BLOCKS;
    for size in (1..=LARGEST / STEP).rev().map(|steps| steps * STEP) {
        let mut row: Vec<Vec<u8>> = Vec::with_capacity(IN_A_ROW);
        while row.len() < IN_A_ROW && left > 0 {
            let block: Vec<u8> = Vec::with_capacity(size);
            let is_next_to_last = row
                .last()
                .is_some_and(|last| block.as_ptr().addr().wrapping_sub(last.as_ptr().addr()) <= size + 2 * STEP);
            if !is_next_to_last {
                // They stay taken, for good.
                row.drain(..).for_each(std::mem::forget);
            }
            row.push(block);
            left -= 1;
        }
    }
}
