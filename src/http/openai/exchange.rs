//! One request of this surface through the gateway, and its reply in the form that its route has.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;

use super::answer::Form;
use super::request::Pieces;
use super::{answer, errors, pinned, stream};
use crate::chat::{ChatRequest, Task, text_bytes};
use crate::gateway::{self, Answered, Caller, Outcome, Surface};
use crate::http::handled::{Answer, Counting, Handled};
use crate::http::stats::Ending;
use crate::http::{ApiError, App, body, meter, provider_key};

/// What a body asks, and who it says asks.
pub(super) struct Asked {
    pub(super) chat: ChatRequest,
    pub(super) user: Option<String>,
    /// How the answer is to come, when it is to come piece by piece.
    pub(super) stream: Option<Pieces>,
}

/// Reads a request with `parse`, has it answered, and counts it.
pub(super) async fn handle(
    app: Arc<App>,
    request: Request,
    task: Task,
    form: Result<Form, ApiError>,
    parse: fn(&Bytes) -> Result<Asked, ApiError>,
) -> Response {
    let counting = Counting::begin(&app, task.as_str());
    let (head, content) = request.into_parts();
    let answered = async {
        let presented = app.presented(&head)?;
        let content = body::read(&head, content, app.body_limit).await?;
        let asked = parse(&content)?;
        // Tokens may be less than the text that they stand for.
        let text = text_bytes(&asked.chat.messages).max(content.len());
        body::settle(&head, text + asked.chat.room());
        drop(content);
        let caller = presented.caller(None, asked.user.clone())?;
        exchange(&app, &head, caller, asked, form?).await
    };
    answered
        .await
        .unwrap_or_else(|error| Answer::Whole(Handled { ending: Ending::Error, response: errors::api(&error) }))
        .counted(counting)
}

async fn exchange(app: &App, head: &Parts, caller: Caller, asked: Asked, form: Form) -> Result<Answer, ApiError> {
    let Asked { chat, stream, .. } = asked;
    let (named, task) = (chat.model.clone(), chat.task);
    let asked = gateway::Request {
        surface: Surface::OpenAi,
        caller,
        request_type: chat.task.as_str().to_owned(),
        chat,
        preference: pinned::read(&head.headers)?,
        attributes: Vec::new(),
        provider_key: provider_key::read(app, &head.headers)?,
        skip_llm: false,
        held: head.extensions.get().cloned(),
    };
    let reply = match stream {
        None => app.gateway.process(asked).await?,
        Some(pieces) => match app.gateway.process_streaming(asked).await? {
            Answered::Reply(reply) => reply,
            Answered::Stream(begun) => {
                let (response, ended) = stream::response(begun, pieces, form);
                return Ok(Answer::Streams(response, ended));
            }
        },
    };
    meter::policies_asked(reply.policies.asked.len());
    let (ending, response) = match &reply.outcome {
        Outcome::Answered(routed) => (Ending::Success, answer::response(routed, reply.generation, form)),
        Outcome::Refused(refusal) => (Ending::Blocked, answer::judged(errors::refused(refusal), reply.generation)),
        Outcome::Withheld(refusal, routed) => {
            (Ending::Blocked, answer::routed(errors::refused(refusal), routed, reply.generation))
        }
        Outcome::Failed(error) => {
            let unknown = named.is_some_and(|model| app.gateway.router().lacks(&model, task));
            let response = if unknown { errors::no_such_model() } else { errors::failed(error) };
            (Ending::Error, answer::attempted(response, error, reply.generation))
        }
        // Only who asks for it is not answered by a model.
        Outcome::Checked => return Err(ApiError::Gateway(gateway::GatewayError::Internal)),
    };
    let response = answer::identified(response, reply.request_id.as_str());
    Ok(Answer::Whole(Handled { ending, response }))
}
