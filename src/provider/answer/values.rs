//! The bound on the JSON values of an answer: one of few bytes a value would take gigabytes in memory.

use crate::chat::{MOST_VALUES, Room};
use crate::provider::{ErrorKind, ProviderError};

/// JSON values in an answer at most. More than in a request: the probabilities of a long answer are many.
const MOST: usize = 4 * MOST_VALUES;

/// Checks an answer, or an event of one, before it is read. To ask again would bring another.
pub(crate) fn check(text: &[u8]) -> Result<(), ProviderError> {
    if text.len() <= MOST || Room::of_text(text).values <= MOST {
        return Ok(());
    }
    let message = format!("the upstream's answer holds more than {MOST} JSON values");
    Err(ProviderError::new(ErrorKind::ResponseTooLarge, &message))
}
