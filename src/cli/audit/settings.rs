//! From the configuration to what the audit log is opened with.

use crate::audit::{
    AuditError, AuditKey, CheckpointEvery, ContentMode, Durability, Keep, Made, NO_STORE, Settings, SpillTo,
    kept_node_id,
};
use crate::config::{self, AuditContent, AuditFailure, AuditKeySource, AuditNode, AuditStore};

/// What a gateway opens its audit log with. Makes the key and the node's name at the first start.
pub(in crate::cli) fn settings(audit: &config::Audit) -> Result<Settings, AuditError> {
    Ok(Settings { node: node(&audit.node)?, ..without_node(audit, key(&audit.key)?) })
}

/// The same with a key that is there, for whoever writes into no gateway's chain. Makes nothing.
pub(super) fn without_node(audit: &config::Audit, key: AuditKey) -> Settings {
    Settings {
        url: url(audit),
        durability: match audit.durability {
            config::Durability::Process => Durability::Process,
            config::Durability::Disk => Durability::Disk,
        },
        queue: audit.queue,
        node: None,
        key,
        content: match audit.content {
            AuditContent::Full => ContentMode::Full,
            AuditContent::Redacted => ContentMode::Redacted,
            AuditContent::Hash | AuditContent::None => ContentMode::Nothing,
        },
        spill: match &audit.on_failure {
            AuditFailure::Deny => None,
            AuditFailure::Spill { file, size } => Some(SpillTo { file: file.clone(), size: *size }),
        },
        left_journal: (audit.store != AuditStore::None).then(|| audit.spill_file.clone()),
        keep: Keep { age: audit.retention_age, size: audit.retention_size },
        checkpoint: CheckpointEvery { records: audit.checkpoint_records, interval: audit.checkpoint_interval },
    }
}

/// The store's address.
pub(super) fn url(audit: &config::Audit) -> String {
    match &audit.store {
        AuditStore::Sqlite(path) => format!("sqlite://{}", path.display()),
        AuditStore::Postgres(url) => url.expose().to_owned(),
        AuditStore::None => NO_STORE.to_owned(),
    }
}

/// The node's name; `None` where the store has one. It is made at the first start.
fn node(node: &AuditNode) -> Result<Option<String>, AuditError> {
    match node {
        AuditNode::Named(name) => Ok(Some(name.clone())),
        AuditNode::OfTheStore => Ok(None),
        AuditNode::KeptIn(path) => kept_node_id(path).map(Some),
    }
}

fn key(source: &AuditKeySource) -> Result<AuditKey, AuditError> {
    let path = match source {
        AuditKeySource::MadeOnce(path) => path,
        AuditKeySource::Unkept => return AuditKey::random(),
        AuditKeySource::File(_) | AuditKeySource::Given(_) => return known_key(source),
    };
    let (key, made) = AuditKey::read_or_make(path)?;
    if made == Made::Now {
        let public = key.public();
        tracing::info!(file = %path.display(), %public, "made a new audit key: keep a copy of it apart from the store");
    }
    Ok(key)
}

/// The key, if it is there already. One that is kept nowhere proves nothing to anybody.
pub(super) fn known_key(source: &AuditKeySource) -> Result<AuditKey, AuditError> {
    match source {
        AuditKeySource::File(path) | AuditKeySource::MadeOnce(path) => AuditKey::read(path),
        AuditKeySource::Unkept => Err(AuditError::Off),
        AuditKeySource::Given(secret) => AuditKey::parse(secret.expose(), "OCTROI_AUDIT_KEY"),
    }
}
