//! What a test queued for the requests to come.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use crate::record::{ReceivedRequest, Recording, lock};
use crate::server::Double;
use crate::service::Vendor;

/// A vendor that does with each request what was queued next, and echoes where nothing was.
///
/// Only requests that it would accept reach the queue; one that is refused leaves it for the next.
pub trait Scripted: Vendor + Default {
    /// What can be queued.
    type Behaviour;

    /// The queue.
    fn script(&self) -> &Script<Self::Behaviour>;
}

/// A queue of behaviours.
#[derive(Debug)]
pub struct Script<B> {
    queued: Mutex<VecDeque<B>>,
    /// What holds when the queue is empty.
    always: Mutex<Option<B>>,
}

impl<B> Default for Script<B> {
    fn default() -> Self {
        Self { queued: Mutex::default(), always: Mutex::default() }
    }
}

impl<B: Clone> Script<B> {
    /// What is done with the request at hand.
    pub fn take(&self) -> Option<B> {
        lock(&self.queued).pop_front().or_else(|| lock(&self.always).clone())
    }
}

impl<V: Scripted> Double<V> {
    /// Starts on a free port. Needs a tokio runtime with time and I/O.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub async fn start() -> io::Result<Self> {
        Self::start_on(0, V::default(), Recording::default()).await
    }

    /// Queues what is done with one request.
    pub fn script(&self, behaviour: V::Behaviour) {
        lock(&self.vendor().script().queued).push_back(behaviour);
    }

    /// Forgets what was queued.
    pub fn clear(&self) {
        lock(&self.vendor().script().queued).clear();
    }

    /// Does this with every request that nothing was queued for; with none it echoes again.
    pub fn always(&self, behaviour: Option<V::Behaviour>) {
        *lock(&self.vendor().script().always) = behaviour;
    }

    /// The recorded chat requests, refused ones included: all but the health probes.
    #[must_use]
    pub fn chats(&self) -> Vec<Arc<ReceivedRequest>> {
        self.requests().into_iter().filter(|request| !request.is_probe()).collect()
    }
}
