//! Keeping the cache small.
//!
//! Files are only ever unlinked: a gateway that has one mapped, or is reading it, keeps what it has, and one that has
//! read the note and finds no code compiles anew.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Cache, CacheError, Key};

/// A file that is being written is younger than this; an older one was left by a process that was killed.
const ABANDONED: Duration = Duration::from_secs(3_600);

/// The files of one entry.
#[derive(Debug)]
struct Entry {
    /// The note first: without it the code is not looked at.
    files: Vec<PathBuf>,
    bytes: u64,
    /// When it was last used, as far as can be seen.
    used: SystemTime,
}

impl Cache {
    /// Removes entries that were used longest ago, until those left take at most `size` bytes. `needed` ones stay,
    /// count, and are marked as used, so that another gateway on the same cache keeps them too.
    pub fn tidy(&self, size: u64, needed: &HashSet<Key>) -> Result<(), CacheError> {
        let io = |error| CacheError::Io { path: self.directory.clone(), error };
        let now = SystemTime::now();
        for key in needed {
            // Not all have an entry: they may have been loaded while the disk was full.
            let _ = File::open(self.note_path(*key)).and_then(|note| note.set_modified(now));
        }
        let names: HashSet<String> = needed.iter().map(|key| key.0.to_string()).collect();
        let entries = self.entries(now).map_err(io)?;
        let mut bytes: u64 = entries.values().map(|entry| entry.bytes).sum();
        let mut unneeded: Vec<_> = entries.into_iter().filter(|(name, _)| !names.contains(name)).collect();
        unneeded.sort_by_key(|(_, entry)| entry.used);
        let (before, mut removed) = (bytes, 0_u64);
        for (_, entry) in unneeded {
            if bytes <= size {
                break;
            }
            entry.files.iter().try_for_each(|path| unlink(path)).map_err(io)?;
            bytes -= entry.bytes;
            removed += 1;
        }
        if removed > 0 {
            tracing::info!(entries = removed, bytes = before - bytes, "removed from the policies' cache");
        }
        Ok(())
    }

    /// What lies in the directory, by key. Files that are not the cache's own are left alone; what was left half
    /// written is removed.
    fn entries(&self, now: SystemTime) -> io::Result<HashMap<String, Entry>> {
        let mut entries: HashMap<String, Entry> = HashMap::new();
        for file in fs::read_dir(&self.directory)? {
            let path = file?.path();
            // Another gateway may remove it meanwhile.
            let Ok(about) = fs::symlink_metadata(&path) else { continue };
            let modified = about.modified().unwrap_or(now);
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(super::HALF_WRITTEN) && now.duration_since(modified).is_ok_and(|age| age > ABANDONED) {
                unlink(&path)?;
                continue;
            }
            let Some((key, extension)) = name.rsplit_once('.') else { continue };
            if !about.is_file() || key.len() != 64 || !key.bytes().all(|it| it.is_ascii_hexdigit()) {
                continue;
            }
            let is_note = match extension {
                "json" => true,
                "cwasm" => false,
                _ => continue,
            };
            let entry = entries.entry(key.to_owned()).or_insert_with(|| Entry {
                files: Vec::with_capacity(2),
                bytes: 0,
                used: SystemTime::UNIX_EPOCH,
            });
            entry.bytes += about.len();
            // Code is never touched again, so that the note's time is the later one, where there is a note.
            entry.used = entry.used.max(modified);
            entry.files.insert(if is_note { 0 } else { entry.files.len() }, path);
        }
        Ok(entries)
    }
}

/// Removes a file that may be gone already.
fn unlink(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::policy::digest::Digest;

    struct Folder {
        folder: tempfile::TempDir,
        cache: Cache,
    }

    impl Folder {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
            let cache = Cache::open(folder.path()).unwrap();
            Self { folder, cache }
        }

        /// An entry of about a thousand bytes that was used so many minutes ago.
        fn entry(&self, name: &str, minutes: u64) -> Key {
            let key = Key(Digest::of(name.as_bytes()));
            self.cache.store(key, &[0; 800], &()).unwrap();
            for path in [self.cache.note_path(key), self.cache.code_path(key)] {
                self.age(&path, minutes);
            }
            key
        }

        fn age(&self, path: &Path, minutes: u64) {
            let then = SystemTime::now() - Duration::from_secs(60 * minutes);
            File::open(path).unwrap().set_modified(then).unwrap();
        }

        fn has(&self, key: Key) -> bool {
            let files = [self.cache.note_path(key), self.cache.code_path(key)].map(|path| path.exists());
            assert_eq!(files[0], files[1], "half an entry");
            files[0]
        }
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_and_what_is_needed_stays() {
        let folder = Folder::new();
        let [old, older, needed, new] =
            [("old", 20), ("older", 30), ("needed", 40), ("new", 10)].map(|(name, age)| folder.entry(name, age));
        folder.cache.tidy(1 << 20, &HashSet::from([needed])).unwrap();
        assert!([old, older, needed, new].into_iter().all(|key| folder.has(key)), "there is room for all");
        folder.cache.tidy(2_500, &HashSet::from([needed])).unwrap();
        assert_eq!([old, older, needed, new].map(|key| folder.has(key)), [false, false, true, true]);
        folder.cache.tidy(0, &HashSet::from([needed])).unwrap();
        assert_eq!([needed, new].map(|key| folder.has(key)), [true, false]);
        // Another gateway that needs nothing of it sees that it was used a moment ago.
        let newcomer = folder.entry("newcomer", 1);
        folder.cache.tidy(1_200, &HashSet::new()).unwrap();
        assert_eq!([needed, newcomer].map(|key| folder.has(key)), [true, false]);
    }

    #[test]
    fn files_of_others_stay_and_abandoned_ones_go() {
        let folder = Folder::new();
        let (theirs, young, abandoned) = ("notes.txt", ".tmpYoung", ".tmpAbandoned");
        for name in [theirs, young, abandoned] {
            fs::write(folder.folder.path().join(name), "text").unwrap();
        }
        for name in [theirs, abandoned] {
            folder.age(&folder.folder.path().join(name), 61);
        }
        folder.cache.tidy(0, &HashSet::new()).unwrap();
        assert_eq!(
            [theirs, young, abandoned].map(|name| folder.folder.path().join(name).exists()),
            [true, true, false]
        );
    }
}
