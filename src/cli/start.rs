//! From a configuration to a running gateway, for `serve` and `dev` alike.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Resource, Rlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::audit::AuditLog;
use crate::config::{self, Config};
use crate::gateway::Gateway;
use crate::http;
use crate::in_flight::InFlight;
use crate::policy::{Change, Pace, PolicyHost, Settings, Watcher};
use crate::provider::{self, ApiKey, Prices, Provider};
use crate::router::{self, Router};
use crate::telemetry;

/// How long one policy may take to load: longer than the processor time that its loader allows itself.
pub(super) const LOAD_TIMEOUT: Duration = Duration::from_secs(240);
/// How long records of requests whose clients are gone may take, once connections are closed.
const LAST_RECORDS: Duration = Duration::from_secs(5);
/// A reload begins this long after the first of many changes, at the latest.
const SETTLE_AT_MOST: Duration = Duration::from_secs(2);

/// A runtime for a command. Two threads at least: a request must not wait for a reload.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime could not be started")
}

/// The policy host, as the configuration wants it.
pub(super) fn policy_host(config: &Config) -> anyhow::Result<(Arc<PolicyHost>, tokio::sync::mpsc::Receiver<Change>)> {
    allow_open_files();
    let policies = &config.policies;
    let settings = Settings {
        directory: policies.directory.clone(),
        required: policies.required.iter().cloned().collect(),
        cache: Some(policies.cache.clone()),
        cache_size: policies.cache_size,
        worker: policies.worker.clone(),
        max_concurrent: u32::try_from(policies.max_concurrent).unwrap_or(u32::MAX),
        max_streams: u32::try_from(policies.max_streams).unwrap_or(u32::MAX),
        load_timeout: LOAD_TIMEOUT,
    };
    Ok(PolicyHost::start(settings)?)
}

/// Every connection and every policy in force holds a file open. Many systems allow 1,024 until a process asks for more.
fn allow_open_files() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // What is allowed then is what was allowed before.
    let _ = rustix::process::setrlimit(Resource::Nofile, most);
}

/// The providers and the order among them. Their answers are counted among what is `in_flight`.
pub(super) fn router(config: &Config, in_flight: &InFlight) -> anyhow::Result<Router> {
    let prices = prices(config.routing.prices.as_deref())?;
    let started = |provider| started(provider, &config.routing, &prices, in_flight);
    let providers = config.providers.iter().map(started).collect::<anyhow::Result<Vec<_>>>()?;
    let routing = &config.routing;
    let weights = match &routing.weights {
        config::Weights::OfProviders => Default::default(),
        config::Weights::Listed(listed) => {
            listed.iter().map(|(name, weight)| (name.as_str().to_owned(), *weight)).collect()
        }
    };
    let models = |provider: &config::Provider| (provider.name.as_str().to_owned(), provider.model_map.clone());
    let routing = router::Routing {
        strategy: routing.strategy,
        weights,
        default: routing.default.as_ref().map(|name| name.as_str().to_owned()),
        model_maps: config.providers.iter().map(models).collect(),
        deadline: routing.deadline,
        retry: router::Retry {
            attempts: routing.retry.attempts,
            max_wait: routing.retry.max_wait,
            budget: routing.retry.budget,
        },
        breaker: router::BreakerSettings { failures: routing.breaker.failures, open_for: routing.breaker.open_for },
    };
    Ok(Router::new(providers, routing)?)
}

/// The shipped prices, and over them those of the operator's file.
fn prices(file: Option<&Path>) -> anyhow::Result<Prices> {
    let mut prices = Prices::shipped().context("the shipped prices")?;
    if let Some(file) = file {
        let at = || format!("routing.prices: {}", file.display());
        let json = std::fs::read_to_string(file).with_context(at)?;
        prices.put_over(&json).with_context(at)?;
    }
    Ok(prices)
}

fn started(
    provider: &config::Provider,
    routing: &config::Routing,
    prices: &Prices,
    in_flight: &InFlight,
) -> anyhow::Result<Arc<dyn Provider>> {
    let key = |key: &config::Secret| {
        ApiKey::new(key.expose()).with_context(|| format!("llm_providers.{}.credentials", provider.name))
    };
    let kind = provider.kind.as_str().parse()?;
    let settings = provider::Settings {
        name: provider.name.as_str().to_owned(),
        kind,
        display_name: provider.display_name.clone(),
        endpoint: provider.endpoint.as_str().to_owned(),
        http2: provider.http2,
        api_key: provider.api_key.as_ref().map(key).transpose()?,
        further_keys: provider.further_keys.iter().map(key).collect::<anyhow::Result<_>>()?,
        model: provider.model.clone(),
        models: provider.models.clone(),
        bridge_user_after_tool: provider.bridge_user_after_tool.clone(),
        without_reasoning_content: provider.without_reasoning_content.clone(),
        api_version: provider.api_version.clone(),
        max_tokens: provider.max_tokens,
        timeout: provider.timeout,
        stream_deadline: routing.stream_deadline,
        max_response_bytes: routing.max_response_bytes,
        in_flight: in_flight.clone(),
        prices: prices.of(provider.name.as_str(), kind),
        region: provider.region.clone(),
        priority: provider.priority,
        weight: provider.weight.get(),
    };
    Ok(provider::build(settings)?)
}

/// Where the gateway listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    /// For applications.
    pub(super) gateway: SocketAddr,
    /// For the operator; none when the admin API is off.
    pub(super) admin: Option<SocketAddr>,
}

/// Runs the gateway until a signal ends it. `ready` is called once requests are accepted.
pub(super) async fn run(config: Config, ready: impl FnOnce(Addresses)) -> anyhow::Result<()> {
    if config.providers.is_empty() {
        tracing::warn!("{}; pre-check and audit work, /api/request will fail", config::NO_PROVIDER_ADVICE);
    }
    // The signals first: one that comes while policies compile must not be lost.
    let stop = stop_signal()?;
    let metrics = telemetry::start_metrics().context("metrics")?;
    let in_flight = InFlight::new(config.server.max_bytes_in_flight);
    let router = Arc::new(router(&config, &in_flight)?);
    let (policies, changes) = policy_host(&config)?;
    if config.audit.store == config::AuditStore::None {
        tracing::warn!("audit.url is none: nothing is recorded");
    }
    let audit = AuditLog::open(&super::audit::settings(&config.audit)?)?;
    // Before the first reload, so that the receiver of changes is read.
    let gateway = Gateway::start(policies.clone(), changes, router.clone(), audit, config.digest()).await?;
    let reload = tokio::select! {
        reload = policies.reload() => reload.with_context(|| {
            format!("the policies directory {} cannot be read", config.policies.directory.display())
        })?,
        () = stop.cancelled() => return Ok(()),
    };
    if reload.set.live().next().is_none() && !config.policies.allow_none {
        bail!(
            "no policy is live: nothing in {} could be loaded (the log says why). Build the shipped ones with `make \
             plugins`, or set `policies.allow_none: true` to serve without any",
            config.policies.directory.display()
        );
    }
    let pace =
        Pace { quiet: config.policies.reload_debounce, at_most: SETTLE_AT_MOST, poll: config.policies.poll_interval };
    let watcher = Watcher::start(policies.clone(), &reload, pace);
    router.watch_health();

    let listener = TcpListener::bind(config.server.listen)
        .await
        .with_context(|| format!("cannot listen on {} (server.listen, PORT)", config.server.listen))?;
    let admin = match &config.admin {
        Some(admin) => Some((admin, listen_for_admin(admin).await?)),
        None => None,
    };
    let addresses = Addresses {
        gateway: listener.local_addr()?,
        admin: admin.as_ref().map(|(_, listener)| listener.local_addr()).transpose()?,
    };
    tracing::info!(
        address = %addresses.gateway,
        admin = addresses.admin.map_or_else(|| "off".to_owned(), |it| it.to_string()),
        generation = reload.set.generation().0,
        "octroi accepts requests"
    );
    ready(addresses);
    let administered = async {
        if let Some((admin, listener)) = admin {
            http::admin::serve(listener, admin, &config.server, policies, stop.clone()).await;
        }
    };
    let (served, ()) =
        tokio::join!(http::serve(listener, &config, gateway.clone(), in_flight, metrics, stop.clone()), administered);
    drop(watcher);
    tracing::info!("shutting down: requests in flight are finished, records are written");
    gateway
        .shutdown(LAST_RECORDS.min(config.server.shutdown_timeout))
        .await
        .context("the audit could not be closed")?;
    Ok(served?)
}

async fn listen_for_admin(admin: &config::Admin) -> anyhow::Result<TcpListener> {
    TcpListener::bind(admin.listen).await.with_context(|| {
        format!(
            "cannot listen on {} for the admin API (admin.listen; admin.enabled: false switches it off)",
            admin.listen
        )
    })
}

fn stop_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind).context("signals")?;
        let stop = stop.clone();
        tokio::spawn(async move {
            signals.recv().await;
            stop.cancel();
        });
    }
    Ok(stop)
}
