//! An answer as a stream of `chat.completion.chunk`.
//!
//! A chunk of the provider goes out as it came where nothing of it has to change. The last ones are looked at: where the
//! usage stands depends on what the client asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::answer::{Cited, Form, Route, Usage, finish_reason, identified};
use super::errors;
use super::reasoning::Content;
use super::request::Pieces;
use super::seal::ThinkingBlock;
use crate::chat::{Aside, Called, ChatAnswer, ExtraContent, Seal};
use crate::gateway::{AnswerEvent, AnswerStream, Ended, Refusal, StreamEnd};
use crate::http::sse::{self, Frame};
use crate::provider::{Delta, Sealed, StreamEvent};

/// The answer, and in its headers how it was come by. A streamed answer has no cost yet.
pub(super) fn response(begun: AnswerStream, pieces: Pieces, form: Form) -> (Response, oneshot::Receiver<Arc<Ended>>) {
    let AnswerStream { request_id, provider, model, attempts, generation, choices, events, ended, held } = begun;
    let chunks = Chunks::new(&model, choices, pieces, form);
    let response = sse::response(held, events, chunks, Chunks::frames);
    let route = Route { provider: &provider, model: &model, attempts: &attempts, generation };
    (identified(route.told(response, None), request_id.as_str()), ended)
}

/// What is remembered between chunks.
struct Chunks {
    pieces: Pieces,
    form: Form,
    id: String,
    model: String,
    created: i64,
    /// What the provider says beside its answer.
    aside: Aside,
    /// Choices that were asked for or have begun, and whether they have ended.
    choices: BTreeMap<u32, bool>,
    /// Choices whose role was told; none where the provider's own chunks tell it.
    roles: Option<BTreeSet<u32>>,
    /// The chunk that ends the last choice, until the usage that belongs into it is known: servers that count along may
    /// count once more behind it.
    held: Option<Map<String, Value>>,
}

#[derive(Default, Serialize)]
struct DeltaBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    thinking_blocks: Vec<ThinkingBlock>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    octroi: Option<Cited<'a>>,
}

/// A tool call, or more of one.
#[derive(Serialize)]
struct CallBody<'a> {
    index: u32,
    #[serde(flatten)]
    begun: Option<Called<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<More<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent>,
}

/// Mistral's clients read no fragment without a name; OpenAI's add the empty one to what they have.
#[derive(Default, Serialize)]
struct More<'a> {
    name: &'static str,
    arguments: &'a str,
}

#[derive(Default, Serialize)]
struct ChoiceBody<'a> {
    index: u32,
    delta: DeltaBody<'a>,
    finish_reason: Option<&'static str>,
}

impl Chunks {
    /// Of an answer by this model, of which so many choices were asked for.
    fn new(model: &str, choices: u32, pieces: Pieces, form: Form) -> Self {
        Self {
            pieces,
            form,
            id: String::new(),
            model: model.to_owned(),
            created: Timestamp::now().as_second(),
            aside: Aside::default(),
            choices: (0..choices).map(|choice| (choice, false)).collect(),
            roles: Some(BTreeSet::new()),
            held: None,
        }
    }

    /// What an event of the answer is to the client.
    fn frames(&mut self, event: AnswerEvent) -> Vec<Frame> {
        match event {
            AnswerEvent::Said(event) => self.said(event),
            AnswerEvent::Over(ended) => {
                let mut frames = match &ended.how {
                    StreamEnd::Refused(refusal) => self.refused(refusal),
                    StreamEnd::Whole | StreamEnd::Failed(_) => self.end(&ended.routed.answer).into_iter().collect(),
                    // Something of it was not passed on.
                    StreamEnd::ClientGone => return vec![Frame::Break],
                };
                match &ended.how {
                    StreamEnd::Failed(failure) => {
                        frames.extend([Frame::Data(errors::broke_off(failure)), Frame::Break]);
                    }
                    _ => frames.push(Frame::Data(sse::DONE.to_owned())),
                }
                frames
            }
        }
    }

    fn said(&mut self, mut event: StreamEvent) -> Vec<Frame> {
        let thinks = || event.deltas.iter().any(|delta| matches!(delta, Delta::Thinking { .. }));
        // Providers send it as a chat's, and with reasoning where they have it.
        if self.form == Form::Text || (self.form == Form::ChatInParts && thinks()) {
            event.frame = None;
        }
        if event.frame.is_some() {
            self.roles = None;
        }
        let mut ends = false;
        for delta in &event.deltas {
            match delta {
                Delta::Started { id, model, aside } => {
                    id.clone_into(&mut self.id);
                    model.clone_into(&mut self.model);
                    self.created = aside.created.unwrap_or(self.created);
                    aside.clone_into(&mut self.aside);
                }
                Delta::Served { tier } => self.aside.service_tier = Some(tier.clone()),
                Delta::Text { choice, .. }
                | Delta::Refusal { choice, .. }
                | Delta::Thinking { choice, .. }
                | Delta::ToolCall { choice, .. }
                | Delta::References { choice, .. } => {
                    self.choices.entry(*choice).or_default();
                }
                Delta::Finished { choice, .. } => {
                    ends = true;
                    self.choices.insert(*choice, true);
                }
                Delta::Usage { .. } | Delta::Seal { .. } | Delta::Note(_) => {}
            }
        }
        if !ends {
            let next = match event.frame {
                Some(frame) => Some(Frame::Raw(frame)),
                None => self.chunk(&event.deltas).map(data),
            };
            return next.map_or_else(Vec::new, |next| self.release().into_iter().chain([next]).collect());
        }
        let mut frames: Vec<_> = self.release().into_iter().collect();
        self.held = match event.frame.as_deref().map(serde_json::from_slice) {
            Some(Ok(Value::Object(chunk))) => Some(chunk),
            _ => self.chunk(&event.deltas),
        };
        if let Some(held) = &mut self.held {
            held.remove("usage");
        }
        if self.pieces.include_usage {
            frames.extend(self.release());
        }
        frames
    }

    /// The rest of an answer: its tokens, in the chunk that was held for them, or in one of their own.
    fn end(&mut self, answer: &ChatAnswer) -> Option<Frame> {
        let mut last = match self.held.take() {
            Some(held) => held,
            None if self.pieces.include_usage && answer.usage.is_some() => {
                let mut chunk = self.envelope(json!([]));
                if let Some(dollars) = answer.cost_usd {
                    chunk.insert("octroi".to_owned(), json!({ "cost_usd": dollars }));
                }
                chunk
            }
            None => return None,
        };
        if let Some(used) = answer.usage {
            last.insert("usage".to_owned(), json!(Usage::from(used)));
        }
        if let Some(tier) = &answer.aside.service_tier {
            last.insert("service_tier".to_owned(), tier.as_str().into());
        }
        Some(data(last))
    }

    /// A policy's refusal, in the words that clients know for a filter.
    fn refused(&mut self, refusal: &Refusal) -> Vec<Frame> {
        let mut frames: Vec<_> = self.release().into_iter().collect();
        let open: Vec<u32> = self.choices.iter().filter(|(_, ended)| !**ended).map(|(choice, _)| *choice).collect();
        let open = if open.is_empty() { vec![0] } else { open };
        let ended = |index| ChoiceBody { index, finish_reason: Some("content_filter"), ..ChoiceBody::default() };
        let choices: Vec<_> = open.into_iter().map(|index| self.choice(ended(index))).collect();
        let mut chunk = self.envelope(choices.into());
        let told = json!({
            "code": "policy_denied",
            "policy": refusal.policy,
            "rule": refusal.rule,
            "message": refusal.reason,
            "explanation": refusal.explanation,
        });
        chunk.insert("octroi".to_owned(), told);
        frames.push(data(chunk));
        frames
    }

    /// The chunk that was held, as it is.
    fn release(&mut self) -> Option<Frame> {
        self.held.take().map(data)
    }

    fn choice(&self, choice: ChoiceBody<'_>) -> Value {
        match self.form {
            Form::Text => {
                // It has no other place for a refusal.
                let text = choice.delta.content.map(Content::into_text).into_iter().chain(choice.delta.refusal);
                let text: String = text.collect();
                json!({
                    "index": choice.index, "text": text, "logprobs": null, "finish_reason": choice.finish_reason,
                })
            }
            _ => json!(choice),
        }
    }

    fn envelope(&self, choices: Value) -> Map<String, Value> {
        let mut chunk = Map::new();
        chunk.insert("id".to_owned(), self.id.clone().into());
        let object = if self.form == Form::Text { "text_completion" } else { "chat.completion.chunk" };
        chunk.insert("object".to_owned(), object.into());
        chunk.insert("created".to_owned(), self.created.into());
        chunk.insert("model".to_owned(), self.model.clone().into());
        chunk.insert("choices".to_owned(), choices);
        let Aside { service_tier, system_fingerprint, .. } = &self.aside;
        let beside = [("service_tier", service_tier), ("system_fingerprint", system_fingerprint)];
        chunk.extend(beside.into_iter().filter_map(|(name, word)| Some((name.to_owned(), word.as_deref()?.into()))));
        chunk
    }

    /// One chunk of all that these say; `None` when it is nothing.
    fn chunk(&mut self, deltas: &[Delta]) -> Option<Map<String, Value>> {
        let mut choices: BTreeMap<u32, ChoiceBody<'_>> = BTreeMap::new();
        fn at<'a, 'b>(choices: &'b mut BTreeMap<u32, ChoiceBody<'a>>, index: u32) -> &'b mut ChoiceBody<'a> {
            choices.entry(index).or_insert_with(|| ChoiceBody { index, ..ChoiceBody::default() })
        }
        for delta in deltas {
            match delta {
                Delta::Started { .. } => {
                    at(&mut choices, 0).delta.content = Some(Content::default());
                }
                Delta::Text { choice, text } => {
                    at(&mut choices, *choice).delta.content.get_or_insert_default().say(text);
                }
                Delta::Refusal { choice, text } => {
                    at(&mut choices, *choice).delta.refusal.get_or_insert_default().push_str(text);
                }
                Delta::Thinking { choice, text } if self.form == Form::ChatInParts => {
                    at(&mut choices, *choice).delta.content.get_or_insert_default().think(text, None);
                }
                Delta::Thinking { choice, text } => {
                    at(&mut choices, *choice).delta.reasoning_content.get_or_insert_default().push_str(text);
                }
                Delta::ToolCall { choice, call, id, name, arguments } => {
                    let begun = id.is_some() || name.is_some();
                    let called = Called::new(id.as_deref().unwrap_or(""), name.as_deref().unwrap_or(""), arguments);
                    at(&mut choices, *choice).delta.tool_calls.push(CallBody {
                        index: *call,
                        begun: begun.then_some(called),
                        function: (!begun).then_some(More { arguments, ..More::default() }),
                        extra_content: None,
                    });
                }
                // Of others no part of a content can tell.
                Delta::Seal { choice, of: Sealed::Thoughts(_), seal } if self.form == Form::ChatInParts => {
                    if let Seal::Mistral(signature) = seal {
                        at(&mut choices, *choice).delta.content.get_or_insert_default().sign(signature);
                    }
                }
                Delta::Seal { choice, of: Sealed::Thoughts(text), seal } => {
                    at(&mut choices, *choice).delta.thinking_blocks.extend(ThinkingBlock::of(text, Some(seal)));
                }
                Delta::Seal { choice, of: Sealed::Call(call), seal } => {
                    let calls = &mut at(&mut choices, *choice).delta.tool_calls;
                    let extra_content = ExtraContent::of(Some(seal));
                    match calls.iter_mut().find(|body| body.index == *call) {
                        Some(body) => body.extra_content = extra_content,
                        None => {
                            let function = Some(More::default());
                            calls.push(CallBody { index: *call, begun: None, function, extra_content });
                        }
                    }
                }
                Delta::References { choice, ids } => {
                    at(&mut choices, *choice).delta.octroi.get_or_insert_default().reference_ids.extend(ids);
                }
                Delta::Finished { choice, reason } => {
                    at(&mut choices, *choice).finish_reason = Some(finish_reason(*reason));
                }
                Delta::Usage { .. } | Delta::Served { .. } | Delta::Note(_) => {}
            }
        }
        if choices.is_empty() {
            return None;
        }
        for (index, choice) in &mut choices {
            let is_new = self.roles.as_mut().is_some_and(|roles| roles.insert(*index));
            choice.delta.role = is_new.then_some("assistant");
        }
        let choices: Vec<_> = choices.into_values().map(|choice| self.choice(choice)).collect();
        Some(self.envelope(choices.into()))
    }
}

fn data(chunk: Map<String, Value>) -> Frame {
    Frame::Data(Value::Object(chunk).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::FinishReason;
    use crate::gateway::{PolicyInfo, Transcript};
    use crate::router::Routed;

    #[test]
    fn a_choice_that_had_ended_keeps_its_end_when_a_policy_ends_the_others() {
        let mut chunks = Chunks::new("m", 2, Pieces { include_usage: false }, Form::Chat);
        let said = |deltas| AnswerEvent::Said(StreamEvent { frame: None, deltas });
        let text = |choice, text: &str| Delta::Text { choice, text: text.to_owned() };
        chunks.frames(said(vec![text(1, "No")]));
        let end = Delta::Finished { choice: 0, reason: FinishReason::Stop };
        assert_eq!(chunks.frames(said(vec![text(0, "Yes"), end])), [], "its usage may still come");

        let refusal = Refusal { policy: "p".to_owned(), reason: "blocked".to_owned(), explanation: None, rule: None };
        let frames = chunks.frames(over(Transcript::new("m"), StreamEnd::Refused(refusal)));
        let [Frame::Data(first), Frame::Data(second), Frame::Data(done)] = frames.as_slice() else {
            panic!("{frames:?}")
        };
        let choice = |data: &str| serde_json::from_str::<Value>(data).unwrap()["choices"][0].clone();
        let delta = json!({ "role": "assistant", "content": "Yes" });
        let kept = json!({ "index": 0, "delta": delta, "finish_reason": "stop" });
        let refused = json!({ "index": 1, "delta": {}, "finish_reason": "content_filter" });
        assert_eq!((choice(first), choice(second), done.as_str()), (kept, refused, sse::DONE));
    }

    #[test]
    fn an_end_of_no_known_kind_is_a_stop_to_clients() {
        for (reason, told) in [(FinishReason::Other, "stop"), (FinishReason::Length, "length")] {
            let mut chunks = Chunks::new("m", 1, Pieces { include_usage: true }, Form::Chat);
            let end = StreamEvent { frame: None, deltas: vec![Delta::Finished { choice: 0, reason }] };
            let frames = chunks.frames(AnswerEvent::Said(end));
            let [Frame::Data(end)] = frames.as_slice() else { panic!("{frames:?}") };
            let end: Value = serde_json::from_str(end).unwrap();
            assert_eq!(end["choices"][0]["finish_reason"], told);
        }
    }

    #[test]
    fn each_choice_has_a_role_once() {
        let mut chunks = Chunks::new("m", 1, Pieces { include_usage: false }, Form::Chat);
        let begun = Delta::Started { id: "c-1".to_owned(), model: "m".to_owned(), aside: aside() };
        let text = |choice| Delta::Text { choice, text: "Yes".to_owned() };
        let mut roles = Vec::new();
        for delta in [begun, text(1), text(0), text(2), text(1)] {
            for frame in chunks.frames(AnswerEvent::Said(StreamEvent { frame: None, deltas: vec![delta] })) {
                let Frame::Data(chunk) = frame else { panic!("{frame:?}") };
                let chunk: Value = serde_json::from_str(&chunk).unwrap();
                roles.push((chunk["choices"][0]["index"].clone(), chunk["choices"][0]["delta"]["role"].clone()));
            }
        }
        let (role, none) = (json!("assistant"), Value::Null);
        let expected = [(0, &role), (1, &role), (0, &none), (2, &role), (1, &none)];
        assert_eq!(roles, expected.map(|(index, role)| (json!(index), role.clone())));
    }

    #[test]
    fn a_signature_of_mistrals_stands_in_the_content_where_reasoning_does() {
        let thought = |text: &str| Delta::Thinking { choice: 0, text: text.to_owned() };
        let sealed = |seal| Delta::Seal { choice: 0, of: Sealed::Thoughts("Hm".to_owned()), seal };
        let signed = || sealed(Seal::Mistral("EqQB".to_owned()));
        let part = |thinking: Value| json!({ "type": "thinking", "thinking": thinking, "signature": "EqQB" });
        let text = json!([{ "type": "text", "text": "Hm" }]);
        for (deltas, content) in [
            (vec![thought("Hm"), signed()], Some(json!([part(text)]))),
            (vec![signed()], Some(json!([part(json!([]))]))),
            (vec![sealed(Seal::Anthropic("EqQB".to_owned()))], None),
        ] {
            let mut chunks = Chunks::new("m", 1, Pieces { include_usage: false }, Form::ChatInParts);
            let told = chunks.chunk(&deltas).map(|chunk| chunk["choices"][0]["delta"]["content"].clone());
            assert_eq!(told, content, "{deltas:?}");
        }
    }

    #[test]
    fn an_answer_that_the_client_was_too_slow_for_breaks_off() {
        let mut chunks = Chunks::new("m", 1, Pieces { include_usage: true }, Form::Chat);
        assert_eq!(chunks.frames(over(Transcript::new("m"), StreamEnd::ClientGone)), [Frame::Break]);
    }

    #[test]
    fn tokens_stand_in_an_answer_once_and_as_they_were_counted_last() {
        let counted = |completion_tokens| Delta::Usage {
            usage: crate::chat::Usage { completion_tokens, reasoning_tokens: 1, ..crate::chat::Usage::default() },
            cost_usd: Some(0.5),
        };
        let text = Delta::Text { choice: 0, text: "Yes".to_owned() };
        let end = Delta::Finished { choice: 0, reason: FinishReason::Stop };
        for include_usage in [false, true] {
            let mut chunks = Chunks::new("m", 1, Pieces { include_usage }, Form::Chat);
            let mut transcript = Transcript::new("m");
            let mut frames = Vec::new();
            let begun = Delta::Started { id: "c-1".to_owned(), model: "m".to_owned(), aside: aside() };
            let served = Delta::Served { tier: "priority".to_owned() };
            for deltas in [vec![begun, text.clone()], vec![end.clone(), counted(1)], vec![counted(2), served]] {
                deltas.iter().for_each(|delta| transcript.take(delta));
                frames.extend(chunks.frames(AnswerEvent::Said(StreamEvent { frame: None, deltas })));
            }
            frames.extend(chunks.frames(over(transcript, StreamEnd::Whole)));
            assert_eq!(frames.pop(), Some(Frame::Data(sse::DONE.to_owned())));
            let told: Vec<Value> = frames
                .iter()
                .map(|frame| match frame {
                    Frame::Data(data) => serde_json::from_str(data).unwrap(),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(told.len(), if include_usage { 3 } else { 2 }, "{told:?}");
            let (last, others) = told.split_last().unwrap();
            assert_eq!((&last["usage"]["completion_tokens"], &last["service_tier"]), (&json!(2), &json!("priority")));
            assert_eq!(last["usage"]["completion_tokens_details"], json!({ "reasoning_tokens": 1 }), "{last}");
            assert_eq!(last["choices"] == json!([]), include_usage, "{last}");
            assert_eq!((&last["id"], &last["created"]), (&json!("c-1"), &json!(7)), "{last}");
            assert!(others.iter().all(|chunk| chunk.get("usage").is_none()), "{others:?}");
        }
    }

    #[test]
    fn what_the_provider_says_beside_its_answer_stands_in_each_chunk() {
        let mut chunks = Chunks::new("m", 1, Pieces { include_usage: true }, Form::Chat);
        let aside = Aside { service_tier: Some("flex".to_owned()), ..aside() };
        let begun = Delta::Started { id: "c-1".to_owned(), model: "m".to_owned(), aside };
        let text = Delta::Text { choice: 0, text: "Yes".to_owned() };
        let end = Delta::Finished { choice: 0, reason: FinishReason::Stop };
        let usage = Delta::Usage { usage: crate::chat::Usage::default(), cost_usd: None };
        let mut transcript = Transcript::new("m");
        let mut frames = Vec::new();
        for deltas in [vec![begun], vec![text], vec![end, usage]] {
            deltas.iter().for_each(|delta| transcript.take(delta));
            frames.extend(chunks.frames(AnswerEvent::Said(StreamEvent { frame: None, deltas })));
        }
        frames.extend(chunks.frames(over(transcript, StreamEnd::Whole)));
        assert_eq!(frames.len(), 5);
        for frame in &frames[..4] {
            let Frame::Data(chunk) = frame else { panic!("{frame:?}") };
            let chunk: Value = serde_json::from_str(chunk).unwrap();
            let told = (&chunk["service_tier"], &chunk["system_fingerprint"]);
            assert_eq!(told, (&json!("flex"), &json!("fp_1")), "{chunk}");
        }
    }

    fn aside() -> Aside {
        Aside { created: Some(7), system_fingerprint: Some("fp_1".to_owned()), ..Aside::default() }
    }

    fn over(transcript: Transcript, how: StreamEnd) -> AnswerEvent {
        let routed = Routed {
            provider: "mistral".to_owned(),
            model: "m".to_owned(),
            answer: transcript.answer(None, Vec::new()),
            attempts: Vec::new(),
        };
        AnswerEvent::Over(Arc::new(Ended { routed, how, policies: PolicyInfo::default() }))
    }
}
