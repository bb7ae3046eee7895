//! Through `AuditLog`, with real files.

mod chain;
mod durability;
mod entries;
mod erasure;
mod failures;
mod migration;
mod search;
mod sqlite_file;
mod timing;

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::record::{
    Action, Caller, Content, Decision, Finding, Intent, LlmCall, Mode, Outcome, Phase, PolicyEvaluation, PreCheck,
    Readings,
};
use super::{AuditError, AuditKey, AuditLog, ContentMode, Durability, Query, Record, Seq, Settings};

/// A file in a folder that goes with the test.
struct File {
    folder: TempDir,
    key: AuditKey,
}

impl File {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), key: AuditKey::random().unwrap() }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("audit.db")
    }

    fn settings(&self) -> Settings {
        Settings { key: self.key.clone(), ..settings(&self.path()) }
    }

    fn open(&self) -> AuditLog {
        AuditLog::open(&self.settings()).unwrap()
    }

    /// What another program sees.
    fn count(&self, sql: &str) -> i64 {
        let connection = rusqlite::Connection::open(self.path()).unwrap();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

fn settings(path: &Path) -> Settings {
    Settings::new(format!("sqlite://{}", path.display())).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn caller(tenant: &str) -> Caller {
    Caller { client: format!("{tenant}-app"), tenant: tenant.into(), user: "eva@example.org".into() }
}

fn intent(id: &str, second: i64) -> Intent {
    Intent {
        request_id: id.into(),
        at: at(second),
        surface: "axonflow".into(),
        request_type: "chat".into(),
        caller: caller("acme"),
        provider: "mistral".into(),
        model: String::new(),
        decision: Decision::Allowed,
        block_reason: None,
        generation: 7,
        policies: vec![evaluation("pii", Action::Allow)],
        not_inspected: Vec::new(),
        error: None,
        content: Content::unchanged(&serde_json::json!([
            {"role": "system", "parts": [{"kind": "text", "text": "Be kind."}]},
            {"role": "user", "parts": [{"kind": "text", "text": "What is an octroi?"}]}
        ])),
    }
}

fn outcome(id: &str, second: i64) -> Outcome {
    Outcome {
        request_id: id.into(),
        at: at(second),
        decision: Decision::Allowed,
        provider: "mistral".into(),
        model: "mistral-small-latest".into(),
        attempts: 1,
        calls: Vec::new(),
        prompt_tokens: 14,
        completion_tokens: 200,
        cached_tokens: 0,
        cost_usd: Some(0.00004),
        estimated: false,
        latency_ms: 812,
        finish_reason: Some("stop".into()),
        block_reason: None,
        policies: Vec::new(),
        error: None,
        client_gone: false,
        streamed: None,
        notes: Vec::new(),
        content: Content::unchanged(&serde_json::json!([
            {"role": "assistant", "parts": [{"kind": "text", "text": "A gate."}]}
        ])),
    }
}

fn pre_check(id: &str, second: i64) -> PreCheck {
    PreCheck {
        context_id: id.into(),
        at: at(second),
        caller: caller("acme"),
        request_type: "pre-check".into(),
        decision: Decision::Redacted,
        approved: true,
        expires_at: Timestamp::now() + SignedDuration::from_mins(5),
        requires_redaction: true,
        block_reason: None,
        generation: 7,
        policies: vec![evaluation("pii", Action::Redact)],
        not_inspected: Vec::new(),
        error: None,
        latency_ms: 1,
        content: Content::edited(&"write to eva@example.org", &"write to [email]"),
    }
}

fn llm_call(id: &str, context: &str, second: i64) -> LlmCall {
    LlmCall {
        audit_id: id.into(),
        context_id: context.into(),
        at: at(second),
        caller: caller("acme"),
        provider: "openai".into(),
        model: "gpt-4".into(),
        prompt_tokens: 1,
        completion_tokens: 2,
        total_tokens: 3,
        latency_ms: 40,
        cost_usd: None,
        generation: 7,
        policies: Vec::new(),
        content: Content::unchanged(&serde_json::json!({
            "response_summary": "It was said.", "metadata": {"ticket": "4711"}
        })),
    }
}

fn evaluation(policy: &str, action: Action) -> PolicyEvaluation {
    let finding = Finding { rule: "r1".into(), category: "c".into(), severity: "high".into(), place: None };
    PolicyEvaluation {
        policy: policy.into(),
        phase: Phase::PreCheck,
        version: "sha256:11".into(),
        settings_hash: "sha256:22".into(),
        mode: Mode::Enforce,
        enforced: true,
        action,
        reason: None,
        findings: if action == Action::Allow { Vec::new() } else { vec![finding] },
        edits: 0,
        tags: Vec::new(),
        error: None,
        readings: Readings::default(),
        elapsed_us: 9,
        skipped: false,
    }
}

async fn append(log: &AuditLog, record: impl Into<Record>) -> Result<Seq, AuditError> {
    log.append(record)?.await
}

/// A whole request.
async fn request(log: &AuditLog, intent: Intent, outcome: Outcome) {
    let (durable, permit) = log.reserve_request().unwrap().intent(intent);
    durable.await.unwrap();
    permit.outcome(outcome).await.unwrap();
}

async fn ids(log: &AuditLog, query: Query) -> Vec<String> {
    log.search(query).await.unwrap().entries.into_iter().map(|entry| entry.id).collect()
}
