//! What a script can ask the double to do with one request.

use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::failure::Failure;

/// The answer to one request: by default the double's own, changed by what is asked for here.
///
/// Only requests that Mistral would accept reach their behaviour; one that is refused leaves it for the next.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    pub(crate) failure: Option<Failure>,
    pub(crate) answer: ScriptedAnswer,
    pub(crate) stream: StreamStyle,
    pub(crate) before_first_byte: Duration,
    pub(crate) between_chunks: Option<Duration>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// What the answer says, where a script says so.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScriptedAnswer {
    pub(crate) text: Option<String>,
    pub(crate) parts: Option<Vec<Value>>,
    pub(crate) thinking: Option<String>,
    pub(crate) tool_calls: Vec<ToolCall>,
    pub(crate) finish_reason: Option<String>,
    pub(crate) cached_tokens: Option<u64>,
    pub(crate) service_tier: Option<String>,
    pub(crate) usage: UsageForm,
    pub(crate) empty: EmptyContent,
}

/// How a stream looks and where it breaks.
#[derive(Debug, Clone, Default)]
pub(crate) struct StreamStyle {
    pub(crate) tool_calls: ToolCallForm,
    pub(crate) thinking_end: ThinkingEnd,
    pub(crate) writes: Writes,
    pub(crate) events: EventForm,
    pub(crate) fault: Option<(usize, StreamFault)>,
}

/// A tool call of an answer.
#[derive(Debug, Clone)]
pub struct ToolCall {
    /// Nine letters and digits, unless a test wants it otherwise.
    pub id: String,
    /// The function.
    pub name: String,
    /// Sent as JSON text when it is not a string; see [`ToolCall::arguments_as_object`].
    pub arguments: Value,
}

impl ToolCall {
    /// A call with a fresh id. The arguments are sent as their JSON text.
    #[must_use]
    pub fn new(name: &str, arguments: &Value) -> Self {
        let id = std::iter::repeat_with(fastrand::alphanumeric).take(9).collect();
        Self { id, name: name.to_owned(), arguments: Value::from(arguments.to_string()) }
    }

    /// The same call under this id.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    /// Sends the arguments as a JSON object, which the schema allows.
    #[must_use]
    pub fn arguments_as_object(mut self) -> Self {
        if let Some(object) = self.arguments.as_str().and_then(|text| serde_json::from_str(text).ok()) {
            self.arguments = object;
        }
        self
    }
}

/// How tool calls are written, in streams and in whole answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ToolCallForm {
    /// Each call complete, with `index` and `type`; in a stream all in the finish chunk. August 2026.
    #[default]
    Whole,
    /// The same without `index` and `type`. January 2026.
    Bare,
    /// In a stream: the name with empty arguments, then fragments with `name: ""` and no `id`.
    Fragments,
    /// The same with the literal `id: "null"` on the fragments.
    FragmentsNullId,
}

impl ToolCallForm {
    pub(crate) fn is_bare(self) -> bool {
        self == Self::Bare
    }

    pub(crate) fn is_fragmented(self) -> bool {
        matches!(self, Self::Fragments | Self::FragmentsNullId)
    }
}

/// How a stream goes from thinking to text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ThinkingEnd {
    /// A thinking chunk with an empty list, then plain strings. Recorded.
    #[default]
    EmptyList,
    /// One list holding a closing thinking chunk and the first text chunk, then plain strings. Documented.
    WithText,
}

/// `message.content` beside tool calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmptyContent {
    /// `""`.
    #[default]
    Text,
    /// `null`.
    Null,
    /// No key.
    Absent,
}

/// Which field of `usage` counts cached tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UsageForm {
    /// `prompt_tokens_details.cached_tokens`.
    #[default]
    PromptTokensDetails,
    /// `prompt_token_details.cached_tokens`, with the singular.
    PromptTokenDetails,
    /// `num_cached_tokens`.
    NumCachedTokens,
    /// No `usage` at all.
    Absent,
}

/// How a stream's bytes are cut into writes. Each write is also one chunk of the chunked encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Writes {
    /// One event a write.
    #[default]
    PerEvent,
    /// Every multi-byte character is split over two writes.
    SplitCharacters,
    /// So many bytes a write (at least one).
    Bytes(usize),
    /// All events in one write.
    AllAtOnce,
}

/// How events are written. Mistral sends the plain form; a reader must take the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventForm {
    /// `data: {..}\n\n`.
    #[default]
    Plain,
    /// Line ends are `\r\n`.
    CarriageReturnLineFeed,
    /// Line ends are `\r`.
    CarriageReturn,
    /// A byte order mark first; comments, `event:`, `id:` and `retry:` lines around each event.
    Talkative,
}

/// How a stream fails after it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamFault {
    /// An event with a flat `{"object":"error",..}`, then the end without `[DONE]`.
    FlatError,
    /// An event with `{"error":{message,type,code}}`, then the end without `[DONE]`.
    WrappedError,
    /// A chunk with `finish_reason: "error"`, then `[DONE]`.
    FinishError,
    /// The connection is closed in the middle of the answer.
    Cut,
    /// Every chunk arrives, but no `[DONE]`.
    NoDone,
    /// `[DONE]` comes without any `finish_reason` before it.
    NoFinish,
    /// Nothing more comes, and the connection stays.
    Stall,
    /// An event that is not JSON, then the rest as if nothing were.
    BadJson,
}

impl Behaviour {
    /// The double's own answer: start here and add.
    #[must_use]
    pub fn answer() -> Self {
        Self::default()
    }

    /// An answer with this text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        let mut behaviour = Self::default();
        behaviour.answer.text = Some(text.into());
        behaviour
    }

    /// An answer whose content is a list of chunks: `{"type":"text",..}`, `{"type":"reference",..}` and so on.
    #[must_use]
    pub fn parts(parts: Vec<Value>) -> Self {
        let mut behaviour = Self::default();
        behaviour.answer.parts = Some(parts);
        behaviour
    }

    /// An answer of tool calls.
    #[must_use]
    pub fn tool_calls(calls: Vec<ToolCall>) -> Self {
        let mut behaviour = Self::default();
        behaviour.answer.tool_calls = calls;
        behaviour
    }

    /// No answer but this failure.
    #[must_use]
    pub fn fail(failure: Failure) -> Self {
        Self { failure: Some(failure), ..Self::default() }
    }

    /// A stream that fails after so many chunks; the first carries the role, the second the first text. A request that
    /// does not stream gets its whole answer.
    #[must_use]
    pub fn break_stream(after: usize, fault: StreamFault) -> Self {
        let mut behaviour = Self::default();
        behaviour.stream.fault = Some((after, fault));
        behaviour
    }

    /// Waits before the status line.
    #[must_use]
    pub fn before_first_byte(mut self, time: Duration) -> Self {
        self.before_first_byte = time;
        self
    }

    /// Waits between the chunks of a stream.
    #[must_use]
    pub fn between_chunks(mut self, time: Duration) -> Self {
        self.between_chunks = Some(time);
        self
    }

    /// Sets a header of the answer, instead of the double's own of that name. A name or value that HTTP forbids is left out.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.headers.push((name, value));
        }
        self
    }

    /// Says that the model ends at this RFC 3339 time (`x-model-deprecation-timestamp`).
    #[must_use]
    pub fn deprecated(self, date: &str) -> Self {
        self.header("x-model-deprecation-timestamp", date)
    }

    /// Thinks this before the text.
    #[must_use]
    pub fn thinking(mut self, text: impl Into<String>) -> Self {
        self.answer.thinking = Some(text.into());
        self
    }

    /// Ends with this reason: `model_length`, `length`, `error`, or one that nobody knows.
    #[must_use]
    pub fn finish_reason(mut self, reason: &str) -> Self {
        self.answer.finish_reason = Some(reason.to_owned());
        self
    }

    /// Reports so many cached prompt tokens.
    #[must_use]
    pub fn cached_tokens(mut self, tokens: u64) -> Self {
        self.answer.cached_tokens = Some(tokens);
        self
    }

    /// Reports this `usage.service_tier` (`standard` or `priority`).
    #[must_use]
    pub fn service_tier(mut self, tier: &str) -> Self {
        self.answer.service_tier = Some(tier.to_owned());
        self
    }

    /// Writes `usage` in this form.
    #[must_use]
    pub fn usage(mut self, form: UsageForm) -> Self {
        self.answer.usage = form;
        self
    }

    /// Writes `content` beside tool calls like this.
    #[must_use]
    pub fn empty_content(mut self, form: EmptyContent) -> Self {
        self.answer.empty = form;
        self
    }

    /// Writes tool calls in this form.
    #[must_use]
    pub fn tool_call_form(mut self, form: ToolCallForm) -> Self {
        self.stream.tool_calls = form;
        self
    }

    /// Goes from thinking to text like this.
    #[must_use]
    pub fn thinking_end(mut self, end: ThinkingEnd) -> Self {
        self.stream.thinking_end = end;
        self
    }

    /// Cuts a stream into these writes.
    #[must_use]
    pub fn writes(mut self, writes: Writes) -> Self {
        self.stream.writes = writes;
        self
    }

    /// Writes events in this form.
    #[must_use]
    pub fn events(mut self, form: EventForm) -> Self {
        self.stream.events = form;
        self
    }
}

impl From<Failure> for Behaviour {
    fn from(failure: Failure) -> Self {
        Self::fail(failure)
    }
}
