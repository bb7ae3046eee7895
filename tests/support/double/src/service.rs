//! One request, from its head to its answer.

use std::sync::Arc;
use std::time::SystemTime;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Request, Response};

use crate::answer::{Answer, Ending, Refusal};
use crate::body::AnswerBody;
use crate::record::{ReceivedRequest, Record, Ticket};
use crate::socket::ResetSwitch;

/// What one vendor takes, refuses and says.
pub trait Vendor: Send + Sync + 'static {
    /// The largest request body that is read, in bytes.
    const LARGEST_REQUEST: usize = 16 * 1024 * 1024;

    /// The answer to a request.
    ///
    /// # Errors
    ///
    /// When the vendor refuses it.
    fn answer(&self, request: &ReceivedRequest) -> Result<Answer, Refusal>;

    /// The header by which every answer names its request, and what it says.
    fn request_id(&self) -> Option<(&'static str, String)> {
        None
    }
}

/// What all connections of a double share.
#[derive(Debug)]
pub(crate) struct Core<V> {
    pub(crate) vendor: V,
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

pub(crate) async fn serve<V: Vendor>(
    core: Arc<Core<V>>,
    connection: Connection,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, NoAnswer> {
    let mut ticket = Ticket::new(&core.record);
    let sequence = core.record.next_sequence();
    let (head, incoming) = request.into_parts();
    let body = Limited::new(incoming, V::LARGEST_REQUEST).collect().await.map(|body| body.to_bytes());
    let received = Arc::new(ReceivedRequest {
        sequence,
        connection: connection.number,
        at: SystemTime::now(),
        method: head.method,
        uri: head.uri,
        headers: head.headers,
        too_large: body.is_err(),
        body: body.unwrap_or_default(),
    });
    core.record.keep(&received);
    let Answer { mut response, delay, ending } = core.vendor.answer(&received).unwrap_or_else(|refusal| {
        core.record.refused();
        Answer::json(refusal.status, &refusal.body)
    });
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    match ending {
        None => {}
        Some(Ending::Silence) => std::future::pending().await,
        Some(Ending::Reset | Ending::Close) => {
            if ending == Some(Ending::Reset) {
                connection.switch.press();
            }
            ticket.complete();
            return Err(NoAnswer);
        }
    }
    if let Some((name, id)) = core.vendor.request_id()
        && let Ok(id) = HeaderValue::try_from(id)
    {
        // What a script set stays.
        response.headers_mut().entry(name).or_insert(id);
    }
    if response.body().is_whole() {
        ticket.complete();
    } else {
        ticket.streaming();
        response.body_mut().hold(ticket);
    }
    Ok(response)
}
