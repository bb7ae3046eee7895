//! Hostile texts: each was made to cost the shipped policies more with every byte.

use std::fs;

use serde_json::{Value, json};

use super::support::Setup;

/// Each text is one of these again and again.
#[rustfmt::skip]
const PIECES: [&str; 47] = [
    // For digits, addresses and escapes.
    "1", "1 ", "@", "a@", ":", "a:", "+1", "4111 ", "0 ", "GB29 ", "1.", "a.", "2001:", "::", "1-", "1:", "\\", "\\n",
    "\\u0040", "a\\u0040", "\\u00a01", "1,", "+1,",
    // For SQL.
    "'", "/*", "--", "#", "or (", "or 1+", "where 1 in (", ";", "(", "or ", "union ", "or 1=", "delete from x ", "'--",
    "DROP TABLE slow ", "/*!", "*/", "a'a",
    // For the expressions below.
    "a", "aab ", "é", "a@a", "xxxxx", " \u{a0}k",
];

/// Expressions that engines which try one way after another never finish.
const EXPRESSIONS: [&str; 6] =
    [r"(a+)+b", r"(a|aa)+$", r"(?:a?){50}a{50}", r"(.*)(.*)(.*)(.*)x{5}y", r"\b\w+@\w+\.\w+\b", r"(?i)(?:\s*k\s*)+!"];

/// Pieces that make a text in which one of the expressions is found.
const FOUND: [&str; 4] = ["a", "aab ", "a@a", "a'a"];

/// Time is counted by the sandbox, while a policy runs.
#[tokio::test]
async fn hostile_texts_cost_no_more_than_their_length_allows() {
    // As much as a prompt has, and as much as takes minutes where time grows with the square. On an idle machine both take
    // a fifth of what they may at most.
    for (bytes, limits) in [(32 << 10, json!({ "time": "50ms" })), (1_000_000, json!({ "time_per_mib": "1s" }))] {
        let wrong = judged(bytes, &limits).await;
        assert!(wrong.is_empty(), "{bytes} bytes, {limits}:\n{}", wrong.join("\n"));
    }
}

/// What was not judged as it should be.
async fn judged(bytes: usize, limits: &Value) -> Vec<String> {
    let prepared = Setup::without_provider().policies(&["pii", "sql-injection", "pattern"]).prepare();
    let patterns: Vec<_> = EXPRESSIONS
        .iter()
        .enumerate()
        .map(|(number, pattern)| json!({ "name": format!("e{number}"), "pattern": pattern, "action": "log" }))
        .collect();
    for (name, settings) in
        [("pii", json!({})), ("sql-injection", json!({})), ("pattern", json!({ "patterns": patterns }))]
    {
        let module = format!("{name}.wasm");
        let manifest = json!({ "name": name, "module": module, "limits": limits, "settings": settings });
        fs::write(prepared.policies().join(format!("{name}.yaml")), octroi::config::yaml::write(&manifest, &[]))
            .unwrap();
    }
    let gateway = prepared.start();
    let mut wrong = Vec::new();
    for piece in PIECES {
        let answer = gateway.pre_check(&piece.repeat(bytes / piece.len())).await;
        let entry = gateway.search(json!({ "limit": 1 })).await.remove(0);
        let mut evaluations = entry["policy_details"]["evaluations"].as_array().unwrap().clone();
        evaluations.sort_by_key(|it| it["policy"].to_string());
        let said: Vec<_> = evaluations.iter().map(|it| json!([it["policy"], it["action"], it["error"]])).collect();
        let found = if FOUND.contains(&piece) { "log" } else { "allow" };
        let expected = [("pattern", found), ("pii", "allow"), ("sql-injection", "allow")];
        let expected = expected.map(|(policy, action)| json!([policy, action, null]));
        if answer.body["approved"] != true || said != expected {
            wrong.push(format!("{piece:?}: {}", json!(evaluations)));
        }
    }
    wrong
}
