//! The file that the store's name leads to.
//!
//! SQLite writes into the file that it opened. Once that was removed, or another one took its name, what is written there
//! is lost with the process: whoever looks finds nothing of it.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::audit::AuditError;

/// The file that had the name when a connection was about to be opened.
pub(super) struct NamedFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

impl NamedFile {
    pub(super) fn of(path: &Path) -> Result<Self, AuditError> {
        let device_and_inode = device_and_inode(path)
            .map_err(|error| AuditError::Open { path: path.display().to_string(), reason: error.to_string() })?;
        Ok(Self { path: path.to_owned(), device_and_inode })
    }

    /// Whether it has it still. About a microsecond.
    pub(super) fn check(&self) -> Result<(), AuditError> {
        let wrong = |what: &str| AuditError::Io(format!("{} {what}", self.path.display()));
        match device_and_inode(&self.path) {
            Ok(found) if found == self.device_and_inode => Ok(()),
            Ok(_) => Err(wrong("was replaced by another file")),
            Err(error) => Err(wrong(&format!("was removed: {error}"))),
        }
    }
}

fn device_and_inode(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
