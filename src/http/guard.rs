//! What web pages may not do: spend the operator's key through a gateway on the visitor's machine.
//!
//! - A request that a page of another origin made says so (`Origin`, `Sec-Fetch-Site`) and is refused, unless the origin is
//!   listed (`server.allowed_origins`). No other page could read an answer anyway, for want of a CORS header; but a
//!   request that is only sent costs money too.
//! - DNS rebinding makes a foreign page look like one of our own: its name, in our `Host` header, resolves to 127.0.0.1.
//!   An open gateway on loopback therefore answers only to names that nobody can point elsewhere: IP addresses,
//!   `localhost` and what ends in it; and to those that are listed (`server.hosts`), such as `host.docker.internal`, which
//!   the network's resolver may answer for. With `auth.mode: clients` a page has no secret; on an open network
//!   (`auth.allow_open_network`) the names of the machine are not known and everybody may call in any case: both do
//!   without this check. The admin API has it always, with a token too, and a list of its own (`admin.hosts`).

use std::net::{IpAddr, Ipv6Addr};

use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Uri};

use super::errors::ApiError;
use crate::config::{Admin, Auth, Origin, Server};

/// The checks of every request, before anything else.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    hosts: Hosts,
    /// Those that are listed. `None` where none can be.
    origins: Option<Vec<Origin>>,
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

/// Marks a request that a page of a listed origin made.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfPage;

impl Guard {
    /// Of the gateway.
    pub(super) fn new(server: &Server, auth: &Auth) -> Self {
        let hosts = if matches!(auth, Auth::Open) && server.is_loopback() {
            Hosts::Local {
                further: server.hosts.clone(),
                remedy: "list the name in server.hosts, or set auth.mode: clients",
            }
        } else {
            Hosts::Any
        };
        Self { hosts, origins: Some(server.allowed_origins.clone()) }
    }

    /// Of the admin API.
    pub(super) fn of_admin(admin: &Admin) -> Self {
        let hosts = Hosts::Local { further: admin.hosts.clone(), remedy: "list the name in admin.hosts" };
        Self { hosts, origins: None }
    }

    /// Lets a request pass, or not. The origin of one that a listed origin's page made: it may read the answer.
    pub(super) fn check<'r>(&self, parts: &'r Parts) -> Result<Option<&'r HeaderValue>, ApiError> {
        let host = host(&parts.uri, &parts.headers)?;
        if let (Hosts::Local { further, remedy }, Some(host)) = (&self.hosts, host)
            && !is_local(host)
            && !further.iter().any(|name| name.eq_ignore_ascii_case(without_port(host)))
        {
            return Err(ApiError::ForeignHost { remedy });
        }
        let mut listed = None;
        for origin in parts.headers.get_all(ORIGIN) {
            if self.lists(origin) {
                listed = Some(origin);
            } else if !origin.to_str().is_ok_and(|origin| is_own(origin, host)) {
                return Err(self.foreign_origin());
            }
        }
        let mut sites = parts.headers.get_all("sec-fetch-site").iter();
        if listed.is_none() && sites.any(|site| site == "cross-site") {
            return Err(self.foreign_origin());
        }
        Ok(listed)
    }

    fn lists(&self, origin: &HeaderValue) -> bool {
        let mut listed = self.origins.iter().flatten();
        listed.any(|it| origin.as_bytes().eq_ignore_ascii_case(it.as_str().as_bytes()))
    }

    fn foreign_origin(&self) -> ApiError {
        let remedy = match self.origins {
            Some(_) => "; if this page may use the gateway, list its origin in server.allowed_origins",
            None => "",
        };
        ApiError::ForeignOrigin { remedy }
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
    name.parse::<IpAddr>().is_ok() || name.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case("localhost"))
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

    fn head(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn check(hosts: Hosts, headers: &[(&str, &str)]) -> Option<&'static str> {
        Guard { hosts, origins: None }.check(&head(headers)).err().map(|error| error.code())
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
    fn pages_of_listed_origins_pass() {
        let listed = ["https://app.example", "tauri://localhost"].map(|it| Origin::parse(it).unwrap());
        let guard = Guard { hosts: local(&[]), origins: Some(listed.into()) };
        let host = ("host", "localhost:8080");
        let site = ("sec-fetch-site", "cross-site");
        for (headers, expected) in [
            (vec![host, ("origin", "https://app.example"), site], Ok(Some("https://app.example"))),
            (vec![host, ("origin", "tauri://localhost")], Ok(Some("tauri://localhost"))),
            (vec![host, ("origin", "http://localhost:8080")], Ok(None)),
            (vec![host], Ok(None)),
            (vec![host, site], Err("foreign_origin")),
            (vec![host, ("origin", "https://app.example:8443")], Err("foreign_origin")),
            (vec![host, ("origin", "http://app.example")], Err("foreign_origin")),
            (vec![host, ("origin", "https://app.example.evil")], Err("foreign_origin")),
            (vec![host, ("origin", "https://app.example"), ("origin", "https://evil")], Err("foreign_origin")),
            (vec![("host", "evil.example"), ("origin", "https://app.example")], Err("foreign_host")),
        ] {
            let head = head(&headers);
            let passed = guard.check(&head).map(|origin| origin.map(|it| it.to_str().unwrap()));
            assert_eq!(passed.map_err(|error| error.code()), expected, "{headers:?}");
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
        ] {
            assert_eq!(check(local(&[]), &[("host", host)]), None, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "host.docker.internal:8080",
            "[evil]",
            "",
        ] {
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
