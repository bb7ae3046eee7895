//! `GET /api/v1/decisions`: one tenant's decisions, newest first.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::request::Parts;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::query::{self, given};
use super::super::read_scope::ReadScope;
use super::super::time;
use super::super::words::Verdict;
use super::decided::Decided;
use crate::audit::{Entries, Entry, Page, Query};
use crate::http::answer::json_that_takes_room;
use crate::http::{ApiError, App};

/// Entries that are read first where the store cannot tell alone which ones fit.
const PAGE: u32 = 100;
/// Entries that are read at most: those that fit behind so many others are not found.
const MOST_READ: u64 = 10_000;

#[derive(Deserialize)]
struct Asked {
    since: Option<String>,
    decision: Option<String>,
    policy_id: Option<String>,
    tool_signature: Option<String>,
    limit: Option<String>,
}

/// Which decisions.
struct Wanted {
    since: Option<Timestamp>,
    verdict: Option<Verdict>,
    policy: Option<String>,
    tool: Option<String>,
    limit: u32,
}

#[derive(Serialize)]
struct Answer {
    decisions: Vec<Summary>,
}

#[derive(Serialize)]
struct Summary {
    decision_id: String,
    timestamp: Timestamp,
    decision: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_signature: Option<String>,
}

impl Summary {
    fn of(decided: &Decided) -> Self {
        Self {
            decision_id: decided.entry.id.clone(),
            timestamp: decided.entry.timestamp,
            decision: decided.verdict,
            policy_id: decided.policy().map(str::to_owned),
            tool_signature: decided.tool().map(str::to_owned),
        }
    }
}

/// `GET /api/v1/decisions`.
pub(super) async fn handle(State(app): State<Arc<App>>, head: Parts) -> Result<Response, ApiError> {
    let tenant = app.presented(&head)?.searched_tenant(None)?;
    let expected = "expected `since`, `decision`, `policy_id`, `tool_signature` and `limit`, each at most once";
    let asked = query::read(&head.uri, expected)?;
    let scope = ReadScope::of(&head.headers)?;
    let wanted = Wanted::of(asked)?;
    let query = Query { user_email: scope.person(), ..wanted.query(tenant) };
    let decisions = find(&app, query, &wanted).await?;
    Ok(scope.stated(json_that_takes_room(&head, &Answer { decisions })?))
}

impl Wanted {
    fn of(asked: Asked) -> Result<Self, ApiError> {
        let since = time::read("since", asked.since).map_err(|_| ApiError::Parameter {
            field: "since",
            problem: "expected an ISO 8601 time, such as 2026-11-20T09:15:00Z",
        })?;
        let verdict = match given(asked.decision) {
            None => None,
            Some(word) => Some(Verdict::parse(&word).ok_or(ApiError::Parameter {
                field: "decision",
                problem: "expected allowed, blocked, redacted, needs_approval or error",
            })?),
        };
        let limit = match given(asked.limit) {
            None => Query::DEFAULT_LIMIT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=Query::MOST).contains(limit))
                .ok_or(ApiError::Parameter { field: "limit", problem: "expected a whole number from 1 to 1000" })?,
        };
        Ok(Self { since, verdict, policy: given(asked.policy_id), tool: given(asked.tool_signature), limit })
    }

    /// What the store can tell.
    fn query(&self, tenant: String) -> Query {
        let read_on = self.policy.is_some()
            || self.tool.is_some()
            || matches!(self.verdict, Some(Verdict::Blocked | Verdict::NeedsApproval));
        Query {
            start: self.since,
            action: self.verdict.map(|verdict| verdict.stored().to_owned()),
            policy_name: self.policy.clone(),
            request_type: self.tool.as_ref().map(|_| "tool-call".to_owned()),
            entries: Entries::Decisions,
            limit: if read_on { self.limit.max(PAGE) } else { self.limit },
            // The answer says no total.
            counted: 0,
            ..Query::new(tenant)
        }
    }

    /// What it cannot.
    fn fits(&self, decided: &Decided) -> bool {
        self.verdict.is_none_or(|verdict| verdict == decided.verdict)
            && self.policy.as_deref().is_none_or(|policy| decided.is_by(policy))
            && self.tool.as_deref().is_none_or(|tool| decided.tool() == Some(tool))
    }
}

async fn find(app: &App, query: Query, wanted: &Wanted) -> Result<Vec<Summary>, ApiError> {
    let mut pages = Pages::of(query);
    let mut found = Vec::new();
    while let Some(query) = pages.next() {
        let page = app.gateway.audit().search(query).await?;
        for entry in pages.read(page) {
            let decided = Decided::of(entry)?;
            if wanted.fits(&decided) {
                found.push(Summary::of(&decided));
                if found.len() == wanted.limit as usize {
                    return Ok(found);
                }
            }
        }
    }
    Ok(found)
}

/// Pages behind one another, newest first, each from the last entry's moment on: what comes or goes meanwhile moves none.
struct Pages {
    query: Query,
    /// The entries of the moment at which the next page begins.
    seen: HashSet<String>,
    read: u64,
    is_last: bool,
}

impl Pages {
    fn of(query: Query) -> Self {
        Self { query, seen: HashSet::new(), read: 0, is_last: false }
    }

    /// What to search for next; `None`: that was all, or enough.
    fn next(&self) -> Option<Query> {
        (!self.is_last && self.read < MOST_READ).then(|| self.query.clone())
    }

    /// The entries of a page that were on none before.
    fn read(&mut self, page: Page) -> Vec<Entry> {
        let Page { mut entries, limit, .. } = page;
        self.read += entries.len() as u64;
        self.is_last = entries.len() < limit as usize;
        let Some(last) = entries.last().map(|last| last.timestamp) else { return entries };
        entries.retain(|entry| !self.seen.contains(&entry.id));
        if self.query.end == Some(last) {
            // All of one moment.
            self.query.offset += u64::from(limit);
        } else {
            self.query.end = Some(last);
            self.query.offset = 0;
            self.seen.clear();
        }
        self.seen.extend(entries.iter().filter(|entry| entry.timestamp == last).map(|entry| entry.id.clone()));
        // What is rare is looked for in fewer, longer steps.
        self.query.limit = Query::MOST;
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a store answers that has these entries: their numbers, and the seconds of their moments.
    fn search(entries: &[(u32, i64)], query: &Query, most: usize) -> Page {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let mut fitting: Vec<_> =
            entries.iter().filter(|(_, second)| query.end.is_none_or(|end| at(*second) <= end)).collect();
        fitting.sort_by_key(|(number, second)| (-second, -i64::from(*number)));
        let limit = (query.limit as usize).min(most);
        let entries: Vec<_> = fitting
            .into_iter()
            .skip(query.offset as usize)
            .take(limit)
            .map(|(number, second)| Entry { id: number.to_string(), timestamp: at(*second), ..Entry::default() })
            .collect();
        Page { total: 0, offset: query.offset, limit: limit as u32, entries }
    }

    #[test]
    fn nothing_is_counted_for_an_answer_without_a_total() {
        let (since, verdict, policy, tool) = Default::default();
        let query = Wanted { since, verdict, policy, tool, limit: 10 }.query("acme".into());
        assert_eq!((query.counted, query.limit), (0, 10));
    }

    #[test]
    fn pages_tell_each_entry_once_whatever_comes_and_goes_meanwhile() {
        // Of each moment there are as many as are said.
        for (together, moments) in [(1, 40), (3, 20), (7, 5), (50, 2)] {
            let mut entries: Vec<_> = (0..together * moments).map(|it| (it, i64::from(it / together))).collect();
            let expected: Vec<_> = entries.iter().rev().map(|(number, _)| number.to_string()).collect();
            let mut pages = Pages::of(Query { limit: 5, ..Query::new("acme") });
            let mut read = Vec::new();
            while let Some(query) = pages.next() {
                let page = search(&entries, &query, 5);
                read.extend(pages.read(page).into_iter().map(|entry| entry.id));
                // New ones come, which are newer; and those that were read go, of old age elsewhere.
                let number = entries.len() as u32 + 1_000;
                entries.push((number, 10_000));
                if together == 1 {
                    entries.retain(|(number, _)| read.first() != Some(&number.to_string()));
                }
            }
            assert_eq!(read, expected, "{together}");
        }
    }
}
