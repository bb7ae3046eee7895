//! `admin`: the operator's own address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize, Serializer};

use super::assembly::Assembly;
use super::auth::SecretDigest;
use super::error::ConfigError;
use super::scalar::Parsed;
use super::server::{HostName, ListenAddress, Server, is_loopback};
use super::yaml::KeyPath;

const DEFAULT_PORT: u16 = 8090;

/// The admin API.
#[derive(Clone, Debug, Serialize)]
pub struct Admin {
    /// Where it listens. Without a token a loopback address.
    pub listen: SocketAddr,
    /// SHA-256 of the token that every request must carry, if one must.
    #[serde(rename = "wants_token", serialize_with = "whether_some")]
    pub token: Option<SecretDigest>,
    /// Names by which it may be called, beside IP addresses and those of this machine.
    pub hosts: Vec<String>,
}

/// A configuration's digest shall not tell a token, only whether there is one.
fn whether_some<S: Serializer>(token: &Option<SecretDigest>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(token.is_some())
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAdmin {
    enabled: Option<bool>,
    listen: Option<Parsed<ListenAddress>>,
    token_sha256: Option<Parsed<SecretDigest>>,
    hosts: Option<Vec<Parsed<HostName>>>,
}

impl RawAdmin {
    /// `None`: it is switched off.
    pub(super) fn assemble(self, server: &Server, assembly: &Assembly<'_>) -> Result<Option<Admin>, ConfigError> {
        if self.enabled == Some(false) {
            return Ok(None);
        }
        let listen = match self.listen {
            Some(Parsed(ListenAddress(address))) => address,
            None => (Ipv4Addr::LOCALHOST, DEFAULT_PORT).into(),
        };
        assembly.not_empty(KeyPath::of("admin.token_sha256"), "nobody needs a token")?;
        let token = self.token_sha256.map(|Parsed(digest)| digest);
        if token.is_none() && !is_loopback(listen) {
            return Err(assembly.invalid(
                KeyPath::of("admin.listen"),
                format!(
                    "found {listen}, which other machines can reach, without a token: set admin.token_sha256 (the \
                     SHA-256 of a random token), or listen on 127.0.0.1, or set admin.enabled: false"
                ),
            ));
        }
        if collide(listen, server.listen) {
            return Err(assembly.invalid(
                KeyPath::of("admin.listen"),
                format!("found {listen}, allowed: another port than that of server.listen ({})", server.listen),
            ));
        }
        Ok(Some(Admin { listen, token, hosts: HostName::listed(self.hosts) }))
    }
}

/// Whether one of two listeners could not be opened beside the other. Port 0 is any that is free; an address that stands
/// for all takes the port of each.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let (ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    let both = |all: IpAddr, ip: IpAddr| all.is_unspecified() && (all.is_ipv6() || ip.is_ipv4());
    one.port() != 0 && one.port() == other.port() && (ip == other_ip || both(ip, other_ip) || both(other_ip, ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_taken_by_whoever_listens_on_all_addresses_too() {
        for (one, other, expected) in [
            ("127.0.0.1:8080", "127.0.0.1:8080", true),
            ("127.0.0.1:8080", "127.0.0.1:8090", false),
            ("127.0.0.1:8080", "127.0.0.2:8080", false),
            ("0.0.0.0:8080", "127.0.0.1:8080", true),
            ("[::]:8080", "127.0.0.1:8080", true),
            ("[::]:8080", "[::1]:8080", true),
            ("0.0.0.0:8080", "[::1]:8080", false),
            ("[::ffff:127.0.0.1]:8080", "127.0.0.1:8080", true),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            let (first, second) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!((collide(first, second), collide(second, first)), (expected, expected), "{one} and {other}");
        }
    }
}
