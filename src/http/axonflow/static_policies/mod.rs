//! `/api/v1/static-policies`: rules that applications make, list, change and try while the gateway runs.
//!
//! A tenant sees and changes its own, and sees those of all (tier `organization`), which the role `admin` changes, who also
//! sees, disables and deletes other tenants'. The policies of the folder are listed as tier `system`.

mod failure;
mod list;
mod policy;
mod test;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::{get, post};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::words::{ActionWord, SeverityWord, TierWord};
use super::{query, time};
use crate::gateway::static_policies::rules::{Fields, Rule, Tier};
use crate::gateway::static_policies::{Author, Found, StaticPolicyError};
use crate::http::answer::json;
use crate::http::{ApiError, App, body};
use crate::policy::manifest::Phase;
use failure::Failure;
use policy::{ORGANIZATION, Policy};

/// The routes. `effective`, `overrides` and `test` stand beside ids. There are no overrides, and who asks for them, or for
/// one, is told so.
pub(super) fn routes() -> Router<Arc<App>> {
    let one = get(read).put(update).patch(update).delete(delete);
    Router::new()
        .route("/api/v1/static-policies", get(list::handle).post(create))
        .route("/api/v1/static-policies/effective", get(effective))
        .route("/api/v1/static-policies/overrides", get(overrides))
        .route("/api/v1/static-policies/test", post(test::handle))
        .route("/api/v1/static-policies/{id}", one)
        .route("/api/v1/static-policies/{id}/override", post(overrides).delete(overrides))
        .route("/api/v1/static-policies/{id}/versions", get(versions))
}

type Answered = Result<Response, Failure>;

/// What may be said about a policy. A partial one changes what it says.
#[derive(Deserialize)]
struct Said {
    name: Option<String>,
    description: Option<String>,
    category: Option<String>,
    tier: Option<TierWord>,
    pattern: Option<String>,
    severity: Option<SeverityWord>,
    phases: Option<Vec<PhaseWord>>,
    enabled: Option<bool>,
    action: Option<ActionWord>,
    priority: Option<i64>,
    tags: Option<Vec<String>>,
}

impl Said {
    fn fields(self) -> Fields {
        Fields {
            name: self.name,
            description: self.description,
            category: self.category,
            pattern: self.pattern,
            severity: self.severity.map(SeverityWord::severity),
            action: self.action.map(ActionWord::action),
            phases: self.phases.map(|phases| phases.into_iter().map(PhaseWord::phase).collect()),
            enabled: self.enabled,
            priority: self.priority,
            tags: self.tags,
        }
    }
}

/// What a rule may judge.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PhaseWord {
    PreCheck,
    Response,
}

impl PhaseWord {
    fn phase(self) -> Phase {
        match self {
            Self::PreCheck => Phase::PreCheck,
            Self::Response => Phase::Response,
        }
    }
}

/// Who asks.
fn author(app: &App, head: &Parts) -> Result<Author, ApiError> {
    let presented = app.presented(head)?;
    let caller = presented.caller(None, None)?;
    Ok(Author { client: caller.client, tenant: caller.tenant, role: app.role(head, &presented) })
}

async fn said(app: &App, head: &Parts, content: Body) -> Result<Said, ApiError> {
    body::parse(&body::read(head, content, app.body_limit).await?)
}

/// The id of the path.
fn id(path: Result<Path<String>, PathRejection>) -> Result<String, Failure> {
    path.map(|Path(id)| id).map_err(|_| StaticPolicyError::NotFound.into())
}

/// A rule, as it counts now.
fn shown(app: &App, rule: &Rule) -> Policy {
    let policies = app.gateway.static_policies();
    Policy::of_rule_under(rule, policies.status().as_ref(), policies.since())
}

/// `POST /api/v1/static-policies`.
async fn create(State(app): State<Arc<App>>, request: Request) -> Answered {
    let (head, content) = request.into_parts();
    let author = author(&app, &head)?;
    let said = said(&app, &head, content).await?;
    let tier = match said.tier {
        None | Some(TierWord::Tenant) => Tier::Tenant,
        Some(TierWord::Organization) => Tier::Organization,
        Some(TierWord::System) => return Err(StaticPolicyError::System.into()),
    };
    let rule = app.gateway.static_policies().create(author, tier, said.fields()).await?;
    Ok(json(StatusCode::CREATED, &shown(&app, &rule)))
}

/// `GET /api/v1/static-policies/{id}`.
async fn read(State(app): State<Arc<App>>, path: Result<Path<String>, PathRejection>, head: Parts) -> Answered {
    let author = author(&app, &head)?;
    let policies = app.gateway.static_policies();
    let policy = match policies.find(&author, &id(path)?)? {
        Found::Rule(rule) => shown(&app, &rule),
        Found::System(status) => Policy::of_folder(&status, policies.since()),
    };
    Ok(json(StatusCode::OK, &policy))
}

/// `PUT` and `PATCH /api/v1/static-policies/{id}`: both change what the body says, and nothing else.
async fn update(State(app): State<Arc<App>>, path: Result<Path<String>, PathRejection>, request: Request) -> Answered {
    let (head, content) = request.into_parts();
    let author = author(&app, &head)?;
    let id = id(path)?;
    let said = said(&app, &head, content).await?;
    let policies = app.gateway.static_policies();
    if let Some(tier) = said.tier
        && let Found::Rule(rule) = policies.find(&author, &id)?
        && tier != shown(&app, &rule).tier
    {
        return Err(ApiError::field("tier", "it cannot be changed: delete the policy and create it anew").into());
    }
    let rule = policies.update(author, id, said.fields()).await?;
    Ok(json(StatusCode::OK, &shown(&app, &rule)))
}

/// `DELETE /api/v1/static-policies/{id}`.
async fn delete(State(app): State<Arc<App>>, path: Result<Path<String>, PathRejection>, head: Parts) -> Answered {
    let author = author(&app, &head)?;
    app.gateway.static_policies().delete(author, id(path)?).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

#[derive(Deserialize)]
struct Wanted {
    category: Option<String>,
    include_disabled: Option<String>,
}

#[derive(Serialize)]
struct Effective {
    #[serde(rename = "static")]
    rules: Vec<Policy>,
    /// There are none in this version.
    dynamic: [(); 0],
    tenant_id: String,
    organization_id: &'static str,
    computed_at: Timestamp,
}

/// `GET /api/v1/static-policies/effective`: what applies to the caller's requests.
async fn effective(State(app): State<Arc<App>>, head: Parts) -> Answered {
    let author = author(&app, &head)?;
    let wanted: Wanted = query::read(&head.uri, "expected `category` and `include_disabled`, each at most once")?;
    let disabled = query::truth("include_disabled", wanted.include_disabled.as_deref())?.unwrap_or(false);
    let category = query::given(wanted.category);
    let mut rules = list::all(&app, &author.tenant, |status| {
        status.manifest.as_ref().is_none_or(|manifest| manifest.scope.covers_client(&author.client))
    })?;
    rules.retain(|policy| {
        (disabled || policy.enabled) && category.as_ref().is_none_or(|category| policy.category == *category)
    });
    let answer = Effective {
        rules,
        dynamic: [],
        tenant_id: author.tenant,
        organization_id: ORGANIZATION,
        computed_at: time::now(),
    };
    Ok(json(StatusCode::OK, &answer))
}

/// `GET /api/v1/static-policies/overrides`, and `POST` and `DELETE` of a policy's `override`.
async fn overrides(State(app): State<Arc<App>>, head: Parts) -> Answered {
    author(&app, &head)?;
    Err(ApiError::NotFound { hint: "; there are no overrides in Octroi, change the policy itself" }.into())
}

#[derive(Serialize)]
struct Versions {
    policy_id: String,
    versions: Vec<Version>,
    count: usize,
}

#[derive(Serialize)]
struct Version {
    id: String,
    policy_id: String,
    version: u64,
    changed_at: Timestamp,
    change_type: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    changed_by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    change_summary: String,
    /// The whole policy, as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<Policy>,
}

/// `GET /api/v1/static-policies/{id}/versions`: the last five, the newest first.
async fn versions(State(app): State<Arc<App>>, path: Result<Path<String>, PathRejection>, head: Parts) -> Answered {
    let author = author(&app, &head)?;
    let policies = app.gateway.static_policies();
    let (policy_id, versions) = policies.versions(&author, &id(path)?).await?;
    let versions: Vec<_> = versions
        .into_iter()
        .map(|version| Version {
            id: format!("{policy_id}.{}", version.version),
            policy_id: policy_id.clone(),
            version: version.version,
            changed_at: version.at,
            change_type: version.change.as_str(),
            snapshot: version.rule().map(|rule| Policy::of_rule(&rule, policies.since())),
            changed_by: version.by,
            change_summary: version.summary,
        })
        .collect();
    let count = versions.len();
    Ok(json(StatusCode::OK, &Versions { policy_id, versions, count }))
}
