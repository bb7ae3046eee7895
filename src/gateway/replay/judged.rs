//! What policies judged, from its record.

use std::sync::Arc;

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::super::llm_call::{self, ReportedCall};
use super::super::reported::Reported;
use super::super::text;
use super::super::tool_call::{self, ReportedTool};
use crate::audit::record::{Caller, Intent, LlmCall, Outcome, PolicyEvaluation, PreCheck, RecordKind, ToolCall};
use crate::audit::{AuditError, TrailRecord, TrailText};
use crate::chat::Message;
use crate::policy::{AuditPhase, Context, Question, Surface};

/// What a decision was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A request, before it went to a model.
    Request,
    /// A prompt that an application was to send itself.
    PreCheck,
    /// What a model answered.
    Answer,
    /// What an application reported of a call to a model.
    Report,
    /// What it reported of a tool.
    Tool,
}

impl About {
    /// In words.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::PreCheck => "pre-check",
            Self::Answer => "answer",
            Self::Report => "reported call",
            Self::Tool => "reported tool",
        }
    }

    /// The question on which it was decided. Reports are only judged on what is kept of them.
    pub(super) fn question(self) -> Question {
        match self {
            Self::Request | Self::PreCheck => Question::PreCheck,
            Self::Answer => Question::Response,
            Self::Report | Self::Tool => self.kept(),
        }
    }

    /// The question on what is kept of it.
    pub(super) fn kept(self) -> Question {
        Question::Audit(match self {
            Self::Request | Self::PreCheck => AuditPhase::Intent,
            Self::Answer | Self::Report | Self::Tool => AuditPhase::Outcome,
        })
    }
}

/// A prompt, an answer or a report that policies judged.
#[derive(Debug)]
pub(super) struct Judged<'r> {
    record: &'r TrailRecord,
    /// Where the attributes stand.
    asked: &'r TrailRecord,
    pub(super) about: About,
    pub(super) at: Timestamp,
    /// What policies were told beside the text; the attributes come with it.
    pub(super) context: Context,
    /// How many attributes they were told.
    attributes: u32,
    /// What they said, in order.
    pub(super) policies: Vec<PolicyEvaluation>,
    /// Whether they were shown it piece by piece.
    pub(super) streamed: bool,
}

/// The text that they were shown first, as far as it is stored.
#[derive(Debug)]
pub(super) enum Input {
    /// As it was, with everything that they were told beside it.
    Whole(Arc<Vec<Message>>),
    /// As the audit policies left it, or without the attributes.
    Changed(Arc<Vec<Message>>),
    /// No text is stored.
    NotKept,
    /// It was erased.
    Erased,
    /// There was none.
    None,
}

impl<'r> Judged<'r> {
    /// The record of a prompt; `None` where it is another's.
    pub(super) fn prompt(record: &'r TrailRecord) -> Result<Option<Self>, AuditError> {
        let prompt = match record.known_kind() {
            Some(RecordKind::Intent) => {
                let intent: Intent = body(record)?;
                let Intent { at, surface, model, providers, model_aliases, attributes, policies, .. } = intent;
                let surface = Surface::parse(&surface)
                    .ok_or_else(|| AuditError::Encoding(format!("{}: unknown surface `{surface}`", record.id)))?;
                let asked = context(surface, intent.request_type, intent.caller);
                let context = Context { providers, model: named(model), model_aliases, ..asked };
                Self { about: About::Request, at, context, attributes, policies, ..Self::empty(record) }
            }
            Some(RecordKind::PreCheck) => {
                let PreCheck { at, request_type, caller, model, providers, attributes, policies, .. } = body(record)?;
                let asked = context(Surface::Gateway, request_type, caller);
                let context = Context { providers, model: named(model), ..asked };
                Self { about: About::PreCheck, at, context, attributes, policies, ..Self::empty(record) }
            }
            _ => return Ok(None),
        };
        Ok(Some(prompt))
    }

    /// The record of an answer to what was `asked`, whose record is an intent.
    pub(super) fn answer(record: &'r TrailRecord, asked: &'r TrailRecord) -> Result<Option<Self>, AuditError> {
        let Some(prompt) = Self::prompt(asked)? else { return Ok(None) };
        let Outcome { at, provider, model, policies, streamed, .. } = body(record)?;
        let providers = if provider.is_empty() { Vec::new() } else { vec![provider] };
        let model_aliases = prompt.context.model.into_iter().collect();
        let context = Context { providers, model: named(model), model_aliases, ..prompt.context };
        let (about, streamed) = (About::Answer, streamed.is_some());
        Ok(Some(Self { record, asked, about, at, context, policies, streamed, ..prompt }))
    }

    /// The record of a report.
    pub(super) fn report(record: &'r TrailRecord) -> Result<Self, AuditError> {
        let LlmCall { at, caller, provider, model, policies, .. } = body(record)?;
        let asked = context(Surface::Gateway, llm_call::REQUEST_TYPE.to_owned(), caller);
        let context = Context { providers: vec![provider], model: named(model), ..asked };
        Ok(Self { about: About::Report, at, context, policies, ..Self::empty(record) })
    }

    /// The record of a reported tool.
    pub(super) fn tool(record: &'r TrailRecord) -> Result<Self, AuditError> {
        let ToolCall { at, caller, policies, .. } = body(record)?;
        let context = context(Surface::Gateway, tool_call::REQUEST_TYPE.to_owned(), caller);
        Ok(Self { about: About::Tool, at, context, policies, ..Self::empty(record) })
    }

    fn empty(record: &'r TrailRecord) -> Self {
        Self {
            record,
            asked: record,
            about: About::Request,
            at: record.at,
            context: Context::default(),
            attributes: 0,
            policies: Vec::new(),
            streamed: false,
        }
    }

    /// Its record.
    pub(super) fn record(&self) -> &'r TrailRecord {
        self.record
    }

    /// Reads the text, and the attributes beside it.
    pub(super) fn input(&mut self) -> Result<Input, AuditError> {
        let (json, original) = match self.record.text()? {
            TrailText::Original(json) => (json, true),
            TrailText::Kept(json) => (json, false),
            TrailText::NotKept => return Ok(Input::NotKept),
            TrailText::Erased => return Ok(Input::Erased),
            TrailText::None => return Ok(Input::None),
        };
        let unreadable =
            |error: serde_json::Error| AuditError::Encoding(format!("the text of {}: {error}", self.record.id));
        let messages = match self.about {
            About::Report => reported::<ReportedCall>(json),
            About::Tool => reported::<ReportedTool>(json),
            _ => text::read(json).map(|text| text.messages),
        };
        let messages = messages.map_err(unreadable)?;
        if self.attributes > 0
            && let TrailText::Original(asked) = self.asked.text()?
        {
            self.context.attributes = text::read(asked).map_err(unreadable)?.attributes;
        }
        let whole = original && self.context.attributes.len() == self.attributes as usize;
        Ok(if whole { Input::Whole(Arc::new(messages)) } else { Input::Changed(Arc::new(messages)) })
    }
}

/// The messages that the audit policies saw of a report.
fn reported<R: Reported>(json: &str) -> serde_json::Result<Vec<Message>> {
    Ok(serde_json::from_str::<R>(json)?.messages().unwrap_or_default())
}

fn body<T: DeserializeOwned>(record: &TrailRecord) -> Result<T, AuditError> {
    serde_json::from_str(&record.body).map_err(|error| AuditError::Encoding(format!("{}: {error}", record.id)))
}

/// What policies were told of who asked.
fn context(surface: Surface, request_type: String, caller: Caller) -> Context {
    let Caller { client, tenant, user } = caller;
    Context { surface, request_type, client, tenant, user: named(user), ..Context::default() }
}

/// An empty name is none, as it was when the record was made.
fn named(name: String) -> Option<String> {
    Some(name).filter(|it| !it.is_empty())
}
