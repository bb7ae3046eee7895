//! From the template `no-project-x` to the files of a new policy.

use anyhow::Context as _;

use super::carried::{self, Carried};
use super::rust;
use crate::cli::policy::language::Language;
use crate::policy::manifest::{Manifest, Name};

/// The name of the policy in the templates; the new policy's stands in its place.
pub(super) const NAME: &str = "no-project-x";

/// A file of the new folder.
pub(super) struct File {
    /// Relative to the folder.
    pub(super) path: String,
    pub(super) text: String,
}

/// All files of a new policy.
pub(super) fn files(name: &Name, language: Language) -> anyhow::Result<Vec<File>> {
    let mut files = match language {
        Language::Rust => rust::files(name)?,
        Language::JavaScript => with_interfaces(carried::JAVASCRIPT, name),
        Language::Python => with_interfaces(carried::PYTHON, name),
    };
    for file in files.iter_mut().filter(|file| file.path.ends_with(".yaml")) {
        quote_name(&mut file.text, name)?;
    }
    Ok(files)
}

/// The files of a template, under the new policy's name.
pub(super) fn named(template: &[Carried], name: &Name) -> Vec<File> {
    let renamed = |text: &str| text.replace(NAME, name.as_str());
    template.iter().map(|(path, text)| File { path: renamed(path), text: renamed(text) }).collect()
}

/// Files as they are carried, below a folder of the new policy.
pub(super) fn below(folder: &str, carried: &[Carried]) -> Vec<File> {
    let file = |(path, text): &Carried| File { path: format!("{folder}/{path}"), text: (*text).to_owned() };
    carried.iter().map(file).collect()
}

fn with_interfaces(template: &[Carried], name: &Name) -> Vec<File> {
    let mut files = named(template, name);
    files.extend(below("wit/deps/octroi-policy", carried::WIT));
    files
}

/// A name such as `2024` or `null` is no text to YAML unless it is quoted.
fn quote_name(manifest: &mut String, name: &Name) -> anyhow::Result<()> {
    if Manifest::parse(manifest, NAME).is_err() {
        *manifest = manifest.replacen(&format!("name: {name}"), &format!("name: \"{name}\""), 1);
        Manifest::parse(manifest, NAME).context("the template's manifest")?;
    }
    Ok(())
}
