//! Messages and their content chunks. Only four roles exist: `developer` and `function` are refused.

use super::{Field, NULLABLE_TEXT, Shape, list, optional, required};

/// At least one message, told apart by `role`.
pub(super) const MESSAGES: Shape = Shape::List { of: &MESSAGE, at_least: 1, at_most: usize::MAX };

/// One message.
pub(super) const MESSAGE: Shape = Shape::Tagged {
    tag: "role",
    default: None,
    variants: &[("system", SYSTEM), ("user", USER), ("assistant", ASSISTANT), ("tool", TOOL)],
};

static SYSTEM: &[Field] = &[required("content", Shape::OneOf(&[Shape::Text, list(&SYSTEM_CHUNK)]))];

static USER: &[Field] = &[required("content", Shape::Nullable(&CONTENT))];

static ASSISTANT: &[Field] = &[
    optional("content", Shape::Nullable(&CONTENT)),
    optional("tool_calls", Shape::Nullable(&list(&Shape::Object(TOOL_CALL)))),
    optional("prefix", Shape::Flag),
];

static TOOL: &[Field] = &[
    required("content", Shape::Nullable(&CONTENT)),
    optional("tool_call_id", NULLABLE_TEXT),
    optional("name", NULLABLE_TEXT),
];

static TOOL_CALL: &[Field] = &[
    optional("id", Shape::Text),
    optional("type", Shape::Literal(&["function"])),
    required("function", Shape::Object(FUNCTION_CALL)),
    optional("index", Shape::Integer { from: 0, to: i64::MAX }),
];

static FUNCTION_CALL: &[Field] =
    &[required("name", Shape::Text), required("arguments", Shape::OneOf(&[Shape::Text, Shape::Map(&Shape::Any)]))];

static CONTENT: Shape = Shape::OneOf(&[Shape::Text, list(&CHUNK)]);

static SYSTEM_CHUNK: Shape =
    Shape::Tagged { tag: "type", default: Some("text"), variants: &[("text", TEXT), ("thinking", THINKING)] };

static CHUNK: Shape = Shape::Tagged {
    tag: "type",
    default: Some("text"),
    variants: &[
        ("text", TEXT),
        ("image_url", &[required("image_url", Shape::OneOf(&[Shape::Text, Shape::Object(IMAGE_URL)]))]),
        ("document_url", &[required("document_url", Shape::Text), optional("document_name", NULLABLE_TEXT)]),
        ("reference", REFERENCE),
        ("file", &[required("file_id", Shape::Text)]),
        ("thinking", THINKING),
        ("input_audio", &[required("input_audio", Shape::Text)]),
    ],
};

static TEXT: &[Field] = &[required("text", Shape::Text)];

static IMAGE_URL: &[Field] =
    &[required("url", Shape::Text), optional("detail", Shape::Nullable(&Shape::Literal(&["low", "auto", "high"])))];

static REFERENCE: &[Field] =
    &[required("reference_ids", list(&Shape::OneOf(&[Shape::Integer { from: 0, to: i64::MAX }, Shape::Text])))];

static THINKING: &[Field] =
    &[required("thinking", list(&THOUGHT)), optional("closed", Shape::Flag), optional("signature", NULLABLE_TEXT)];

static THOUGHT: Shape = Shape::Tagged {
    tag: "type",
    default: Some("text"),
    variants: &[("text", TEXT), ("reference", REFERENCE), ("tool_reference", TOOL_REFERENCE)],
};

static TOOL_REFERENCE: &[Field] = &[
    required("tool", Shape::Text),
    required("title", Shape::Text),
    optional("url", NULLABLE_TEXT),
    optional("favicon", NULLABLE_TEXT),
    optional("description", NULLABLE_TEXT),
];
