//! A policy's folder, and the tools that are run in it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context as _, bail};

use crate::cli::print;

/// A tool ran and did not succeed. What it has to say about that is on the terminal already.
#[derive(Debug, thiserror::Error)]
#[error("`{command}` failed: {status}")]
pub(super) struct ToolFailed {
    command: String,
    status: ExitStatus,
}

impl ToolFailed {
    /// The tool's own exit code; 1 when a signal ended it.
    pub(super) fn exit_code(&self) -> ExitCode {
        self.status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
    }
}

pub(super) struct Workshop {
    folder: PathBuf,
}

impl Workshop {
    /// Tools run in this folder.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let resolved = folder.canonicalize().with_context(|| folder.display().to_string())?;
        if !std::env::current_dir().is_ok_and(|here| here == resolved) {
            print::line(format_args!("$ cd {}", quoted(&folder.display().to_string())))?;
        }
        Ok(Self { folder: resolved })
    }

    /// The folder, with no link in its path.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs a command after printing it. Its words are what a shell would take: `NAME=VALUE` before the program is its
    /// environment. What it says goes to the terminal.
    pub(super) fn run(&self, words: &[&str]) -> anyhow::Result<()> {
        let line = say(words)?;
        let assigned = words.iter().take_while(|word| word.contains('=')).count();
        let (environment, words) = words.split_at(assigned);
        let [program, arguments @ ..] = words else { bail!("`{line}` is no command") };
        let status = self
            .command(program)
            .args(arguments)
            .envs(environment.iter().filter_map(|word| word.split_once('=')))
            .status()
            .with_context(|| format!("`{line}` could not be run"))?;
        if status.success() { Ok(()) } else { Err(ToolFailed { command: line, status }.into()) }
    }

    /// What a tool answers to a question, `None` when it is not there or does not know. It is not printed.
    pub(super) fn ask(&self, program: &str, arguments: &[&str]) -> anyhow::Result<Option<String>> {
        match self.command(program).args(arguments).stderr(Stdio::null()).stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => Ok(Some(String::from_utf8_lossy(&output.stdout).trim().into())),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| program.to_owned()),
        }
    }

    fn command(&self, program: &str) -> Command {
        // A path is one from the folder; a bare name is looked for in `PATH`.
        let mut command =
            if program.contains('/') { Command::new(self.folder.join(program)) } else { Command::new(program) };
        command.current_dir(&self.folder);
        command
    }
}

/// Prints a command as a person would type it.
pub(super) fn say(words: &[&str]) -> io::Result<String> {
    let line = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    print::line(format_args!("$ {line}"))?;
    Ok(line)
}

fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=./:,+@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
