//! Server-sent events: how pieces of an answer go out.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use bytes::{BufMut, Bytes};
use futures_util::stream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::answer::that_hold;
use crate::gateway::AnswerEvent;
use crate::in_flight::Held;

/// So often a comment tells that the connection lives while there is nothing to say.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The data of the event behind the last one.
pub(super) const DONE: &str = "[DONE]";

/// A piece of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// The data of an event.
    Data(String),
    /// The same, as a provider sent it.
    Raw(Bytes),
    /// The connection breaks here: what came is not the whole answer.
    Break,
}

/// The answer broke off.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
struct BrokeOff;

/// A body of events. `frames` makes each of the gateway's events into pieces, the last into those that end the answer.
/// What is held is given back when the last of them has been sent: clients may read slowly.
pub(super) fn response<S: Send + 'static>(
    held: Option<Held>,
    events: mpsc::Receiver<AnswerEvent>,
    encoder: S,
    frames: fn(&mut S, AnswerEvent) -> Vec<Frame>,
) -> Response {
    kept_alive(KEEP_ALIVE, held, events, encoder, frames)
}

/// The same, with a comment after each silence of this length.
fn kept_alive<S: Send + 'static>(
    silence: Duration,
    held: Option<Held>,
    events: mpsc::Receiver<AnswerEvent>,
    encoder: S,
    frames: fn(&mut S, AnswerEvent) -> Vec<Frame>,
) -> Response {
    let state = Some((held, events, encoder));
    let body = stream::unfold((state, false), move |(state, broken)| async move {
        let (held, mut events, mut encoder) = state?;
        if broken {
            // The server writes what it has when there is nothing more to read, and drops it when there is an error.
            tokio::task::yield_now().await;
            return Some((Err(BrokeOff), (None, false)));
        }
        let mut buffer = Vec::new();
        let due = Instant::now() + silence;
        loop {
            let (pieces, over) = match timeout_at(due, events.recv()).await {
                Err(_) => {
                    buffer.put_slice(b": keep-alive\n\n");
                    return Some((Ok(buffer.into()), (Some((held, events, encoder)), false)));
                }
                Ok(Some(event)) => {
                    let over = matches!(event, AnswerEvent::Over(_));
                    (frames(&mut encoder, event), over)
                }
                // The gateway's task has failed, and said so in the log.
                Ok(None) => (vec![Frame::Break], false),
            };
            let breaks = pieces.contains(&Frame::Break);
            pieces.iter().for_each(|piece| write(&mut buffer, piece));
            if over && !breaks {
                // The server drops the body before it has written the last piece, which may be the whole answer again.
                return Some((Ok(that_hold(held, buffer)), (None, false)));
            }
            if breaks || !buffer.is_empty() {
                return Some((Ok(buffer.into()), (Some((held, events, encoder)), breaks)));
            }
        }
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would wait for its buffers to fill.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

fn write(buffer: &mut Vec<u8>, frame: &Frame) {
    let data = match frame {
        Frame::Data(data) => data.as_bytes(),
        Frame::Raw(data) => data,
        Frame::Break => return,
    };
    buffer.reserve(data.len() + 8);
    for line in data.split(|byte| *byte == b'\n') {
        buffer.put_slice(b"data: ");
        buffer.put_slice(line);
        buffer.put_u8(b'\n');
    }
    buffer.put_u8(b'\n');
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::gateway::{Ended, PolicyInfo, StreamEnd, Transcript};
    use crate::in_flight::InFlight;
    use crate::provider::StreamEvent;
    use crate::router::Routed;

    const COMMENT: &str = ": keep-alive\n\n";

    async fn next(body: &mut Body) -> Bytes {
        body.frame().await.unwrap().unwrap().into_data().unwrap()
    }

    #[tokio::test]
    async fn comments_fill_a_silence_and_stand_between_events_only() {
        // What policies hold back makes events of which nothing goes out.
        let frames = |said: &mut usize, _: AnswerEvent| {
            *said += 1;
            if said.is_multiple_of(2) { vec![Frame::Raw(format!("{said}").into())] } else { Vec::new() }
        };
        let (client, events) = mpsc::channel(1);
        let mut body = kept_alive(Duration::from_millis(1), None, events, 0, frames).into_body();
        for expected in ["data: 2\n\n", "data: 4\n\n"] {
            assert_eq!(next(&mut body).await, COMMENT);
            let client = client.clone();
            tokio::spawn(async move {
                for _ in 0..2 {
                    client.send(AnswerEvent::Said(StreamEvent::default())).await.unwrap();
                }
            });
            let mut piece = next(&mut body).await;
            while piece == COMMENT {
                piece = next(&mut body).await;
            }
            assert_eq!(piece, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn events_of_which_nothing_goes_out_are_a_silence_too() {
        let silence = Duration::from_secs(15);
        let (client, events) = mpsc::channel(1);
        tokio::spawn(async move {
            while client.send(AnswerEvent::Said(StreamEvent::default())).await.is_ok() {
                tokio::time::sleep(silence / 2).await;
            }
        });
        let begun = Instant::now();
        let mut body = kept_alive(silence, None, events, (), |(), _| Vec::new()).into_body();
        assert_eq!((next(&mut body).await.as_ref(), begun.elapsed().as_secs()), (COMMENT.as_bytes(), 15));
    }

    fn over() -> AnswerEvent {
        let answer = Transcript::new("m").answer(None, Vec::new());
        let routed = Routed { provider: "mistral".to_owned(), model: "m".to_owned(), answer, attempts: Vec::new() };
        AnswerEvent::Over(Ended { routed, how: StreamEnd::Whole, policies: PolicyInfo::default() }.into())
    }

    #[tokio::test]
    async fn an_answer_holds_its_room_until_its_last_piece_is_sent() {
        let in_flight = InFlight::new(100);
        let held = in_flight.hold();
        held.add(80).unwrap();
        let (client, events) = mpsc::channel(2);
        let mut body = response(Some(held), events, (), |(), _| vec![Frame::Raw("x".into())]).into_body();
        client.send(AnswerEvent::Said(StreamEvent::default())).await.unwrap();
        client.send(over()).await.unwrap();
        drop(client);
        drop(next(&mut body).await);
        assert_eq!(in_flight.held(), 80, "there is more to come");
        let last = next(&mut body).await;
        assert!(body.frame().await.is_none());
        drop(body);
        assert_eq!(in_flight.held(), 80, "it is not sent yet");
        drop(last);
        assert_eq!(in_flight.held(), 0);
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_to_its_end_gives_its_room_back() {
        let in_flight = InFlight::new(100);
        let held = in_flight.hold();
        held.add(80).unwrap();
        let (_client, events) = mpsc::channel(1);
        let response = response(Some(held), events, (), |(), _| Vec::new());
        assert_eq!(in_flight.held(), 80);
        drop(response);
        assert_eq!(in_flight.held(), 0);
    }
}
