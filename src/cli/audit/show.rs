//! `octroi audit show`: everything that is on record about one id.

use std::process::ExitCode;

use anyhow::bail;
use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::{print_json, print_line, shown};
use crate::audit::record::{Mode, PolicyEvaluation, RecordKind};
use crate::audit::{AuditReader, TrailRecord};

/// Fields that are told apart from the others.
const TOLD_APART: [&str; 3] = ["policies", "calls", "at"];

pub(super) fn run(reader: &AuditReader, id: &str, json: bool) -> anyhow::Result<ExitCode> {
    let mut records = reader.records_of(id)?;
    if records.is_empty() {
        // What no search finds: changes, starts, erasures.
        records = reader.records_with_id(id)?;
    }
    if records.is_empty() {
        bail!("no record is about {id}");
    }
    for record in &records {
        if json { print_json(&as_json(record)?)? } else { print_line(&story(record)?)? }
    }
    let has = |kind| records.iter().any(|record| record.known_kind() == Some(kind));
    if !json && has(RecordKind::Intent) && !has(RecordKind::Outcome) {
        print_line(
            "outcome  none is on record: the request is still under way, or the gateway ended before it was written",
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(record: &TrailRecord) -> anyhow::Result<Value> {
    Ok(json!({
        "node": record.node, "seq": record.seq.0, "at": record.at, "kind": record.kind, "id": record.id,
        "hash": record.hash.map(|hash| hash.to_string()), "body": serde_json::from_str::<Value>(&record.body)?,
        "content": record.content.as_deref().map(serde_json::from_str::<Value>).transpose()?,
    }))
}

fn story(record: &TrailRecord) -> anyhow::Result<String> {
    let body: serde_json::Map<String, Value> = serde_json::from_str(&record.body)?;
    let place = match record.hash {
        Some(hash) => format!("{} {} {hash}", record.node, record.seq.0),
        None if record.node.is_empty() => format!("{}, older than the chain", record.seq.0),
        None => format!("{} {}", record.node, record.seq.0),
    };
    let mut lines = vec![format!("{}  {}  {}", record.kind, record.at, record.id), field("record", &place)];
    for (name, value) in body.iter().filter(|(name, _)| !TOLD_APART.contains(&name.as_str())) {
        lines.push(field(name, &words(value)));
    }
    if let Some(Value::Array(calls)) = body.get("calls") {
        for call in calls {
            lines.push(field("call", &words(call)));
        }
    }
    match body.get("policies") {
        // The set that is live is no list of evaluations.
        Some(Value::Array(live)) if record.known_kind() == Some(RecordKind::PolicySetChange) => {
            lines.extend(live.iter().map(|policy| field("policy", &words(policy))));
        }
        Some(policies) => {
            let policies: Vec<PolicyEvaluation> = serde_json::from_value(policies.clone())?;
            lines.push(table(&policies).to_string());
            lines.extend(policies.iter().flat_map(remarks));
        }
        None => {}
    }
    lines.push(match &record.content {
        Some(content) => field("text", &shown::json(content)),
        None if body.contains_key("kept_hmac") => field("text", "erased"),
        None if body.contains_key("content_hmac") => field("text", "not kept"),
        None => field("text", "none"),
    });
    Ok(lines.join("\n") + "\n")
}

fn field(name: &str, value: &str) -> String {
    format!("  {:<16} {value}", name.replace('_', " "))
}

/// A value without JSON's marks where it needs none.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => shown::one_line(text),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{} {}", shown::one_line(name), words(value)))
            .collect::<Vec<_>>()
            .join(", "),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join("; "),
        other => other.to_string(),
    }
}

fn table(policies: &[PolicyEvaluation]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["  policy", "asked as", "mode", "said", "findings", "edits", "us", "version", "settings"]);
    let short = |digest: &str| digest.chars().take(12).collect::<String>();
    for policy in policies {
        let said = match (&policy.error, policy.skipped) {
            (_, true) => "skipped".to_owned(),
            (Some(error), _) => error.code.clone(),
            (None, _) => policy.action.as_str().to_owned(),
        };
        let mode = policy.mode.as_str();
        table.add_row([
            format!("  {}", policy.policy),
            policy.phase.as_str().to_owned(),
            match policy.mode {
                Mode::Enforce if !policy.enforced => format!("{mode}, not in force here"),
                _ => mode.to_owned(),
            },
            said,
            policy.findings.len().to_string(),
            policy.edits.to_string(),
            policy.elapsed_us.to_string(),
            short(&policy.version),
            short(&policy.settings_hash),
        ]);
    }
    table
}

/// What a table has no room for.
fn remarks(policy: &PolicyEvaluation) -> Vec<String> {
    let mut remarks = Vec::new();
    let mut say = |what: &str, text: String| remarks.push(field(&policy.policy, &format!("{what}: {text}")));
    if let Some(reason) = &policy.reason {
        say("reason", shown::one_line(reason));
    }
    if let Some(error) = &policy.error {
        say("error", shown::one_line(&error.message));
    }
    for finding in &policy.findings {
        say("finding", words(&json!(finding)));
    }
    if !policy.tags.is_empty() {
        say("tags", shown::one_line(&policy.tags.join(", ")));
    }
    if policy.readings != crate::audit::record::Readings::default() {
        say("was told", words(&json!(policy.readings)));
    }
    remarks
}
