//! `octroi audit tail`: entries as they are completed.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use super::search::{columns, found};
use super::{print_json, print_line};
use crate::audit::record::RecordKind;
use crate::audit::{AuditReader, Entry, Query, Seq};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(300);
/// Records of one look at most; more come with the next.
const AT_ONCE: usize = 1_000;
/// With these an entry is complete. An intent's is when its outcome is there.
const COMPLETE: [RecordKind; 4] =
    [RecordKind::Outcome, RecordKind::PreCheck, RecordKind::LlmCall, RecordKind::ToolCall];

pub(super) fn run(reader: &AuditReader, lines: u32, json: bool) -> anyhow::Result<ExitCode> {
    let mut seen: HashMap<String, Seq> = HashMap::new();
    // Before the entries are read: what comes meanwhile is shown twice rather than never.
    for chain in reader.chains()? {
        let last = reader.last_searchable(&chain)?;
        seen.insert(chain.node, last);
    }
    if lines > 0 {
        let page = found(reader, &Query { limit: lines, ..Query::everything() })?;
        for entry in page.entries.iter().rev() {
            show(entry, json)?;
        }
    }
    loop {
        std::thread::sleep(PAUSE);
        for chain in reader.chains()? {
            let last = seen.entry(chain.node.clone()).or_insert(Seq(0));
            // Not beyond what a search finds: what is passed here is not looked for again.
            for record in reader.searchable_after(&chain, *last, AT_ONCE)? {
                *last = record.seq;
                if !record.known_kind().is_some_and(|kind| COMPLETE.contains(&kind)) {
                    continue;
                }
                let page = reader.search(&Query { decision_id: Some(record.id), limit: 1, ..Query::everything() })?;
                for entry in &page.entries {
                    show(entry, json)?;
                }
            }
        }
    }
}

fn show(entry: &Entry, json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(entry);
    }
    let words = columns(entry);
    Ok(print_line(&words.iter().filter(|word| !word.is_empty()).map(String::as_str).collect::<Vec<_>>().join("  "))?)
}
