//! An answer of `/api/request` as a stream: pieces of the text, then what the answer would have been as a whole.

use std::sync::Arc;

use axum::response::Response;
use serde_json::json;
use tokio::sync::oneshot;

use super::policy_info::PolicyInfo;
use super::request::{broken_off, refusal_body, routed_body};
use crate::chat::{Message, Role};
use crate::gateway::{AnswerEvent, AnswerStream, Ended, StreamEnd, Transcript};
use crate::http::answer::with_request_id;
use crate::http::sse::{self, Frame};
use crate::provider::{Delta, StreamEvent};

/// The answer, and where its end is told.
pub(super) fn response(begun: AnswerStream, tenant: String) -> (Response, oneshot::Receiver<Arc<Ended>>) {
    let AnswerStream { request_id, events, ended, held, .. } = begun;
    let id = request_id.as_str().to_owned();
    let pieces = Pieces { id, tenant, said: Transcript::new("") };
    (with_request_id(sse::response(held, events, pieces, Pieces::frames), request_id.as_str()), ended)
}

/// What is remembered between pieces.
struct Pieces {
    id: String,
    tenant: String,
    /// What went out so far, as policies left it.
    said: Transcript,
}

impl Pieces {
    fn frames(&mut self, event: AnswerEvent) -> Vec<Frame> {
        match event {
            AnswerEvent::Said(event) => self.said(&event),
            AnswerEvent::Over(ended) => self.over(&ended),
        }
    }

    /// Of the first choice, as in a whole answer. Calls are told at the end.
    fn said(&mut self, event: &StreamEvent) -> Vec<Frame> {
        let mut frames = Vec::new();
        for delta in &event.deltas {
            self.said.take(delta);
            match delta {
                Delta::Text { choice: 0, text } | Delta::Refusal { choice: 0, text } => {
                    frames.push(json!({ "delta": text }))
                }
                Delta::Thinking { choice: 0, text } if !text.is_empty() => {
                    frames.push(json!({ "reasoning_delta": text }))
                }
                _ => {}
            }
        }
        frames.into_iter().map(|piece| Frame::Data(piece.to_string())).collect()
    }

    fn over(&mut self, ended: &Ended) -> Vec<Frame> {
        let policy_info = PolicyInfo::new(&ended.policies, &self.tenant);
        let whole = match &ended.how {
            StreamEnd::Whole => {
                let said = std::mem::replace(&mut self.said, Transcript::new("")).answer(None, Vec::new());
                let nothing = Message { role: Role::Assistant, parts: Vec::new() };
                let said = said.choices.into_iter().next().map_or(nothing, |choice| choice.message);
                routed_body(&ended.routed, &said, &self.id, policy_info)
            }
            StreamEnd::Refused(refusal) => refusal_body(refusal, &self.id, policy_info),
            // Something of it was not passed on.
            StreamEnd::ClientGone => return vec![Frame::Break],
            StreamEnd::Failed(failure) => {
                let body = broken_off(failure, &ended.routed, &self.id, policy_info);
                return vec![Frame::Data(body), Frame::Break];
            }
        };
        vec![Frame::Data(whole), Frame::Data(sse::DONE.to_owned())]
    }
}
