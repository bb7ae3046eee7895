//! What a search asks for and what it finds.

use jiff::Timestamp;
use serde::Serialize;

use super::AuditError;
use super::entry::Entry;
use super::record::Decision;

/// A search over one tenant's entries, or over all. What is `None` does not filter; every filter is exact and all must fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The tenant whose entries are searched; `None`: all of them, which is for whoever may read the store itself.
    pub tenant: Option<String>,
    /// The client's id.
    pub client_id: Option<String>,
    /// The person, as the client named them.
    pub user_email: Option<String>,
    /// The first instant that counts.
    pub start: Option<Timestamp>,
    /// The last instant that counts.
    pub end: Option<Timestamp>,
    /// A decision (`allowed`, `blocked`, `redacted`, `error`, older verdict names too) or else a request type.
    pub action: Option<String>,
    /// The request type.
    pub request_type: Option<String>,
    /// The id that an answer gave: a request's, a pre-check's or a report's. Finds one entry at most.
    pub decision_id: Option<String>,
    /// The same, or a context's id: then its pre-check and the calls that were reported under it.
    pub request_id: Option<String>,
    /// A policy that matched, enforced or not.
    pub policy_name: Option<String>,
    /// Which kinds of entries.
    pub entries: Entries,
    /// The most entries of the page, 1 to 1000.
    pub limit: u32,
    /// Entries to pass over.
    pub offset: u64,
    /// Entries that are counted at most, for [`Page::total`]: counting millions takes longer than finding a page of them.
    pub counted: u64,
}

/// Which kinds of entries a search is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Entries {
    /// All of them.
    #[default]
    All,
    /// Those that have a decision of their own: not calls to models that applications made under a pre-check.
    Decisions,
}

impl Query {
    /// The page size when the caller names none.
    pub const DEFAULT_LIMIT: u32 = 100;
    /// The greatest page size.
    pub const MOST: u32 = 1_000;
    /// Entries that are counted when nobody says otherwise.
    pub const COUNTED: u64 = 100_000;

    /// Everything of a tenant.
    pub fn new(tenant: impl Into<String>) -> Self {
        Self { tenant: Some(tenant.into()), ..Self::everything() }
    }

    /// Everything of all tenants.
    pub fn everything() -> Self {
        Self {
            tenant: None,
            client_id: None,
            user_email: None,
            start: None,
            end: None,
            action: None,
            request_type: None,
            decision_id: None,
            request_id: None,
            policy_name: None,
            entries: Entries::All,
            limit: Self::DEFAULT_LIMIT,
            offset: 0,
            counted: Self::COUNTED,
        }
    }

    pub(crate) fn check(&self) -> Result<(), AuditError> {
        if !(1..=Self::MOST).contains(&self.limit) {
            return Err(AuditError::Query { field: "limit", reason: format!("must be 1 to {}", Self::MOST) });
        }
        if i64::try_from(self.offset).is_err() {
            return Err(AuditError::Query { field: "offset", reason: format!("must be at most {}", i64::MAX) });
        }
        Ok(())
    }

    /// The decision that `action` names, if it names one.
    pub(crate) fn decision(&self) -> Option<Decision> {
        self.action.as_deref().and_then(Decision::parse)
    }

    /// The request type that `action` names, if it names no decision.
    pub(crate) fn action_as_request_type(&self) -> Option<&str> {
        self.action.as_deref().filter(|action| Decision::parse(action).is_none())
    }
}

/// A page of entries, newest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Entry>,
    /// How many entries fit, on all pages, up to [`Query::counted`]. Where that many or more fit, it is no less than that,
    /// and greater than what has been passed over as long as the page is full: whoever pages up to it sees all.
    pub total: u64,
    /// The page size that was asked for; where the page ended early because its entries are long, how many they are.
    /// Either way the next page begins behind so many.
    pub limit: u32,
    /// The entries that were passed over.
    pub offset: u64,
}

/// How a page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With the last entry that fits, or with as many as were asked for.
    Whole,
    /// Before that: its entries are long.
    Early,
}

impl Ended {
    /// Of a page of which so many of the entries that were found were read.
    pub(crate) fn of<T>(read: usize, found: &[T]) -> Self {
        if read < found.len() { Self::Early } else { Self::Whole }
    }
}

impl Page {
    /// `counted`: how many fit, counted no further than the query says.
    pub(crate) fn new(entries: Vec<Entry>, counted: i64, query: &Query, ended: Ended) -> Self {
        let counted = counted.unsigned_abs();
        let limit = match ended {
            Ended::Whole => query.limit,
            Ended::Early => u32::try_from(entries.len()).unwrap_or(query.limit),
        };
        let passed = query.offset.saturating_add(entries.len() as u64);
        let is_full = entries.len() as u64 >= u64::from(limit);
        let total = if counted < query.counted { counted } else { counted.max(passed + u64::from(is_full)) };
        Self { entries, total, limit, offset: query.offset }
    }
}
