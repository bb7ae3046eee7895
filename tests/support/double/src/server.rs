//! A running double: its listener, and its control from the test's side.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::record::{ReceivedRequest, Record, Recording, Stats};
use crate::service::{Connection, Core, Vendor, serve};
use crate::socket::{ResetSwitch, Socket};

/// How long [`Double::wait_until`] waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// A condition did not come true in a minute.
#[derive(Debug, thiserror::Error)]
#[error("the double did not reach the awaited state within a minute; it is at {0:?}")]
pub struct NotReached(pub Stats);

/// A vendor's API on a loopback port. It ends when it is dropped.
#[derive(Debug)]
pub struct Double<V> {
    address: SocketAddr,
    core: Arc<Core<V>>,
    accepting: JoinHandle<()>,
}

impl<V: Vendor> Double<V> {
    /// Starts on this port of 127.0.0.1, or on a free one if it is 0. Needs a tokio runtime with time and I/O.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub async fn start_on(port: u16, vendor: V, recording: Recording) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let core = Arc::new(Core { vendor, record: Arc::new(Record::new(recording)) });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&core)));
        Ok(Self { address, core, accepting })
    }

    /// `http://127.0.0.1:PORT`, without a path: what the gateway takes as endpoint.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whom it plays.
    #[must_use]
    pub fn vendor(&self) -> &V {
        &self.core.vendor
    }

    /// The recorded requests, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Arc<ReceivedRequest>> {
        self.core.record.requests()
    }

    /// The newest recorded request that is no health probe: those come when they like.
    #[must_use]
    pub fn last_request(&self) -> Option<Arc<ReceivedRequest>> {
        self.core.record.last_request()
    }

    /// Forgets the recorded requests. The counters stay.
    pub fn forget_requests(&self) {
        self.core.record.forget();
    }

    /// The counters now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.core.record.stats()
    }

    /// Waits until the counters satisfy a condition, for instance `|stats| stats.cancelled_streams == 1`.
    ///
    /// # Errors
    ///
    /// [`NotReached`] after ten seconds.
    pub async fn wait_until(&self, condition: impl Fn(&Stats) -> bool) -> Result<Stats, NotReached> {
        let reached = self.core.record.until(condition);
        tokio::time::timeout(PATIENCE, reached).await.map_err(|_| NotReached(self.stats()))
    }

    /// Stops listening and drops every connection, and returns when the port is free.
    pub async fn shutdown(mut self) {
        self.accepting.abort();
        // Only the abort itself can be the error here.
        let _ = (&mut self.accepting).await;
    }
}

impl<V> Drop for Double<V> {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts until it is aborted; its connections end with it.
async fn accept<V: Vendor>(listener: TcpListener, core: Arc<Core<V>>) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(converse(stream, Arc::clone(&core)));
            }
            // Out of file descriptors, or a client that left at once: the next may do better.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn converse<V: Vendor>(stream: TcpStream, core: Arc<Core<V>>) {
    // Small writes must leave as they are made; a socket without the option still works.
    let _ = stream.set_nodelay(true);
    let switch = ResetSwitch::default();
    let connection = Connection { number: core.record.connected(), switch: switch.clone() };
    let service = service_fn(|request| serve(Arc::clone(&core), connection.clone(), request));
    let io = TokioIo::new(Socket::new(stream, switch));
    // Without a timer hyper closes no idle connection, so that a pooled one breaks only when a script says so. An error
    // is a client that left, or an ending that a script asked for.
    let _ = http1::Builder::new().serve_connection(io, service).await;
}
