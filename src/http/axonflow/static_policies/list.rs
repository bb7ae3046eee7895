//! `GET /api/v1/static-policies`: filtered, sorted, page by page.

use std::cmp::Ordering;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};

use super::super::query::{self, Pagination, number};
use super::super::words::TierWord;
use super::policy::Policy;
use super::{Answered, Failure, author};
use crate::config::Role;
use crate::http::answer::json;
use crate::http::{ApiError, App};
use crate::policy::PolicyStatus;

/// Policies on a page when the caller names no number: all that a tenant can have. Clients throw the pagination away.
const LIMIT: usize = 1_000;
/// The same for callers that count pages.
const PAGE: usize = 20;

#[derive(Default, Deserialize)]
struct Asked {
    category: Option<String>,
    tier: Option<String>,
    enabled: Option<String>,
    search: Option<String>,
    sort_by: Option<String>,
    sort_order: Option<String>,
    limit: Option<String>,
    offset: Option<String>,
    page: Option<String>,
    page_size: Option<String>,
    tenant_id: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    policies: &'a [Policy],
    pagination: Pagination,
}

/// `GET /api/v1/static-policies`.
pub(super) async fn handle(State(app): State<Arc<App>>, head: Parts) -> Answered {
    let author = author(&app, &head)?;
    let expected = "expected `category`, `tier`, `enabled`, `search`, `sort_by`, `sort_order`, and `limit` with `offset` or \
                    `page` with `page_size`, and `tenant_id`, each at most once";
    let asked: Asked = query::read(&head.uri, expected)?;
    let (offset, limit) = window(&asked)?;
    let fits = filter(&asked)?;
    let order = order(&asked)?;
    let wanted = asked.tenant_id.as_deref().filter(|tenant| !tenant.is_empty()).unwrap_or(&author.tenant);
    if wanted != author.tenant && author.role != Role::Admin {
        return Err(ApiError::TenantMismatch.into());
    }
    let mut policies = all(&app, wanted, |_| true)?;
    policies.retain(fits);
    if let Some(order) = order {
        policies.sort_by(order);
    }
    let total_items = policies.len();
    let pagination = Pagination::new(offset / limit + 1, limit, total_items);
    let shown = policies.get(offset.min(total_items)..offset.saturating_add(limit).min(total_items));
    Ok(json(StatusCode::OK, &Answer { policies: shown.unwrap_or_default(), pagination }))
}

/// Everything that applies to a tenant's requests, of manifests of this kind: rules in the order in which they were made,
/// then the policies of the folder by name.
pub(super) fn all(app: &App, tenant: &str, of: impl Fn(&PolicyStatus) -> bool) -> Result<Vec<Policy>, Failure> {
    let policies = app.gateway.static_policies();
    let (since, status) = (policies.since(), policies.status());
    let mut rules = policies.rules(tenant)?;
    rules.retain(|_| status.as_ref().is_none_or(&of));
    let mut all: Vec<_> = rules.iter().map(|rule| Policy::of_rule_under(rule, status.as_ref(), since)).collect();
    let system = policies.system();
    let mut system: Vec<_> =
        system.iter().filter(|status| of(status)).map(|status| Policy::of_folder(status, since)).collect();
    system.sort_by(|one, two| one.id.cmp(&two.id));
    all.append(&mut system);
    Ok(all)
}

/// Where the page begins, and how many stand on it.
fn window(asked: &Asked) -> Result<(usize, usize), ApiError> {
    let page = number("page", asked.page.as_deref(), 1)?;
    let page_size = number("page_size", asked.page_size.as_deref(), 1)?;
    if page.is_some() || page_size.is_some() {
        let size = page_size.unwrap_or(PAGE).min(LIMIT);
        return Ok(((page.unwrap_or(1) - 1).saturating_mul(size), size));
    }
    let limit = number("limit", asked.limit.as_deref(), 1)?.unwrap_or(LIMIT).min(LIMIT);
    Ok((number("offset", asked.offset.as_deref(), 0)?.unwrap_or(0), limit))
}

fn filter(asked: &Asked) -> Result<impl Fn(&Policy) -> bool + use<>, ApiError> {
    let given = |text: &Option<String>| query::given(text.clone());
    let tier = match given(&asked.tier).as_deref() {
        None => None,
        Some("system") => Some(TierWord::System),
        Some("organization") => Some(TierWord::Organization),
        Some("tenant") => Some(TierWord::Tenant),
        Some(_) => {
            return Err(ApiError::Parameter { field: "tier", problem: "expected system, organization or tenant" });
        }
    };
    let (category, search) = (given(&asked.category), given(&asked.search).map(|text| text.to_lowercase()));
    let enabled = query::truth("enabled", asked.enabled.as_deref())?;
    Ok(move |policy: &Policy| {
        category.as_ref().is_none_or(|category| policy.category == *category)
            && tier.is_none_or(|tier| policy.tier == tier)
            && enabled.is_none_or(|enabled| policy.enabled == enabled)
            && search.as_ref().is_none_or(|search| {
                let found = |text: &str| text.to_lowercase().contains(search.as_str());
                found(&policy.name) || found(&policy.policy_id) || policy.description.as_deref().is_some_and(found)
            })
    })
}

type Order = Box<dyn FnMut(&Policy, &Policy) -> Ordering + Send>;

fn order(asked: &Asked) -> Result<Option<Order>, ApiError> {
    let falling = match asked.sort_order.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "asc") => false,
        Some("desc") => true,
        Some(_) => return Err(ApiError::Parameter { field: "sort_order", problem: "expected asc or desc" }),
    };
    let by: fn(&Policy, &Policy) -> Ordering = match asked.sort_by.as_deref() {
        None | Some("") => return Ok(None),
        Some("name") => |one, two| one.name.cmp(&two.name),
        Some("severity") => |one, two| one.severity.cmp(&two.severity),
        Some("category") => |one, two| one.category.cmp(&two.category),
        Some("tier") => |one, two| one.tier.cmp(&two.tier),
        Some("priority") => |one, two| one.priority.cmp(&two.priority),
        Some("created_at" | "createdAt") => |one, two| one.created_at.cmp(&two.created_at),
        Some("updated_at" | "updatedAt") => |one, two| one.updated_at.cmp(&two.updated_at),
        Some(_) => {
            let problem = "expected name, severity, category, tier, priority, created_at or updated_at";
            return Err(ApiError::Parameter { field: "sort_by", problem });
        }
    };
    Ok(Some(Box::new(move |one, two| if falling { by(two, one) } else { by(one, two) })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Asked {
        let of = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Asked {
            limit: of("limit"),
            offset: of("offset"),
            page: of("page"),
            page_size: of("page_size"),
            ..Asked::default()
        }
    }

    #[test]
    fn both_ways_of_paging_are_known() {
        for (pairs, expected) in [
            (&[][..], (0, 1_000)),
            (&[("limit", "5"), ("offset", "10")], (10, 5)),
            (&[("limit", "5000")], (0, 1_000)),
            (&[("page", "3")], (40, 20)),
            (&[("page", "2"), ("page_size", "7"), ("limit", "1")], (7, 7)),
            (&[("page_size", "7")], (0, 7)),
        ] {
            assert_eq!(window(&asked(pairs)).unwrap(), expected, "{pairs:?}");
        }
        for (name, value) in [("limit", "0"), ("page", "0"), ("offset", "-1"), ("page_size", "all")] {
            let error = window(&asked(&[(name, value)])).unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }
}
