//! The file that the store's name leads to, from the start to the end the same one.
//!
//! SQLite writes into the file that it opened. Once that was removed, or another one took its name, what is written there
//! is lost with the process: whoever looks finds nothing of it. The other one is not opened either: SQLite would take the
//! log beside it, the first one's, for its own, and write that into it.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, OpenFlags};
use rustix::fs::OFlags;

use crate::audit::AuditError;

/// The file that had the name when the store was opened.
pub(super) struct NamedFile {
    path: PathBuf,
    /// SQLite's write-ahead log, which stands beside the file itself, not beside a link to it.
    log: PathBuf,
    identity: Identity,
    /// As long as it is held, no other file has its number. Only its place: closing what was opened for more would take
    /// away the locks that this process has on the file.
    _held: File,
    log_is_lost: AtomicBool,
}

/// Which file it is: device and inode.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

impl From<Metadata> for Identity {
    fn from(metadata: Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
    }
}

impl NamedFile {
    pub(super) fn of(path: &Path) -> Result<Self, AuditError> {
        let opened = (|| -> io::Result<Self> {
            let held = OpenOptions::new().read(true).custom_flags(OFlags::PATH.bits().cast_signed()).open(path)?;
            let mut log = path.canonicalize()?.into_os_string();
            log.push("-wal");
            Ok(Self {
                path: path.to_owned(),
                log: log.into(),
                identity: held.metadata()?.into(),
                _held: held,
                log_is_lost: AtomicBool::new(false),
            })
        })();
        opened.map_err(|error| AuditError::Open { path: path.display().to_string(), reason: error.to_string() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it, if it has its name still: what SQLite finds beside it, it takes in with the first statement. Not made
    /// here: a file that vanished while the gateway runs is an error, not an empty trail.
    pub(super) fn connect(&self, flags: OpenFlags) -> Result<Connection, AuditError> {
        self.check()?;
        let connection = Connection::open_with_flags(&self.path, flags)
            .map_err(|error| AuditError::Open { path: self.path.display().to_string(), reason: error.to_string() })?;
        self.check()?;
        Ok(connection)
    }

    /// Whether it has its name still, and its log. About a microsecond. Where another file has the name, or the log was
    /// lost, that stays so until the gateway is started anew.
    pub(super) fn check(&self) -> Result<(), AuditError> {
        let (path, log) = (self.path.display(), self.log.display());
        if self.log_is_lost.load(Ordering::Acquire) {
            return Err(AuditError::Io(format!("{log} was removed: stop the gateway, and start it")));
        }
        match std::fs::metadata(&self.path).map(Identity::from) {
            Ok(found) if found == self.identity => Ok(()),
            Ok(_) => Err(AuditError::Io(format!(
                "{path} was replaced by another file: stop the gateway, put -wal and -shm beside the file that was there before, start it"
            ))),
            Err(error) => Err(AuditError::Io(format!("{path} was removed ({error}): put it back, or start anew"))),
        }
    }

    /// The log that is there now; `None` where there is none.
    pub(super) fn log(&self) -> Result<Option<Identity>, AuditError> {
        match std::fs::metadata(&self.log) {
            Ok(found) => Ok(Some(found.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(AuditError::Io(format!("{}: {error}", self.log.display()))),
        }
    }

    /// Whether the log is the one that was there when a connection was opened, which keeps it there as long as it lasts.
    /// Where the file lost its name the log may be with it, and nothing is said of that.
    pub(super) fn check_log(&self, opened: Option<Identity>) -> Result<(), AuditError> {
        self.check()?;
        if opened.is_some() && self.log()? != opened {
            self.log_is_lost.store(true, Ordering::Release);
        }
        self.check()
    }
}
