//! `octroi audit reproduce`: does an old decision come out as it did?

use std::process::ExitCode;

use anyhow::bail;

use super::{open, print_line, settings};
use crate::cli::start;
use crate::config::{Config, Log, LogLevel};
use crate::gateway::replay::{Recomputed, Reproduced, reproduce};
use crate::telemetry;

/// The exit code where something is missing.
const MISSING: u8 = 3;

pub(super) fn run(config: &Config, id: &str) -> anyhow::Result<ExitCode> {
    telemetry::start_log(&Log { level: LogLevel::Error, ..config.log });
    let reader = open(config)?;
    let key = settings::known_key(&config.audit.key)?;
    let runtime = start::runtime()?;
    let (host, _changes) = runtime.block_on(async { start::policy_host(config) })?;
    let reproduced = reproduce(&reader, &key, &host, runtime.handle(), id)?;
    if reproduced.is_empty() {
        bail!("no request, pre-check, reported call, reported tool or context has the id {id}");
    }
    for record in &reproduced {
        show(record)?;
    }
    end(&reproduced)
}

fn show(record: &Reproduced) -> std::io::Result<()> {
    print_line(&format!("{}  {}  {}", record.about, record.at, record.id))?;
    if record.policies.is_empty() {
        return print_line("  no policy was asked");
    }
    for policy in &record.policies {
        let (word, why) = match &policy.outcome {
            Recomputed::Same => ("same", String::new()),
            Recomputed::Different(what) => ("DIFFERENT", format!("  {}", what.join("; "))),
            Recomputed::Missing(what) => ("missing", format!("  {what}")),
            Recomputed::Shown(why) => ("not recomputed", format!("  {why}")),
        };
        let (name, phase, said) = (&policy.policy, policy.phase, &policy.said);
        print_line(&format!("  {name:<24} {phase:<10} {said:<18} {word}{why}"))?;
    }
    Ok(())
}

fn end(reproduced: &[Reproduced]) -> anyhow::Result<ExitCode> {
    let outcomes = || reproduced.iter().flat_map(|record| &record.policies).map(|policy| &policy.outcome);
    let count = |is: fn(&Recomputed) -> bool| outcomes().filter(|outcome| is(outcome)).count();
    let same = count(|it| matches!(it, Recomputed::Same));
    let different = count(|it| matches!(it, Recomputed::Different(_)));
    let missing = count(|it| matches!(it, Recomputed::Missing(_)));
    let shown = count(|it| matches!(it, Recomputed::Shown(_)));
    let (word, code) = match (different, missing) {
        (0, 0) => ("same", ExitCode::SUCCESS),
        (0, _) => ("missing", ExitCode::from(MISSING)),
        (_, _) => ("different", ExitCode::FAILURE),
    };
    let all = outcomes().count();
    print_line(&format!(
        "{word}: of {all} verdicts {same} are the same, {different} are different, {missing} cannot be told for what is \
         missing, {shown} were not recomputed"
    ))?;
    Ok(code)
}
