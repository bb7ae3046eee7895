//! `octroi audit version`: a version's files, out of the archive.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use super::print_line;
use crate::audit::AuditReader;
use crate::policy::digest::Digest;
use crate::policy::{NOT_COVERED, Original};

pub(super) fn run(reader: &AuditReader, version: &Digest, output: &Path) -> anyhow::Result<ExitCode> {
    let Some(archived) = reader.version(&version.to_string())? else {
        bail!("version {version} is not in the archive");
    };
    let original = Original { version: *version, manifest: archived.manifest, module: archived.module };
    // Whoever may write the store may have changed it. Module, settings and cases are the version's, or nothing is written;
    // for the rest of the manifest nothing vouches.
    let manifest = original.manifest()?;
    let named = Path::new(&manifest.module);
    let module = named.file_name().map_or(named, Path::new);
    std::fs::create_dir_all(output).with_context(|| format!("cannot make {}", output.display()))?;
    // The module first, as into a folder that is watched.
    let files = [
        (output.join(module), original.module.as_slice()),
        (output.join(format!("{}.yaml", manifest.name)), original.manifest.as_bytes()),
    ];
    if let Some((path, _)) = files.iter().find(|(path, _)| path.exists()) {
        bail!("{} is there already, and nothing was written: name another folder", path.display());
    }
    for (path, bytes) in files {
        write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        print_line(&path.display().to_string())?;
    }
    if module != named {
        print_line(&format!("the manifest names the module as {}: put it there", named.display()))?;
    }
    print_line(&format!("module, settings and cases are those of the version; the manifest is `{}`'s", manifest.name))?;
    print_line(&format!("not part of a version, and not checked: {}", NOT_COVERED.join(", ")))?;
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(bytes)
}
