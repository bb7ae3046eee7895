//! The HTTP client of one provider: what is sent carries the key, what comes back is bounded in time and size.
//!
//! No redirect is followed (it would carry the key to another host), no cookie is kept, and no answer is decompressed,
//! so that the bound on a body is a bound on memory. HTTP/1.1, unless the settings say otherwise: one shared HTTP/2
//! connection queues at the vendor's limit of streams. `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` are honoured for https
//! endpoints, where a proxy sees a tunnel only; for plain http endpoints they are not, since the proxy would read the key.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Client, Method, Request, Response, Url};
use rustix::io::Errno;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::chat::{ChatAnswer, whole_characters};
use crate::in_flight::{Full, Held, InFlight};
use crate::provider::catalogue::Catalogue;
use crate::provider::error::ProviderError;
use crate::provider::error_kind::ErrorKind;
use crate::provider::key::ApiKey;
use crate::provider::price::Terms;
use crate::provider::price::bill::Bill;
use crate::provider::settings::{BuildError, Settings};
use crate::provider::upstream::refusals::{Refusals, Wording};
use crate::provider::upstream::sse::{Events, MAX_EVENT_BYTES};

/// Name, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longer than this a probe does not wait.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest silence inside a body that has begun. The wait for its first byte is bounded by the total alone: an answer
/// that is not streamed begins when the model has finished.
const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// No call lasts longer, whatever the settings say: beyond that a deadline could not be written as a time.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// Idle connections are dropped before common reverse proxies drop them (60 to 75 s): a request on a connection that is
/// just being closed is a failed request.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// Every connection of a burst may stay for the next one: at 10,000 requests a second and 0.4 s an answer, 4,000 are in use.
const POOL_IDLE_CONNECTIONS: usize = 4096;

/// The longest stream that is read, in bytes: some 200 of them carry one token.
pub(crate) const MAX_STREAM_BYTES: usize = 128 * 1024 * 1024;

const STREAM_DEADLINE: &str = "the stream was not over (routing.stream_deadline)";

const EVENT_STREAM: &[u8] = b"text/event-stream";

/// What may still come behind the last event of a stream, in bytes, and within which time. A connection is used again only
/// if its answer was read to the end, and the end of a body comes a moment after the last event.
const REST_BYTES: usize = 64 * 1024;
const REST_TIMEOUT: Duration = Duration::from_secs(1);

/// The body of a request.
pub(crate) fn json(body: &impl Serialize) -> Result<Vec<u8>, ProviderError> {
    let mut bytes = Vec::with_capacity(1_024);
    serde_json::to_writer(&mut bytes, body).map_err(|error| {
        ProviderError::new(ErrorKind::InvalidRequest, &format!("the request cannot be written as JSON: {error}"))
    })?;
    Ok(bytes)
}

/// A body, ready to be sent, and what was changed on the way to it.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) body: Vec<u8>,
    pub(crate) notes: Vec<String>,
}

/// The client of one provider, with one key.
#[derive(Clone)]
pub(crate) struct Upstream {
    client: Client,
    /// What every request carries beside what it says: all of it, so that no request puts it together anew.
    headers: HeaderMap,
    timeout: Duration,
    body_idle: Duration,
    stream_deadline: Duration,
    max_body_bytes: usize,
    in_flight: InFlight,
    refusals: Refusals,
}

/// What opens an upstream: a header with the key, and what the vendor wants beside it on every request.
#[derive(Default)]
pub(crate) struct Credential {
    headers: HeaderMap,
    key: Option<ApiKey>,
}

impl Credential {
    /// The key as `Authorization: Bearer`.
    pub(crate) fn bearer(key: &ApiKey) -> Self {
        Self { headers: HeaderMap::from_iter([(AUTHORIZATION, key.bearer())]), key: Some(key.clone()) }
    }

    /// The key alone, in a header of the vendor's own. The name is in lower case.
    pub(crate) fn header(name: &'static str, key: &ApiKey) -> Option<Self> {
        let headers = HeaderMap::from_iter([(HeaderName::from_static(name), key.plain()?)]);
        Some(Self { headers, key: Some(key.clone()) })
    }

    /// What every request will carry.
    #[cfg(test)]
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The same, and what says what is sent, by whom, and what is wanted.
    fn completed(mut self) -> Self {
        let json = HeaderValue::from_static("application/json");
        let user_agent = HeaderValue::from_static(concat!("octroi/", env!("CARGO_PKG_VERSION")));
        self.headers.extend([(CONTENT_TYPE, json.clone()), (ACCEPT, json), (USER_AGENT, user_agent)]);
        self
    }

    /// The same, and another header beside it.
    pub(crate) fn and(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }
}

/// The events of a streamed answer. Dropping it closes the connection.
pub(crate) struct StreamedBody {
    response: Response,
    events: Events,
    /// What it says that it is, where that is no stream of events and none has come.
    unlike: Option<String>,
    /// Events that came together with one before them.
    ready: VecDeque<Bytes>,
    /// The room of what has come and was not given out yet. Comments take none.
    unread: Held,
    /// The longest wait for the next event of the answer.
    patience: Duration,
    /// When that has to be there, since it is waited for.
    due: Option<Instant>,
    /// Whether any event of the answer has come.
    has_begun: bool,
    /// When it has to be over.
    ends: Instant,
    /// The time that it has been given as a whole.
    whole: Duration,
    /// Bytes that may still come.
    left: usize,
    /// The room of the events that were given out: as long as a stream lasts its text is kept, for the record.
    pub(crate) held: Held,
    /// The id under which the vendor finds the call.
    pub(crate) correlation_id: Option<String>,
    /// Of errors among its events.
    pub(crate) refusals: Refusals,
}

impl StreamedBody {
    /// An event that was given out is of the answer. The wait for the next one is another.
    pub(crate) fn said(&mut self) {
        self.due = None;
        self.has_begun = true;
    }

    /// An event that was given out goes on, and takes room.
    pub(crate) fn keep(&mut self, data: &Bytes) -> Result<(), ProviderError> {
        self.held.add(data.len()).map_err(full)
    }

    /// The data of the next event; `None` at the end. The wait is for one [of the answer](Self::said): comments on the way,
    /// and other events, prolong nothing.
    pub(crate) async fn event(&mut self) -> Result<Option<Bytes>, ProviderError> {
        // Where it is read slowly there is always an event that waits for nothing.
        if Instant::now() >= self.ends {
            return Err(late(ErrorKind::DeadlineExceeded, STREAM_DEADLINE, self.whole));
        }
        let due = *self.due.get_or_insert_with(|| Instant::now() + self.patience);
        loop {
            if let Some(data) = self.ready.pop_front() {
                self.unlike = None;
                return Ok(Some(data));
            }
            let Some(piece) = self.piece(due).await? else {
                let rest = self.events.rest();
                return match self.unlike.take() {
                    Some(kind) if rest.is_none() => Err(no_stream(&kind)),
                    _ => Ok(rest),
                };
            };
            let ready = &mut self.ready;
            self.events.read(&piece, |data| ready.push_back(data)).map_err(|_| {
                let message = format!("an event of the upstream's stream is larger than {MAX_EVENT_BYTES} bytes");
                ProviderError::new(ErrorKind::ResponseTooLarge, &message)
            })?;
            self.unread.settle(self.events.begun() + self.ready.iter().map(Bytes::len).sum::<usize>());
        }
    }

    async fn piece(&mut self, due: Instant) -> Result<Option<Bytes>, ProviderError> {
        let piece = match timeout_at(due.min(self.ends), self.response.chunk()).await {
            Ok(piece) => piece.map_err(read_error)?,
            // An answer that comes steadily is cut short by the operator's bound, and by no fault of the upstream's. One of
            // which nothing came for half of the wait for an event has stopped.
            Err(_) if self.ends <= due => {
                let is_steady = self.has_begun && due.duration_since(self.ends) > self.patience / 2;
                let kind = if is_steady { ErrorKind::DeadlineExceeded } else { ErrorKind::Timeout };
                return Err(late(kind, STREAM_DEADLINE, self.whole));
            }
            Err(_) => return Err(timed_out("no next event of the stream came", self.patience)),
        };
        if let Some(piece) = &piece {
            self.unread.add(piece.len()).map_err(full)?;
            self.left = self.left.checked_sub(piece.len()).ok_or_else(|| {
                let message = format!("the upstream's stream is longer than {MAX_STREAM_BYTES} bytes");
                ProviderError::new(ErrorKind::ResponseTooLarge, &message)
            })?;
        }
        Ok(piece)
    }

    /// Gives the connection back for the next request, the answer being whole. Nobody waits for that.
    pub(crate) fn give_back(mut self) {
        tokio::spawn(async move {
            let rest = async {
                let mut left = REST_BYTES;
                while let Ok(Some(piece)) = self.response.chunk().await {
                    match left.checked_sub(piece.len()) {
                        Some(rest) => left = rest,
                        None => break,
                    }
                }
            };
            // One that takes longer is closed, as every connection is whose answer was not read to its end.
            let _ = tokio::time::timeout(REST_TIMEOUT, rest).await;
        });
    }
}

/// A whole answer of status 200.
pub(crate) struct Reply {
    pub(crate) headers: HeaderMap,
    body: Bytes,
    /// The room that the body takes.
    held: Held,
    /// The id under which the vendor finds the call.
    correlation_id: Option<String>,
    refusals: Refusals,
}

impl Reply {
    /// What a reader finds in its body, halves of characters replaced, or why it is no answer.
    pub(crate) fn read<T>(&self, reader: impl FnOnce(&[u8]) -> Result<T, ProviderError>) -> Result<T, ProviderError> {
        reader(&whole_characters(&self.body)).map_err(|error| self.refusals.no_answer(error, &self.headers, &self.body))
    }

    /// An answer that was read from it, with what it costs, what is known of the call, and notes on what was asked.
    pub(crate) fn complete(self, answer: ChatAnswer, bill: &Bill, terms: Terms, mut notes: Vec<String>) -> ChatAnswer {
        notes.extend(answer.notes);
        ChatAnswer {
            cost_usd: answer.usage.and_then(|usage| bill.cost(usage, terms)),
            correlation_id: self.correlation_id,
            held: Some(self.held),
            notes,
            ..answer
        }
    }
}

impl Upstream {
    /// A client that sends `credential` with every request. `endpoint` decides about TLS and proxies only.
    /// `wording`: of what it answers when it does not answer.
    pub(crate) fn new(
        endpoint: &Url,
        credential: Credential,
        wording: Wording,
        settings: &Settings,
    ) -> Result<Self, BuildError> {
        let builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            // Whether and where to ask again is the router's to say. With one try a request need not be kept for another.
            .retry(reqwest::retry::never().max_retries_per_request(0))
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(POOL_IDLE_CONNECTIONS);
        let builder = if endpoint.scheme() == "https" { builder.https_only(true) } else { builder.no_proxy() };
        let builder = if settings.entry.http2 { builder.http2_prior_knowledge() } else { builder.http1_only() };
        let client = builder.build().map_err(|error| BuildError::Client {
            provider: settings.entry.name.to_string(),
            reason: describe(error),
        })?;
        let Credential { headers, key } = credential.completed();
        Ok(Self {
            client,
            headers,
            timeout: settings.entry.timeout.min(LONGEST_TIMEOUT),
            body_idle: BODY_IDLE_TIMEOUT,
            stream_deadline: settings.stream_deadline.min(LONGEST_TIMEOUT),
            max_body_bytes: settings.max_response_bytes,
            in_flight: settings.in_flight.clone(),
            refusals: Refusals { wording, key },
        })
    }

    /// The same upstream, opened by another key.
    pub(crate) fn opened_by(&self, credential: Credential) -> Self {
        let Credential { headers, key } = credential.completed();
        Self { headers, refusals: Refusals { key, ..self.refusals }, ..self.clone() }
    }

    /// Posts a JSON body and reads the whole answer within the provider's time-out. An answer of another status than 200 is
    /// an error.
    pub(crate) async fn post(&self, url: &Url, body: Vec<u8>) -> Result<Reply, ProviderError> {
        self.exchange(self.posting(url, body), self.timeout).await
    }

    /// Posts a JSON body, and gives the stream that answers it as soon as its head is there, with that. The provider's
    /// time-out bounds the wait for its first event, from here on, and for each next one. A whole answer, of a server that
    /// does not stream, is one event. An answer of another status than 200 is an error.
    pub(crate) async fn stream(
        &self,
        url: &Url,
        body: Vec<u8>,
    ) -> Result<(HeaderMap, Box<StreamedBody>), ProviderError> {
        let deadline = Instant::now() + self.timeout;
        let mut request = self.posting(url, body);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let mut response = self.send(request, deadline, self.timeout).await?;
        let headers = std::mem::take(response.headers_mut());
        // What says that it is something else, or nothing, may be a stream too, and must not be waited for to its end.
        let content_type = headers.get(CONTENT_TYPE).map_or(EVENT_STREAM, HeaderValue::as_bytes);
        let is_stream = content_type.to_ascii_lowercase().starts_with(EVENT_STREAM);
        let unlike = (!is_stream).then(|| String::from_utf8_lossy(content_type).into_owned());
        let body = StreamedBody {
            response,
            events: Events::default(),
            unlike,
            ready: VecDeque::new(),
            unread: self.in_flight.hold(),
            patience: self.timeout,
            due: Some(deadline),
            has_begun: false,
            ends: Instant::now() + self.stream_deadline,
            whole: self.stream_deadline,
            left: MAX_STREAM_BYTES,
            held: self.in_flight.hold(),
            correlation_id: self.refusals.correlation_id(&headers),
            refusals: self.refusals.clone(),
        };
        Ok((headers, Box::new(body)))
    }

    /// Gets the list of models: free of charge; says that the key is valid and the edge is up, not that a model serves.
    pub(crate) async fn probe(&self, url: &Url, catalogue: &Catalogue) -> Result<(), ProviderError> {
        let mut request = self.request(Method::GET, url);
        request.headers_mut().remove(CONTENT_TYPE);
        let reply = self.exchange(request, PROBE_TIMEOUT.min(self.timeout)).await?;
        catalogue.read(&reply.body, url);
        Ok(())
    }

    fn posting(&self, url: &Url, body: Vec<u8>) -> Request {
        let mut request = self.request(Method::POST, url);
        *request.body_mut() = Some(body.into());
        request
    }

    fn request(&self, method: Method, url: &Url) -> Request {
        let mut request = Request::new(method, url.clone());
        request.headers_mut().clone_from(&self.headers);
        request
    }

    async fn exchange(&self, request: Request, timeout: Duration) -> Result<Reply, ProviderError> {
        let deadline = Instant::now() + timeout;
        let mut response = self.send(request, deadline, timeout).await?;
        let headers = std::mem::take(response.headers_mut());
        let read = self.read(response, deadline, timeout).await;
        let (body, held) = read.map_err(|error| self.refusals.scrubbed(error.with_status(200)))?;
        let correlation_id = self.refusals.correlation_id(&headers);
        Ok(Reply { headers, body, held, correlation_id, refusals: self.refusals.clone() })
    }

    /// Sends a request, and gives the head of its answer, which is one only with status 200.
    async fn send(&self, request: Request, deadline: Instant, timeout: Duration) -> Result<Response, ProviderError> {
        let sent = timeout_at(deadline, self.client.execute(request)).await;
        let response = sent.map_err(|_| timed_out("no answer began", timeout))?;
        let response = response.map_err(|error| self.refusals.scrubbed(send_error(error)))?;
        match response.status().as_u16() {
            200 => Ok(response),
            _ => Err(self.refusal(response, deadline, timeout).await),
        }
    }

    /// What an answer of another status than 200 says, or why it cannot be read.
    async fn refusal(&self, mut response: Response, deadline: Instant, timeout: Duration) -> ProviderError {
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        match self.read(response, deadline, timeout).await {
            Ok((body, _)) => self.refusals.refusal(status, &headers, &body),
            Err(error) => self.refusals.scrubbed(error.with_status(status)),
        }
    }

    async fn read(
        &self,
        mut response: Response,
        total: Instant,
        timeout: Duration,
    ) -> Result<(Bytes, Held), ProviderError> {
        let held = self.in_flight.hold();
        let announced = response.content_length().unwrap_or(0);
        if announced > self.max_body_bytes as u64 {
            return Err(self.too_large());
        }
        let mut body = BytesMut::new();
        loop {
            let idle = if body.is_empty() { total } else { Instant::now() + self.body_idle };
            let piece = match timeout_at(total.min(idle), response.chunk()).await {
                Ok(piece) => piece.map_err(read_error)?,
                Err(_) if total <= idle => return Err(timed_out("the answer was not whole", timeout)),
                Err(_) => return Err(timed_out("nothing more of the answer came", self.body_idle)),
            };
            let Some(piece) = piece else { return Ok((body.freeze(), held)) };
            held.add(piece.len()).map_err(full)?;
            if body.len() + piece.len() > self.max_body_bytes {
                return Err(self.too_large());
            }
            if body.is_empty() && piece.len() as u64 == announced {
                return Ok((piece, held));
            }
            body.extend_from_slice(&piece);
        }
    }

    fn too_large(&self) -> ProviderError {
        let message = format!("the upstream's answer is larger than {} bytes", self.max_body_bytes);
        ProviderError::new(ErrorKind::ResponseTooLarge, &message)
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Upstream").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

fn full(full: Full) -> ProviderError {
    ProviderError::new(ErrorKind::NoRoom, &full.to_string()).with_retry_after(Some(Duration::from_secs(1)))
}

fn no_stream(kind: &str) -> ProviderError {
    ProviderError::malformed(&format!("the upstream answered a request for a stream with something else (`{kind}`)"))
}

fn timed_out(what: &str, limit: Duration) -> ProviderError {
    late(ErrorKind::Timeout, what, limit)
}

fn late(kind: ErrorKind, what: &str, limit: Duration) -> ProviderError {
    ProviderError::new(kind, &format!("upstream time-out: {what} within {limit:?}"))
}

fn send_error(error: reqwest::Error) -> ProviderError {
    if is_for_want_of_files(&error) {
        let message = "no more files may be open in this process, and a connection is one (`ulimit -n`)";
        return ProviderError::new(ErrorKind::NoRoom, message).with_retry_after(Some(Duration::from_secs(1)));
    }
    let kind = if error.is_connect() && error.is_timeout() {
        ErrorKind::Timeout
    } else if error.is_connect() {
        ErrorKind::ConnectFailed
    } else if error.is_builder() {
        ErrorKind::InvalidRequest
    } else {
        ErrorKind::ReadFailed
    };
    let what = match kind {
        ErrorKind::ConnectFailed | ErrorKind::Timeout => "cannot connect to the upstream",
        ErrorKind::InvalidRequest => "the request to the upstream cannot be written",
        _ => "the connection to the upstream broke",
    };
    ProviderError::new(kind, &format!("{what}: {}", describe(error)))
}

fn read_error(error: reqwest::Error) -> ProviderError {
    let message = format!("the upstream's answer broke off: {}", describe(error));
    ProviderError::new(ErrorKind::ReadFailed, &message)
}

/// Whether the gateway has no file left for a connection, or the machine has none: no fault of the upstream's.
fn is_for_want_of_files(error: &(dyn std::error::Error + 'static)) -> bool {
    let errors = std::iter::successors(Some(error), |error| error.source());
    let mut codes = errors.filter_map(|error| error.downcast_ref::<std::io::Error>()?.raw_os_error());
    codes.any(|code| [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error).contains(&code))
}

/// The innermost cause in its own words, without the URL. The outer layers only repeat that a request failed.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
