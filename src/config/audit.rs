//! `audit`: where records are kept, and how sure they are before an answer leaves.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::scalar::{FromText, Parsed, Whole};

/// Auditing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Where records are kept.
    pub store: AuditStore,
    /// What an acknowledged record survives.
    pub durability: Durability,
    /// Records that may wait for the writer.
    pub queue: usize,
}

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditStore {
    /// An SQLite file; relative to the working directory.
    Sqlite(PathBuf),
}

/// What an acknowledged record survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The end of this process, `kill -9` included.
    #[default]
    Process,
    /// Loss of power.
    Disk,
}

impl FromText for AuditStore {
    fn allowed() -> String {
        "`sqlite://FILE` (other stores are not built into this version)".into()
    }

    fn from_text(text: &str) -> Option<Self> {
        let file = text.strip_prefix("sqlite://")?;
        let plain = !file.contains(['?', '#', '@', ':']) && !file.contains(char::is_control);
        (plain && !file.is_empty() && !file.ends_with('/')).then(|| Self::Sqlite(file.into()))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAudit {
    url: Option<Parsed<AuditStore>>,
    durability: Option<Durability>,
    queue: Option<Whole<1, 1_000_000>>,
}

impl RawAudit {
    pub(super) fn assemble(self) -> Audit {
        Audit {
            store: self.url.map_or_else(|| AuditStore::Sqlite("octroi.db".into()), |Parsed(store)| store),
            durability: self.durability.unwrap_or_default(),
            queue: self.queue.map_or(10_000, Whole::get),
        }
    }
}
