//! `octroi audit replay`: what would another policy have said?

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::verify::bar;
use super::{open, print_json, print_line, settings};
use crate::cli::{policy, start};
use crate::config::{Config, Log, LogLevel};
use crate::gateway::replay::{Candidates, Change, Example, Group, Progress, ReplayOptions, Report, Unasked, replay};
use crate::policy::PolicyHost;
use crate::telemetry;

/// What is replayed.
pub(super) enum What<'p> {
    /// A manifest.
    Policy(&'p Path),
    /// A folder of them.
    Folder(&'p Path),
}

pub(super) fn run(config: &Config, what: &What<'_>, options: &ReplayOptions, json: bool) -> anyhow::Result<ExitCode> {
    telemetry::start_log(&Log { level: LogLevel::Error, ..config.log });
    let reader = open(config)?;
    let key = settings::known_key(&config.audit.key)?;
    let (host, candidates) = start::runtime()?.block_on(load(config, what))?;
    let bar = bar(0);
    let progress = Progress { begin: &|records| bar.set_length(records), read: &|records| bar.inc(records) };
    let report = replay(&reader, &key, &host, &candidates, options, &progress);
    bar.finish_and_clear();
    let report = report?;
    if json {
        print_json(&report)?;
    } else {
        show(&report)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Loads what is to be asked, as the server would.
async fn load(config: &Config, what: &What<'_>) -> anyhow::Result<(Arc<PolicyHost>, Candidates)> {
    match what {
        What::Policy(path) => {
            let (manifest, module) = policy::read_both(path)?;
            let (host, _) = start::policy_host(config)?;
            let loaded = host.load(manifest, module).await;
            let policy = loaded.with_context(|| path.display().to_string())?;
            Ok((host, Candidates::One(policy)))
        }
        What::Folder(folder) => {
            let mut config = config.clone();
            config.policies.directory = folder.to_path_buf();
            let (host, _) = start::policy_host(&config)?;
            let reload = host.reload().await.with_context(|| format!("{} cannot be read", folder.display()))?;
            let statuses = host.statuses();
            let failed = statuses.iter().find_map(|status| Some((&status.path, status.error.as_ref()?)));
            if let Some((path, error)) = failed {
                bail!("{}: {error}", path.display());
            }
            let policies: Vec<_> = reload.set.live().cloned().collect();
            if policies.is_empty() {
                bail!("{}: no policy in it is live", folder.display());
            }
            Ok((host, Candidates::Set(policies)))
        }
    }
}

fn show(report: &Report) -> anyhow::Result<()> {
    let Report { requests, pre_checks, answers, unchanged, .. } = report;
    print_line(&format!("judged again: {requests} requests, {pre_checks} pre-checks, {answers} answers"))?;
    print_line(&format!("{:<20} {unchanged:>9}", "unchanged"))?;
    for change in Report::CHANGES {
        let Group { count, on_other_text, examples } = report.of(change);
        let mut line = format!("{:<20} {count:>9}", name(change));
        if *on_other_text > 0 {
            line.push_str(&format!("   ({on_other_text} of them on a text that is not the one of then)"));
        }
        print_line(&line)?;
        for example in examples {
            show_example(example)?;
        }
    }
    for (count, why) in unasked(&report.unasked) {
        print_line(&format!("not judged: {count} {why}"))?;
    }
    let figures = &report.figures;
    print_line(&format!(
        "time: {} evaluations in {:.2} s on {} cores, {:.0} for each second and core; one takes {:.1} us (p50), \
         {:.1} us (p99)",
        figures.evaluations,
        figures.seconds,
        figures.cores,
        figures.per_second_per_core,
        figures.p50_us,
        figures.p99_us
    ))?;
    print_line("clock readings were each record's time; counters began at 0 for each")?;
    for (count, note) in [
        (
            report.on_masked_text,
            "were judged on redacted text: what the audit policies had masked is not found again, and attributes are \
             not kept (audit.content is not `full`)",
        ),
        (report.on_text_before_edits, "were judged on the text as it came; then, earlier policies had edited it"),
        (report.streamed, "are answers that were streamed; they were judged as a whole"),
    ] {
        if count > 0 {
            print_line(&format!("note: {count} {note}"))?;
        }
    }
    Ok(())
}

fn show_example(example: &Example) -> std::io::Result<()> {
    let Example { at, about, id, client, recorded, now, text, .. } = example;
    print_line(&format!("    {at:.3}  {about} {id}  {client}: {recorded} -> {now}"))?;
    let line: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    print_line(&format!("      {line}"))
}

fn name(change: Change) -> &'static str {
    match change {
        Change::NewlyDenied => "newly denied",
        Change::NewlyAllowed => "newly allowed",
        Change::ChangedEdits => "changed edits",
        Change::ChangedOtherwise => "changed otherwise",
        Change::Error => "errors",
    }
}

fn unasked(unasked: &Unasked) -> impl Iterator<Item = (u64, &'static str)> {
    let Unasked { not_covered, refused_before, text_not_kept, text_erased, without_request, unreadable } = *unasked;
    [
        (not_covered, "are not covered by its `match`"),
        (refused_before, "had been refused or broken off before"),
        (text_not_kept, "have no text on record (audit.content, or the audit policies withheld it)"),
        (text_erased, "had their text erased"),
        (without_request, "are answers whose request is not on record"),
        (unreadable, "cannot be read by this version"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
}
