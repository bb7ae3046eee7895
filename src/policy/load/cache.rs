//! Compiled code on disk, so that a version that was live before is live again within milliseconds.
//!
//! A compiled file is native code: against someone who may write the cache nothing helps. Therefore the directory is
//! created 0700 and refused when another user owns it or may write it; files are 0600, written under another name and
//! renamed, never overwritten, and carry a hash against corruption. An entry that does not fit is ignored and rebuilt.
//! An entry is two files: the code, and a note whose modification time says when the entry was last used.

mod tidy;

use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use wasmtime::component::Component;

use crate::policy::component::WIT_VERSION;
use crate::policy::digest::Digest;
use crate::policy::engine::Engine;

/// How the names of files begin that are being written.
const HALF_WRITTEN: &str = ".tmp";

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

/// What stands beside the code: which code it is, its hash, and what is known about it.
#[derive(Serialize, Deserialize)]
struct Note<T> {
    key: Digest,
    sha256: Digest,
    about: T,
}

/// Which code an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(Digest);

impl Key {
    /// The key of a version's code: a version's id, and the conditions under which its cases passed.
    pub fn frozen(engine: &Engine, version: &Digest, conditions: &str) -> Self {
        Self::new(engine, "frozen", &[version.as_bytes(), conditions.as_bytes()])
    }

    /// The key of a component's code as it is before it gets settings.
    pub fn instrumented(engine: &Engine, component: &Digest) -> Self {
        Self::new(engine, "instrumented", &[component.as_bytes()])
    }

    /// The key of what `pieces` determine, under this gateway's version, the WIT's, and wasmtime's settings.
    fn new(engine: &Engine, kind: &str, pieces: &[&[u8]]) -> Self {
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
        let cache = Self { directory: directory.to_owned() };
        cache.check_writers()?;
        Ok(cache)
    }

    /// Whether nobody else may write it. Asked before each use: it may have changed since the start.
    fn check_writers(&self) -> Result<(), CacheError> {
        let about =
            fs::metadata(&self.directory).map_err(|error| CacheError::Io { path: self.directory.clone(), error })?;
        let foreign = |problem: &str| CacheError::Foreign { path: self.directory.clone(), problem: problem.into() };
        if about.uid() != rustix::process::geteuid().as_raw() {
            return Err(foreign("another user owns it"));
        }
        if about.mode() & 0o022 != 0 {
            return Err(foreign("other users may write it"));
        }
        Ok(())
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

    /// Maps an entry. `None` when it is not there or does not fit; the log says what does not fit.
    pub fn map<T: DeserializeOwned>(&self, engine: &Engine, key: Key) -> Option<(Component, T)> {
        let mut note = File::open(self.note_path(key)).ok()?;
        let path = self.code_path(key);
        let unfit = |problem: &str| {
            tracing::warn!(
                entry = %path.display(),
                "an entry of the policies' cache is not used and compiled anew: {problem}"
            );
        };
        if let Err(error) = self.check_writers() {
            unfit(&error.to_string());
            return None;
        }
        let mut text = Vec::new();
        let read = note.read_to_end(&mut text).ok().and_then(|_| serde_json::from_slice::<Note<T>>(&text).ok());
        let Some(told) = read.filter(|told| told.key == key.0) else {
            unfit("its note is not readable, or another entry's");
            return None;
        };
        // Gone without its note: it is being removed.
        let about = fs::symlink_metadata(&path).ok()?;
        if !about.is_file() || about.uid() != rustix::process::geteuid().as_raw() || about.mode() & 0o022 != 0 {
            unfit("it is no regular file, another user owns it, or other users may write it");
            return None;
        }
        if Digest::of_reader(File::open(&path).ok()?).ok()? != told.sha256 {
            unfit("it is corrupted: its bytes are not those that were written");
            return None;
        }
        // SAFETY: the file is what `Engine::precompile_component` of this gateway wrote: it lies in a directory that
        // only this user may write (`open`), it is a regular file of this user's, and its hash is the one that was
        // noted when it was written. It does not change while it is mapped: entries are never overwritten (`store`).
        // wasmtime itself refuses code of another version or of other settings.
        #[expect(unsafe_code, reason = "wasmtime offers no other way to load compiled code; see above")]
        let component = unsafe { Component::deserialize_file(engine.wasmtime(), &path) };
        match component {
            Ok(component) => {
                // Where this is not possible (a read-only file system) nothing is removed either.
                let _ = note.set_modified(SystemTime::now());
                Some((component, told.about))
            }
            Err(error) => {
                unfit(&format!("{error:#}"));
                None
            }
        }
    }

    /// Keeps compiled code. A failure (a full disk) is an error that the caller may ignore; nothing is left of it.
    pub fn store<T: Serialize>(&self, key: Key, code: &[u8], about: &T) -> Result<(), CacheError> {
        self.check_writers()?;
        let note = Note { key: key.0, sha256: Digest::of(code), about };
        let note = serde_json::to_vec(&note)
            .map_err(|error| CacheError::Io { path: self.note_path(key), error: io::Error::other(error) })?;
        // An older note must not stand beside newer code.
        let _ = fs::remove_file(self.note_path(key));
        self.write(&self.code_path(key), code)?;
        self.write(&self.note_path(key), &note).inspect_err(|_| {
            let _ = fs::remove_file(self.code_path(key));
        })
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
        let io = |error| CacheError::Io { path: path.to_owned(), error };
        let mut file = tempfile::Builder::new()
            .prefix(HALF_WRITTEN)
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
