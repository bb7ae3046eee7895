//! A crate that stands alone: the SDK beside it, every key of this workspace resolved, the versions that Octroi is
//! tested with locked.

use std::collections::BTreeSet;

use anyhow::Context as _;

use super::carried::{self, LOCK, WORKSPACE};
use super::template::{File, NAME, below, named};
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
    let package = format!("name = \"{}\"", package(name));
    let mut files = named(carried::RUST, name);
    for file in files.iter_mut().filter(|file| file.path == "Cargo.toml") {
        let text = file.text.replace(&format!("name = \"{name}\""), &package);
        file.text = text.replace(SDK_HERE, SDK).replace(LICENSE, "") + STANDALONE;
    }
    files.push(File { path: "Cargo.lock".into(), text: lock()?.replace(&format!("name = \"{NAME}\""), &package) });
    let mut sdk = below(SDK, carried::SDK);
    for file in sdk.iter_mut().filter(|file| file.path.ends_with("/Cargo.toml")) {
        file.text = resolved(&file.text)?;
    }
    files.extend(sdk);
    files.extend(below(&format!("{SDK}/wit"), carried::WIT));
    Ok(files)
}

/// Cargo takes no name that begins with a digit, and no two packages of one name.
fn package(name: &Name) -> String {
    let name = name.as_str();
    let taken = name == SDK || name.starts_with(|first: char| first.is_ascii_digit());
    if taken { format!("policy-{name}") } else { name.to_owned() }
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

/// The part of this workspace's lock that the template needs.
fn lock() -> anyhow::Result<String> {
    let mut blocks = LOCK.split("\n[[package]]\n");
    let mut text = blocks.next().context("the lock is empty")?.to_owned();
    let blocks: Vec<_> = blocks.collect();
    let mut needed = BTreeSet::new();
    let mut next = vec![NAME];
    while let Some(wanted) = next.pop() {
        // `name`, or `name version` where the lock holds several.
        let (name, version) = wanted.split_once(' ').map_or((wanted, None), |(name, version)| (name, Some(version)));
        let fits = |block: &&str| {
            value(block, "name") == Some(name) && (version.is_none() || value(block, "version") == version)
        };
        let block = *blocks.iter().find(|block| fits(block)).with_context(|| format!("{name} is not locked"))?;
        if needed.insert(block) {
            next.extend(block.lines().filter_map(|line| line.strip_prefix(" \"")?.strip_suffix("\",")));
        }
    }
    for block in needed {
        text.push_str("\n[[package]]\n");
        text.push_str(block);
    }
    Ok(text)
}

fn value<'a>(block: &'a str, key: &str) -> Option<&'a str> {
    block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'))
}
