//! `octroi serve`: the gateway, as it is configured.

use std::process::ExitCode;

use super::{Configured, start};
use crate::config::{Config, Environment, Loaded};
use crate::gateway::Models;
use crate::telemetry;

pub(super) fn run(configured: &Configured) -> anyhow::Result<ExitCode> {
    let loaded = Config::load(configured.config.as_deref(), &Environment::process())?;
    telemetry::start_log(&loaded.config.log);
    announce(&loaded);
    start::block_on(start::run(loaded.config, Models::Real, |_| ()))?;
    Ok(ExitCode::SUCCESS)
}

/// Says where the configuration is from and what was passed over.
pub(super) fn announce(loaded: &Loaded) {
    match &loaded.source {
        Some(path) => tracing::info!(file = %path.display(), "configuration"),
        None => tracing::info!("no configuration file: the environment alone"),
    }
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
}
