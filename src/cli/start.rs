//! From a configuration to a running gateway, for `serve` and `dev` alike.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use metrics_exporter_prometheus::PrometheusHandle;
use rustix::process::{Resource, Rlimit};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::audit::AuditLog;
use crate::config::{self, Config};
use crate::gateway::{Gateway, Models};
use crate::http;
use crate::in_flight::InFlight;
use crate::policy::{Change, Pace, PolicyHost, Settings, Watcher};
use crate::provider::{self, ApiKey, Prices, Provider};
use crate::router::{self, Router};
use crate::telemetry;

/// How long one policy may take to load: longer than the processor time that its loader allows itself.
pub(super) const LOAD_TIMEOUT: Duration = Duration::from_secs(240);
/// How long records of requests whose clients are gone may take, once connections are closed.
const LAST_RECORDS: Duration = Duration::from_secs(4);
/// A reload begins this long after the first of many changes, at the latest.
const SETTLE_AT_MOST: Duration = Duration::from_secs(2);

/// How long the end waits for threads that cannot be interrupted: one that asks for a name's address waits for as long as
/// the system's resolver likes.
const LAST_THREADS: Duration = Duration::from_secs(1);
/// Files that are open beside those of connections and policies, with some to spare.
const OTHER_FILES: usize = 64;
/// Said when the end begins.
const SHUTTING_DOWN: &str = "shutting down: requests in flight are finished, records are written";
/// Connections that wait to be accepted, as tokio has it.
const BACKLOG: u32 = 1_024;

/// A runtime for a command. Two threads at least: a request must not wait for a reload.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime could not be started")
}

/// Runs a gateway, and does not wait for what it leaves behind.
pub(super) fn block_on<T>(gateway: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = runtime()?;
    let ended = runtime.block_on(gateway);
    runtime.shutdown_timeout(LAST_THREADS);
    ended
}

/// The policy host, as the configuration wants it.
pub(super) fn policy_host(config: &Config) -> anyhow::Result<(Arc<PolicyHost>, tokio::sync::mpsc::Receiver<Change>)> {
    allow_open_files();
    let policies = &config.policies;
    let settings = Settings {
        directory: policies.directory.clone(),
        required: policies.required.iter().cloned().collect(),
        providers: config.providers.iter().map(|provider| provider.name.as_str().to_owned()).collect(),
        cache: Some(policies.cache.clone()),
        cache_size: policies.cache_size,
        worker: policies.worker.clone(),
        max_concurrent: policies.max_concurrent,
        max_streams: policies.max_streams,
        tenants: config.auth.tenants(),
        load_timeout: LOAD_TIMEOUT,
        quiet: policies.reload_debounce,
    };
    Ok(PolicyHost::start(settings)?)
}

/// Every connection, a client's or a provider's, and every policy in force holds a file open. Many systems allow 1,024 until a process asks for more.
fn allow_open_files() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // What is allowed then is what was allowed before.
    let _ = rustix::process::setrlimit(Resource::Nofile, most);
}

/// Warns where connections and policies may take more files than may be open.
fn tell_of_few_files(config: &Config, policies: usize) {
    let needed = (2 * config.server.max_connections + policies + OTHER_FILES) as u64;
    let Some(limit) = rustix::process::getrlimit(Resource::Nofile).current else { return };
    if needed > limit {
        tracing::warn!(
            limit,
            needed,
            "fewer files may be open than connections may need, two for each: raise the hard limit (ulimit -Hn), or lower \
             server.max_connections"
        );
    }
}

/// The providers and the order among them, and what whoever starts them should know. Their answers are counted among what
/// is `in_flight`.
pub(super) fn router(config: &Config, in_flight: &InFlight) -> anyhow::Result<(Router, Vec<String>)> {
    let (prices, warnings) = prices(config)?;
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
        retry: routing.retry,
        breaker: routing.breaker,
        tenants: config.auth.tenants(),
    };
    Ok((Router::new(providers, routing)?, warnings))
}

/// The shipped prices, and over them those of the operator's file; a warning for each of its sections that nobody reads.
fn prices(config: &Config) -> anyhow::Result<(Prices, Vec<String>)> {
    let mut prices = Prices::shipped().context("the shipped prices")?;
    let Some(file) = &config.routing.prices else { return Ok((prices, Vec::new())) };
    let at = || format!("routing.prices: {}", file.display());
    let json = std::fs::read_to_string(file).with_context(at)?;
    let sections = prices.put_over(&json).with_context(at)?;
    let types = config::ProviderKind::ALL.map(config::ProviderKind::as_str);
    let names = config.providers.iter().map(|provider| provider.name.as_str());
    let known: Vec<&str> = names.chain(types).collect();
    let idle = sections.iter().filter(|section| !known.contains(&section.as_str()));
    let warning = |section: &String| {
        let section = section.escape_debug();
        format!("{}: section `{section}` is neither a type nor a provider that is started", at())
    };
    Ok((prices, idle.map(warning).collect()))
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
    let prices = match &provider.base_model {
        Some(base) => prices.of_deployment(provider.name.as_str(), &provider.model, base),
        None => prices.of(provider.name.as_str(), provider.kind),
    };
    let settings = provider::Settings {
        entry: provider.clone(),
        api_key: provider.api_key.as_ref().map(key).transpose()?,
        further_keys: provider.further_keys.iter().map(key).collect::<anyhow::Result<_>>()?,
        stream_deadline: routing.stream_deadline,
        max_response_bytes: routing.max_response_bytes,
        in_flight: in_flight.clone(),
        prices,
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
pub(super) async fn run(config: Config, models: Models, ready: impl FnOnce(Addresses)) -> anyhow::Result<()> {
    if config.providers.is_empty() {
        tracing::warn!("{}; pre-check and audit work, /api/request will fail", config::NO_PROVIDER_ADVICE);
    }
    // The signals first: one that comes while policies compile must not be lost.
    let stop = stop_signal()?;
    let ports = Ports::take(&config)?;
    let metrics = telemetry::start_metrics().context("metrics")?;
    let in_flight = InFlight::new(config.server.max_bytes_in_flight);
    let (router, warnings) = router(&config, &in_flight)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let router = Arc::new(router);
    let (policies, changes) = policy_host(&config)?;
    if config.audit.store == config::AuditStore::None {
        tracing::warn!("audit.url is none: nothing is recorded");
    }
    let audit = AuditLog::open(&super::audit::settings(&config.audit)?)?;
    // Before the first reload, so that the receiver of changes is read.
    let gateway = Gateway::start(policies, changes, router, audit, config.digest(), models).await?;
    // From here on there is a record of the start: whatever happens, one of the end follows.
    let served = serve(&config, gateway.clone(), ports, in_flight, metrics, stop, ready).await;
    let closed = gateway
        .shutdown(LAST_RECORDS.min(config.server.shutdown_timeout))
        .await
        .context("the audit could not be closed");
    match (served, closed) {
        (Err(error), Err(further)) => {
            tracing::error!("{further:#}");
            Err(error)
        }
        (served, closed) => served.and(closed),
    }
}

/// Loads the policies and serves until the end.
async fn serve(
    config: &Config,
    gateway: Arc<Gateway>,
    ports: Ports,
    in_flight: InFlight,
    metrics: PrometheusHandle,
    stop: CancellationToken,
    ready: impl FnOnce(Addresses),
) -> anyhow::Result<()> {
    let policies = gateway.policies().clone();
    let reload = tokio::select! {
        reload = policies.reload() => reload.with_context(|| unreadable(&config.policies))?,
        () = stop.cancelled() => {
            tracing::info!("{SHUTTING_DOWN}");
            return Ok(());
        }
    };
    if reload.set.live().next().is_none() && !config.policies.allow_none {
        bail!(
            "no policy is live: nothing in {} could be loaded (the log says why). Build the shipped ones with `make \
             plugins`, or set `policies.allow_none: true` to serve without any",
            config.policies.directory.display()
        );
    }
    tell_of_few_files(config, reload.set.live().count());
    let pace =
        Pace { quiet: config.policies.reload_debounce, at_most: SETTLE_AT_MOST, poll: config.policies.poll_interval };
    let mut watcher = Watcher::start(policies.clone(), &reload, pace);
    gateway.router().watch_health();

    let (listener, admin) = ports.open(config)?;
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
    let fault = async {
        let fault = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            () = watcher.ended() => Some("the policies directory is no longer watched"),
            () = gateway.audit().ended() => Some("the audit writer ended: nothing is recorded any more"),
        };
        tracing::info!("{SHUTTING_DOWN}");
        // In order, and with an exit code by which whoever started it starts it again.
        stop.cancel();
        fault
    };
    let ((), (), fault) = tokio::join!(
        http::serve(listener, config, gateway.clone(), in_flight, metrics, stop.clone()),
        administered,
        fault
    );
    drop(watcher);
    fault.map_or(Ok(()), |fault| bail!("{fault}; the gateway ended for it (the log may say why)"))
}

/// What is wrong where the folder of policies cannot be read.
pub(super) fn unreadable(policies: &config::Policies) -> String {
    format!("the policies directory {} cannot be read", policies.directory.display())
}

/// The ports, before anybody can connect to them.
struct Ports {
    gateway: TcpSocket,
    admin: Option<TcpSocket>,
}

impl Ports {
    /// Before anything else is done: one that is taken is an error at once.
    fn take(config: &Config) -> anyhow::Result<Self> {
        let listen = config.server.listen;
        let gateway = bound(listen).with_context(|| taken(config))?;
        let admin = match &config.admin {
            Some(admin) => Some(bound(admin.listen).with_context(|| taken_from_admin(admin))?),
            None => None,
        };
        Ok(Self { gateway, admin })
    }

    /// Once policies are loaded: until then nothing listens.
    fn open(self, config: &Config) -> anyhow::Result<(TcpListener, Option<(&config::Admin, TcpListener)>)> {
        let gateway = listening(self.gateway).with_context(|| taken(config))?;
        let admin = match self.admin.zip(config.admin.as_ref()) {
            Some((socket, admin)) => Some((admin, listening(socket).with_context(|| taken_from_admin(admin))?)),
            None => None,
        };
        Ok((gateway, admin))
    }
}

/// An address that is nobody else's from now on, though nothing listens there yet. `SO_REUSEADDR` stays off meanwhile:
/// two sockets that have it may both be bound until one of them listens. It is on for a moment where connections of the
/// process before linger at the address, which it passes over.
fn bound(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = || if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let first = socket()?;
    match first.bind(address) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let second = socket()?;
            second.set_reuseaddr(true)?;
            second.bind(address)?;
            second.set_reuseaddr(false)?;
            Ok(second)
        }
        bound => bound.map(|()| first),
    }
}

/// Its connections have `SO_REUSEADDR`, which the next process needs of those that linger.
fn listening(socket: TcpSocket) -> std::io::Result<TcpListener> {
    socket.set_reuseaddr(true)?;
    socket.listen(BACKLOG)
}

fn taken(config: &Config) -> String {
    format!("cannot listen on {} (server.listen, PORT)", config.server.listen)
}

fn taken_from_admin(admin: &config::Admin) -> String {
    format!("cannot listen on {} for the admin API (admin.listen; admin.enabled: false switches it off)", admin.listen)
}

/// Cancelled by the signals that ask for an orderly end. SIGHUP is one of them, as for any program that does not take it
/// for something else, unless whoever started it had it ignored (`nohup`).
fn stop_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let hangup = (!ignores_hangup()).then(SignalKind::hangup);
    for kind in [SignalKind::terminate(), SignalKind::interrupt()].into_iter().chain(hangup) {
        let mut signals = signal(kind).context("signals")?;
        let stop = stop.clone();
        tokio::spawn(async move {
            signals.recv().await;
            stop.cancel();
        });
    }
    Ok(stop)
}

/// Whether SIGHUP, the first signal, is ignored. Linux says so in a mask of hexadecimal digits.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
