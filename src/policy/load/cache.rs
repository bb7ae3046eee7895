//! Compiled code on disk, so that a version that was live before is live again within milliseconds.
//!
//! A compiled file is native code: against someone who may write the cache nothing helps. Therefore the directory is
//! created 0700 and refused when another user owns it or may write it; files are 0600, written under another name and
//! renamed, never overwritten, and carry a hash against corruption. An entry that does not fit is ignored and rebuilt.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use wasmtime::component::Component;

use crate::policy::component::WIT_VERSION;
use crate::policy::digest::Digest;
use crate::policy::engine::Engine;

/// A directory of compiled code.
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PathBuf,
}

/// The cache cannot be used; loading goes on without it.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The file system said no.
    #[error("{path}: {error}")]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// Somebody else may write it.
    #[error(
        "{path}: {problem}; whoever writes there runs code in the gateway: `chmod 700` it, or set `policies.cache`"
    )]
    Foreign {
        /// Which directory.
        path: PathBuf,
        /// Who.
        problem: String,
    },
}

/// What stands beside the code: its hash, and what is known about it.
#[derive(Serialize, Deserialize)]
struct Note<T> {
    sha256: Digest,
    about: T,
}

/// Which code an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(Digest);

impl Key {
    /// The key of what `pieces` determine, under this gateway's version, the WIT's, and wasmtime's settings.
    pub fn new(engine: &Engine, kind: &str, pieces: &[&[u8]]) -> Self {
        // `DefaultHasher::new()` has fixed keys: the same in every process of one build.
        let mut hasher = std::hash::DefaultHasher::new();
        engine.wasmtime().precompile_compatibility_hash().hash(&mut hasher);
        let compatibility = hasher.finish().to_le_bytes();
        let fixed: [&[u8]; 4] =
            [env!("CARGO_PKG_VERSION").as_bytes(), WIT_VERSION.as_bytes(), &compatibility, kind.as_bytes()];
        Self(Digest::of_pieces(fixed.into_iter().chain(pieces.iter().copied())))
    }
}

impl Cache {
    /// Opens a directory, making it if needed.
    pub fn open(directory: &Path) -> Result<Self, CacheError> {
        let io = |error| CacheError::Io { path: directory.to_owned(), error };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io)?;
        let about = fs::metadata(directory).map_err(io)?;
        let foreign = |problem: &str| CacheError::Foreign { path: directory.to_owned(), problem: problem.into() };
        if about.uid() != rustix::process::geteuid().as_raw() {
            return Err(foreign("another user owns it"));
        }
        if about.mode() & 0o022 != 0 {
            return Err(foreign("other users may write it"));
        }
        Ok(Self { directory: directory.to_owned() })
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn code_path(&self, key: Key) -> PathBuf {
        self.directory.join(format!("{}.cwasm", key.0))
    }

    fn note_path(&self, key: Key) -> PathBuf {
        self.directory.join(format!("{}.json", key.0))
    }

    /// Maps an entry. `None` when it is not there or does not fit.
    pub fn map<T: DeserializeOwned>(&self, engine: &Engine, key: Key) -> Option<(Component, T)> {
        let note: Note<T> = serde_json::from_slice(&fs::read(self.note_path(key)).ok()?).ok()?;
        let path = self.code_path(key);
        let about = fs::symlink_metadata(&path).ok()?;
        if !about.is_file() || about.uid() != rustix::process::geteuid().as_raw() || about.mode() & 0o022 != 0 {
            return None;
        }
        if Digest::of(&fs::read(&path).ok()?) != note.sha256 {
            tracing::warn!(entry = %path.display(), "an entry of the policies' cache is corrupted; it is compiled anew");
            return None;
        }
        // SAFETY: the file is what `Engine::precompile_component` of this gateway wrote: it lies in a directory that
        // only this user may write (`open`), it is a regular file of this user's, and its hash is the one that was
        // noted when it was written. It does not change while it is mapped: entries are never overwritten (`store`).
        // wasmtime itself refuses code of another version or of other settings.
        #[expect(unsafe_code, reason = "wasmtime offers no other way to load compiled code; see above")]
        let component = unsafe { Component::deserialize_file(engine.wasmtime(), &path) };
        match component {
            Ok(component) => Some((component, note.about)),
            Err(error) => {
                tracing::warn!(entry = %path.display(), %error, "an entry of the policies' cache is not usable; it is compiled anew");
                None
            }
        }
    }

    /// Keeps compiled code. A failure (a full disk) is an error that the caller may ignore.
    pub fn store<T: Serialize>(&self, key: Key, code: &[u8], about: &T) -> Result<(), CacheError> {
        let note = Note { sha256: Digest::of(code), about };
        let note = serde_json::to_vec(&note)
            .map_err(|error| CacheError::Io { path: self.note_path(key), error: io::Error::other(error) })?;
        self.write(&self.code_path(key), code)?;
        self.write(&self.note_path(key), &note)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
        let io = |error| CacheError::Io { path: path.to_owned(), error };
        let mut file = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(&self.directory)
            .map_err(io)?;
        file.write_all(bytes).map_err(io)?;
        file.persist(path).map_err(|error| io(error.error))?;
        Ok(())
    }
}

/// Loads code that this process, or its loader, has just compiled and that never lay where others could write.
pub fn load_from_memory(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` is what `Engine::precompile_component` returned, in this process or in the loader process that
    // this process started from its own executable, and came over a pipe that nobody else holds.
    #[expect(unsafe_code, reason = "wasmtime offers no other way to load compiled code; see above")]
    unsafe {
        Component::deserialize(engine.wasmtime(), code)
    }
}
