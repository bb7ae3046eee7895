//! `POST /api/v1/audit/search` and `GET /api/v1/audit/tenant/{id}`: one tenant's entries, newest first.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query as UrlQuery, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;

use super::query::given;
use super::read_scope::ReadScope;
use super::{name, time};
use crate::audit::{Page, Query};
use crate::http::answer::{json, json_that_takes_room};
use crate::http::identity::{checked, user};
use crate::http::{ApiError, App, body, whole};

/// The page of the tenant route when the caller names no size.
const TENANT_LIMIT: u32 = 50;

#[derive(Deserialize)]
struct Body {
    client_id: Option<String>,
    user_email: Option<String>,
    start_time: Option<String>,
    end_time: Option<String>,
    action: Option<String>,
    request_type: Option<String>,
    decision_id: Option<String>,
    request_id: Option<String>,
    policy_name: Option<String>,
    override_id: Option<String>,
    #[serde(default, deserialize_with = "whole::read")]
    limit: Option<u32>,
    #[serde(default, deserialize_with = "whole::read")]
    offset: Option<u64>,
}

/// `POST /api/v1/audit/search`. `client_id` is a filter; whose entries are searched, the headers say.
pub(super) async fn search(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    let (head, content) = request.into_parts();
    let presented = app.presented(&head)?;
    let body: Body = body::parse(&body::read(&head, content, app.body_limit).await?)?;
    body::settle(&head, 0);
    let tenant = presented.searched_tenant(body.client_id.as_deref())?;
    let scope = ReadScope::of(&head.headers)?;
    let asked = match given(body.user_email) {
        // As records show it, should somebody search by a token. Who names nobody is not shown everybody.
        Some(person) => Some(user(person).ok_or_else(|| ApiError::field("user_email", "is blank"))?),
        None => None,
    };
    // There are no overrides here, so that no entry has one.
    let finds_nothing =
        given(body.override_id).is_some() || asked.as_deref().is_some_and(|person| scope.excludes(person));
    let query = Query {
        client_id: name("client_id", body.client_id)?,
        user_email: scope.person().or(asked),
        start: time::read("start_time", body.start_time)?,
        end: time::read("end_time", body.end_time)?,
        action: given(body.action),
        request_type: given(body.request_type),
        decision_id: given(body.decision_id),
        request_id: given(body.request_id),
        policy_name: given(body.policy_name),
        limit: body.limit.unwrap_or(Query::DEFAULT_LIMIT),
        offset: body.offset.unwrap_or(0),
        ..Query::new(tenant)
    };
    if finds_nothing {
        let none = Page { entries: Vec::new(), total: 0, limit: query.limit, offset: query.offset };
        return Ok(scope.stated(json(StatusCode::OK, &none)));
    }
    found(&app, &head, query, &scope).await
}

#[derive(Deserialize)]
struct Paging {
    limit: Option<String>,
    offset: Option<String>,
}

/// `GET /api/v1/audit/tenant/{id}`.
pub(super) async fn tenant(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
    head: Parts,
) -> Result<Response, ApiError> {
    let presented = app.presented(&head)?;
    let Path(path) = path.map_err(|_| ApiError::field("tenant", "expected UTF-8, percent-encoded"))?;
    let tenant = presented.tenant_of_path(checked("tenant", &path)?.unwrap_or_default())?;
    let UrlQuery(paging) = UrlQuery::<Paging>::try_from_uri(&head.uri)
        .map_err(|_| ApiError::field("query", "expected `limit` and `offset`, each at most once"))?;
    let scope = ReadScope::of(&head.headers)?;
    let query = Query {
        user_email: scope.person(),
        limit: number("limit", paging.limit.as_deref())?.unwrap_or(TENANT_LIMIT),
        offset: number("offset", paging.offset.as_deref())?.unwrap_or(0),
        ..Query::new(tenant)
    };
    found(&app, &head, query, &scope).await
}

async fn found(app: &App, head: &Parts, query: Query, scope: &ReadScope) -> Result<Response, ApiError> {
    let page = app.gateway.audit().search(query).await?;
    Ok(scope.stated(json_that_takes_room(head, &page)?))
}

fn number<T: std::str::FromStr>(field: &'static str, text: Option<&str>) -> Result<Option<T>, ApiError> {
    let text = text.filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(|_| ApiError::field(field, "expected a whole number"))).transpose()
}
