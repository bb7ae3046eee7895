//! What the audit log is opened with.

/// How much a record has survived when its append returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Committed to the write-ahead log: survives `kill -9` of the gateway, not a power cut.
    #[default]
    Process,
    /// Flushed to the device before the answer: survives a power cut.
    Disk,
}

/// How to open an [`AuditLog`](super::AuditLog).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the records go: `sqlite://relative/file.db` or `sqlite:///absolute/file.db`.
    pub url: String,
    /// What a returned append promises.
    pub durability: Durability,
    /// The most records that are promised or waiting at once. A request holds two slots from its acceptance, one of
    /// them until its outcome is durable, so this also bounds the requests in flight. At least 2.
    pub queue: usize,
}

impl Settings {
    /// Room for 8,192 requests in flight.
    pub const DEFAULT_QUEUE: usize = 16_384;

    /// The given store, `process` durability and the default queue.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), durability: Durability::default(), queue: Self::DEFAULT_QUEUE }
    }
}
