//! From the configuration to what the audit log is opened with.

use crate::audit::{AuditError, AuditKey, CheckpointEvery, ContentMode, Durability, Made, Settings};
use crate::config::{self, AuditContent, AuditKeySource, AuditStore};

/// What a gateway opens its audit log with. Makes the key at the first start.
pub(in crate::cli) fn settings(audit: &config::Audit) -> Result<Settings, AuditError> {
    Ok(Settings {
        url: url(audit),
        durability: match audit.durability {
            config::Durability::Process => Durability::Process,
            config::Durability::Disk => Durability::Disk,
        },
        queue: audit.queue,
        node: audit.node.clone(),
        key: key(&audit.key)?,
        content: match audit.content {
            AuditContent::Full => ContentMode::Full,
            AuditContent::Redacted => ContentMode::Redacted,
            AuditContent::Hash | AuditContent::None => ContentMode::Nothing,
        },
        checkpoint: CheckpointEvery { records: audit.checkpoint_records, interval: audit.checkpoint_interval },
    })
}

/// The store's address.
pub(super) fn url(audit: &config::Audit) -> String {
    let AuditStore::Sqlite(path) = &audit.store;
    format!("sqlite://{}", path.display())
}

fn key(source: &AuditKeySource) -> Result<AuditKey, AuditError> {
    let AuditKeySource::MadeOnce(path) = source else { return known_key(source) };
    let (key, made) = AuditKey::read_or_make(path)?;
    if made == Made::Now {
        let public = key.public();
        tracing::info!(file = %path.display(), %public, "made a new audit key: keep a copy of it apart from the store");
    }
    Ok(key)
}

/// The key, if it is there already.
pub(super) fn known_key(source: &AuditKeySource) -> Result<AuditKey, AuditError> {
    match source {
        AuditKeySource::File(path) | AuditKeySource::MadeOnce(path) => AuditKey::read(path),
        AuditKeySource::Given(secret) => AuditKey::parse(secret.expose(), "OCTROI_AUDIT_KEY"),
    }
}
