//! `audit`: where records are kept, how much text of them, who signs them, and how sure they are before an answer leaves.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::assembly::Assembly;
use super::error::ConfigError;
use super::scalar::{FromText, Identifier, Line, Parsed, Whole};
use super::secret::Secret;

/// Auditing.
#[derive(Clone, Debug, Serialize)]
pub struct Audit {
    /// Where records are kept.
    pub store: AuditStore,
    /// What an acknowledged record survives.
    pub durability: Durability,
    /// Records that may wait for the writer.
    pub queue: usize,
    /// How much text is stored.
    pub content: AuditContent,
    /// Whose chain the records belong to; none: a name that is made once.
    pub node: Option<String>,
    /// Where the key is that signs the chain.
    #[serde(skip)]
    pub key: AuditKeySource,
    /// The chain is signed after so many records.
    pub checkpoint_records: u64,
    /// And so long after a record, at the latest.
    pub checkpoint_interval: Duration,
}

/// How much text is stored, of that which audit policies let pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditContent {
    /// As it came.
    Full,
    /// As the audit policies left it.
    #[default]
    Redacted,
    /// An HMAC of it alone.
    Hash,
    /// The same as `hash`: the HMAC is part of every record.
    None,
}

/// Where the audit key is.
#[derive(Clone, Debug)]
pub enum AuditKeySource {
    /// In a file, which must be there.
    File(PathBuf),
    /// In a file, which is made if it is not there.
    MadeOnce(PathBuf),
    /// This is it.
    Given(Secret),
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
    content: Option<AuditContent>,
    node: Option<Parsed<Identifier>>,
    key: Option<Parsed<Line>>,
    checkpoint: Option<RawCheckpoint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawCheckpoint {
    records: Option<Whole<1, 1_000_000>>,
    seconds: Option<Whole<1, 86_400>>,
}

/// Holds the secret itself.
const KEY_VARIABLE: &str = "OCTROI_AUDIT_KEY";

impl RawAudit {
    pub(super) fn assemble(self, assembly: &Assembly<'_>) -> Result<Audit, ConfigError> {
        let store = self.url.map_or_else(|| AuditStore::Sqlite("octroi.db".into()), |Parsed(store)| store);
        let AuditStore::Sqlite(file) = &store;
        let key = match self.key {
            Some(Parsed(Line(path))) => AuditKeySource::File(path.into()),
            None => match assembly.environment.parsed::<Secret>(KEY_VARIABLE)? {
                Some(secret) => AuditKeySource::Given(secret),
                None => AuditKeySource::MadeOnce(file.with_extension("key")),
            },
        };
        let checkpoint = self.checkpoint.unwrap_or_default();
        Ok(Audit {
            store,
            durability: self.durability.unwrap_or_default(),
            queue: self.queue.map_or(10_000, Whole::get),
            content: self.content.unwrap_or_default(),
            node: self.node.map(|Parsed(Identifier(name))| name),
            key,
            checkpoint_records: checkpoint.records.map_or(1_000, Whole::get),
            checkpoint_interval: Duration::from_secs(checkpoint.seconds.map_or(60, Whole::get)),
        })
    }
}
