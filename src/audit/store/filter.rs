//! A query as SQL: which index leads, what is compared, in which order. Both stores speak it, each in its dialect.

use jiff::Timestamp;

use crate::audit::chain::Place;
use crate::audit::record::Decision;
use crate::audit::row::EntryKind;
use crate::audit::search::{Entries, Query};

/// What differs between the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The index is named rather than left to the planner, which has no statistics of a table that only grows and would
    /// rather walk a tenant's whole history than sort five rows.
    Sqlite,
    /// The planner knows its tables.
    Postgres,
}

/// A value of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(i64),
}

/// `FROM ... WHERE ...` of a query; the entry is `e`.
pub(super) struct Filter<'q> {
    query: &'q Query,
    from: &'static str,
    conditions: String,
    /// Newest first, in the leading index's order.
    order: &'static str,
    /// Those of `$1`, `$2` and so on, in all statements.
    pub(super) values: Vec<Value>,
}

impl<'q> Filter<'q> {
    pub(super) fn new(query: &'q Query, dialect: Dialect) -> Self {
        let mut terms = Terms::default();
        let tenant = query.tenant.as_deref();
        let (from, order, at) = if let Some(policy) = &query.policy_name {
            terms.equals_if("p.tenant", tenant);
            terms.equals("p.policy", policy);
            let from = match dialect {
                // CROSS JOIN fixes the order of the two.
                Dialect::Sqlite => "entry_policies p CROSS JOIN entries e ON e.place = p.entry",
                Dialect::Postgres => "entry_policies p JOIN entries e ON e.place = p.entry",
            };
            (from, "p.at DESC, p.entry DESC", "p.at")
        } else if query.decision_id.is_some() || query.request_id.is_some() {
            // `+` keeps the tenant's index out: an id finds a handful of rows.
            let (column, at) = match dialect {
                Dialect::Sqlite => ("+e.tenant", "+e.at"),
                Dialect::Postgres => ("e.tenant", "e.at"),
            };
            terms.equals_if(column, tenant);
            ("entries e", "e.at DESC, e.place DESC", at)
        } else {
            terms.equals_if("e.tenant", tenant);
            let from = match dialect {
                Dialect::Sqlite => leading_index(query),
                Dialect::Postgres => "entries e",
            };
            (from, "e.at DESC, e.place DESC", "e.at")
        };
        if let Some(id) = &query.decision_id {
            terms.equals("e.id", id);
        }
        if let Some(id) = &query.request_id {
            let id = terms.value(text(id));
            terms.conditions.push(format!(
                "e.place IN (SELECT place FROM entries WHERE id = {id} UNION \
                 SELECT place FROM entries WHERE context_id = {id})"
            ));
        }
        if let Some(client) = &query.client_id {
            terms.equals("e.client", client);
        }
        if let Some(user) = &query.user_email {
            terms.equals("e.\"user\"", user);
        }
        if let Some(decision) = query.decision() {
            terms.equals("e.decision", decision.as_str());
        }
        for request_type in query.action_as_request_type().into_iter().chain(query.request_type.as_deref()) {
            terms.equals("e.request_type", request_type);
        }
        if query.entries == Entries::Decisions {
            terms.compares("e.kind", "<>", text(EntryKind::LlmCall.as_str()));
        }
        if let Some(start) = query.start {
            terms.compares(at, ">=", Value::Number(first_microsecond(start)));
        }
        if let Some(end) = query.end {
            terms.compares(at, "<=", Value::Number(last_microsecond(end)));
        }
        let conditions = if terms.conditions.is_empty() { "TRUE".to_owned() } else { terms.conditions.join(" AND ") };
        Self { query, from, conditions, order, values: terms.values }
    }

    /// How many fit, counted no further than the query says.
    pub(super) fn count(&self) -> String {
        let (Self { from, conditions, .. }, most) = (self, number(self.query.counted));
        format!("SELECT count(*) FROM (SELECT 1 FROM {from} WHERE {conditions} LIMIT {most}) AS fitting")
    }

    /// The places of the page. It is cut before the records are joined: what is passed over is never read.
    pub(super) fn page(&self) -> String {
        let Self { query, from, conditions, order, .. } = self;
        let (limit, offset) = (query.limit, number(query.offset));
        format!("SELECT e.place AS place FROM {from} WHERE {conditions} ORDER BY {order} LIMIT {limit} OFFSET {offset}")
    }

    /// When those were that fit, and where they are: at most so many behind this place, in order of their places.
    pub(super) fn places(&self, Place(behind): Place, at_most: usize) -> String {
        let Self { from, conditions, .. } = self;
        format!(
            "SELECT e.at, e.place FROM {from} WHERE {conditions} AND e.place > {behind} ORDER BY e.place LIMIT {at_most}"
        )
    }
}

#[derive(Default)]
struct Terms {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Terms {
    fn equals(&mut self, column: &str, value: &str) {
        self.compares(column, "=", text(value));
    }

    fn equals_if(&mut self, column: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.equals(column, value);
        }
    }

    fn compares(&mut self, column: &str, how: &str, value: Value) {
        let value = self.value(value);
        self.conditions.push(format!("{column} {how} {value}"));
    }

    /// What stands for it.
    fn value(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }
}

/// Databases count no further.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Stores hold no NUL: neither does what is looked for.
fn text(value: &str) -> Value {
    Value::Text(super::storable(value).into_owned())
}

/// The index that leaves the fewest rows to look at.
fn leading_index(query: &Query) -> &'static str {
    if query.tenant.is_none() {
        // All indexes are by tenant; a look over all tenants reads the table, and has the time.
        return "entries e";
    }
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
