//! `octroi policy`: what policies' authors need, and the loader process. All of it is the server's own host code.

mod bench;
mod build;
mod candidate;
mod inspect;
mod language;
mod new;
mod run;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

pub(super) use self::candidate::read_both;
use self::language::Language;
use crate::config::Log;
use crate::policy::load::pipeline::{self, ProcessLimits};
use crate::policy::manifest::Name;
use crate::telemetry;

/// What to type for a first policy.
pub(super) const FIRST: &str = "\
A first policy:
  octroi policy new no-project-x --lang rust      # or javascript, or python
  cd no-project-x
  octroi policy build
  octroi policy test no-project-x.yaml
  octroi policy run no-project-x.yaml --query 'When does Project X start?'";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Makes a folder with a policy that builds and tests as it is.
    New {
        /// The policy's name: lower-case letters, digits and `-`, at most 63 characters.
        #[arg(value_parser = |text: &str| Name::try_from(text.to_owned()))]
        name: Name,
        /// What it is written in.
        #[arg(long, value_enum, default_value_t)]
        lang: Language,
        /// The folder; it must be empty or not be there. By default the name, in the current folder.
        #[arg(long, value_name = "DIR")]
        path: Option<PathBuf>,
    },
    /// Builds a policy's folder with its language's own tool.
    ///
    /// Prints the commands that it runs, as a person would type them. The language is known by the tool's own file:
    /// Cargo.toml, package.json or requirements.txt. The module goes where the manifest's `module` says. Exits as the
    /// tool does when it fails.
    Build {
        /// The folder.
        #[arg(value_name = "DIR", default_value = ".")]
        folder: PathBuf,
    },
    /// Runs a manifest's cases, and prints how they came out.
    ///
    /// Times are in microseconds, sandbox included. Exits with 1 when a case fails or the policy cannot be loaded.
    Test {
        /// The manifest (NAME.yaml).
        manifest: PathBuf,
    },
    /// Evaluates one text and prints the verdict, with what was found marked.
    ///
    /// In colour on a terminal, unless NO_COLOR is set; else what was found is between brackets.
    Run {
        /// The manifest (NAME.yaml).
        manifest: PathBuf,
        /// The text: a prompt, or an answer where the policy judges answers.
        #[arg(long, value_name = "TEXT")]
        query: String,
        #[command(flatten)]
        asked: run::Asked,
        /// The interface that is asked: pre-check, response or audit. By default the first that the policy answers.
        #[arg(long, value_name = "NAME")]
        phase: Option<String>,
    },
    /// Measures evaluations, and prints percentiles in microseconds.
    ///
    /// 5,000 in a fresh sandbox each, as every request pays it, beside 5,000 on one instance that is kept.
    Bench {
        /// The manifest (NAME.yaml).
        manifest: PathBuf,
        /// The text; by default 416 characters of plain English.
        #[arg(long, value_name = "TEXT")]
        query: Option<String>,
    },
    /// Tells what a module is: digest, size, interfaces, compile time, latency, memory.
    ///
    /// Times are in milliseconds and microseconds, as named. Exits with 1 when it is no policy, with the reason.
    Inspect {
        /// The module (NAME.wasm), inspected with `{}` as its settings; or a manifest (NAME.yaml), then with its own.
        file: PathBuf,
    },
    /// The loader process; started by the gateway, not by people.
    #[command(hide = true)]
    Load {
        /// Memory that it may use, in bytes.
        #[arg(long)]
        compile_memory: u64,
        /// Processor time that it may use, in seconds.
        #[arg(long)]
        compile_seconds: u64,
    },
}

pub(super) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    if !matches!(command, Command::Load { .. }) {
        // What a policy logs while it is loaded: where it panicked, for one.
        telemetry::start_log(&Log::default());
    }
    match command {
        Command::New { name, lang, path } => new::run(name, *lang, path.as_deref()),
        Command::Build { folder } => build::run(folder),
        Command::Test { manifest } => test::run(manifest),
        Command::Run { manifest, query, asked, phase } => run::run(manifest, query, asked, phase.as_deref()),
        Command::Bench { manifest, query } => bench::run(manifest, query.as_deref()),
        Command::Inspect { file } => inspect::run(file),
        Command::Load { compile_memory, compile_seconds } => {
            let limits = ProcessLimits { memory: *compile_memory, seconds: *compile_seconds };
            Ok(if pipeline::serve(limits)? { ExitCode::SUCCESS } else { ExitCode::from(2) })
        }
    }
}
