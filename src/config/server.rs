//! `server`: where the gateway listens and what it accepts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use super::assembly::Assembly;
use super::error::ConfigError;
use super::origin::Origin;
use super::scalar::{FromText, Parsed, Size, Span, Whole};
use super::yaml::{self, KeyPath};

const DEFAULT_PORT: u16 = 8080;

/// Each request of a web page is compared with all of them.
const MOST_ORIGINS: usize = 100;

/// The HTTP server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Server {
    /// Where it listens. In open mode a loopback address, unless `auth.allow_open_network` is set.
    pub listen: SocketAddr,
    /// Names by which an open gateway on loopback may be called, beside IP addresses and those of this machine.
    pub hosts: Vec<String>,
    /// Whose web pages may use it, beside its own.
    pub allowed_origins: Vec<Origin>,
    /// The longest request body, in bytes.
    pub body_limit: usize,
    /// What requests and answers may hold in memory together, in bytes as they travel.
    pub max_bytes_in_flight: usize,
    /// Whether callers may bring their own key for an upstream, in `X-Provider-Key`.
    pub caller_keys: bool,
    /// Whether a provider's failure answers with the status of its class rather than 200 with `success: false`.
    pub honest_status: bool,
    /// Connections at one time.
    pub max_connections: usize,
    /// How long a client may take to send its request's head.
    pub header_timeout: Duration,
    /// How long requests in flight may take after a signal to stop.
    pub shutdown_timeout: Duration,
}

impl Server {
    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.listen)
    }
}

/// Whether only this machine can reach what listens there.
pub(super) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// `ADDRESS:PORT`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListenAddress(pub(super) SocketAddr);

impl FromText for ListenAddress {
    fn allowed() -> String {
        "`ADDRESS:PORT`, such as \"127.0.0.1:8080\", \"[::1]:8080\" or \"localhost:8080\"".into()
    }

    fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        match text.strip_prefix("localhost:") {
            Some(port) => Some(Self((Ipv4Addr::LOCALHOST, port.parse().ok()?).into())),
            None => text.parse().ok().map(Self),
        }
    }
}

/// A host's name, without a port.
#[derive(Clone, Debug)]
pub(super) struct HostName(String);

impl HostName {
    /// The names of a list that may be left out.
    pub(super) fn listed(names: Option<Vec<Parsed<Self>>>) -> Vec<String> {
        names.unwrap_or_default().into_iter().map(|Parsed(Self(name))| name).collect()
    }
}

impl FromText for HostName {
    fn allowed() -> String {
        "a host's name without port, such as \"octroi.example.org\"".into()
    }

    fn from_text(text: &str) -> Option<Self> {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let name = text.trim().trim_end_matches('.');
        (!name.is_empty() && name.len() <= 253 && name.bytes().all(inside)).then(|| Self(name.to_ascii_lowercase()))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawServer {
    listen: Option<Parsed<ListenAddress>>,
    hosts: Option<Vec<Parsed<HostName>>>,
    allowed_origins: Option<Vec<Parsed<Origin>>>,
    body_limit: Option<Size<1_024, { 1 << 30 }>>,
    max_bytes_in_flight: Option<Size<{ 1 << 20 }, { 1 << 40 }>>,
    caller_keys: Option<bool>,
    honest_status: Option<bool>,
    max_connections: Option<Whole<1, 1_000_000>>,
    header_timeout: Option<Parsed<Span<100, 300_000>>>,
    shutdown_timeout: Option<Parsed<Span<0, 600_000>>>,
}

impl RawServer {
    pub(super) fn assemble(self, assembly: &mut Assembly<'_>) -> Result<Server, ConfigError> {
        let listen = match self.listen {
            Some(Parsed(ListenAddress(address))) => address,
            None => {
                let port = assembly.environment.parsed::<Whole<0, 65_535>>("PORT")?;
                (IpAddr::from(Ipv4Addr::LOCALHOST), port.map_or(DEFAULT_PORT, Whole::get)).into()
            }
        };
        let allowed_origins = match self.allowed_origins {
            Some(origins) => origins.into_iter().map(|Parsed(origin)| origin).collect(),
            None => origins_of_environment(assembly),
        };
        if allowed_origins.len() > MOST_ORIGINS {
            let found = format!("found {} origins, allowed: at most {MOST_ORIGINS}", allowed_origins.len());
            return Err(assembly.invalid(KeyPath::of("server.allowed_origins"), found));
        }
        let body_limit = self.body_limit.map_or(10 << 20, Size::bytes);
        let max_bytes_in_flight = self.max_bytes_in_flight.map_or(512 << 20, Size::bytes);
        if body_limit > max_bytes_in_flight {
            assembly.warn(format!(
                "server.body_limit is above server.max_bytes_in_flight: {} against {}; a request that is longer than that \
                 is refused with 429 as often as it is tried, and not with 413",
                ByteSize(body_limit as u64),
                ByteSize(max_bytes_in_flight as u64)
            ));
        }
        Ok(Server {
            listen,
            hosts: HostName::listed(self.hosts),
            allowed_origins,
            body_limit,
            max_bytes_in_flight,
            caller_keys: self.caller_keys.unwrap_or(false),
            honest_status: self.honest_status.unwrap_or(false),
            max_connections: self.max_connections.map_or(4_096, Whole::get),
            header_timeout: self.header_timeout.map_or(Duration::from_secs(10), |Parsed(Span(time))| time),
            shutdown_timeout: self.shutdown_timeout.map_or(Duration::from_secs(30), |Parsed(Span(time))| time),
        })
    }
}

/// AxonFlow's variable, a list with commas. Its community edition has `*` there, which is nothing that this gateway does.
fn origins_of_environment(assembly: &mut Assembly<'_>) -> Vec<Origin> {
    const VARIABLE: &str = "AXONFLOW_CORS_ALLOWED_ORIGINS";
    let environment = assembly.environment;
    let written = environment.get(VARIABLE).unwrap_or_default().split(',').map(str::trim).filter(|it| !it.is_empty());
    let mut origins = Vec::new();
    for text in written {
        match Origin::parse(text) {
            Some(origin) => origins.push(origin),
            None => {
                let found = yaml::quoted(text);
                assembly.warn(format!("{VARIABLE}: {found} is passed over, allowed: {}", Origin::allowed()));
            }
        }
    }
    origins
}
