//! An answer of `/api/request` as a stream: pieces of the text, then what the answer would have been as a whole.

use std::sync::Arc;

use axum::response::Response;
use serde_json::json;
use tokio::sync::oneshot;

use super::policy_info::PolicyInfo;
use super::request::{broken_off, refusal_body, routed_body};
use crate::chat::{Message, Part, Role};
use crate::gateway::{AnswerEvent, AnswerStream, Ended, StreamEnd};
use crate::http::answer::with_request_id;
use crate::http::sse::{self, Frame};
use crate::provider::{Delta, StreamEvent};

/// The answer, and where its end is told.
pub(super) fn response(begun: AnswerStream, tenant: String) -> (Response, oneshot::Receiver<Arc<Ended>>) {
    let AnswerStream { request_id, events, ended, .. } = begun;
    let id = request_id.as_str().to_owned();
    let pieces = Pieces { id, tenant, said: Message { role: Role::Assistant, parts: Vec::new() }, calls: Vec::new() };
    (with_request_id(sse::response(events, pieces, Pieces::frames), request_id.as_str()), ended)
}

/// What went out so far: of the first choice, as in a whole answer.
struct Pieces {
    id: String,
    tenant: String,
    said: Message,
    /// By the upstream's number of a call, its place among the parts.
    calls: Vec<(u32, usize)>,
}

impl Pieces {
    fn frames(&mut self, event: AnswerEvent) -> Vec<Frame> {
        match event {
            AnswerEvent::Said(event) => self.said(event),
            AnswerEvent::Over(ended) => self.over(&ended),
        }
    }

    fn said(&mut self, event: StreamEvent) -> Vec<Frame> {
        let mut frames = Vec::new();
        for delta in event.deltas {
            match delta {
                Delta::Text { choice: 0, text } => {
                    frames.push(Frame::Data(json!({ "delta": text }).to_string()));
                    match self.said.parts.last_mut() {
                        Some(Part::Text { text: said }) => said.push_str(&text),
                        _ => self.said.parts.push(Part::Text { text }),
                    }
                }
                Delta::Thinking { choice: 0, text } => {
                    frames.push(Frame::Data(json!({ "reasoning_delta": text }).to_string()));
                }
                Delta::ToolCall { choice: 0, call, id, name, arguments } => {
                    let known = self.calls.iter().find(|(number, _)| *number == call).map(|(_, place)| *place);
                    match known.and_then(|place| self.said.parts.get_mut(place)) {
                        Some(Part::ToolCall { arguments: said, .. }) => said.push_str(&arguments),
                        _ => {
                            self.calls.push((call, self.said.parts.len()));
                            let (id, name) = (id.unwrap_or_default(), name.unwrap_or_default());
                            self.said.parts.push(Part::ToolCall { id, name, arguments });
                        }
                    }
                }
                _ => {}
            }
        }
        frames
    }

    fn over(&self, ended: &Ended) -> Vec<Frame> {
        let policy_info = PolicyInfo::new(&ended.policies, &self.tenant);
        let whole = match &ended.how {
            StreamEnd::Whole | StreamEnd::ClientGone => routed_body(&ended.routed, &self.said, &self.id, policy_info),
            StreamEnd::Refused(refusal) => refusal_body(refusal, &self.id, policy_info),
            StreamEnd::Failed(failure) => {
                let body = broken_off(failure, &ended.routed, &self.id, policy_info);
                return vec![Frame::Data(body), Frame::Break];
            }
        };
        vec![Frame::Data(whole), Frame::Data(sse::DONE.to_owned())]
    }
}
