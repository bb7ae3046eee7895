//! From the configuration to what the audit log is opened with.

use std::io::ErrorKind::{IsADirectory, NotADirectory};
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD};

use crate::audit::{
    AuditError, AuditKey, AuditReader, ContentMode, Keep, Made, PublicKey, Settings, SpillTo, is_left_behind,
    kept_node_id,
};
use crate::config::{self, AuditContent, AuditFailure, AuditKeySource, AuditNode, AuditStore, FileBeside};

/// What a gateway opens its audit log with. Makes the key and the node's name at the first start.
pub(in crate::cli) fn settings(audit: &config::Audit) -> Result<Settings, AuditError> {
    none_has_another_name(audit)?;
    Ok(Settings { node: node(&audit.node)?, ..without_node(audit, key(audit)?) })
}

/// Whether a gateway could open its audit log, as far as that can be told without making anything, and without opening the
/// store.
pub(in crate::cli) fn check(audit: &config::Audit) -> Result<(), AuditError> {
    none_has_another_name(audit)?;
    let key = match &audit.key {
        AuditKeySource::MadeOnce(path) if !path.exists() => can_be_made(path).and_then(|()| AuditKey::random())?,
        AuditKeySource::Unkept => AuditKey::random()?,
        source => known_key(source)?,
    };
    let node = match &audit.node {
        AuditNode::KeptIn(path) if !path.exists() => can_be_made(path).map(|()| None)?,
        kept_or_named => node(kept_or_named)?,
    };
    let store = match &audit.store {
        AuditStore::Sqlite(file) => Some(file),
        AuditStore::Postgres(_) | AuditStore::None => None,
    };
    let journal = match &audit.on_failure {
        AuditFailure::Spill { file, .. } => Some(file),
        AuditFailure::Deny => None,
    };
    store.into_iter().chain(journal).filter(|file| !file.exists()).try_for_each(|file| can_be_made(file))?;
    store.into_iter().filter(|file| file.exists()).try_for_each(|file| can_be_written(file))?;
    Settings { node, ..without_node(audit, key) }.check()
}

/// Whether there is a folder for a file that is to be made, and this user may make one there.
fn can_be_made(path: &Path) -> Result<(), AuditError> {
    let folder = folder_of(path);
    let there = std::fs::metadata(folder).and_then(|it| if it.is_dir() { Ok(()) } else { Err(NotADirectory.into()) });
    there
        .and_then(|()| may(folder, Access::WRITE_OK | Access::EXEC_OK))
        .map_err(|error| AuditError::Settings(format!("{} cannot be made there: {error}", path.display())))
}

/// Whether this user may write an SQLite file that is there, and its log beside it: where a link leads to.
fn can_be_written(file: &Path) -> Result<(), AuditError> {
    let is_file = if file.is_dir() { Err(IsADirectory.into()) } else { Ok(()) };
    is_file
        .and_then(|()| may(file, Access::READ_OK | Access::WRITE_OK))
        .and_then(|()| file.canonicalize())
        .and_then(|file| may(folder_of(&file), Access::WRITE_OK | Access::EXEC_OK))
        .map_err(|error| {
            AuditError::Settings(format!(
                "the audit store {} cannot be written: {error}: this user must be able to write the file and its folder \
                 (audit.url)",
                file.display()
            ))
        })
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Asks the system whether this process may do that.
fn may(path: &Path, access: Access) -> std::io::Result<()> {
    Ok(rustix::fs::accessat(CWD, path, access, AtFlags::EACCESS)?)
}

/// Beside a database with an unusual ending its key or a journal with records may be there under another name, given by an
/// earlier version: with a new key nothing of before could be compared, and the records would stay where they are.
fn none_has_another_name(audit: &config::Audit) -> Result<(), AuditError> {
    let AuditStore::Sqlite(database) = &audit.store else { return Ok(()) };
    for FileBeside { key, file, other } in audit.files_beside() {
        let may_be_meant = if file == audit.spill_file {
            is_left_behind(&other)
        } else {
            // A new store has lost no key.
            database.exists() && std::fs::metadata(&other).is_ok_and(|it| it.len() > 0)
        };
        if may_be_meant && !file.exists() {
            return Err(AuditError::Settings(format!(
                "{} is not there, and {other} is: if that is this store's, name it in `{key}`, or give it the first name; \
                 if it is another one's, name a file of this store's own",
                file.display(),
                other = other.display(),
            )));
        }
    }
    Ok(())
}

/// What is opened with a key that is there, by whoever writes into no gateway's chain. Makes nothing.
pub(super) fn without_node(audit: &config::Audit, key: AuditKey) -> Settings {
    Settings {
        store: audit.store.clone(),
        durability: audit.durability,
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
        checkpoint: audit.checkpoint,
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

fn key(audit: &config::Audit) -> Result<AuditKey, AuditError> {
    let path = match &audit.key {
        AuditKeySource::MadeOnce(path) => path,
        AuditKeySource::Unkept => return AuditKey::random(),
        source @ (AuditKeySource::File(_) | AuditKeySource::Given(_)) => return known_key(source),
    };
    let (key, made) = AuditKey::read_or_make(path)?;
    if made == Made::Now {
        let (file, public) = (path.display(), key.public());
        match last_signer(&audit.store).filter(|former| *former != public) {
            Some(former) => tracing::warn!(
                %file, %public, %former,
                "the audit key is lost: the store's records are signed by `former`, and a new key was made. What comes is \
                 signed by `public`, `octroi audit verify` wants both (--public-key), and older texts cannot be compared. \
                 If there is a copy of the old key, stop, and put it back before more is recorded"
            ),
            None => tracing::info!(%file, %public, "made a new audit key: keep a copy of it apart from the store"),
        }
    }
    Ok(key)
}

/// Who signed what is in the store. On a thread of its own: a store may drive a runtime, which cannot be done inside
/// another. Where the store cannot be read, opening it says why.
fn last_signer(store: &AuditStore) -> Option<PublicKey> {
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| AuditReader::open(store).and_then(|reader| reader.last_signer()).ok().flatten());
        asked.join().ok().flatten()
    })
}

/// The key, if it is there already. One that is kept nowhere proves nothing to anybody.
pub(super) fn known_key(source: &AuditKeySource) -> Result<AuditKey, AuditError> {
    match source {
        AuditKeySource::File(path) | AuditKeySource::MadeOnce(path) => AuditKey::read(path),
        AuditKeySource::Unkept => Err(AuditError::Off),
        AuditKeySource::Given(secret) => AuditKey::parse(secret.expose(), "OCTROI_AUDIT_KEY"),
    }
}
