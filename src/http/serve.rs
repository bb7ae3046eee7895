//! The accept loop: sockets in, requests to their handler, an orderly end.
//!
//! At the cap on connections nothing is accepted: newcomers wait in the system's backlog, which is bounded. An idle
//! connection is closed after the header time-out, and one whose client takes nothing, or next to nothing, of its answer
//! after another, so that the wait is bounded too.

mod drained;
mod pace;

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use crate::config::Server;
pub use drained::Drained;
use pace::Paced;

/// Bytes that a connection's buffer may reach before hyper stops reading; a longer head is 431 (hyper looks only after
/// a read, which may double it). Hyper's own 400 kB, times the cap on connections,
/// would be more memory than the whole gateway needs.
const BUFFER: usize = 64 << 10;

/// How long a client may take nothing, or next to nothing, of what is sent to it.
const UNREAD: Duration = Duration::from_secs(120);

/// How long answers that stream have to say that they break off, when the time to stop is over. Never longer than that
/// time was.
const LAST_FRAMES: Duration = Duration::from_secs(1);

/// The pauses after an error of the listener itself, such as no more file descriptors: from the first, doubled, to the
/// last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What the server allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at one time.
    pub max_connections: usize,
    /// How long a client may take to send a head. Counted from the end of the answer before it, so that it is also how
    /// long a connection may be idle.
    pub header_timeout: Duration,
    /// How long a client may take nothing, or next to nothing, of what is sent to it.
    pub unread_timeout: Duration,
    /// How long requests in flight may take after the signal to stop.
    pub shutdown_timeout: Duration,
}

impl From<&Server> for Limits {
    fn from(server: &Server) -> Self {
        Self {
            max_connections: server.max_connections,
            header_timeout: server.header_timeout,
            unread_timeout: UNREAD,
            shutdown_timeout: server.shutdown_timeout,
        }
    }
}

/// Has `handle` answer each request until `shutdown` is cancelled. Then nothing more is accepted, idle connections are closed, requests in flight
/// are finished. After `shutdown_timeout` `out_of_time` is cancelled, and what does not end by that is dropped.
///
/// No error of a connection, nor of accepting one, ends it early.
pub async fn serve<H, F>(
    listener: TcpListener,
    handle: H,
    limits: Limits,
    shutdown: CancellationToken,
    out_of_time: CancellationToken,
) where
    H: Fn(Request<Drained>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response, Infallible>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(limits.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut pause = PAUSES.0;
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok(accepted) => {
                pause = PAUSES.0;
                connections.spawn(connection(accepted, handle.clone(), &limits, &graceful));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted; trying again");
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => break,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
    drop(listener);
    let mut done = pin!(graceful.shutdown());
    if tokio::time::timeout(limits.shutdown_timeout, &mut done).await.is_err() {
        while connections.try_join_next().is_some() {}
        tracing::warn!(connections = connections.len(), "connections were still in use when the time to stop was over");
        out_of_time.cancel();
        let _ = tokio::time::timeout(LAST_FRAMES.min(limits.shutdown_timeout), done).await;
    }
    connections.shutdown().await;
}

/// The handler that a router is.
pub fn routed(router: Router) -> impl Fn(Request<Drained>) -> RouteFuture<Infallible> + Clone + Send + 'static {
    move |request| router.clone().call(request)
}

type Accepted = (TcpStream, SocketAddr, OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> io::Result<Accepted> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, slot))
}

/// One connection, until it ends. It is watched from the moment of this call, not from its first poll.
fn connection<H, F>(
    (stream, peer, slot): Accepted,
    handle: H,
    limits: &Limits,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + use<H, F>
where
    H: Fn(Request<Drained>) -> F + Send + 'static,
    F: Future<Output = Result<Response, Infallible>> + Send + 'static,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was not set");
    }
    // Nothing above the socket notices: hyper waits for it to take more, with no timer.
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(&stream).set_tcp_user_timeout(Some(limits.unread_timeout)) {
        tracing::debug!(%error, "TCP_USER_TIMEOUT was not set");
    }
    let handle = move |request: Request<Incoming>| handle(Drained::of(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(Paced::new(stream, limits.unread_timeout)), service_fn(handle));
    let watched = graceful.watch(connection);
    async move {
        let _slot = slot;
        if let Err(error) = watched.await {
            tracing::debug!(%peer, %error, "connection ended");
        }
    }
}

/// Whether the error belongs to one connection that went away before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests;
