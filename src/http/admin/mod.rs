//! The admin API: what whoever runs the gateway sees of its policies, and does with them.
//!
//! It has an address of its own (`admin.listen`) and shares nothing with the applications' surfaces but the server and
//! the guard against web pages. It reads and reloads policies and tries them; it sends nothing to a model, records
//! nothing, and none of its requests counts as a request of an application.
//!
//! Every answer that is no success is `{"error":{"code","message"}}`.

mod errors;
mod evaluate;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use super::answer::json;
use super::guard::Guard;
use super::serve::routed;
use super::{Limits, identity};
use crate::config::{self, SecretDigest, Server};
use crate::policy::PolicyHost;
use errors::AdminError;
use status::Policies;

/// Connections at one time.
const CONNECTIONS: usize = 64;
/// Reloads at one time: one that works, the others behind it.
const RELOADS: usize = 4;
/// Trials at one time: each takes a place among the evaluations of applications' requests.
const TRIALS: usize = 4;

/// What the handlers share.
struct Admin {
    policies: Arc<PolicyHost>,
    guard: Guard,
    token: Option<SecretDigest>,
    body_limit: usize,
    reloads: Arc<Semaphore>,
    trials: Semaphore,
}

/// Serves the admin API until `shutdown` is cancelled, and then until requests in flight are done.
pub async fn serve(
    listener: TcpListener,
    admin: &config::Admin,
    server: &Server,
    policies: Arc<PolicyHost>,
    shutdown: CancellationToken,
) {
    let limits = Limits { max_connections: CONNECTIONS, ..Limits::from(server) };
    let admin = Admin {
        policies,
        guard: Guard::of_admin(admin),
        token: admin.token,
        body_limit: server.body_limit,
        reloads: Arc::new(Semaphore::new(RELOADS)),
        trials: Semaphore::new(TRIALS),
    };
    super::serve::serve(listener, routed(router(Arc::new(admin))), limits, shutdown, CancellationToken::new()).await;
}

fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/admin/policies", get(list))
        .route("/admin/policies/reload", post(reload))
        .route("/admin/policies/{name}/evaluate", post(evaluate::handle))
        .fallback(async || AdminError::NotFound)
        .method_not_allowed_fallback(async || AdminError::MethodNotAllowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), admitted))
        .layer(CatchPanicLayer::custom(|_| AdminError::Internal.into_response()))
        .with_state(admin)
}

/// No web page of another origin, and nobody without the token where there is one.
async fn admitted(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match admin.admit(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(error) => error.into_response(),
    }
}

impl Admin {
    fn admit(&self, parts: &Parts) -> Result<(), AdminError> {
        self.guard.check(parts)?;
        let Some(token) = &self.token else { return Ok(()) };
        if !parts.headers.contains_key(AUTHORIZATION) {
            return Err(AdminError::NoToken);
        }
        let sent = Sha256::digest(identity::authorization(&parts.headers, "bearer").unwrap_or_default());
        let fits: bool = sent.as_slice().ct_eq(token.as_bytes().as_slice()).into();
        if fits { Ok(()) } else { Err(AdminError::WrongToken) }
    }
}

/// `GET /admin/policies`.
async fn list(State(admin): State<Arc<Admin>>) -> Response {
    json(StatusCode::OK, &Policies::of(&admin.policies, &admin.policies.set()))
}

#[derive(Serialize)]
struct Reloaded {
    from_generation: u64,
    changed: bool,
    /// Whether a file vanished: the scan that follows by itself decides whether its policy goes.
    again: bool,
    #[serde(flatten)]
    policies: Policies,
}

/// `POST /admin/policies/reload`. Answers when all that is new is loaded or refused.
async fn reload(State(admin): State<Arc<Admin>>) -> Result<Response, AdminError> {
    let place = Arc::clone(&admin.reloads).try_acquire_owned().map_err(|_| AdminError::Busy { what: "reloads" })?;
    let policies = Arc::clone(&admin.policies);
    // A task of its own: a reload that has begun goes on when whoever asked for it goes away.
    let reload = tokio::spawn(async move {
        let _place = place;
        policies.reload_anew().await
    });
    let reload = reload.await.map_err(|_| AdminError::Internal)?.map_err(AdminError::Directory)?;
    let answer = Reloaded {
        from_generation: reload.from.0,
        changed: reload.changed,
        again: reload.again.is_some(),
        policies: Policies::of(&admin.policies, &reload.set),
    };
    Ok(json(StatusCode::OK, &answer))
}
