//! The body of `POST /v1/chat/completions`.

use super::messages::MESSAGES;
use super::{Field, NULLABLE_COUNT, NULLABLE_OBJECT, NULLABLE_TEXT, Shape, list, optional, required};

/// What `stop` may be, in every endpoint that has it.
pub(super) const STOP: Shape = Shape::Nullable(&Shape::OneOf(&[Shape::Text, list(&Shape::Text)]));

/// What `temperature` may be.
pub(super) const TEMPERATURE: Shape = Shape::Nullable(&Shape::Number { from: 0.0, to: 1.5 });

/// What `top_p` may be. The generated specification excludes zero.
pub(super) const TOP_P: Shape = Shape::Nullable(&Shape::Share);

const PENALTY: Shape = Shape::Nullable(&Shape::Number { from: -2.0, to: 2.0 });

/// So many answers in one request are a mistake; Mistral states no bound.
const MOST_ANSWERS: i64 = 64;

pub(crate) static CHAT: &[Field] = &[
    required("model", Shape::Text),
    required("messages", MESSAGES),
    optional("temperature", TEMPERATURE),
    optional("top_p", TOP_P),
    optional("max_tokens", NULLABLE_COUNT),
    optional("min_tokens", NULLABLE_COUNT),
    optional("stream", Shape::Flag),
    optional("stop", STOP),
    optional("random_seed", NULLABLE_COUNT),
    optional("response_format", Shape::Nullable(&RESPONSE_FORMAT)),
    optional("tools", Shape::Nullable(&Shape::List { of: &TOOL, at_least: 1, at_most: 128 })),
    optional("tool_choice", Shape::Nullable(&TOOL_CHOICE)),
    optional("parallel_tool_calls", Shape::Flag),
    optional("presence_penalty", PENALTY),
    optional("frequency_penalty", PENALTY),
    optional("n", Shape::Nullable(&Shape::Integer { from: 1, to: MOST_ANSWERS })),
    optional("prediction", Shape::Nullable(&PREDICTION)),
    optional("prompt_mode", Shape::Nullable(&Shape::Literal(&["reasoning"]))),
    // Which of these a model takes is checked once the model is known.
    optional("reasoning_effort", Shape::Nullable(&Shape::Text)),
    optional("prompt_cache_key", NULLABLE_TEXT),
    optional("service_tier", Shape::Nullable(&Shape::Literal(&["auto", "standard_only"]))),
    optional("guardrails", Shape::Nullable(&list(&GUARDRAIL))),
    optional("metadata", NULLABLE_OBJECT),
    optional("safe_prompt", Shape::Flag),
    optional("logprobs", Shape::Nullable(&Shape::Flag)),
    optional("top_logprobs", NULLABLE_COUNT),
    optional("prompt_logprobs", Shape::Any),
    optional("top_prompt_logprobs", NULLABLE_COUNT),
    optional("top_k", Shape::Nullable(&Shape::Integer { from: -1, to: i64::MAX })),
    optional("repetition_penalty", Shape::Nullable(&Shape::Number { from: 0.0, to: f64::MAX })),
    optional("document_image_limit", NULLABLE_COUNT),
    optional("document_page_limit", NULLABLE_COUNT),
];

static RESPONSE_FORMAT: Shape = Shape::Object(&[
    required("type", Shape::Literal(&["text", "json_object", "json_schema"])),
    optional("json_schema", Shape::Nullable(&Shape::Object(JSON_SCHEMA))),
]);

static JSON_SCHEMA: &[Field] = &[
    required("name", Shape::Text),
    required("schema", Shape::Map(&Shape::Any)),
    optional("description", NULLABLE_TEXT),
    optional("strict", Shape::Flag),
];

static TOOL: Shape = Shape::Tagged {
    tag: "type",
    default: Some("function"),
    variants: &[
        ("function", &[required("function", Shape::Object(FUNCTION))]),
        ("image_generation", &[]),
        ("web_search", &[]),
        ("web_search_premium", &[]),
        ("code_interpreter", &[]),
        ("document_library", &[required("library_ids", list(&Shape::Text))]),
    ],
};

static FUNCTION: &[Field] = &[
    required("name", Shape::Text),
    required("parameters", Shape::Map(&Shape::Any)),
    optional("description", Shape::Text),
    optional("strict", Shape::Flag),
];

static TOOL_CHOICE: Shape = Shape::OneOf(&[
    Shape::Literal(&["auto", "none", "any", "required"]),
    Shape::Object(&[
        optional("type", Shape::Literal(&["function"])),
        required("function", Shape::Object(&[required("name", Shape::Text)])),
    ]),
]);

static PREDICTION: Shape = Shape::Object(&[
    optional("type", Shape::Literal(&["content"])),
    required("content", Shape::OneOf(&[Shape::Text, list(&Shape::Any)])),
]);

static GUARDRAIL: Shape = Shape::Object(&[
    optional("block_on_error", Shape::Flag),
    optional("moderation_llm_v1", Shape::Nullable(&Shape::Object(MODERATION_RULE))),
    optional("moderation_llm_v2", Shape::Nullable(&Shape::Object(MODERATION_RULE))),
]);

static MODERATION_RULE: &[Field] = &[
    optional("model_name", Shape::Text),
    optional("custom_category_thresholds", Shape::Nullable(&Shape::Map(&Shape::Number { from: 0.0, to: 1.0 }))),
    optional("ignore_other_categories", Shape::Flag),
    optional("action", Shape::Literal(&["none", "block"])),
];
