//! `POST /v1/chat/completions`.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::response::Response;

use super::{answer, errors, models, request, stream};
use crate::gateway::{self, Answered, Outcome, Surface};
use crate::http::answer::with_request_id;
use crate::http::handled::{Answer, Handled};
use crate::http::stats::Ending;
use crate::http::{ApiError, App, body, meter};
use crate::router::Preference;

/// What records, metrics and policies call it.
const KIND: &str = "chat";

/// `POST /v1/chat/completions`.
pub(super) async fn handle(State(app): State<Arc<App>>, request: Request) -> Response {
    let started = Instant::now();
    answered(&app, request)
        .await
        .unwrap_or_else(|error| Answer::Whole(Handled { ending: Ending::Error, response: errors::api(&error) }))
        .counted(&app, KIND, started)
}

async fn answered(app: &App, request: Request) -> Result<Answer, ApiError> {
    let (head, content) = request.into_parts();
    let presented = app.identity.presented(&head.headers)?;
    let request::Asked { chat, user, stream } =
        request::parse(&body::read(&head.headers, content, app.body_limit).await?)?;
    let named = chat.model.clone();
    let asked = gateway::Request {
        surface: Surface::OpenAi,
        caller: presented.caller(None, user)?,
        request_type: KIND.to_owned(),
        chat,
        preference: Preference::Any,
        attributes: Vec::new(),
        skip_llm: false,
    };
    let reply = match stream {
        None => app.gateway.process(asked).await?,
        Some(pieces) => match app.gateway.process_streaming(asked).await? {
            Answered::Reply(reply) => reply,
            Answered::Stream(begun) => {
                let (response, ended) = stream::response(begun, pieces);
                return Ok(Answer::Streams(response, ended));
            }
        },
    };
    meter::policies_asked(reply.policies.asked.len());
    let (ending, response) = match &reply.outcome {
        Outcome::Answered(routed) => {
            meter::routed(app, routed);
            (Ending::Success, answer::completion(routed, reply.generation))
        }
        Outcome::Refused(refusal) => (Ending::Blocked, errors::refused(refusal)),
        Outcome::Failed(error) => {
            meter::attempts(error.attempts());
            let unknown = named.is_some_and(|model| !models::is_served(app, &model));
            (Ending::Error, if unknown { errors::no_such_model() } else { errors::failed(error) })
        }
        // Only who asks for it is not answered by a model.
        Outcome::Checked => return Err(ApiError::Gateway(gateway::GatewayError::Internal)),
    };
    let response = with_request_id(response, reply.request_id.as_str());
    Ok(Answer::Whole(Handled { ending, response }))
}
