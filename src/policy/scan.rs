//! Reading the policies directory: the directory and its direct subfolders, manifests beside modules.
//!
//! Whoever may write there decides what passes; what is read is still bounded, and nothing outside the directory is
//! opened through a link.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::digest::Digest;
use super::load::{LoadCode, LoadError, Step};
use super::manifest::{MAX_MANIFEST_BYTES, Manifest, Mode};

/// The most manifests that are read.
const MAX_MANIFESTS: usize = 2_000;

/// What stands in the directory.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// In order of path.
    pub found: Vec<Found>,
    /// Modules that no manifest names.
    pub orphans: Vec<PathBuf>,
    /// The directories that were read: what is to be watched.
    pub directories: Vec<PathBuf>,
}

/// One manifest.
#[derive(Debug)]
pub(super) struct Found {
    /// Its path.
    pub path: PathBuf,
    /// The manifest, where it can be read.
    pub manifest: Option<Manifest>,
    /// The module's bytes; `None` for a policy that is off.
    pub module: Result<Option<Arc<Vec<u8>>>, LoadError>,
    /// Digest of all bytes read, to see whether something changed.
    pub fingerprint: Digest,
}

/// Reads everything.
pub(super) fn scan(directory: &Path) -> std::io::Result<Scan> {
    let root = fs::canonicalize(directory)?;
    let mut directories = vec![root.clone()];
    let mut files = Vec::new();
    read_directory(&root, &mut files, Some(&mut directories))?;
    for directory in directories.iter().skip(1) {
        // A subfolder may vanish between the two readings; the next scan sees it.
        let _ = read_directory(directory, &mut files, None);
    }
    files.sort();
    let mut named = HashSet::new();
    let mut scan = Scan { directories, ..Scan::default() };
    let manifests: Vec<_> = files.iter().filter(|path| is_manifest(path)).collect();
    if let Some(ignored) = manifests.len().checked_sub(MAX_MANIFESTS).filter(|ignored| *ignored > 0) {
        tracing::error!(
            ignored,
            "more than {MAX_MANIFESTS} manifests in the policies directory; the last are not read"
        );
    }
    for path in manifests.into_iter().take(MAX_MANIFESTS) {
        let found = read(path, &root);
        if let Some(manifest) = &found.manifest
            && let Some(folder) = path.parent()
        {
            named.extend(fs::canonicalize(folder.join(&manifest.module)));
        }
        scan.found.push(found);
    }
    scan.orphans = files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|it| it == "wasm"))
        .filter(|path| fs::canonicalize(path).is_ok_and(|path| !named.contains(&path)))
        .collect();
    Ok(scan)
}

/// What a look at the directory without reading files gives: changes when a file does, save for a change within the
/// file system's clock tick.
pub(super) fn glance(directory: &Path) -> Option<Digest> {
    let root = fs::canonicalize(directory).ok()?;
    let mut directories = vec![root.clone()];
    let mut files = Vec::new();
    read_directory(&root, &mut files, Some(&mut directories)).ok()?;
    for directory in directories.iter().skip(1) {
        let _ = read_directory(directory, &mut files, None);
    }
    files.sort();
    let mut seen = String::new();
    for path in &files {
        use std::fmt::Write;
        if let Ok(about) = fs::metadata(path) {
            let _ = writeln!(
                seen,
                "{} {} {} {} {} {} {}",
                path.display(),
                about.ino(),
                about.size(),
                about.mtime(),
                about.mtime_nsec(),
                about.ctime(),
                about.ctime_nsec()
            );
        }
    }
    Some(Digest::of(seen.as_bytes()))
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "yaml" || it == "yml")
}

/// Names that begin with `.` are left out: a Kubernetes ConfigMap's `..data` would be found twice, and editors keep
/// their drafts there.
fn read_directory(
    directory: &Path,
    files: &mut Vec<PathBuf>,
    mut subfolders: Option<&mut Vec<PathBuf>>,
) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        match fs::metadata(&path) {
            Ok(about) if about.is_dir() => {
                if let Some(subfolders) = subfolders.as_deref_mut() {
                    subfolders.push(path);
                }
            }
            _ => files.push(path),
        }
    }
    if let Some(subfolders) = subfolders {
        subfolders.sort();
    }
    Ok(())
}

fn read(path: &Path, root: &Path) -> Found {
    match read_file(path, root, MAX_MANIFEST_BYTES as u64, Step::Manifest) {
        Ok(bytes) => read_as(path, root, &bytes),
        Err(error) => Found { path: path.to_owned(), manifest: None, module: Err(error), fingerprint: Digest::of(b"") },
    }
}

/// What a scan would find if the manifest at `path` had these bytes.
pub(super) fn read_as(path: &Path, root: &Path, bytes: &[u8]) -> Found {
    let failed = |manifest, error, seen: &[u8]| Found {
        path: path.to_owned(),
        manifest,
        module: Err(error),
        fingerprint: Digest::of(seen),
    };
    let what = path.strip_prefix(root).unwrap_or(path).display().to_string();
    let parsed = std::str::from_utf8(bytes)
        .map_err(|error| format!("{what}: not UTF-8: {error}"))
        .and_then(|text| Manifest::parse(text, &what).map_err(|error| error.to_string()));
    let manifest = match parsed {
        Ok(manifest) => manifest,
        Err(problem) => {
            return failed(None, LoadError::new(Step::Manifest, LoadCode::BadManifest, problem), bytes);
        }
    };
    if manifest.mode == Mode::Off {
        let fingerprint = Digest::of(bytes);
        return Found { path: path.to_owned(), manifest: Some(manifest), module: Ok(None), fingerprint };
    }
    let folder = path.parent().unwrap_or(root);
    let module = match read_file(&folder.join(&manifest.module), root, manifest.limits.module.as_u64(), Step::Read) {
        Ok(module) => module,
        Err(error) => return failed(Some(manifest), error, bytes),
    };
    let digest = Digest::of(&module);
    let fingerprint = Digest::of_pieces([bytes, digest.as_bytes()]);
    let module = match manifest.sha256 {
        Some(pin) if pin != digest => Err(LoadError::new(
            Step::Digest,
            LoadCode::DigestMismatch,
            format!("{} has the digest {digest}, but the manifest pins {pin}", manifest.module),
        )),
        _ => Ok(Some(Arc::new(module))),
    };
    Found { path: path.to_owned(), manifest: Some(manifest), module, fingerprint }
}

/// Reads a regular file that lies inside `root` once links are resolved.
fn read_file(path: &Path, root: &Path, limit: u64, step: Step) -> Result<Vec<u8>, LoadError> {
    let fail = |code, problem: String| LoadError::new(step, code, format!("{}: {problem}", path.display()));
    let unreadable = |error: std::io::Error| fail(LoadCode::Unreadable, error.to_string());
    let resolved = fs::canonicalize(path).map_err(unreadable)?;
    if !resolved.starts_with(root) {
        return Err(fail(
            LoadCode::Unreadable,
            format!("it is a link to {}, outside the policies directory", resolved.display()),
        ));
    }
    // A FIFO would keep an ordinary `open` waiting for a writer.
    let mut file = File::options()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(&resolved)
        .map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(fail(LoadCode::Unreadable, "it is not a regular file".into()));
    }
    let hint = if step == Step::Read { " (`limits.module`)" } else { "" };
    let too_large = || fail(LoadCode::TooLarge, format!("larger than the {limit} bytes that are read{hint}"));
    if about.size() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(about.size()).unwrap_or_default());
    (&mut file).take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(bytes)
}
