//! `octroi policy build`: the language's own tool, its commands printed as a person would type them.

mod javascript;
mod python;
mod rust;
mod workshop;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context as _, bail};

use self::workshop::{ToolFailed, Workshop};
use super::candidate::read_manifest;
use super::language::Language;
use crate::cli::print;
use crate::policy::is_manifest;
use crate::policy::manifest::Manifest;

pub(super) fn run(folder: &Path) -> anyhow::Result<ExitCode> {
    match build(folder) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => match error.downcast_ref::<ToolFailed>() {
            Some(failed) => {
                #[expect(clippy::print_stderr, reason = "the last word of a command that failed goes to its user")]
                {
                    eprintln!("octroi: {failed}");
                }
                Ok(failed.exit_code())
            }
            None => Err(error),
        },
    }
}

fn build(folder: &Path) -> anyhow::Result<()> {
    let language = Language::of(folder)?;
    let (path, manifest) = manifest_in(folder)?;
    let module = folder.join(&manifest.module);
    let before = written(&module);
    let workshop = Workshop::open(folder)?;
    match language {
        Language::Rust => rust::build(&workshop, &manifest.module)?,
        Language::JavaScript => javascript::build(&workshop, &manifest.module)?,
        Language::Python => python::build(&workshop, &manifest.module)?,
    }
    if written(&module).is_none_or(|after| Some(after) == before) {
        bail!("{} was not written by that build; `module` in {} names it", module.display(), path.display());
    }
    let size = bytesize::ByteSize(fs::metadata(&module)?.len());
    let shown = |path: &Path| path.strip_prefix(".").unwrap_or(path).display().to_string();
    print::line(format_args!("{}: {size}; `octroi policy test {}` runs its cases", shown(&module), shown(&path)))?;
    Ok(())
}

fn written(module: &Path) -> Option<SystemTime> {
    fs::metadata(module).and_then(|about| about.modified()).ok()
}

/// The manifest of a policy's folder. Other YAML may lie beside it.
fn manifest_in(folder: &Path) -> anyhow::Result<(PathBuf, Manifest)> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| is_manifest(path)).collect();
    paths.sort();
    let (mut found, mut refused) = (Vec::new(), Vec::new());
    for path in paths {
        match read_manifest(&path) {
            Ok(manifest) => found.push((path, manifest)),
            Err(error) => refused.push(error),
        }
    }
    let names = |found: &[(PathBuf, Manifest)]| {
        found.iter().map(|(path, _)| path.display().to_string()).collect::<Vec<_>>().join(", ")
    };
    match (found.len(), refused.pop()) {
        (1, _) => found.pop().context("one manifest"),
        (0, None) => bail!("{}: no manifest (NAME.yaml) says what the module is called", folder.display()),
        (0, Some(error)) => Err(error),
        _ => bail!("a folder is one policy, and these are manifests: {}", names(&found)),
    }
}
