//! Through `AuditLog`, with real files.

mod chain;
mod durability;
mod entries;
mod erasure;
mod failures;
mod index;
mod migration;
mod retention;
mod search;
mod shared;
mod spill;
mod sqlite_file;
mod takeover;
mod timing;
mod versions;

#[path = "../../../tests/support/ports.rs"]
mod ports;
#[path = "../../../tests/support/postgres.rs"]
pub(super) mod postgres;

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::record::{
    Action, Caller, Content, Decision, Finding, Intent, LlmCall, Mode, Outcome, Phase, PolicyEvaluation, PreCheck,
    Readings, ToolCall,
};
use super::{
    AuditError, AuditKey, AuditLog, AuditStore, ContentMode, DatabaseUrl, Durability, Entries, Query, Record, Seq,
    Settings,
};

/// Where a test's records are, and its key.
struct Home {
    at: At,
    key: AuditKey,
}

enum At {
    /// A file in a folder that goes with the test.
    Sqlite(TempDir),
    /// A database of the server that the tests share.
    Postgres(String),
}

/// The same tests on both stores.
macro_rules! on_both_stores {
    ($($test:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::Home::sqlite()).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                if let Some(home) = super::Home::postgres() {
                    super::$test(home).await;
                }
            })*
        }
    };
}
use on_both_stores;

impl Home {
    fn sqlite() -> Self {
        Self { at: At::Sqlite(tempfile::tempdir().unwrap()), key: AuditKey::random().unwrap() }
    }

    /// None when the tests are to go without PostgreSQL.
    fn postgres() -> Option<Self> {
        let url = postgres::shared()?.database();
        Some(Self { at: At::Postgres(url), key: AuditKey::random().unwrap() })
    }

    fn folder(&self) -> &Path {
        match &self.at {
            At::Sqlite(folder) => folder.path(),
            At::Postgres(url) => panic!("{url} has no folder"),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder().join("audit.db")
    }

    fn store(&self) -> AuditStore {
        match &self.at {
            At::Sqlite(_) => AuditStore::Sqlite(self.path()),
            At::Postgres(url) => AuditStore::Postgres(DatabaseUrl::new(url)),
        }
    }

    fn settings(&self) -> Settings {
        let node = matches!(self.at, At::Postgres(_)).then(|| "node-1".to_owned());
        Settings { key: self.key.clone(), node, ..Settings::new(self.store()).unwrap() }
    }

    fn open(&self) -> AuditLog {
        AuditLog::open(&self.settings()).unwrap()
    }

    /// What another program sees, by a column of texts.
    fn column(&self, sql: &str) -> Vec<String> {
        match &self.at {
            At::Sqlite(_) => {
                let connection = rusqlite::Connection::open(self.path()).unwrap();
                let mut statement = connection.prepare(sql).unwrap();
                let text = |row: &rusqlite::Row<'_>| {
                    let value: rusqlite::types::Value = row.get(0)?;
                    Ok(match value {
                        rusqlite::types::Value::Integer(number) => number.to_string(),
                        rusqlite::types::Value::Text(text) => text,
                        other => panic!("{other:?}"),
                    })
                };
                statement.query_map([], text).unwrap().collect::<Result<_, _>>().unwrap()
            }
            At::Postgres(url) => {
                let rows = postgres::execute(url, &format!("SET search_path = octroi; {sql}")).unwrap();
                rows.into_iter().map(|mut row| row.remove(0).unwrap()).collect()
            }
        }
    }

    /// A number that another program sees.
    fn count(&self, sql: &str) -> i64 {
        self.column(sql).remove(0).parse().unwrap()
    }

    /// What an intruder does who may write the database. `{zeros}` stands for 32 zero bytes.
    fn tamper(&self, sql: &str) {
        match &self.at {
            At::Sqlite(_) => {
                let connection = rusqlite::Connection::open(self.path()).unwrap();
                connection.execute_batch("DROP TRIGGER IF EXISTS records_are_never_changed").unwrap();
                connection.execute_batch(&sql.replace("{zeros}", "zeroblob(32)")).unwrap();
            }
            At::Postgres(url) => {
                let sql = sql.replace("{zeros}", "decode(repeat('00', 32), 'hex')");
                let trigger = "DROP TRIGGER IF EXISTS records_are_never_changed ON records";
                postgres::execute(url, &format!("SET search_path = octroi; {trigger}; {sql}")).unwrap();
            }
        }
    }

    /// The same records once more. Nobody may have them open.
    fn copy(&self) -> Self {
        let at = match &self.at {
            At::Sqlite(folder) => {
                let copy = tempfile::tempdir().unwrap();
                std::fs::copy(folder.path().join("audit.db"), copy.path().join("audit.db")).unwrap();
                At::Sqlite(copy)
            }
            At::Postgres(url) => {
                let server = postgres::shared().unwrap();
                let (from, to) = (url.rsplit('/').next().unwrap(), format!("copy_{}", uuid::Uuid::new_v4().simple()));
                postgres::execute(&server.url("postgres"), &format!("CREATE DATABASE {to} TEMPLATE {from}")).unwrap();
                At::Postgres(server.url(&to))
            }
        };
        Self { at, key: self.key.clone() }
    }
}

/// On a thread of its own: what blocks may not do so inside a runtime.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
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
        provider_key_hmac: None,
        estimated_cost_usd: None,
        providers: Vec::new(),
        model_aliases: Vec::new(),
        attributes: 0,
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
        cache_write_tokens: 0,
        cost_usd: Some(0.00004),
        estimated: false,
        latency_ms: 812,
        finish_reason: Some("stop".into()),
        block_reason: None,
        policies: Vec::new(),
        not_inspected: Vec::new(),
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
        providers: Vec::new(),
        model: String::new(),
        attributes: 0,
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

fn tool_call(id: &str, second: i64) -> ToolCall {
    ToolCall {
        audit_id: id.into(),
        at: at(second),
        caller: caller("acme"),
        tool: "getUserInfo".into(),
        caller_name: "claude_code".into(),
        tool_type: String::new(),
        workflow_id: String::new(),
        step_id: String::new(),
        policies_applied: vec!["own".into()],
        success: Some(false),
        latency_ms: 45,
        generation: 7,
        policies: vec![evaluation("mask", Action::Redact)],
        content: Content::edited(
            &serde_json::json!({ "input": { "mail": "eva@example.org" }, "error_message": "no eva@example.org" }),
            &serde_json::json!({ "input": { "mail": "[email]" }, "error_message": "no [email]" }),
        ),
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
        stream: None,
        action,
        reason: None,
        findings: if action == Action::Allow { Vec::new() } else { vec![finding] },
        edits: 0,
        edits_hmac: None,
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
    permit.outcome(outcome);
    log.settle().await;
}

async fn ids(log: &AuditLog, query: Query) -> Vec<String> {
    log.search(query).await.unwrap().entries.into_iter().map(|entry| entry.id).collect()
}
