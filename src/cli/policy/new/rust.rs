//! A crate that stands alone: the SDK beside it, every key of this workspace resolved, under the lock that
//! Octroi is tested with.

use anyhow::Context as _;

use super::carried::{self, LOCK, WORKSPACE};
use super::template::{File, below, named};
use crate::policy::manifest::Name;

/// Where the SDK stands in the new folder.
const SDK: &str = "octroi-policy";
/// What the template says in this workspace.
const SDK_HERE: &str = "../../sdk";
/// The template is under Octroi's licence; what an author makes of it is the author's.
const LICENSE: &str = "license = \"Apache-2.0\"\n";
/// In this workspace the profile `guest` does it.
const STANDALONE: &str = "
[profile.release]
lto = \"fat\"
codegen-units = 1
strip = true

[workspace] # of its own, wherever the folder stands
";

pub(super) fn files(name: &Name) -> anyhow::Result<Vec<File>> {
    let package = package(name);
    let mut files = named(carried::RUST, name);
    for file in files.iter_mut().filter(|file| file.path == "Cargo.toml") {
        let text = file.text.replacen(&format!("\"{name}\""), &format!("\"{package}\""), 1);
        file.text = text.replace(SDK_HERE, SDK).replace(LICENSE, "") + STANDALONE;
    }
    // With the first build cargo keeps the versions that it needs and drops the rest.
    files.push(File { path: "Cargo.lock".into(), text: LOCK.to_owned() });
    let mut sdk = below(SDK, carried::SDK);
    for file in sdk.iter_mut().filter(|file| file.path.ends_with("/Cargo.toml")) {
        file.text = resolved(&file.text)?;
    }
    files.extend(sdk);
    files.extend(below(&format!("{SDK}/wit"), carried::WIT));
    Ok(files)
}

/// The policy's name. Cargo takes none that begins with a digit, and no two packages of one name.
fn package(name: &Name) -> String {
    let name = name.as_str();
    let refused = name == SDK || name.starts_with(|first: char| first.is_ascii_digit());
    if refused { format!("policy-{name}") } else { name.to_owned() }
}

/// A manifest of this workspace with each `KEY.workspace = true` replaced by what the workspace says.
fn resolved(manifest: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    for line in manifest.replace("[lints]\nworkspace = true\n\n", "").lines() {
        let line = match line.strip_suffix(".workspace = true") {
            None => line,
            Some(key) => WORKSPACE
                .lines()
                .find(|line| line.split_once('=').is_some_and(|(name, _)| name.trim_end() == key))
                .and_then(|line| line.split(" #").next())
                .with_context(|| format!("the workspace says nothing of `{key}`"))?
                .trim_end(),
        };
        text.push_str(line);
        text.push('\n');
    }
    Ok(text)
}
