//! A canonical conversation as Anthropic's turns.
//!
//! There are two roles, which take turns; instructions stand outside, and later ones behind a user's turn where the model
//! takes them there: what a newer model thought is valid only behind what stood before it. A tool's answers are blocks at
//! the beginning of the user's turn. A block without text is refused, and so is reasoning without the signature that came
//! with it.

use std::borrow::Cow;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::chat::{CacheControl, CachePoints, Message, Part, Role, Seal};
use crate::provider::request::changes::{Changes, OPENING};
use crate::provider::request::image::{self, asks};
use crate::provider::tools::arguments::Arguments;
use crate::provider::{ErrorKind, ProviderError};

/// What images may be.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// A conversation, and what was changed in it.
#[derive(Debug, Default)]
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<Instruction<'a>>,
    pub(super) turns: Vec<Turn<'a>>,
    takes: Takes,
    /// Instructions that wait for the user's turn behind which they are to stand.
    waiting: Vec<Instruction<'a>>,
    changes: Changes,
}

/// What a model takes among its turns.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Takes {
    /// What it thought before.
    pub(super) thoughts: bool,
    /// Instructions, behind a user's turn.
    pub(super) instructions: bool,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "type", rename = "text")]
pub(super) struct Instruction<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

impl<'a> Instruction<'a> {
    /// One that no cache is to keep.
    pub(super) fn plain(text: &'a str) -> Self {
        Self { text, cache_control: None }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Turn<'a> {
    role: Speaker,
    /// Tools' answers, which go before the rest.
    #[serde(skip)]
    results: Vec<Block<'a>>,
    content: Vec<Block<'a>>,
    /// Instructions, which are a turn of their own behind it.
    #[serde(skip)]
    instructions: Vec<Instruction<'a>>,
    /// So many of them stood before something that the user says.
    #[serde(skip)]
    moved: usize,
}

impl<'a> Turn<'a> {
    fn of(role: Speaker, content: Vec<Block<'a>>) -> Self {
        Self { role, results: Vec::new(), content, instructions: Vec::new(), moved: 0 }
    }

    /// The turn as it is sent, and that of the instructions behind it.
    fn laid_out(mut self) -> impl Iterator<Item = Self> {
        self.content.splice(0..0, self.results.drain(..));
        let instructions = std::mem::take(&mut self.instructions).into_iter();
        let said = instructions.map(|Instruction { text, cache_control }| Block::Text { text, cache_control });
        let behind = Self::of(Speaker::System, said.collect());
        std::iter::once(self).chain((!behind.content.is_empty()).then_some(behind))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Speaker {
    User,
    Assistant,
    System,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text {
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    Image {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: Arguments<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "str::is_empty")]
        content: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
}

impl Block<'_> {
    fn cache_control(&self) -> Option<CacheControl> {
        match self {
            Self::Text { cache_control, .. }
            | Self::Image { cache_control, .. }
            | Self::ToolUse { cache_control, .. }
            | Self::ToolResult { cache_control, .. } => *cache_control,
            Self::Thinking { .. } | Self::RedactedThinking { .. } => None,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Source<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Url { url: &'a str },
}

impl<'a> Conversation<'a> {
    /// Reads the messages of a request.
    pub(super) fn of(messages: &'a [Message], cache: &CachePoints, takes: Takes) -> Result<Self, ProviderError> {
        let mut conversation = Self { takes, ..Self::default() };
        for (index, message) in messages.iter().enumerate() {
            conversation.add(message, |part| cache.of(index, part))?;
        }
        conversation.open()?;
        conversation.trim_last_answer();
        conversation.changes.moved_system += conversation.waiting.len();
        conversation.system.append(&mut conversation.waiting);
        conversation.changes.later_system = conversation.turns.iter().map(|turn| turn.moved).sum();
        conversation.turns = conversation.turns.into_iter().flat_map(Turn::laid_out).collect();
        let blocks = conversation.turns.iter().flat_map(|turn| &turn.content).filter_map(Block::cache_control);
        let instructions = conversation.system.iter().filter_map(|instruction| instruction.cache_control);
        conversation.changes.uncached = cache.count().saturating_sub(blocks.chain(instructions).count());
        Ok(conversation)
    }

    /// Lets a user begin, as the vendor wants.
    fn open(&mut self) -> Result<(), ProviderError> {
        if self.turns.is_empty() && self.system.is_empty() {
            return Err(ProviderError::new(ErrorKind::Unsupported, "no message is left to send"));
        }
        if self.turns.first().is_none_or(|turn| turn.role != Speaker::User) {
            let opening = Block::Text { text: OPENING, cache_control: None };
            self.turns.insert(0, Turn::of(Speaker::User, vec![opening]));
            self.changes.opened = 1;
        }
        Ok(())
    }

    /// Whether the model is to go on with what it said without what it thought before that: after tools have answered, or
    /// with an answer that it began.
    pub(super) fn continues(&self) -> bool {
        let begins_with = |turn: Option<&Turn<'_>>, fits: fn(&Block<'_>) -> bool| {
            turn.and_then(|turn| turn.content.first()).is_some_and(fits)
        };
        let mut latest = self.turns.iter().rev().filter(|turn| turn.role != Speaker::System);
        let last = latest.next();
        let answered = begins_with(last, |block| matches!(block, Block::ToolResult { .. }));
        let thought = |block: &Block<'_>| matches!(block, Block::Thinking { .. } | Block::RedactedThinking { .. });
        last.is_some_and(|turn| turn.role == Speaker::Assistant) || answered && !begins_with(latest.next(), thought)
    }

    /// What was changed, for the record.
    pub(super) fn notes(&self) -> Vec<String> {
        self.changes.notes()
    }

    fn add(
        &mut self,
        message: &'a Message,
        cached: impl Fn(usize) -> Option<CacheControl>,
    ) -> Result<(), ProviderError> {
        let parts = message.parts.iter().enumerate().map(|(index, part)| (part, cached(index)));
        if message.role == Role::System {
            let texts = parts
                .filter_map(|(part, cache_control)| Some(Instruction { text: part.text()?, cache_control }))
                .filter(|instruction| !instruction.text.trim().is_empty());
            self.instruct(texts);
            return Ok(());
        }
        let speaker = if message.role == Role::Assistant { Speaker::Assistant } else { Speaker::User };
        let mut blocks = Vec::with_capacity(message.parts.len());
        let mut results = Vec::new();
        for (part, cache_control) in parts {
            match part {
                Part::Text { text } | Part::Refusal { text } if text.trim().is_empty() => {}
                Part::Text { text } | Part::Refusal { text } => blocks.push(Block::Text { text, cache_control }),
                Part::Image { .. } if speaker == Speaker::Assistant => self.changes.misplaced += 1,
                Part::Image { url, detail } => {
                    self.changes.details += usize::from(asks(*detail));
                    blocks.push(Block::Image { source: source(url)?, cache_control });
                }
                Part::Thinking { text, seal } => match reasoning(text, seal.as_ref()) {
                    Some(block) if self.takes.thoughts && speaker == Speaker::Assistant => blocks.push(block),
                    _ => self.changes.thinking += 1,
                },
                Part::Reference { .. } => self.changes.citations += 1,
                Part::ToolCall { id, name, arguments, .. } if speaker == Speaker::Assistant => {
                    let input = Arguments::read(arguments);
                    self.changes.wrapped += usize::from(input.is_text());
                    blocks.push(Block::ToolUse { id: tool_id(id), name, input, cache_control });
                }
                Part::ToolCall { .. } => self.changes.misplaced += 1,
                Part::ToolResult { .. } if speaker == Speaker::Assistant => self.changes.misplaced += 1,
                Part::ToolResult { id, text, .. } => {
                    results.push(Block::ToolResult { tool_use_id: tool_id(id), content: text, cache_control });
                }
            }
        }
        self.join(speaker, results, blocks);
        Ok(())
    }

    /// Instructions stand outside before the first turn, and later ones behind the user's turn where the model takes them.
    fn instruct(&mut self, instructions: impl Iterator<Item = Instruction<'a>>) {
        if self.takes.instructions && !self.turns.is_empty() {
            self.waiting.extend(instructions);
            self.place_instructions();
            return;
        }
        let before = self.system.len();
        self.system.extend(instructions);
        self.changes.moved_system += usize::from(!self.turns.is_empty() && self.system.len() > before);
    }

    fn place_instructions(&mut self) {
        if let Some(turn) = self.turns.last_mut().filter(|turn| turn.role == Speaker::User) {
            turn.instructions.append(&mut self.waiting);
        }
    }

    /// Adds to the turn if it is this speaker's, since their turns alternate; else begins one.
    fn join(&mut self, role: Speaker, mut results: Vec<Block<'a>>, mut blocks: Vec<Block<'a>>) {
        if results.is_empty() && blocks.is_empty() {
            return;
        }
        if self.turns.last().is_none_or(|turn| turn.role != role) {
            self.turns.push(Turn::of(role, Vec::new()));
        }
        self.place_instructions();
        if let Some(turn) = self.turns.last_mut() {
            turn.results.append(&mut results);
            turn.content.append(&mut blocks);
            turn.moved = turn.instructions.len();
        }
    }

    /// An answer to be continued may not end in white space, and has no reasoning.
    fn trim_last_answer(&mut self) {
        let Some(Turn { role: Speaker::Assistant, content, .. }) = self.turns.last_mut() else { return };
        let before = content.len();
        content.retain(|block| !matches!(block, Block::Thinking { .. } | Block::RedactedThinking { .. }));
        self.changes.thinking += before - content.len();
        if let Some(Block::Text { text, .. }) = content.last_mut() {
            *text = text.trim_end();
        }
    }
}

/// Reasoning in the form in which it is taken back, if it came from this vendor.
fn reasoning<'a>(text: &'a str, seal: Option<&'a Seal>) -> Option<Block<'a>> {
    match seal? {
        Seal::Anthropic(signature) => Some(Block::Thinking { thinking: text, signature }),
        Seal::AnthropicRedacted(data) => Some(Block::RedactedThinking { data }),
        Seal::Google(_) | Seal::Mistral(_) => None,
    }
}

fn source(url: &str) -> Result<Source<'_>, ProviderError> {
    let refused = |message: &str| Err(ProviderError::new(ErrorKind::Unsupported, message));
    match image::inline(url) {
        Some(image) if IMAGES.contains(&image.media_type) => {
            Ok(Source::Base64 { media_type: image.media_type, data: image.content })
        }
        Some(_) => refused("this provider takes images as JPEG, PNG, GIF and WebP only"),
        None if url.starts_with("https://") => Ok(Source::Url { url }),
        None => refused("this provider takes images as `https:` addresses and as `data:` in base 64 only"),
    }
}

/// The id itself if Anthropic takes it, else one that is derived from it: the same for a call and its answer.
fn tool_id(id: &str) -> Cow<'_, str> {
    if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return Cow::Borrowed(id);
    }
    let digest = hex::encode(Sha256::digest(id.as_bytes()));
    Cow::Owned(format!("toolu_{}", digest.get(..24).unwrap_or_default()))
}
