//! A query as SQL: which index leads, what is compared, in which order.
//!
//! The index is named rather than left to the planner, which has no statistics of a table that only grows and would
//! rather walk a tenant's whole history than sort five rows.

use jiff::Timestamp;
use rusqlite::types::Value;

use crate::audit::record::Decision;
use crate::audit::search::Query;

/// `FROM ... WHERE ...` with its values; the entry is `e`.
pub(super) struct Filter {
    pub(super) from: String,
    pub(super) conditions: String,
    pub(super) values: Vec<Value>,
    /// Newest first, in the leading index's order.
    pub(super) order: &'static str,
}

impl Filter {
    pub(super) fn new(query: &Query) -> Self {
        let mut terms = Terms::default();
        let (from, order, at) = if let Some(policy) = &query.policy_name {
            terms.equals("p.tenant", &query.tenant);
            terms.equals("p.policy", policy);
            // CROSS JOIN fixes the order of the two.
            ("entry_policies p CROSS JOIN entries e ON e.seq = p.entry", "p.at DESC, p.entry DESC", "p.at")
        } else if query.decision_id.is_some() || query.request_id.is_some() {
            // `+` keeps the tenant's index out: an id finds a handful of rows.
            terms.equals("+e.tenant", &query.tenant);
            ("entries e", "e.at DESC, e.seq DESC", "+e.at")
        } else {
            terms.equals("e.tenant", &query.tenant);
            (leading_index(query), "e.at DESC, e.seq DESC", "e.at")
        };
        if let Some(id) = &query.decision_id {
            terms.equals("e.id", id);
        }
        if let Some(id) = &query.request_id {
            terms.add(
                "e.seq IN (SELECT seq FROM entries WHERE id = ? UNION SELECT seq FROM entries WHERE context_id = ?)",
                [id.clone().into(), id.clone().into()],
            );
        }
        if let Some(client) = &query.client_id {
            terms.equals("e.client", client);
        }
        if let Some(user) = &query.user_email {
            terms.equals("e.user", user);
        }
        if let Some(decision) = query.decision() {
            terms.equals("e.decision", decision.as_str());
        }
        for request_type in query.action_as_request_type().into_iter().chain(query.request_type.as_deref()) {
            terms.equals("e.request_type", request_type);
        }
        if let Some(start) = query.start {
            terms.add(&format!("{at} >= ?"), [first_microsecond(start).into()]);
        }
        if let Some(end) = query.end {
            terms.add(&format!("{at} <= ?"), [last_microsecond(end).into()]);
        }
        Self { from: from.to_owned(), conditions: terms.conditions.join(" AND "), values: terms.values, order }
    }
}

#[derive(Default)]
struct Terms {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Terms {
    fn equals(&mut self, column: &str, value: &str) {
        self.add(&format!("{column} = ?"), [value.to_owned().into()]);
    }

    fn add<const N: usize>(&mut self, condition: &str, values: [Value; N]) {
        self.conditions.push(condition.to_owned());
        self.values.extend(values);
    }
}

/// The index that leaves the fewest rows to look at.
fn leading_index(query: &Query) -> &'static str {
    match query.decision() {
        // Most requests are allowed: only the other decisions narrow a search.
        Some(decision) if decision != Decision::Allowed => "entries e INDEXED BY entries_by_decision",
        _ if query.user_email.is_some() => "entries e INDEXED BY entries_by_user",
        _ if query.client_id.is_some() => "entries e INDEXED BY entries_by_client",
        Some(_) => "entries e INDEXED BY entries_by_decision",
        None => "entries e INDEXED BY entries_by_time",
    }
}

/// Times are kept in whole microseconds, cut off: the first that is not before the instant.
fn first_microsecond(instant: Timestamp) -> i64 {
    let micros = last_microsecond(instant);
    if instant.as_nanosecond() > i128::from(micros) * 1_000 { micros + 1 } else { micros }
}

/// The last that is not behind the instant.
fn last_microsecond(instant: Timestamp) -> i64 {
    i64::try_from(instant.as_nanosecond().div_euclid(1_000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_query_scans_a_table() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("0001_records.sql")).unwrap();
        let some = |text: &str| Some(text.to_owned());
        let all = || Query::new("acme");
        // The filters, and whether the index gives the order too.
        let cases = [
            (all(), true),
            (Query { client_id: some("c"), ..all() }, true),
            (Query { user_email: some("u"), client_id: some("c"), ..all() }, true),
            (Query { action: some("blocked"), client_id: some("c"), ..all() }, true),
            (Query { action: some("allowed"), ..all() }, true),
            (Query { start: Some(Timestamp::UNIX_EPOCH), request_type: some("chat"), ..all() }, true),
            (Query { policy_name: some("pii"), start: Some(Timestamp::UNIX_EPOCH), ..all() }, true),
            (Query { decision_id: some("r1"), end: Some(Timestamp::UNIX_EPOCH), ..all() }, true),
            (Query { request_id: some("r1"), action: some("blocked"), ..all() }, false),
        ];
        for (query, ordered) in cases {
            let Filter { from, conditions, values, order } = Filter::new(&query);
            let sql = format!("EXPLAIN QUERY PLAN SELECT e.seq FROM {from} WHERE {conditions} ORDER BY {order}");
            let mut statement = connection.prepare(&sql).unwrap();
            let plan: Vec<String> = statement
                .query_map(rusqlite::params_from_iter(&values), |row| row.get(3))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            let plan = plan.join("; ");
            assert!(!plan.contains("SCAN"), "{query:?}: {plan}");
            assert!(!ordered || !plan.contains("TEMP B-TREE"), "{query:?}: {plan}");
        }
    }
}
