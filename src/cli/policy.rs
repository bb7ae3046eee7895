//! `octroi policy`: what policies' authors need, and the loader process.

use std::process::ExitCode;

use clap::Subcommand;

use crate::policy::load::pipeline;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The loader process; started by the gateway, not by people.
    #[command(hide = true)]
    Load,
}

pub(super) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Load => Ok(if pipeline::serve()? { ExitCode::SUCCESS } else { ExitCode::from(2) }),
    }
}
