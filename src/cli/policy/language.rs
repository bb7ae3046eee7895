//! The languages for which there are a template and a build.

use std::fmt;
use std::path::Path;

use anyhow::bail;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lowercase")]
pub(in crate::cli) enum Language {
    #[default]
    Rust,
    #[value(alias = "js")]
    JavaScript,
    #[value(alias = "py")]
    Python,
}

impl Language {
    /// The language of a policy's folder, by the file that its tool reads.
    pub(super) fn of(folder: &Path) -> anyhow::Result<Self> {
        let has = |file: &str| folder.join(file).is_file();
        if has("Cargo.toml") {
            Ok(Self::Rust)
        } else if has("package.json") {
            Ok(Self::JavaScript)
        } else if has("requirements.txt") {
            Ok(Self::Python)
        } else {
            bail!(
                "{}: no Cargo.toml (Rust), no package.json (JavaScript), no requirements.txt (Python); `octroi policy \
                 new` makes a folder that builds",
                folder.display()
            )
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Rust => "Rust",
            Self::JavaScript => "JavaScript",
            Self::Python => "Python",
        })
    }
}
