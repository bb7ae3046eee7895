//! HTTP: the surfaces, and the server that carries them.
//!
//! This module owns the wire: who a caller is ([`identity`]), what web pages may not do, how bodies are read, how
//! answers and errors look, and the routes of each surface. It translates requests to [`crate::gateway`]'s types and
//! replies back, and decides nothing about them: policies do that, behind the gateway. It never calls a provider, never
//! writes a record, and keeps no state between requests but counters.
//!
//! ```text
//! socket -> serve -> entry -> route -> identity -> body -> gateway -> answer
//! ```

pub mod admin;
mod answer;
pub mod axonflow;
mod body;
mod cors;
mod entry;
mod errors;
mod guard;
mod handled;
mod header;
mod health;
pub mod identity;
mod image;
mod meter;
mod metrics;
mod nowhere;
mod openai;
mod provider_key;
pub mod serve;
mod sse;
mod stats;
mod whole;

use std::sync::Arc;
use std::time::Instant;

use axum::http::request::Parts;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::{Auth, Config, Role, Server};
use crate::gateway::Gateway;
use crate::in_flight::{Held, InFlight};
use entry::Entry;
use guard::{Guard, OfPage};
use identity::{Presented, Resolver};
use stats::Stats;

pub use errors::ApiError;
pub use serve::Limits;

/// What the handlers of all surfaces share.
pub struct App {
    gateway: Arc<Gateway>,
    identity: Resolver,
    /// What callers may do in open mode, web pages apart.
    open_role: Role,
    guard: Guard,
    in_flight: InFlight,
    body_limit: usize,
    /// Whether callers may bring their own keys for upstreams.
    caller_keys: bool,
    honest_status: bool,
    stats: Stats,
    prometheus: PrometheusHandle,
    started: Instant,
}

impl std::fmt::Debug for App {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("App").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

impl App {
    /// In front of `gateway`, as the configuration says. Requests are counted among what is `in_flight`; `prometheus` shows
    /// what is counted.
    pub fn new(
        gateway: Arc<Gateway>,
        server: &Server,
        auth: &Auth,
        in_flight: InFlight,
        prometheus: PrometheusHandle,
    ) -> Arc<Self> {
        Arc::new(Self {
            gateway,
            identity: Resolver::new(auth.clone()),
            // Nobody has proved anything. On this machine the caller is taken for its owner, as AxonFlow's community
            // user is; on a network it is anybody.
            open_role: if server.is_loopback() { Role::Admin } else { Role::Client },
            guard: Guard::new(server, auth),
            in_flight,
            body_limit: server.body_limit,
            caller_keys: server.caller_keys,
            honest_status: server.honest_status,
            stats: Stats::default(),
            prometheus,
            started: Instant::now(),
        })
    }

    /// Who the head of a request presents. From here on what the request holds is its tenant's; in open mode, where
    /// everybody makes up tenants, nobody's.
    fn presented(&self, head: &Parts) -> Result<Presented<'_>, ApiError> {
        let presented = self.identity.presented(&head.headers)?;
        if let Presented::Known { client, .. } = &presented
            && let Some(held) = head.extensions.get::<Held>()
        {
            held.belongs_to(&client.tenant);
        }
        Ok(presented)
    }

    /// What who is presented may do. In open mode a web page is nobody's owner, whoever's machine it is shown on: where its
    /// origin is listed it may use the gateway, and not change it for others.
    fn role(&self, head: &Parts, presented: &Presented<'_>) -> Role {
        let is_of_page = head.extensions.get::<OfPage>().is_some();
        presented.role(if is_of_page { Role::Client } else { self.open_role })
    }
}

/// Serves the gateway until `shutdown` is cancelled, and then until requests in flight are done.
pub async fn serve(
    listener: TcpListener,
    config: &Config,
    gateway: Arc<Gateway>,
    in_flight: InFlight,
    prometheus: PrometheusHandle,
    shutdown: CancellationToken,
) {
    let out_of_time = gateway.out_of_time().clone();
    let app = App::new(gateway, &config.server, &config.auth, in_flight, prometheus);
    let entry = Entry::new(app.clone(), routes(app));
    let handle = move |request| entry.clone().handle(request);
    serve::serve(listener, handle, Limits::from(&config.server), shutdown, out_of_time).await;
}

/// All routes.
fn routes(app: Arc<App>) -> axum::Router {
    meter::describe();
    axum::Router::new()
        .route("/health", get(health::handle))
        .route("/metrics", get(metrics::handle))
        .route("/prometheus", get(metrics::prometheus))
        .merge(axonflow::routes())
        .merge(openai::routes())
        .fallback(nowhere::handle)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .with_state(app)
}
