//! `octroi audit export`: the trail with its proofs, or entries for a spreadsheet.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use super::search::policies;
use super::verify::bar;
use super::{Filter, Format};
use crate::audit::{self, AuditReader, ExportOptions, Query};

/// Refuses what does not go together, before anything is made or read.
pub(super) fn check(format: Format, without_content: bool, filter: &Filter) -> anyhow::Result<()> {
    match format {
        Format::Jsonl if (Query { start: None, ..filter.query() }) != Query::everything() => bail!(
            "a jsonl export is verified record by record: only --since narrows it; --format csv takes the other filters"
        ),
        Format::Csv if without_content => bail!("--without-content is of jsonl; a csv holds no texts but `error`"),
        _ => Ok(()),
    }
}

pub(super) fn run(
    reader: &AuditReader,
    format: Format,
    output: Option<&Path>,
    without_content: bool,
    filter: &Filter,
) -> anyhow::Result<ExitCode> {
    let Some(path) = output else {
        write(reader, format, without_content, filter, Box::new(std::io::stdout().lock()))?;
        return Ok(ExitCode::SUCCESS);
    };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = file.with_context(|| format!("cannot make {}", path.display()))?;
    if let Err(error) = write(reader, format, without_content, filter, Box::new(file)) {
        // Half an export is none, and would be in the way of the next attempt.
        let removed = std::fs::remove_file(path);
        return Err(match removed {
            Ok(()) => error,
            Err(_) => error.context(format!("{} is not whole", path.display())),
        });
    }
    Ok(ExitCode::SUCCESS)
}

fn write(
    reader: &AuditReader,
    format: Format,
    without_content: bool,
    filter: &Filter,
    out: Box<dyn Write + '_>,
) -> anyhow::Result<()> {
    let mut out = BufWriter::new(out);
    match format {
        Format::Jsonl => {
            let options = ExportOptions { since: filter.since, without_content };
            let records = reader.chains()?.iter().map(audit::ChainInfo::records).sum();
            let bar = bar(records);
            audit::export(reader, &options, &mut out, &mut || bar.inc(1))?;
            bar.finish_and_clear();
        }
        Format::Csv => csv(reader, &filter.query(), &mut out)?,
    }
    out.flush().context("cannot write the export")
}

/// Entries, newest first.
fn csv(reader: &AuditReader, query: &Query, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut out = csv::Writer::from_writer(out);
    out.write_record([
        "timestamp",
        "id",
        "request_id",
        "tenant_id",
        "client_id",
        "user_email",
        "request_type",
        "decision",
        "policies",
        "provider",
        "model",
        "prompt_tokens",
        "completion_tokens",
        "cost",
        "response_time_ms",
        "error",
    ])?;
    for page in reader.entries(query)? {
        for entry in &page? {
            out.write_record(
                [
                    entry.timestamp.to_string(),
                    entry.id.clone(),
                    entry.request_id.clone(),
                    entry.tenant_id.clone(),
                    entry.client_id.clone(),
                    entry.user_email.clone(),
                    entry.request_type.clone(),
                    entry.policy_decision.clone(),
                    policies(entry).join(" "),
                    entry.provider.clone(),
                    entry.model.clone(),
                    entry.prompt_tokens.to_string(),
                    entry.completion_tokens.to_string(),
                    entry.cost.map(|cost| cost.to_string()).unwrap_or_default(),
                    entry.response_time_ms.to_string(),
                    entry.error_message.clone().unwrap_or_default(),
                ]
                .map(plain),
            )?;
        }
    }
    Ok(out.flush()?)
}

/// A spreadsheet takes a text that begins with one of these for a formula, and callers choose some of these texts.
fn plain(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_a_formula() {
        assert_eq!(plain("=HYPERLINK(\"http://x\")".into()), "'=HYPERLINK(\"http://x\")");
        assert_eq!(plain("eva@example.org".into()), "eva@example.org");
    }
}
