//! Rust, by cargo. The gateway makes a component of the core module; no further tool is needed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::workshop::{Workshop, say};

const TARGET: &str = "wasm32-unknown-unknown";

/// What `cargo metadata` says, as far as it is of use.
#[derive(Deserialize)]
struct Metadata {
    target_directory: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

pub(super) fn build(workshop: &Workshop, module: &str) -> anyhow::Result<()> {
    if workshop.ask("cargo", &["--version"])?.is_none() {
        bail!("cargo is missing; install Rust 1.95 or newer by rustup: https://rustup.rs");
    }
    let libraries = workshop.ask("rustc", &["--print", "target-libdir", "--target", TARGET])?;
    if !libraries.is_some_and(|path| Path::new(&path).is_dir()) {
        bail!("Rust's target {TARGET} is missing; install it: rustup target add {TARGET}");
    }
    workshop.run(&["cargo", "build", "--release", "--target", TARGET])?;
    let built = built(workshop)?;
    let shown = built.strip_prefix(workshop.folder()).unwrap_or(&built).display().to_string();
    say(&["cp", &shown, module])?;
    put(&built, &workshop.folder().join(module)).with_context(|| format!("{module} could not be written"))
}

/// Where cargo puts this package's module.
fn built(workshop: &Workshop) -> anyhow::Result<PathBuf> {
    let metadata = workshop
        .ask("cargo", &["metadata", "--no-deps", "--format-version", "1"])?
        .context("`cargo metadata` gave no answer")?;
    let metadata: Metadata = serde_json::from_str(&metadata).context("`cargo metadata`")?;
    let manifest = workshop.folder().join("Cargo.toml");
    let library = metadata
        .packages
        .into_iter()
        .filter(|package| package.manifest_path.canonicalize().is_ok_and(|path| path == manifest))
        .flat_map(|package| package.targets)
        .find(|target| target.crate_types.iter().any(|it| it == "cdylib"))
        .context("Cargo.toml: a policy is a library with `crate-type = [\"cdylib\", \"rlib\"]` under `[lib]`")?;
    let file = format!("{}.wasm", library.name.replace('-', "_"));
    Ok(metadata.target_directory.join(TARGET).join("release").join(file))
}

/// Under another name first: a gateway that watches the folder never reads half a module.
fn put(built: &Path, module: &Path) -> std::io::Result<()> {
    let folder = module.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder)?;
    let new = folder.join(format!(".{}.new", module.file_name().unwrap_or_default().display()));
    fs::copy(built, &new)?;
    fs::rename(&new, module)
}
