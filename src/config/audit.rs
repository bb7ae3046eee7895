//! `audit`: where records are kept, how much text of them, who signs them, and how sure they are before an answer leaves.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::assembly::Assembly;
use super::error::ConfigError;
use super::scalar::{FromText, Identifier, Line, Parsed, Size, Span, Whole};
use super::secret::Secret;
use super::yaml::KeyPath;

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
    /// Whose chain the records belong to.
    pub node: AuditNode,
    /// Where the key is that signs the chain.
    #[serde(skip)]
    pub key: AuditKeySource,
    /// How often the chain is signed.
    pub checkpoint: CheckpointEvery,
    /// What becomes of records that the store does not take.
    pub on_failure: AuditFailure,
    /// The journal, even where none is written: there may be one from when it was.
    #[serde(skip)]
    pub spill_file: PathBuf,
    /// How old records may grow; none: as old as they like.
    pub retention_age: Option<Duration>,
    /// How many bytes they may take; none: as many as they like.
    pub retention_size: Option<u64>,
}

/// Room for 5,000 requests in flight.
pub const AUDIT_QUEUE: usize = 10_000;

/// How often the chain's head is signed. Whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CheckpointEvery {
    /// After so many records.
    pub records: u64,
    /// So long after the first record that is not signed yet.
    pub interval: Duration,
}

impl Default for CheckpointEvery {
    fn default() -> Self {
        Self { records: 1_000, interval: Duration::from_secs(60) }
    }
}

/// What becomes of records that the store does not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditFailure {
    /// They are refused, and their requests with them.
    Deny,
    /// They go into a journal, and later into the store.
    Spill {
        /// The journal.
        file: PathBuf,
        /// Its greatest size, in bytes.
        size: u64,
    },
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

/// Whose chain the records belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditNode {
    /// This name.
    Named(String),
    /// One that the store makes once for its one gateway.
    OfTheStore,
    /// One that is made once and kept in this file.
    KeptIn(PathBuf),
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
    /// Nowhere: a new one at each start.
    Unkept,
}

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditStore {
    /// An SQLite file; relative to the working directory.
    Sqlite(PathBuf),
    /// A PostgreSQL database, which several gateways may share.
    Postgres(DatabaseUrl),
    /// Nowhere: records are made, and forgotten.
    None,
}

/// The address of a database. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// Takes `text` as an address.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The whole address. Only for the database.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A password may also stand among the parameters, which are not shown. Where an `@` stands behind a `?`, either may be
/// part of a password, and nothing is.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        if parameters.contains('@') {
            return write!(formatter, "{scheme}://...");
        }
        let (user, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        match user.split_once(':').map_or(user, |(user, _)| user) {
            "" => write!(formatter, "{scheme}://{place}"),
            user => write!(formatter, "{scheme}://{user}@{place}"),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How much a record has survived when its append returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Committed to the write-ahead log: survives `kill -9` of the gateway, not a power cut.
    #[default]
    Process,
    /// Flushed to the device before the answer: survives a power cut.
    Disk,
}

impl FromText for AuditStore {
    fn allowed() -> String {
        "`sqlite://FILE`, `postgres://USER:PASSWORD@HOST/DATABASE` or `none`".into()
    }

    fn from_text(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(Self::None);
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let plain = !text.contains(|it: char| it.is_control() || it.is_whitespace());
            return plain.then(|| Self::Postgres(DatabaseUrl(text.into())));
        }
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
    on_failure: Option<OnFailure>,
    spill: Option<RawSpill>,
    retention: Option<RawRetention>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRetention {
    age: Option<Parsed<Span<60_000, { 100 * 366 * 86_400_000 }>>>,
    size: Option<Size<{ 1 << 20 }, { 1 << 50 }>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OnFailure {
    #[default]
    Deny,
    Spill,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSpill {
    file: Option<Parsed<Line>>,
    size: Option<Size<{ 1 << 20 }, { 1 << 40 }>>,
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
        let beside = |ending: &str| match &store {
            AuditStore::Sqlite(file) => file_beside(file, ending),
            AuditStore::Postgres(_) | AuditStore::None => PathBuf::from("octroi").with_extension(ending),
        };
        let key = match self.key {
            Some(Parsed(Line(path))) => AuditKeySource::File(path.into()),
            None => match assembly.environment.parsed::<Secret>(KEY_VARIABLE)? {
                Some(secret) => AuditKeySource::Given(secret),
                None if store == AuditStore::None => AuditKeySource::Unkept,
                None => AuditKeySource::MadeOnce(beside("key")),
            },
        };
        let (checkpoint, every) = (self.checkpoint.unwrap_or_default(), CheckpointEvery::default());
        let node = match (self.node, &store) {
            (Some(Parsed(Identifier(name))), _) => AuditNode::Named(name),
            (None, AuditStore::Sqlite(_) | AuditStore::None) => AuditNode::OfTheStore,
            (None, AuditStore::Postgres(_)) => AuditNode::KeptIn(beside("node")),
        };
        let retention = self.retention.unwrap_or_default();
        let spill = self.spill.unwrap_or_default();
        let spill_file = spill.file.map_or_else(|| beside("spill"), |Parsed(Line(path))| path.into());
        let on_failure = match self.on_failure.unwrap_or_default() {
            OnFailure::Deny => AuditFailure::Deny,
            OnFailure::Spill => AuditFailure::Spill {
                file: spill_file.clone(),
                size: spill.size.map_or(256 << 20, |size| size.bytes() as u64),
            },
        };
        let audit = Audit {
            store,
            durability: self.durability.unwrap_or_default(),
            queue: self.queue.map_or(AUDIT_QUEUE, Whole::get),
            content: self.content.unwrap_or_default(),
            node,
            key,
            on_failure,
            spill_file,
            retention_age: retention.age.map(|Parsed(Span(age))| age),
            retention_size: retention.size.map(|size| size.bytes() as u64),
            checkpoint: CheckpointEvery {
                records: checkpoint.records.map_or(every.records, Whole::get),
                interval: checkpoint.seconds.map_or(every.interval, |seconds| Duration::from_secs(seconds.get())),
            },
        };
        audit.files_are_apart(assembly)?;
        Ok(audit)
    }
}

/// A file beside a database with an unusual ending, under the name that it has where none is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileBeside {
    /// What names it.
    pub key: &'static str,
    /// Where it is looked for.
    pub file: PathBuf,
    /// Its name if the database's ending gave way to its own: it may be there, and be the one that is meant.
    pub other: PathBuf,
}

impl Audit {
    /// The files that may be there under another name than the one that they are looked for.
    pub fn files_beside(&self) -> Vec<FileBeside> {
        let AuditStore::Sqlite(database) = &self.store else { return Vec::new() };
        let key = match &self.key {
            AuditKeySource::MadeOnce(file) => Some(("audit.key", "key", file)),
            AuditKeySource::File(_) | AuditKeySource::Given(_) | AuditKeySource::Unkept => None,
        };
        let files = key.into_iter().chain([("audit.spill.file", "spill", &self.spill_file)]);
        let beside = files.map(|(key, ending, file)| (key, file, ending, database.with_extension(ending)));
        beside
            .filter(|(_, file, ending, other)| **file == file_beside(database, ending) && *file != other)
            .map(|(key, file, _, other)| FileBeside { key, file: file.clone(), other })
            .collect()
    }

    /// Whoever writes one of its files would destroy another that has the same name.
    fn files_are_apart(&self, assembly: &Assembly<'_>) -> Result<(), ConfigError> {
        let store = match &self.store {
            AuditStore::Sqlite(file) => Some(("audit.url", file)),
            AuditStore::Postgres(_) | AuditStore::None => None,
        };
        let key = match &self.key {
            AuditKeySource::File(file) | AuditKeySource::MadeOnce(file) => Some(("audit.key", file)),
            AuditKeySource::Given(_) | AuditKeySource::Unkept => None,
        };
        let node = match &self.node {
            AuditNode::KeptIn(file) => Some(("audit.node", file)),
            AuditNode::Named(_) | AuditNode::OfTheStore => None,
        };
        let mut others: Vec<(&str, PathBuf)> = Vec::new();
        for (key, file) in [store, node, key, Some(("audit.spill.file", &self.spill_file))].into_iter().flatten() {
            let place = resolved(file);
            if let Some((other, _)) = others.iter().find(|(_, taken)| *taken == place) {
                let reason = format!("{} is the file of {other} too, allowed: one of its own", file.display());
                return Err(assembly.invalid(KeyPath::of(key), reason));
            }
            others.push((key, place));
        }
        Ok(())
    }
}

/// The name that a file has by default that belongs to this database. What is not one of the usual endings of a database
/// stays part of the name: it may be what tells two of them apart.
fn file_beside(database: &Path, ending: &str) -> PathBuf {
    let is_usual = |found: &OsStr| ["db", "sqlite", "sqlite3"].iter().any(|usual| found == *usual);
    match database.extension() {
        Some(found) if !is_usual(found) => {
            let mut name = database.as_os_str().to_owned();
            name.push(".");
            name.push(ending);
            name.into()
        }
        _ => database.with_extension(ending),
    }
}

/// Where a file is or would be made, links resolved: equal for two names of one file.
fn resolved(file: &Path) -> PathBuf {
    let whole = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    whole.canonicalize().unwrap_or_else(|_| match (whole.parent(), whole.file_name()) {
        (Some(folder), Some(name)) => folder.canonicalize().unwrap_or_else(|_| folder.to_owned()).join(name),
        _ => whole,
    })
}
