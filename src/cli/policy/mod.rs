//! `octroi policy`: what policies' authors need, and the loader process. All of it is the server's own host code.

mod bench;
mod candidate;
mod inspect;
mod run;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use crate::policy::load::pipeline::{self, ProcessLimits};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Runs a manifest's cases and prints how they came out; exits with 1 when one fails.
    Test {
        /// The manifest.
        manifest: PathBuf,
    },
    /// Evaluates one prompt and prints the verdict, with what was found marked in the text.
    Run {
        /// The manifest.
        manifest: PathBuf,
        /// The prompt.
        #[arg(long, value_name = "TEXT")]
        query: String,
        /// The client that asks.
        #[arg(long, value_name = "ID", default_value = "author")]
        client: String,
        /// The interface that is asked: pre-check, response or audit; by default the first that the policy exports.
        #[arg(long, value_name = "NAME")]
        phase: Option<String>,
    },
    /// Measures evaluations: in a fresh sandbox each, and on an instance that is kept.
    Bench {
        /// The manifest.
        manifest: PathBuf,
        /// The prompt; by default 400 characters of plain English.
        #[arg(long, value_name = "TEXT")]
        query: Option<String>,
    },
    /// Tells what a module is: digest, size, imports, exports, and whether it could be a policy.
    Inspect {
        /// The module: a component, or a core module with the description that `wit-bindgen` leaves in it.
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
    match command {
        Command::Test { manifest } => test::run(manifest),
        Command::Run { manifest, query, client, phase } => run::run(manifest, query, client, phase.as_deref()),
        Command::Bench { manifest, query } => bench::run(manifest, query.as_deref()),
        Command::Inspect { file } => inspect::run(file),
        Command::Load { compile_memory, compile_seconds } => {
            let limits = ProcessLimits { memory: *compile_memory, seconds: *compile_seconds };
            Ok(if pipeline::serve(limits)? { ExitCode::SUCCESS } else { ExitCode::from(2) })
        }
    }
}
