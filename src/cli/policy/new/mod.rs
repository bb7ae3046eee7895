//! `octroi policy new`: a folder that builds and tests as it is, written from what this binary carries.

mod carried;
mod rust;
mod template;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use super::language::Language;
use crate::cli::print;
use crate::policy::manifest::Name;

pub(super) fn run(name: &Name, language: Language, path: Option<&Path>) -> anyhow::Result<ExitCode> {
    let folder = path.map_or_else(|| PathBuf::from(name.as_str()), Path::to_owned);
    let existed = refuse_occupied(&folder)?;
    let files = template::files(name, language)?;
    if let Err(error) = write(&folder, &files) {
        undo(&folder, existed);
        return Err(error).with_context(|| format!("{}: nothing was made", folder.display()));
    }
    print::line(format_args!(
        "{}: a policy in {language}, by octroi {}\n",
        folder.display(),
        env!("CARGO_PKG_VERSION")
    ))?;
    if folder != Path::new(".") {
        print::line(format_args!("  cd {}", folder.display()))?;
    }
    print::line(format_args!("  octroi policy build\n  octroi policy test {name}.yaml"))?;
    Ok(ExitCode::SUCCESS)
}

/// Says whether the folder is there, and empty; any other thing of that name is an author's work.
fn refuse_occupied(folder: &Path) -> anyhow::Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(true),
            Some(_) => bail!("{} is not empty; name another folder with `--path`", folder.display()),
        },
        // A link that leads nowhere is found by name only.
        Err(error) if error.kind() == io::ErrorKind::NotFound && folder.symlink_metadata().is_err() => Ok(false),
        Err(error) => Err(error).with_context(|| format!("{} is no folder to write to", folder.display())),
    }
}

fn write(folder: &Path, files: &[template::File]) -> anyhow::Result<()> {
    for file in files {
        let path = folder.join(&file.path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, &file.text))
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

/// Takes away what [`write`] left. What cannot be removed either is named by the error that led here.
fn undo(folder: &Path, existed: bool) {
    if !existed {
        let _ = fs::remove_dir_all(folder);
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
    }
}
