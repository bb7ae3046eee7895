//! Where web pages come from that may use the gateway.

use std::net::Ipv6Addr;

use serde::Serialize;

use super::scalar::FromText;

/// A page's origin as its browser sends it: scheme, host, and the port where it is not the scheme's own. Neither `*` nor
/// `null`, which is every sandboxed frame's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Origin(String);

impl Origin {
    /// The origin, if `text` is one.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let (scheme, authority) = text.split_once("://")?;
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(inside);
        if text.len() > 300 || !is_scheme || !is_authority(authority) {
            return None;
        }
        let own_port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => "",
        };
        Some(Self(text.strip_suffix(own_port).unwrap_or(&text).to_owned()))
    }

    /// As text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromText for Origin {
    fn allowed() -> String {
        "an origin as browsers send it, such as \"https://app.example.org\" or \"tauri://localhost\", without a path"
            .into()
    }

    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

/// `HOST` or `HOST:PORT`.
fn is_authority(text: &str) -> bool {
    let is_port =
        |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    if let Some((address, port)) = text.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
        return address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let in_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !host.is_empty() && host.bytes().all(in_host) && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_browsers_send() {
        for (text, expected) in [
            ("https://app.example.org", "https://app.example.org"),
            (" HTTPS://App.Example.org:443 ", "https://app.example.org"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://localhost:80", "http://localhost"),
            ("http://[::1]:5173", "http://[::1]:5173"),
            ("tauri://localhost", "tauri://localhost"),
            ("app://.", "app://."),
            ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
            ("vscode-webview://0d1f-42", "vscode-webview://0d1f-42"),
        ] {
            assert_eq!(Origin::parse(text).unwrap().as_str(), expected, "{text}");
        }
        for text in [
            "",
            "*",
            "null",
            "app.example.org",
            "https://",
            "https://*.example.org",
            "https://a/",
            "https://a b",
            "1://a",
        ] {
            assert!(Origin::parse(text).is_none(), "{text}");
        }
    }
}
