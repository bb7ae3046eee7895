//! `octroi dev`: the gateway to be tried, with or without a key.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use mistral_double::{MistralDouble, Recording};

use super::start::Addresses;
use super::{Configured, serve, start};
use crate::config::{Config, Endpoint, Environment, ProviderKind, Secret};
use crate::gateway::Models;
use crate::telemetry;

pub(super) fn run(configured: &Configured) -> anyhow::Result<ExitCode> {
    let environment = Environment::process();
    let mut loaded = Config::load(configured.config.as_deref(), &environment)?;
    telemetry::start_log(&loaded.config.log);
    start::block_on(async {
        // Held until the end: the double ends with it.
        let double = if loaded.config.providers.is_empty() {
            let double = MistralDouble::builder()
                .recording(Recording::Off)
                .start()
                .await
                .context("the offline double of Mistral could not be started")?;
            let environment =
                environment.with("MISTRAL_API_KEY", double.key()).with("MISTRAL_ENDPOINT", double.origin());
            loaded.config = Config::load(configured.config.as_deref(), &environment)?.config;
            ask_only(&double, &mut loaded.config)?;
            // The file may have said `enabled: false`.
            (!loaded.config.providers.is_empty()).then_some(double)
        } else {
            None
        };
        serve::announce(&loaded);
        let models = if double.is_some() { Models::Double } else { Models::Real };
        start::run(loaded.config, models, |addresses| banner(addresses, models)).await
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Leads the providers of Mistral's to the double, whatever the file says of their address and key, and drops others, which
/// the double's key may have started: what is called offline sends nothing off the machine.
fn ask_only(double: &MistralDouble, config: &mut Config) -> anyhow::Result<()> {
    let endpoint = Endpoint::parse(&double.origin()).context("the offline double's address")?;
    config.providers.retain(|provider| provider.kind == ProviderKind::Mistral);
    for provider in &mut config.providers {
        provider.endpoint = endpoint.clone();
        provider.http2 = false;
        provider.api_key = Some(Secret::new(double.key()));
        provider.further_keys.clear();
    }
    Ok(())
}

/// Tells the person at the terminal what runs where. Nobody may be listening; the gateway runs all the same.
fn banner(Addresses { gateway: address, admin }: Addresses, models: Models) {
    let line = "-".repeat(78);
    let double = match models {
        Models::Double => {
            "  MISTRAL_API_KEY is not set: answers come from the OFFLINE DOUBLE of Mistral,\n  which enforces what Mistral \
             enforces and echoes what it is asked.\n"
        }
        Models::Real => "",
    };
    let admin = admin.map_or(String::new(), |admin| format!("  Its policies: http://{admin}/admin/policies\n"));
    let text = format!(
        "{line}\n  Octroi runs on http://{address}\n{admin}{double}\n  Try it:  curl -X POST http://{address}/api/request \\\n             \
         -H 'Content-Type: application/json' \\\n             -d '{{\"query\":\"Explain the EU AI Act in two \
         sentences.\"}}'\n  Then edit policies/pii.yaml while it runs.\n{line}\n"
    );
    let _ = std::io::stdout().write_all(text.as_bytes());
}
