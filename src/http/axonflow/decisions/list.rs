//! `GET /api/v1/decisions`: one tenant's decisions, newest first.

use std::sync::Arc;

use axum::extract::{Query as UrlQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::time;
use super::decided::{Decided, Verdict};
use crate::audit::{Entries, Query};
use crate::http::answer::json;
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
struct Answer<'a> {
    decisions: Vec<Summary<'a>>,
}

#[derive(Serialize)]
struct Summary<'a> {
    decision_id: &'a str,
    timestamp: Timestamp,
    decision: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_signature: Option<&'a str>,
}

/// `GET /api/v1/decisions`.
pub(super) async fn handle(State(app): State<Arc<App>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    let tenant = app.identity.presented(&headers)?.searched_tenant(None)?;
    let UrlQuery(asked) = UrlQuery::<Asked>::try_from_uri(&uri).map_err(|_| {
        let problem = "expected `since`, `decision`, `policy_id`, `tool_signature` and `limit`, each at most once";
        ApiError::Parameter { field: "query", problem }
    })?;
    let found = find(&app, tenant, &Wanted::of(asked)?).await?;
    let decisions = found.iter().map(|decided| Summary {
        decision_id: &decided.entry.id,
        timestamp: decided.entry.timestamp,
        decision: decided.verdict,
        policy_id: decided.policy(),
        tool_signature: decided.tool(),
    });
    Ok(json(StatusCode::OK, &Answer { decisions: decisions.collect() }))
}

impl Wanted {
    fn of(asked: Asked) -> Result<Self, ApiError> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
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

async fn find(app: &App, tenant: String, wanted: &Wanted) -> Result<Vec<Decided>, ApiError> {
    let mut query = wanted.query(tenant);
    let mut found = Vec::new();
    while query.offset < MOST_READ {
        let page = app.gateway.audit().search(query.clone()).await?;
        // What comes meanwhile must not move the pages.
        query.end = query.end.or(page.entries.first().map(|newest| newest.timestamp));
        let read = page.entries.len();
        for entry in page.entries {
            let decided = Decided::of(entry)?;
            if wanted.fits(&decided) {
                found.push(decided);
                if found.len() == wanted.limit as usize {
                    return Ok(found);
                }
            }
        }
        if read < query.limit as usize {
            break;
        }
        query.offset += u64::from(query.limit);
        // What is rare is looked for in fewer, longer steps.
        query.limit = Query::MOST;
    }
    Ok(found)
}
