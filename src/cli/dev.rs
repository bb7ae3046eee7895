//! `octroi dev`: the gateway to be tried, with or without a key.

use std::process::ExitCode;

use anyhow::Context as _;
use mistral_double::{MistralDouble, Recording};

use super::{Configured, serve, start};
use crate::config::{Config, Environment};
use crate::telemetry;

pub(super) fn run(configured: &Configured) -> anyhow::Result<ExitCode> {
    let environment = Environment::process();
    let mut loaded = Config::load(configured.config.as_deref(), &environment)?;
    telemetry::start_log(&loaded.config.log);
    start::runtime()?.block_on(async {
        // Held until the end: the double ends with it.
        let double = if loaded.config.providers.is_empty() {
            let double = MistralDouble::builder()
                .recording(Recording::Off)
                .start()
                .await
                .context("the offline double of Mistral could not be started")?;
            // The double's loopback address in place of the vendor's, everything else as configured.
            let environment =
                environment.with("MISTRAL_API_KEY", double.key()).with("MISTRAL_ENDPOINT", double.origin());
            loaded = Config::load(configured.config.as_deref(), &environment)?;
            Some(double)
        } else {
            None
        };
        serve::announce(&loaded);
        let offline = double.is_some();
        start::run(loaded.config, |address| banner(address, offline)).await
    })?;
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the banner is for the person at the terminal")]
fn banner(address: std::net::SocketAddr, offline: bool) {
    let line = "-".repeat(78);
    println!("{line}");
    println!("  Octroi runs on http://{address}");
    if offline {
        println!("  MISTRAL_API_KEY is not set: answers come from the OFFLINE DOUBLE of Mistral,");
        println!("  which enforces what Mistral enforces and echoes what it is asked.");
    }
    println!();
    println!("  Try it:  curl -X POST http://{address}/api/request \\");
    println!("             -H 'Content-Type: application/json' \\");
    println!("             -d '{{\"query\":\"Explain the EU AI Act in two sentences.\"}}'");
    println!("  Then edit policies/pii.yaml while it runs.");
    println!("{line}");
}
