//! The model: of Mistral's shape, always the same answer, after a fixed time.
//!
//! It shares thread and core with the load generator; what both can do together is measured as `direct`.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::spawn_local;

use crate::clock::Clock;
use crate::load::holds;

/// Until the answer, or its first token.
const DELAY: Duration = Duration::from_millis(20);
/// From token to token.
pub(crate) const PACE: Duration = Duration::from_millis(2);

const TEXT: &str = "The supplier offers three devices for each floor and a technician within four hours on working days. \
    Delivery takes two weeks. Still open are the toner, what happens after the third year, and who pays for repairs that \
    users caused. Proposal: vote next week, once the supplier has answered these three questions in writing.";

/// Accepts until the runtime ends.
pub(crate) async fn start(clock: Rc<Clock>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let answers = Rc::new(Answers::new());
    spawn_local(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let _ = socket.set_nodelay(true);
            let (clock, answers) = (clock.clone(), answers.clone());
            let service = service_fn(move |request| answer(request, clock.clone(), answers.clone()));
            // Whoever goes away in the middle is missed by nobody.
            spawn_local(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
        }
    });
    Ok(address)
}

async fn answer(
    request: Request<Incoming>,
    clock: Rc<Clock>,
    answers: Rc<Answers>,
) -> Result<Response<impl Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>>>, hyper::Error> {
    let due = Instant::now() + DELAY;
    let asked = request.into_body().collect().await?.to_bytes();
    if asked.is_empty() {
        // A look at the list of models: is it there?
        return Ok(response("application/json", Either::Left(Full::from(r#"{"object":"list","data":[]}"#))));
    }
    clock.until(due).await;
    if !holds(&asked, br#""stream":true"#) {
        return Ok(response("application/json", Either::Left(Full::from(answers.whole.clone()))));
    }
    let events = stream::unfold(0, move |number| {
        let (clock, answers) = (clock.clone(), answers.clone());
        async move {
            let event = answers.events.get(number)?.clone();
            clock.until(due + PACE * number as u32).await;
            Some((Ok::<_, Infallible>(Frame::data(event)), number + 1))
        }
    });
    Ok(response("text/event-stream", Either::Right(StreamBody::new(events))))
}

fn response<B>(kind: &'static str, body: B) -> Response<B> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

/// Written once.
struct Answers {
    whole: Bytes,
    /// One for each token; the first has the role before it, the last the end behind it.
    events: Vec<Bytes>,
}

impl Answers {
    fn new() -> Self {
        let usage = r#"{"prompt_tokens":98,"completion_tokens":54,"total_tokens":152}"#;
        let head = r#""id":"6f2d1c0b9a8e7d6c5b4a39281706f5e4","created":1790000000,"model":"mistral-small-latest""#;
        let whole = format!(
            r#"{{{head},"object":"chat.completion","choices":[{{"index":0,"finish_reason":"stop","message":{{"role":"assistant","tool_calls":null,"content":"{TEXT}"}}}}],"usage":{usage}}}"#
        );
        let chunk = |delta: &str, end: &str| {
            format!(
                "data: {{{head},\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\"delta\":{{{delta}}},\
                 \"finish_reason\":{end}}}\n\n"
            )
        };
        let tokens = TEXT.split_inclusive(' ');
        let mut events: Vec<_> = tokens.map(|token| chunk(&format!(r#""content":"{token}""#), "null}]")).collect();
        if let Some(first) = events.first_mut() {
            first.insert_str(0, &chunk(r#""role":"assistant","content":"""#, "null}]"));
        }
        if let Some(last) = events.last_mut() {
            last.push_str(&chunk(r#""content":"""#, &format!(r#""stop"}}],"usage":{usage}"#)));
            last.push_str("data: [DONE]\n\n");
        }
        Self { whole: whole.into(), events: events.into_iter().map(Bytes::from).collect() }
    }
}
