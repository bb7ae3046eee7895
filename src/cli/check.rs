//! `octroi check`: is everything as it should be?

use std::process::ExitCode;

use anyhow::Context as _;
use comfy_table::{Table, presets};

use super::{Configured, audit, print, start};
use crate::config::{Config, Environment, NO_PROVIDER_ADVICE};
use crate::in_flight::InFlight;
use crate::policy::{PolicyState, PolicyStatus};
use crate::telemetry;

pub(super) fn run(configured: &Configured) -> anyhow::Result<ExitCode> {
    let loaded = Config::load(configured.config.as_deref(), &Environment::process())?;
    let config = loaded.config;
    let mut log = config.log;
    // Failures stand in the table; the log would say them twice.
    log.level = crate::config::LogLevel::Error;
    if std::env::var_os("RUST_LOG").is_some_and(|it| !it.is_empty()) {
        telemetry::start_log(&log);
    }
    let (router, of_prices) = start::router(&config, &InFlight::default())?;
    audit::check(&config.audit)?;
    let file = loaded.source.map_or_else(|| "the environment alone".to_owned(), |path| path.display().to_string());
    print::line(format_args!("configuration: {file}: ok"))?;
    for warning in loaded.warnings.iter().chain(&of_prices) {
        print::line(format_args!("  warning: {warning}"))?;
    }
    let names: Vec<_> = router.providers().map(|it| it.info.name.clone()).collect();
    match names.as_slice() {
        [] => print::line(format_args!("providers: none ({NO_PROVIDER_ADVICE})"))?,
        names => print::line(format_args!("providers: {}", names.join(", ")))?,
    }
    let (host, missing, live) = start::block_on(async {
        let (host, _) = start::policy_host(&config)?;
        let reload = host.reload().await.with_context(|| start::unreadable(&config.policies))?;
        let missing: Vec<_> = reload.set.missing().map(ToString::to_string).collect();
        anyhow::Ok((host, missing, reload.set.live().count()))
    })?;
    let statuses = host.statuses();
    print::line(format_args!("policies: {}", config.policies.directory.display()))?;
    print::line(format_args!("{}", table(&statuses)))?;
    if let Some(problem) = host.cache_problem() {
        print::line(format_args!(
            "warning: compiled policies are not kept; every start compiles them again: {problem}"
        ))?;
    }
    for warning in host.warnings().iter() {
        print::line(format_args!("warning: others may change what policies decide: {warning}"))?;
    }
    for mismatch in host.mismatches().iter() {
        print::line(format_args!("warning: a policy applies to less than it says: {mismatch}"))?;
    }
    if let Some(too_few) = host.too_few_places() {
        print::line(format_args!("warning: {too_few}"))?;
    }
    for status in statuses.iter() {
        if let Some(error) = &status.error {
            print::line(format_args!("{}: {error}", status.path.display()))?;
        }
    }
    for name in &missing {
        print::line(format_args!("policies.required: `{name}` is not live in `enforce`; requests would be denied"))?;
    }
    let none = live == 0 && !config.policies.allow_none;
    if none {
        print::line("no policy is live; `octroi serve` would not start (policies.allow_none: true lets it)")?;
    }
    let failed = none || !missing.is_empty() || statuses.iter().any(|status| status.error.is_some());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn table(statuses: &[PolicyStatus]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["policy", "state", "mode", "order", "answers", "cases", "memory", "version"]);
    for status in statuses {
        let manifest = status.manifest.as_ref();
        let about = status.about.as_ref();
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let state = match (&status.error, status.state) {
            (Some(error), _) => format!("FAILED at {}", error.step.as_str()),
            (None, PolicyState::Live) => "ok".to_owned(),
            (None, state) => state.as_str().to_owned(),
        };
        table.add_row([
            status.name.clone(),
            state,
            or_dash(manifest.map(|it| it.mode.as_str().to_owned())),
            or_dash(manifest.map(|it| it.order.to_string())),
            or_dash(about.map(|_| status.phases().iter().map(|phase| phase.as_str()).collect::<Vec<_>>().join(", "))),
            or_dash(about.map(|it| it.cases.to_string())),
            or_dash(about.map(|it| bytesize::ByteSize(it.memory_bytes as u64).to_string())),
            or_dash(status.version.map(|it| it.to_string().chars().take(12).collect())),
        ]);
    }
    table
}
