//! `octroi audit search`: entries, as a table or as JSON lines.

use std::process::ExitCode;

use comfy_table::{Table, presets};

use super::{print_json, print_line, shown};
use crate::audit::{AuditError, AuditReader, Entry, Page, Query};

pub(super) fn run(reader: &AuditReader, query: &Query, json: bool) -> anyhow::Result<ExitCode> {
    let page = found(reader, query)?;
    if json {
        for entry in &page.entries {
            print_json(entry)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let Page { entries, total, offset, .. } = page;
    if entries.is_empty() {
        print_line(&format!("nothing fits ({total} in all)"))?;
        return Ok(ExitCode::SUCCESS);
    }
    print_line(&table(&entries).to_string())?;
    let or_more = if total >= query.counted { " or more" } else { "" };
    print_line(&format!("{} to {} of {total}{or_more}", offset + 1, offset + entries.len() as u64))?;
    Ok(ExitCode::SUCCESS)
}

/// As many entries as were asked for, in as many pages as their length takes.
pub(super) fn found(reader: &AuditReader, query: &Query) -> Result<Page, AuditError> {
    let mut found = reader.search(query)?;
    while found.limit < query.limit {
        let (offset, limit) = (query.offset + u64::from(found.limit), query.limit - found.limit);
        let more = reader.search(&Query { offset, limit, ..query.clone() })?;
        found.limit += more.limit;
        found.entries.extend(more.entries);
    }
    Ok(found)
}

fn table(entries: &[Entry]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["time", "id", "client", "user", "type", "decision", "policies", "model", "tokens", "ms"]);
    for entry in entries {
        table.add_row(columns(entry));
    }
    table
}

/// An entry in a few words.
pub(super) fn columns(entry: &Entry) -> [String; 10] {
    [
        format!("{:.3}", entry.timestamp),
        entry.id.clone(),
        entry.client_id.clone(),
        entry.user_email.clone(),
        entry.request_type.clone(),
        entry.policy_decision.clone(),
        policies(entry).join(", "),
        entry.model.clone(),
        entry.tokens_used.to_string(),
        entry.response_time_ms.to_string(),
    ]
    .map(|text| shown::one_line(&text))
}

/// The policies that matched.
pub(super) fn policies(entry: &Entry) -> Vec<&str> {
    let names = entry.policy_details.get("policies").and_then(|names| names.as_array());
    names.into_iter().flatten().filter_map(|name| name.as_str()).collect()
}
