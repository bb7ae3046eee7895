//! `octroi policy bench`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::candidate::{Candidate, conversation};
use crate::cli::{print, start};
use crate::policy::manifest::CaseContext;
use crate::policy::measure::{Sample, measure};

/// 416 characters of the kind that people send.
pub(super) const PROMPT: &str = "Please summarise the minutes of our meeting on the new printer contract. The supplier offers 3 \
                      devices for each floor, delivery within 14 days, and a technician within 4 hours on working \
                      days. The board asked whether toner is included, what happens after the first 36 months, and \
                      who pays for repairs that the users caused. Keep it short, use plain words, list what is still \
                      open, and end with a proposal for a vote.";
const ROUNDS: usize = 100;

pub(super) fn run(manifest: &Path, query: Option<&str>) -> anyhow::Result<ExitCode> {
    let candidate = Candidate::read(manifest)?;
    let query = query.unwrap_or(PROMPT);
    start::runtime()?.block_on(async {
        let version = candidate.load(&mut |_| ()).await?;
        let question = candidate.question(&version, None)?;
        let context = Arc::new(CaseContext::default().context());
        let messages = Arc::new(conversation(question, query));
        let allowance = candidate.allowance(query.len());
        let figures = measure(&candidate.engine, &version, allowance, question, &context, &messages, ROUNDS).await?;
        print::line(format_args!("{}: microseconds for a prompt of {} bytes", candidate.manifest.name, query.len()))?;
        print::line(format_args!("{:<24} {:>9} {:>9} {:>9} {:>9}", "", "p50", "p90", "p99", "p99.9"))?;
        row("fresh sandbox each", &figures.fresh)?;
        row("one instance kept", &figures.reused)?;
        Ok(ExitCode::SUCCESS)
    })
}

fn row(name: &str, sample: &Sample) -> std::io::Result<()> {
    let [p50, p90, p99, p999] = [0.5, 0.9, 0.99, 0.999].map(|share| sample.at(share));
    print::line(format_args!("{name:<24} {p50:>9.1} {p90:>9.1} {p99:>9.1} {p999:>9.1}"))
}
