//! JavaScript, by the script `build` of package.json.

use std::fs;

use anyhow::bail;

use super::workshop::Workshop;

const INSTALL: &str = "install Node.js 20 or newer: https://nodejs.org (with nvm: nvm install 20)";

pub(super) fn build(workshop: &Workshop, module: &str) -> anyhow::Result<()> {
    match workshop.ask("node", &["--version"])? {
        None => bail!("node is missing; {INSTALL}"),
        Some(version) if major(&version) < 20 => bail!("node is {version}; {INSTALL}"),
        Some(_) => {}
    }
    if workshop.ask("npm", &["--version"])?.is_none() {
        bail!("npm is missing; it comes with Node.js: {INSTALL}");
    }
    if !installed(workshop) {
        let locked = workshop.folder().join("package-lock.json").is_file();
        workshop.run(&["npm", if locked { "ci" } else { "install" }])?;
    }
    workshop.run(&["npm", "run", "build", "--", "--out", module])
}

/// Whether the packages are those of the lock. npm leaves a file behind when it is through.
fn installed(workshop: &Workshop) -> bool {
    let written = |file: &str| fs::metadata(workshop.folder().join(file)).and_then(|about| about.modified()).ok();
    let through = written("node_modules/.package-lock.json");
    through.is_some() && ["package.json", "package-lock.json"].into_iter().all(|file| written(file) <= through)
}

/// Of `v20.11.1`.
fn major(version: &str) -> u32 {
    version.trim_start_matches('v').split('.').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
