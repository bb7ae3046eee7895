//! A policy's author, who has a folder, the binary, and the tools of a language.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub text: String,
}

impl Said {
    #[track_caller]
    pub fn fine(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.text);
        self.text
    }

    /// What it said when it ended with this code.
    #[track_caller]
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}", self.text);
        self.text
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = [output.stdout, output.stderr].concat();
        Self { code: output.status.code(), text: String::from_utf8_lossy(&text).into_owned() }
    }
}

/// The binary in a folder, with the environment of whoever runs the tests: the tools and their caches are found by it.
pub fn octroi(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_octroi"));
    command.args(arguments).current_dir(folder).env_remove("RUST_LOG").env("CARGO_TARGET_DIR", target());
    // What the examples were built of is there; nothing that is, is fetched again.
    command.env("npm_config_prefer_offline", "true");
    command
}

/// Runs it.
pub fn run(folder: &Path, arguments: &[&str]) -> Said {
    octroi(folder, arguments).output().unwrap().into()
}

/// The same manifest of an interpreted policy, for a machine that is slow or busy: an interpreter takes long to be compiled.
pub fn unhurried(manifest: &str) -> String {
    manifest.replace("limits: { time: 50ms", "limits: { compile_time: 900s, time: 1s")
}

/// What authors' crates are compiled to; dependencies are compiled once.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("author")
}
