//! The files that the binary carries, so that a new policy needs no checkout of Octroi.

/// A path below the folder that it was taken from, and the text.
pub(super) type Carried = (&'static str, &'static str);

macro_rules! carry {
    ($folder:literal: $($path:literal)*) => {
        &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $folder, "/", $path)))),*]
    };
}

/// The WIT package.
pub(super) const WIT: &[Carried] = carry!("wit":
    "audit.wit" "clock.wit" "counters.wit" "lifecycle.wit" "log.wit" "pre-check.wit" "response.wit" "types.wit" "worlds.wit");

/// The Rust SDK, without its `wit`, which is [`WIT`].
pub(super) const SDK: &[Carried] = carry!("plugins/sdk":
    "Cargo.toml" "src/bindings.rs" "src/byte_range.rs" "src/clock.rs" "src/counters.rs" "src/export.rs" "src/json.rs" "src/lib.rs" "src/log.rs" "src/masker.rs" "src/matches.rs"
    "src/messages.rs" "src/plain.rs" "src/policy.rs" "src/settings.rs" "src/text.rs" "src/verdict.rs");

/// The policy in Rust.
pub(super) const RUST: &[Carried] = carry!("plugins/templates/rust":
    ".gitignore" "Cargo.toml" "README.md" "no-project-x.yaml" "src/lib.rs");

/// The policy in JavaScript, without `wit/deps`.
pub(super) const JAVASCRIPT: &[Carried] = carry!("plugins/templates/javascript":
    ".gitignore" ".npmrc" "README.md" "no-project-x.yaml" "package.json" "package-lock.json" "src/policy.js"
    "src/texts.js" "wit/world.wit");

/// The policy in Python, without `wit/deps`.
pub(super) const PYTHON: &[Carried] = carry!("plugins/templates/python":
    ".gitignore" "README.md" "no-project-x.yaml" "requirements.txt" "src/policy.py" "src/texts.py" "wit/world.wit");

/// Where shared versions of dependencies stand.
pub(super) const WORKSPACE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
/// The versions that Octroi is tested with.
pub(super) const LOCK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock"));

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_interface_and_every_file_of_the_sdk_is_carried() {
        for (folder, carried) in [("wit", WIT), ("plugins/sdk/src", SDK)] {
            let there = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
            let there: BTreeSet<_> = there.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            let listed = carried.iter().map(|(path, _)| path.trim_start_matches("src/").to_owned());
            let listed: BTreeSet<_> = listed.filter(|name| name != "Cargo.toml").collect();
            assert_eq!(there, listed, "{folder}: the list in src/cli/policy/new/carried.rs is another one");
        }
    }
}
