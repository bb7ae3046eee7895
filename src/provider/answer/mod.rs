//! Answers, whole and streamed: what every adapter makes of a vendor's, and the readers of OpenAI's form, which others share.

pub(crate) mod chunk;
pub(crate) mod chunked;
pub(crate) mod completion;
pub(crate) mod dialect;
pub(crate) mod notes;
pub(crate) mod results;
pub(crate) mod spent;
pub(crate) mod stream;
pub(crate) mod values;
pub(crate) mod vectors;
