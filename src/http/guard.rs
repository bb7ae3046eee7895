//! What web pages may not do: spend the operator's key through a gateway on the visitor's machine.
//!
//! - A request that a page of another origin made says so (`Origin`, `Sec-Fetch-Site`) and is refused. No answer has a
//!   CORS header, so no page could read it anyway; but a request that is only sent costs money too.
//! - DNS rebinding makes a foreign page look like one of our own: its name, in our `Host` header, resolves to 127.0.0.1.
//!   An open gateway on loopback therefore answers only to names that nobody can point elsewhere: IP addresses,
//!   `localhost` and what ends in it, and `host.docker.internal`, by which containers reach their host. With
//!   `auth.mode: clients` a page has no secret; on an open network (`auth.allow_open_network`) the names of the machine
//!   are not known and everybody may call in any case: both do without this check. The admin API has it always, with a
//!   token too: whoever calls it by another name lists that name (`admin.hosts`).

use std::net::{IpAddr, Ipv6Addr};

use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};

use super::errors::ApiError;
use crate::config::{Admin, Auth, Server};

/// Names that resolve to this machine and that nobody else can own.
const LOCAL_NAMES: [&str; 2] = ["localhost", "host.docker.internal"];

/// The checks of every request, before anything else.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    hosts: Hosts,
}

/// The names by which a surface may be called.
#[derive(Clone, Debug)]
enum Hosts {
    Any,
    /// Those that nobody can point elsewhere, and these. Who uses another is told the remedy.
    Local {
        further: Vec<String>,
        remedy: &'static str,
    },
}

impl Guard {
    /// Of the gateway.
    pub(super) fn new(server: &Server, auth: &Auth) -> Self {
        let hosts = if matches!(auth, Auth::Open) && server.is_loopback() {
            Hosts::Local { further: Vec::new(), remedy: "set auth.mode: clients" }
        } else {
            Hosts::Any
        };
        Self { hosts }
    }

    /// Of the admin API.
    pub(super) fn of_admin(admin: &Admin) -> Self {
        Self { hosts: Hosts::Local { further: admin.hosts.clone(), remedy: "list the name in admin.hosts" } }
    }

    pub(super) fn check(&self, parts: &Parts) -> Result<(), ApiError> {
        let host = host(&parts.uri, &parts.headers)?;
        if let (Hosts::Local { further, remedy }, Some(host)) = (&self.hosts, host)
            && !is_local(host)
            && !further.iter().any(|name| name.eq_ignore_ascii_case(without_port(host)))
        {
            return Err(ApiError::ForeignHost { remedy });
        }
        let mut origins = parts.headers.get_all(ORIGIN).iter();
        if !origins.all(|origin| origin.to_str().is_ok_and(|origin| is_own(origin, host))) {
            return Err(ApiError::ForeignOrigin);
        }
        if parts.headers.get_all("sec-fetch-site").iter().any(|site| site == "cross-site") {
            return Err(ApiError::ForeignOrigin);
        }
        Ok(())
    }
}

/// The host that the request is for, with its port. A request target in absolute form goes before the header.
fn host<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Result<Option<&'r str>, ApiError> {
    if let Some(authority) = uri.authority() {
        return Ok(Some(authority.as_str()));
    }
    let mut hosts = headers.get_all(HOST).iter();
    let Some(host) = hosts.next() else { return Ok(None) };
    match (host.to_str(), hosts.next()) {
        (Ok(host), None) => Ok(Some(host)),
        _ => Err(ApiError::field("Host", "expected one host name")),
    }
}

fn is_own(origin: &str, host: Option<&str>) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
}

fn is_local(host: &str) -> bool {
    if let Some(bracketed) = host.strip_prefix('[') {
        let address = bracketed.split_once(']').map(|(address, _)| address);
        return address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let name = without_port(host);
    name.parse::<IpAddr>().is_ok()
        || LOCAL_NAMES.iter().any(|local| name.eq_ignore_ascii_case(local))
        || name.rsplit_once('.').is_some_and(|(_, last)| last.eq_ignore_ascii_case("localhost"))
}

/// A name without port, and without the dot that may end it.
fn without_port(host: &str) -> &str {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn local(further: &[&str]) -> Hosts {
        Hosts::Local { further: further.iter().map(|it| (*it).to_owned()).collect(), remedy: "" }
    }

    fn check(hosts: Hosts, headers: &[(&str, &str)]) -> Option<&'static str> {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Guard { hosts }.check(&parts).err().map(|error| error.code())
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let host = ("host", "localhost:8080");
        for (headers, expected) in [
            (vec![host], None),
            (vec![], None),
            (vec![host, ("origin", "http://localhost:8080")], None),
            (vec![host, ("origin", "https://LOCALHOST:8080")], None),
            (vec![host, ("origin", "http://localhost:3000")], Some("foreign_origin")),
            (vec![host, ("origin", "https://evil.example")], Some("foreign_origin")),
            (vec![host, ("origin", "null")], Some("foreign_origin")),
            (vec![host, ("origin", "")], Some("foreign_origin")),
            (vec![host, ("origin", "http://localhost:8080"), ("origin", "http://evil")], Some("foreign_origin")),
            (vec![("origin", "http://localhost:8080")], Some("foreign_origin")),
            (vec![host, ("sec-fetch-site", "cross-site")], Some("foreign_origin")),
            (vec![host, ("sec-fetch-site", "same-origin")], None),
            (vec![host, ("sec-fetch-site", "none")], None),
            (vec![host, ("host", "localhost:8081")], Some("invalid_field")),
        ] {
            assert_eq!(check(local(&[]), &headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn an_open_gateway_on_loopback_answers_to_local_names_only() {
        for host in [
            "localhost",
            "localhost:8080",
            "LocalHost.",
            "octroi.localhost:8080",
            "127.0.0.1:8080",
            "127.0.0.1",
            "[::1]:8080",
            "[::1]",
            "192.168.1.7:8080",
            "host.docker.internal:8080",
        ] {
            assert_eq!(check(local(&[]), &[("host", host)]), None, "{host}");
        }
        for host in
            ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "[evil]", ""]
        {
            assert_eq!(check(local(&[]), &[("host", host)]), Some("foreign_host"), "{host}");
            assert_eq!(check(Hosts::Any, &[("host", host)]), None, "{host}");
        }
    }

    #[test]
    fn further_names_are_listed() {
        for (host, expected) in [
            ("octroi.example:8090", None),
            ("Octroi.Example.", None),
            ("localhost:8090", None),
            ("evil.example:8090", Some("foreign_host")),
            ("www.octroi.example", Some("foreign_host")),
        ] {
            assert_eq!(check(local(&["octroi.example"]), &[("host", host)]), expected, "{host}");
        }
    }
}
