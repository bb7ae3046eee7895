//! The rules' manifest and their histories as files: read within bounds, replaced at once or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::history::{self, Version};
use super::rule::{Rule, is_id};
use crate::policy::manifest::MAX_MANIFEST_BYTES;

/// The folder of histories, beside the manifest: a file for each rule. The gateway does not look for policies in it.
const HISTORY: &str = ".static-policies";

/// The largest history that is read: five versions of the largest rule have a tenth of it.
const MAX_HISTORY_BYTES: u64 = 1 << 20;

/// The folder in which the manifest stands.
#[derive(Clone, Debug)]
pub struct Folder {
    policies: PathBuf,
    folder: PathBuf,
    file: PathBuf,
}

/// A file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {error}")]
pub struct DiskError {
    /// Which, relative to the policies directory.
    pub what: String,
    /// What the system said.
    pub error: io::Error,
}

impl Folder {
    /// In this policies directory.
    pub fn of(policies: &Path) -> Result<Self, DiskError> {
        let failed = |error| DiskError { what: "the policies directory".into(), error };
        let policies = fs::canonicalize(policies).map_err(failed)?;
        let file = policies.join(super::FILE);
        let folder = file.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self { policies, folder, file })
    }

    /// The manifest's path, once the links in the policies directory's are resolved.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The manifest's text; `None` if there is none.
    pub fn read(&self) -> Result<Option<String>, DiskError> {
        let failed = |error| DiskError { what: super::FILE.into(), error };
        let most = MAX_MANIFEST_BYTES as u64;
        match read(&self.file, most).map_err(failed)? {
            None => Ok(None),
            Some(bytes) => String::from_utf8(bytes)
                .map(Some)
                .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error))),
        }
    }

    /// Makes the folder if there is none. Tells whether it did.
    pub fn make(&self) -> Result<bool, DiskError> {
        let failed = |error| DiskError { what: "api".into(), error };
        match fs::create_dir(&self.folder) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // A link out of the policies directory would be written through.
                let is_inside = |folder: PathBuf| folder.starts_with(&self.policies) && folder.is_dir();
                if fs::canonicalize(&self.folder).is_ok_and(is_inside) {
                    Ok(false)
                } else {
                    Err(failed(io::Error::other("it is no folder inside the policies directory")))
                }
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Takes the folder away if nothing is in it.
    pub fn unmake(&self) {
        // Whether it is still there makes no difference.
        let _ = fs::remove_dir(&self.folder);
    }

    /// Replaces the manifest, or takes it away.
    pub fn write(&self, text: Option<&str>) -> Result<(), DiskError> {
        let failed = |error| DiskError { what: super::FILE.into(), error };
        match text {
            Some(text) => replace(&self.file, text.as_bytes()).map_err(failed),
            None => match fs::remove_file(&self.file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
                _ => sync_folder(&self.folder).map_err(failed),
            },
        }
    }

    /// The last versions of a rule, the newest first, of which the first is the rule as it is. What cannot be read is
    /// left out.
    pub fn history(&self, rule: &Rule, since: Timestamp) -> Vec<Version> {
        history::complete(self.written_history(&rule.id), rule, since)
    }

    fn written_history(&self, id: &str) -> Vec<Version> {
        let path = self.history_path(id);
        let bytes = path.and_then(|path| read(&path, MAX_HISTORY_BYTES).ok()).flatten();
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Adds a version to the history of a rule.
    pub fn remember(&self, id: &str, newest: Version) -> Result<(), DiskError> {
        let failed = |error| DiskError { what: format!("api/{HISTORY}"), error };
        let Some(path) = self.history_path(id) else { return Ok(()) };
        let versions = history::with(self.written_history(id), newest);
        let bytes = serde_json::to_vec(&versions).map_err(|error| failed(io::Error::other(error)))?;
        match fs::create_dir(self.folder.join(HISTORY)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
        replace(&path, &bytes).map_err(failed)
    }

    /// Forgets the histories of rules that are not there.
    pub fn forget_others(&self, rules: &[Rule]) {
        let Ok(entries) = fs::read_dir(self.folder.join(HISTORY)) else { return };
        let kept: std::collections::HashSet<_> = rules.iter().filter_map(|rule| self.history_path(&rule.id)).collect();
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| !kept.contains(path)) {
            // One that stays is found and taken away the next time.
            let _ = fs::remove_file(path);
        }
    }

    fn history_path(&self, id: &str) -> Option<PathBuf> {
        is_id(id).then(|| self.folder.join(HISTORY).join(format!("{id}.json")))
    }
}

/// Reads a regular file, not through a link; `None` if there is none.
fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(about) if !about.is_file() => return Err(io::Error::other("it is a link, or no file; it is not replaced")),
        Ok(about) if about.len() > most => return Err(io::Error::other(format!("it has more than {most} bytes"))),
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    if file.take(most + 1).read_to_end(&mut bytes)? as u64 > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    Ok(Some(bytes))
}

/// Writes beside the file and renames, so that nobody ever sees a half of it. It keeps the mode of the file that it
/// replaces; a new one has what the umask leaves of 0644.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(io::Error::other("it is no file"));
    };
    // Changes are made one at a time: what bears this name was left by a process that was killed.
    let beside = folder.join(format!(".{name}.new"));
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write_new(&beside, path, bytes).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // A full disk: what there is of it goes.
        let _ = fs::remove_file(&beside);
    }
    written?;
    sync_folder(folder)
}

fn write_new(beside: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(beside)?;
    if let Ok(about) = fs::metadata(path) {
        file.set_permissions(fs::Permissions::from_mode(about.permissions().mode() & 0o777))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// A rename is durable when the folder is.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
