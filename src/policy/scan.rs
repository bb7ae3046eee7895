//! Reading the policies directory: the directory and its direct subfolders, manifests beside modules.
//!
//! Whoever may write there decides what passes; what is read is still bounded, and nothing outside the directory is
//! opened through a link. What is taken stood there at one moment: what changes while it is read is read again.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::digest::Digest;
use super::load::{LoadCode, LoadError, Module, Step};
use super::manifest::{MAX_MANIFEST_BYTES, Manifest, Mode};

/// The most manifests that are read.
const MAX_MANIFESTS: usize = 20_000;
/// The most of them whose modules are read.
const MAX_POLICIES: usize = 2_000;
/// How often everything is read before what still changes is given up for this time.
const ATTEMPTS: usize = 4;

/// What stands in the directory.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// In order of path.
    pub found: Vec<Found>,
    /// The manifests' paths before they were read.
    manifests: Vec<PathBuf>,
    /// Modules that no manifest names.
    pub orphans: Vec<PathBuf>,
    /// The directories that were read and those in which links ended: what is to be watched. First the policies
    /// directory, by its name.
    pub directories: Vec<PathBuf>,
    /// Subfolders that are there and cannot be read, and manifests beyond [`MAX_MANIFESTS`]: what stands in them is not
    /// known.
    pub closed: Vec<PathBuf>,
    /// Whether something changed all the time: the directory must be read again.
    pub moving: bool,
}

/// One manifest.
#[derive(Debug)]
pub(super) struct Found {
    /// Its path, from the directory's name on: the same wherever a link leads.
    pub path: PathBuf,
    /// The manifest, where it can be read.
    pub manifest: Option<Manifest>,
    /// The manifest's text, where it is one.
    pub text: Arc<str>,
    /// The module; `None` for a policy that is off.
    pub module: Result<Option<ModuleFile>, LoadError>,
    /// Digest of all bytes read, to see whether something changed.
    pub fingerprint: Digest,
    /// The files that were read, as they were then. None where they were being changed.
    files: Vec<(PathBuf, Stamp)>,
}

/// A module that was found. All of a folder's together may be more than memory holds: its bytes are read when they are
/// needed.
#[derive(Clone, Debug)]
pub(super) struct ModuleFile {
    path: PathBuf,
    root: PathBuf,
    limit: u64,
    /// What it was when it was found.
    pub digest: Digest,
}

impl ModuleFile {
    /// Its bytes, if they are those that were found.
    pub(super) async fn read(&self) -> Result<Module, LoadError> {
        let Self { path, root, limit, digest } = self.clone();
        let read = spawn_blocking(move || {
            let module = Module::new(open(&path, &root, limit, Step::Read)?.read()?);
            if module.digest == digest { Ok(module) } else { Err(being_changed()) }
        });
        read.await.unwrap_or_else(|_| Err(being_changed()))
    }
}

fn being_changed() -> LoadError {
    let message = "the manifest or its module is being changed; it is read again when it stands still";
    LoadError::new(Step::Read, LoadCode::Unreadable, message)
}

/// What tells one state of a file from another without reading it. Compared, never ordered: clocks go backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(about: &fs::Metadata) -> Self {
        Self {
            device: about.dev(),
            inode: about.ino(),
            size: about.size(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }
}

/// The modules that one reading has seen, by where links lead and by their state: many manifests may name one.
#[derive(Default)]
struct Modules {
    read: HashMap<(PathBuf, Stamp), Digest>,
    /// Manifests that named one.
    named: usize,
}

impl Modules {
    /// The digest of an opened file. Read once, however often it is asked for.
    fn digest(&mut self, opened: &Opened, stamp: Stamp) -> Result<Digest, LoadError> {
        let key = (opened.resolved.clone(), stamp);
        if let Some(known) = self.read.get(&key) {
            return Ok(*known);
        }
        let digest = opened.digest()?;
        self.read.insert(key, digest);
        Ok(digest)
    }
}

/// Reads everything that stands still, and has done so for this long when it is taken.
pub(super) fn scan(directory: &Path, still_for: Duration) -> io::Result<Scan> {
    let mut attempts = 0;
    loop {
        let mut scan = read_once(directory)?;
        std::thread::sleep(still_for);
        scan.moving |= manifests(directory)? != scan.manifests;
        attempts += 1;
        if attempts < ATTEMPTS && (scan.moving || !scan.found.iter().all(Found::stands_still)) {
            continue;
        }
        for found in scan.found.iter_mut().filter(|found| !found.stands_still()) {
            scan.moving = true;
            found.leave_out();
        }
        return Ok(scan);
    }
}

/// The manifests' paths, without reading them.
pub(super) fn manifests(directory: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(Listing::of(directory)?.manifests().cloned().collect())
}

fn read_once(directory: &Path) -> io::Result<Scan> {
    let root = fs::canonicalize(directory)?;
    let listing = Listing::of(directory)?;
    let mut scan = Scan::default();
    let (mut named, mut modules) = (HashSet::new(), Modules::default());
    for path in listing.manifests() {
        let found = Found::read(path, directory, &root, &mut modules);
        if let Some(manifest) = &found.manifest
            && let Some(folder) = path.parent()
        {
            named.extend(fs::canonicalize(folder.join(&manifest.module)));
        }
        scan.found.push(found);
    }
    scan.orphans = listing
        .files
        .iter()
        .filter(|path| is_module(path))
        .filter(|path| fs::canonicalize(path).is_ok_and(|path| !named.contains(&path)))
        .cloned()
        .collect();
    scan.moving = fs::canonicalize(directory)? != root;
    scan.manifests = listing.manifests().cloned().collect();
    let known: HashSet<_> = listing.directories.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    let read = scan.found.iter().flat_map(|found| &found.files);
    let ends: BTreeSet<_> = read
        .filter_map(|(path, _)| fs::canonicalize(path).ok()?.parent().map(Path::to_owned))
        .filter(|end| !known.contains(end))
        .collect();
    let beyond: Vec<_> = listing.beyond().cloned().collect();
    scan.directories = listing.directories.into_iter().chain(ends).collect();
    scan.found.extend(listing.closed.iter().map(|(path, problem)| Found::closed(path, problem)));
    scan.found.extend((!beyond.is_empty()).then(|| Found::too_many(directory, beyond.len())));
    scan.closed = listing.closed.into_iter().map(|(path, _)| path).chain(beyond).collect();
    Ok(scan)
}

/// What a look at the directory without reading files gives: changes when a file does, save for a change within the
/// file system's clock tick. `further` are directories outside of it that were found to matter.
pub(super) fn glance(directory: &Path, further: &[PathBuf]) -> Option<Digest> {
    let Listing { directories, mut files, .. } = Listing::of(directory).ok()?;
    for further in further.iter().filter(|it| !directories.contains(it)) {
        // One that is gone shows by what is missing.
        let _ = read_directory(further, &mut files, None);
    }
    let mut seen = String::new();
    for path in &files {
        use std::fmt::Write;
        if let Ok(about) = fs::metadata(path) {
            let _ = writeln!(seen, "{} {:?}", path.display(), Stamp::of(&about));
        }
    }
    Some(Digest::of(seen.as_bytes()))
}

/// The names in the directory and its direct subfolders.
struct Listing {
    /// The directory itself, then its subfolders.
    directories: Vec<PathBuf>,
    /// All files, in order of path.
    files: Vec<PathBuf>,
    /// Subfolders that cannot be read.
    closed: Vec<(PathBuf, io::Error)>,
}

impl Listing {
    fn of(directory: &Path) -> io::Result<Self> {
        let (mut files, mut subfolders) = (Vec::new(), Vec::new());
        read_directory(directory, &mut files, Some(&mut subfolders))?;
        subfolders.sort();
        let mut closed = Vec::new();
        for folder in &subfolders {
            match read_directory(folder, &mut files, None) {
                // One that vanished between the two readings is no longer there.
                Err(error) if error.kind() != io::ErrorKind::NotFound => closed.push((folder.clone(), error)),
                _ => {}
            }
        }
        files.sort();
        let directories = [directory.to_owned()].into_iter().chain(subfolders).collect();
        Ok(Self { directories, files, closed })
    }

    /// Those that are read.
    fn manifests(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.iter().filter(|path| is_manifest(path)).take(MAX_MANIFESTS)
    }

    /// Those that are not.
    fn beyond(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.iter().filter(|path| is_manifest(path)).skip(MAX_MANIFESTS)
    }
}

/// Whether a path is a manifest's, by its ending.
pub(crate) fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "yaml" || it == "yml")
}

fn is_module(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "wasm")
}

/// Names that begin with `.` are left out: a Kubernetes ConfigMap's `..data` would be found twice, and editors keep
/// their drafts there.
fn read_directory(
    directory: &Path,
    files: &mut Vec<PathBuf>,
    mut subfolders: Option<&mut Vec<PathBuf>>,
) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        let is_folder = match fs::metadata(&path) {
            Ok(about) => about.is_dir(),
            Err(error) => may_be_a_folder(&entry, &error),
        };
        match subfolders.as_deref_mut() {
            Some(subfolders) if is_folder => subfolders.push(path),
            None if is_folder => {}
            _ => files.push(path),
        }
    }
    Ok(())
}

/// Whether manifests may stand in what cannot be looked at. Then it is read as a folder, and that it cannot be read is
/// told; as a file that is none of ours it would be forgotten, and its policies with it.
fn may_be_a_folder(entry: &fs::DirEntry, problem: &io::Error) -> bool {
    use rustix::io::Errno;
    let path = entry.path();
    let leads_nowhere = matches!(Errno::from_io_error(problem), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP));
    match entry.file_type() {
        Ok(kind) if kind.is_dir() => true,
        Ok(kind) if kind.is_symlink() => !leads_nowhere && !is_manifest(&path) && !is_module(&path),
        _ => false,
    }
}

impl Found {
    /// A subfolder whose manifests cannot be seen.
    fn closed(path: &Path, problem: &io::Error) -> Self {
        Self { module: Err(unreadable(path, Step::Manifest, problem)), ..Self::unread(path) }
    }

    /// The directory itself, some of whose manifests are not read.
    fn too_many(directory: &Path, beyond: usize) -> Self {
        let message = format!(
            "{}: at most {MAX_MANIFESTS} manifests are read, in order of path; {beyond} more are not",
            directory.display()
        );
        let error = LoadError::new(Step::Manifest, LoadCode::TooMany, message);
        Self { module: Err(error), ..Self::unread(directory) }
    }

    fn unread(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            manifest: None,
            text: "".into(),
            module: Ok(None),
            fingerprint: Digest::of(b""),
            files: Vec::new(),
        }
    }

    fn read(path: &Path, directory: &Path, root: &Path, modules: &mut Modules) -> Self {
        let mut found = Self::unread(path);
        found.module = found.fill(directory, root, modules);
        found
    }

    /// Fills in everything but the module, which it gives.
    fn fill(&mut self, directory: &Path, root: &Path, modules: &mut Modules) -> Result<Option<ModuleFile>, LoadError> {
        let opened = self.open(self.path.clone(), root, MAX_MANIFEST_BYTES as u64, Step::Manifest)?;
        self.fill_from(&opened.read()?, directory, root, modules)
    }

    /// The same, with these bytes as the manifest's.
    fn fill_from(
        &mut self,
        bytes: &[u8],
        directory: &Path,
        root: &Path,
        modules: &mut Modules,
    ) -> Result<Option<ModuleFile>, LoadError> {
        let what = self.path.strip_prefix(directory).unwrap_or(&self.path).display().to_string();
        let bad = |problem| LoadError::new(Step::Manifest, LoadCode::BadManifest, problem);
        self.fingerprint = Digest::of(bytes);
        let text = std::str::from_utf8(bytes).map_err(|error| bad(format!("{what}: not UTF-8: {error}")))?;
        let manifest = Manifest::parse(text, &what).map_err(|error| bad(error.to_string()))?;
        self.text = text.into();
        let Manifest { module: name, sha256: pin, mode, limits, .. } = self.manifest.insert(manifest);
        if *mode == Mode::Off {
            return Ok(None);
        }
        let (name, pin, limit) = (name.clone(), *pin, limits.module.as_u64());
        modules.named += 1;
        if modules.named > MAX_POLICIES {
            let message = format!("{what}: at most {MAX_POLICIES} policies are loaded, in order of path");
            return Err(LoadError::new(Step::Read, LoadCode::TooMany, message));
        }
        let path = self.path.parent().unwrap_or(directory).join(&name);
        let opened = self.open(path.clone(), root, limit, Step::Read)?;
        let stamp = Stamp::of(&opened.about);
        let digest = modules.digest(&opened, stamp)?;
        self.fingerprint = Digest::of_pieces([bytes, digest.as_bytes()]);
        match pin {
            Some(pin) if pin != digest => Err(LoadError::new(
                Step::Digest,
                LoadCode::DigestMismatch,
                format!("{name} has the digest {digest}, but the manifest pins {pin}"),
            )),
            _ => Ok(Some(ModuleFile { path, root: root.to_owned(), limit, digest })),
        }
    }

    fn open(&mut self, path: PathBuf, root: &Path, limit: u64, step: Step) -> Result<Opened, LoadError> {
        let opened = open(&path, root, limit, step)?;
        self.files.push((path, Stamp::of(&opened.about)));
        Ok(opened)
    }

    /// It is being changed: what was read of it does not count.
    pub(super) fn leave_out(&mut self) {
        // Half a manifest may name something else, or cover less.
        self.manifest = None;
        // So that it is another one when it stands still, whatever was read.
        self.fingerprint = Digest::of(b"");
        self.files.clear();
        self.module = Err(being_changed());
    }

    /// Whether the paths still lead to the files that were read, and those are as they were.
    pub(super) fn stands_still(&self) -> bool {
        self.files.iter().all(|(path, read)| fs::metadata(path).is_ok_and(|about| Stamp::of(&about) == *read))
    }
}

/// What a scan would find if the manifest at `path` had these bytes.
pub(super) fn read_as(path: &Path, root: &Path, bytes: &[u8]) -> Found {
    let mut found = Found::unread(path);
    found.module = found.fill_from(bytes, root, root, &mut Modules::default());
    found
}

/// A file of the directory that is going to be read.
struct Opened {
    /// What it is called here.
    path: PathBuf,
    /// Where links lead.
    resolved: PathBuf,
    file: File,
    about: fs::Metadata,
    /// The most that is read.
    limit: u64,
    step: Step,
}

/// Opens a regular file that lies inside `root` once links are resolved.
fn open(path: &Path, root: &Path, limit: u64, step: Step) -> Result<Opened, LoadError> {
    let unreadable = |error: io::Error| unreadable(path, step, &error);
    let refused =
        |problem: String| LoadError::new(step, LoadCode::Unreadable, format!("{}: {problem}", path.display()));
    let irregular = || refused("it is not a regular file".into());
    let resolved = fs::canonicalize(path).map_err(unreadable)?;
    if !resolved.starts_with(root) {
        return Err(refused(format!("it is a link to {}, outside the policies directory", resolved.display())));
    }
    // Opening a device may do something, and a socket cannot be opened at all.
    if !fs::metadata(&resolved).map_err(unreadable)?.is_file() {
        return Err(irregular());
    }
    // A FIFO that took its place meanwhile would keep an ordinary `open` waiting for a writer.
    let file = File::options()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(&resolved)
        .map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(irregular());
    }
    let opened = Opened { path: path.to_owned(), resolved, file, about, limit, step };
    if opened.about.size() > limit { Err(opened.too_large()) } else { Ok(opened) }
}

impl Opened {
    /// All of it.
    fn read(&self) -> Result<Vec<u8>, LoadError> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.about.size()).unwrap_or_default());
        let read = (&self.file).take(self.limit + 1).read_to_end(&mut bytes);
        read.map_err(|error| unreadable(&self.path, self.step, &error))?;
        if bytes.len() as u64 > self.limit { Err(self.too_large()) } else { Ok(bytes) }
    }

    /// The digest of all of it.
    fn digest(&self) -> Result<Digest, LoadError> {
        let mut bytes = (&self.file).take(self.limit + 1);
        let digest = Digest::of_reader(&mut bytes).map_err(|error| unreadable(&self.path, self.step, &error))?;
        if bytes.limit() == 0 { Err(self.too_large()) } else { Ok(digest) }
    }

    fn too_large(&self) -> LoadError {
        let hint = if self.step == Step::Read { " (`limits.module`)" } else { "" };
        let problem = format!("{}: larger than the {} bytes that are read{hint}", self.path.display(), self.limit);
        LoadError::new(self.step, LoadCode::TooLarge, problem)
    }
}

/// What is wrong where a path cannot be read.
pub(super) fn unreadable(path: &Path, step: Step, error: &io::Error) -> LoadError {
    let code = if is_of_the_path(error) { LoadCode::Unreadable } else { LoadCode::ReadFailed };
    LoadError::new(step, code, format!("{}: {error}", path.display()))
}

/// Whether the error lasts until the path or its modes change, and then shows in them. A device or a server that fails
/// (EIO, ESTALE, ETIMEDOUT) leaves no mark when it is well again.
fn is_of_the_path(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::NOENT
                | Errno::ACCESS
                | Errno::PERM
                | Errno::NOTDIR
                | Errno::ISDIR
                | Errno::LOOP
                | Errno::NAMETOOLONG
                | Errno::NXIO
                | Errno::NODEV
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process's memory is a regular file with nothing at its beginning.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_device_that_fails_is_told_from_a_path_that_is_wrong() {
        let here = fs::canonicalize("/proc/self").unwrap();
        let failed = open(&here.join("mem"), &here, 1 << 20, Step::Read).and_then(|it| it.read()).unwrap_err();
        assert_eq!(failed.code, LoadCode::ReadFailed, "{failed}");
        let absent = open(&here.join("no-such-file"), &here, 1, Step::Read).map(|_| ()).unwrap_err();
        assert_eq!(absent.code, LoadCode::Unreadable, "{absent}");
    }

    /// The name that it leads to is longer than a file system's names are: neither there nor absent.
    #[test]
    fn a_link_that_cannot_be_followed_is_a_closed_folder_unless_it_has_the_name_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["team", "notes.yaml", "notes.wasm"] {
            std::os::unix::fs::symlink("n".repeat(300), folder.path().join(name)).unwrap();
        }
        std::os::unix::fs::symlink("nothing", folder.path().join("leads-nowhere")).unwrap();
        let scan = scan(folder.path(), Duration::ZERO).unwrap();
        assert_eq!(scan.closed, [folder.path().join("team")]);
        let at_fault: Vec<_> = scan.found.iter().filter_map(|found| found.path.file_name()).collect();
        assert_eq!(at_fault, ["notes.yaml", "team"]);
    }

    #[test]
    fn a_policy_beyond_those_that_are_loaded_is_at_fault_under_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("shared.wasm"), "bytes").unwrap();
        for number in 0..=MAX_POLICIES {
            let manifest = format!("name: policy-{number}\nmodule: shared.wasm\n");
            fs::write(folder.path().join(format!("{number:05}.yaml")), manifest).unwrap();
        }
        fs::write(folder.path().join("x.yaml"), "name: x\nmodule: shared.wasm\nmode: off\n").unwrap();
        let scan = scan(folder.path(), Duration::ZERO).unwrap();
        let [loaded @ .., beyond, off] = scan.found.as_slice() else { panic!("nothing found") };
        assert!(loaded.len() == MAX_POLICIES && loaded.iter().all(|found| matches!(found.module, Ok(Some(_)))));
        assert_eq!(beyond.module.as_ref().unwrap_err().code, LoadCode::TooMany);
        assert_eq!(beyond.manifest.as_ref().unwrap().name.as_str(), format!("policy-{MAX_POLICIES}"));
        assert!(matches!(off.module, Ok(None)) && scan.closed.is_empty());
    }

    #[tokio::test]
    async fn a_module_that_is_another_by_now_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let module = folder.path().join("p.wasm");
        fs::write(&module, "bytes").unwrap();
        fs::write(folder.path().join("p.yaml"), "name: p\nmodule: p.wasm\n").unwrap();
        let found = scan(folder.path(), Duration::ZERO).unwrap().found.remove(0).module.unwrap().unwrap();
        assert_eq!(found.read().await.unwrap().bytes.as_slice(), b"bytes");
        fs::write(&module, "other").unwrap();
        assert_eq!(found.read().await.unwrap_err(), being_changed());
        fs::remove_file(&module).unwrap();
        std::os::unix::fs::symlink("/dev/null", &module).unwrap();
        assert_eq!(found.read().await.unwrap_err().code, LoadCode::Unreadable);
        fs::remove_file(&module).unwrap();
        fs::write(&module, "bytes").unwrap();
        assert!(found.read().await.is_ok());
    }

    #[test]
    fn modules_are_told_apart_by_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("shared.wasm"), "bytes").unwrap();
        std::os::unix::fs::symlink("shared.wasm", folder.path().join("link.wasm")).unwrap();
        fs::write(folder.path().join("alone.wasm"), "other").unwrap();
        for (name, module) in [("a", "shared"), ("b", "link"), ("c", "alone"), ("d", "shared")] {
            fs::write(folder.path().join(format!("{name}.yaml")), format!("name: {name}\nmodule: {module}.wasm\n"))
                .unwrap();
        }
        let scan = scan(folder.path(), Duration::ZERO).unwrap();
        let digests: Vec<_> = scan.found.iter().map(|found| found.module.clone().unwrap().unwrap().digest).collect();
        assert_eq!(digests, ["bytes", "bytes", "other", "bytes"].map(|bytes| Digest::of(bytes.as_bytes())));
    }
}
