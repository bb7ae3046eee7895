//! The bodies of fill-in-the-middle, embeddings and moderation.

use super::chat::{STOP, TEMPERATURE, TOP_P};
use super::messages::{MESSAGE, MESSAGES};
use super::{Field, NULLABLE_COUNT, NULLABLE_OBJECT, NULLABLE_TEXT, Shape, list, optional, required};

/// `POST /v1/fim/completions`: no messages, no tools, no `n`.
pub(crate) static FIM: &[Field] = &[
    required("model", Shape::Text),
    required("prompt", Shape::Text),
    optional("suffix", NULLABLE_TEXT),
    optional("temperature", TEMPERATURE),
    optional("top_p", TOP_P),
    optional("max_tokens", NULLABLE_COUNT),
    optional("min_tokens", NULLABLE_COUNT),
    optional("stop", STOP),
    optional("random_seed", NULLABLE_COUNT),
    optional("stream", Shape::Flag),
    optional("metadata", NULLABLE_OBJECT),
    optional("prompt_cache_key", NULLABLE_TEXT),
];

/// `POST /v1/embeddings`: text only, never token arrays.
pub(crate) static EMBEDDINGS: &[Field] = &[
    required("model", Shape::Text),
    required("input", Shape::OneOf(&[Shape::Text, list(&Shape::Text)])),
    optional("output_dimension", Shape::Nullable(&Shape::Integer { from: 1, to: 3072 })),
    optional("output_dtype", Shape::Literal(&["float", "int8", "uint8", "binary", "ubinary"])),
    optional("encoding_format", Shape::Literal(&["float", "base64"])),
    optional("metadata", NULLABLE_OBJECT),
];

/// `POST /v1/moderations`.
pub(crate) static MODERATION: &[Field] = &[
    required("model", Shape::Text),
    required("input", Shape::OneOf(&[Shape::Text, list(&Shape::Text)])),
    optional("metadata", NULLABLE_OBJECT),
];

/// `POST /v1/chat/moderations`: one conversation, or several.
pub(crate) static CHAT_MODERATION: &[Field] = &[
    required("model", Shape::Text),
    required("input", Shape::List { of: &MESSAGE_OR_CONVERSATION, at_least: 1, at_most: usize::MAX }),
];

static MESSAGE_OR_CONVERSATION: Shape = Shape::OneOf(&[MESSAGE, MESSAGES]);
