//! One request, from its head to its answer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Request, Response};
use uuid::Uuid;

use crate::answer;
use crate::behaviour::Behaviour;
use crate::body::AnswerBody;
use crate::failure::{Ending, json_answer, json_bytes};
use crate::models;
use crate::record::{ReceivedRequest, Record, Ticket};
use crate::refusal::Refusal;
use crate::route::{Endpoint, Route, route};
use crate::script::Script;
use crate::settings::Settings;
use crate::socket::ResetSwitch;
use crate::validate::{self, Accepted};
use crate::{embeddings, moderation, rate_limit};

/// The largest request body that is read.
const LARGEST_REQUEST: usize = 64 * 1024 * 1024;

/// What all connections of a double share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) script: Script,
    pub(crate) record: Arc<Record>,
}

/// The connection a request came on.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) number: u64,
    pub(crate) switch: ResetSwitch,
}

/// The request has no answer: its connection closes.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed without an answer")]
pub(crate) struct NoAnswer;

/// An answer that is ready, and when it leaves.
struct Prepared {
    response: Response<AnswerBody>,
    delay: Duration,
    ending: Ending,
}

impl Prepared {
    fn now(response: Response<AnswerBody>) -> Self {
        Self { response, delay: Duration::ZERO, ending: Ending::Answer }
    }
}

pub(crate) async fn serve(
    core: Arc<Core>,
    connection: Connection,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, NoAnswer> {
    let mut ticket = Ticket::new(&core.record);
    let sequence = core.record.next_sequence();
    let (head, incoming) = request.into_parts();
    let (body, readable) = match Limited::new(incoming, LARGEST_REQUEST).collect().await {
        Ok(body) => (body.to_bytes(), Ok(())),
        Err(_) => (Bytes::new(), Err(Refusal::TooLarge)),
    };
    let received = Arc::new(ReceivedRequest {
        sequence,
        connection: connection.number,
        at: SystemTime::now(),
        method: head.method,
        uri: head.uri,
        headers: head.headers,
        body,
    });
    core.record.keep(&received);
    let prepared = match readable.and_then(|()| prepare(&core, &received)) {
        Ok(prepared) => prepared,
        Err(refusal) => {
            core.record.refused();
            let (status, body) = refusal.into_answer(core.settings.validation_shape);
            Prepared::now(json_answer(status.as_u16(), &body))
        }
    };
    if !prepared.delay.is_zero() {
        tokio::time::sleep(prepared.delay).await;
    }
    match prepared.ending {
        Ending::Answer => {}
        Ending::Silence => std::future::pending().await,
        Ending::Reset | Ending::Close => {
            if prepared.ending == Ending::Reset {
                connection.switch.press();
            }
            ticket.complete();
            return Err(NoAnswer);
        }
    }
    let mut response = prepared.response;
    response.headers_mut().entry(HeaderName::from_static("mistral-correlation-id")).or_insert_with(correlation_id);
    if response.body().is_whole() {
        ticket.complete();
    } else {
        ticket.streaming();
        response.body_mut().hold(ticket);
    }
    Ok(response)
}

fn correlation_id() -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    let text = Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
    // Digits and hyphens are always a header value.
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("00000000-0000-7000-8000-000000000000"))
}

fn prepare(core: &Core, request: &ReceivedRequest) -> Result<Prepared, Refusal> {
    let route = route(core.settings.host, &request.method, request.path())?;
    validate::key(&core.settings, &request.headers)?;
    if route.endpoint == Endpoint::Models {
        return models_answer(core, &route, request.uri.query());
    }
    let accepted = validate::request(&core.settings, route.endpoint, request)?;
    let behaviour = core.script.take(route.endpoint, accepted.body["model"].as_str()).unwrap_or_default();
    Ok(perform(core, behaviour, |behaviour| inference(core, route.endpoint, &accepted, behaviour)))
}

fn models_answer(core: &Core, route: &Route<'_>, query: Option<&str>) -> Result<Prepared, Refusal> {
    let body = match route.model {
        Some(name) => match models::find(&core.settings.models, name) {
            Some(model) => model.card(name),
            None => return Err(Refusal::model(name)),
        },
        None => {
            let only = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("model=")));
            models::list(&core.settings.models, only)
        }
    };
    let behaviour = core.script.take(Endpoint::Models, route.model).unwrap_or_default();
    Ok(perform(core, behaviour, |_| json_answer(200, &body)))
}

/// Plays a behaviour: its failure, or the answer.
fn perform(
    core: &Core,
    mut behaviour: Behaviour,
    answer: impl FnOnce(&mut Behaviour) -> Response<AnswerBody>,
) -> Prepared {
    let (mut response, ending) = match &behaviour.failure {
        Some(failure) => (failure.render(), failure.ending()),
        None => (answer(&mut behaviour), Ending::Answer),
    };
    for (name, value) in behaviour.headers {
        response.headers_mut().insert(name, value);
    }
    let delay = if behaviour.before_first_byte.is_zero() {
        core.settings.before_first_byte
    } else {
        behaviour.before_first_byte
    };
    Prepared { response, delay, ending }
}

fn inference(
    core: &Core,
    endpoint: Endpoint,
    accepted: &Accepted<'_>,
    behaviour: &mut Behaviour,
) -> Response<AnswerBody> {
    let body = &accepted.body;
    let (mut response, tokens) = match endpoint {
        Endpoint::Embeddings => whole(embeddings::answer(body)),
        Endpoint::Moderations => whole(moderation::of_texts(body)),
        Endpoint::ChatModerations => whole(moderation::of_conversations(body)),
        Endpoint::Chat | Endpoint::Fim | Endpoint::Models => completion(core, endpoint, body, behaviour),
    };
    let headers = response.headers_mut();
    rate_limit::add(headers, core.settings.rate_limits, endpoint, tokens);
    if let Some(end) = &accepted.model.deprecation
        && let Ok(date) = HeaderValue::try_from(&end.date)
    {
        headers.insert(HeaderName::from_static("x-model-deprecation-timestamp"), date);
    }
    response
}

fn whole((body, tokens): (serde_json::Value, u64)) -> (Response<AnswerBody>, u64) {
    (json_answer(200, &body), tokens)
}

fn completion(
    core: &Core,
    endpoint: Endpoint,
    body: &serde_json::Value,
    behaviour: &mut Behaviour,
) -> (Response<AnswerBody>, u64) {
    let reply = answer::reply(endpoint, body, std::mem::take(&mut behaviour.answer));
    if body["stream"] != true {
        return (json_bytes(answer::bytes(&reply, behaviour.stream.tool_calls)), reply.total_tokens());
    }
    let pause = behaviour.between_chunks.unwrap_or(core.settings.between_chunks);
    let steps = answer::steps(&reply, &behaviour.stream, pause);
    let mut response = Response::new(AnswerBody::steps(steps));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    (response, reply.total_tokens())
}
