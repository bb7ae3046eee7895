//! The command line: one file per command. Nothing imports it but `main`.

mod audit;
mod check;
mod dev;
mod policy;
mod print;
mod serve;
mod start;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A gateway between applications and large language models. Its rules are sandboxed WebAssembly policies that change
/// while it runs.
#[derive(Debug, Parser)]
#[command(name = "octroi", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the gateway.
    Serve(Configured),
    /// Runs the gateway to try it: without a key for a provider it starts an offline double of Mistral.
    Dev(Configured),
    /// Checks the configuration, loads every policy, prints a table; exits with 1 when anything fails.
    Check(Configured),
    /// Searches, shows, exports, verifies and erases what was recorded.
    #[command(after_help = audit::FIRST)]
    Audit {
        #[command(subcommand)]
        command: audit::Command,
    },
    /// Makes, builds, tries and measures a policy: for its author.
    #[command(after_help = policy::FIRST)]
    Policy {
        #[command(subcommand)]
        command: policy::Command,
    },
}

/// Where the configuration is.
#[derive(Clone, Debug, clap::Args)]
struct Configured {
    /// The configuration file. Without it: $OCTROI_CONFIG, $AXONFLOW_CONFIG_FILE, $AXONFLOW_LLM_CONFIG_FILE,
    /// octroi.yaml, axonflow.yaml, config/axonflow.yaml, else the environment alone.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the command that the process was started with.
pub fn run() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Serve(configured) => serve::run(&configured),
        Command::Dev(configured) => dev::run(&configured),
        Command::Check(configured) => check::run(&configured),
        Command::Audit { command } => audit::run(&command),
        Command::Policy { command } => policy::run(&command),
    }
}
