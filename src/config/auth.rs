//! `auth`: who may call.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::assembly::Assembly;
use super::error::ConfigError;
use super::scalar::{FromText, Identifier, Parsed};
use super::server::Server;
use super::yaml::KeyPath;

/// Who may call.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// Everybody who can reach the address; callers say who they are.
    Open,
    /// Those listed, by their secrets. Never empty; ids and secrets are unique.
    Clients(Vec<Client>),
}

impl Auth {
    /// Who tenants are.
    pub fn tenants(&self) -> Tenants {
        match self {
            Self::Open => Tenants::Claimed,
            Self::Clients(_) => Tenants::Known,
        }
    }
}

/// Who the tenants are that share a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tenants {
    /// Whoever asks says so: there is nothing to share out among them.
    #[default]
    Claimed,
    /// Those of the configuration, which have proved it: one of them need not suffer for another.
    Known,
}

/// A caller that has a secret.
#[derive(Clone, Debug, Serialize)]
pub struct Client {
    /// Its id, which is also the user name of Basic credentials.
    pub id: String,
    /// Whose records it may read; its id when the file names none.
    pub tenant: String,
    /// SHA-256 of its secret.
    #[serde(skip)]
    pub secret: SecretDigest,
    /// Whether it may call.
    pub enabled: bool,
    /// What it may do.
    pub role: Role,
}

/// What a caller may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Call models, read its tenant's records, and change its tenant's static policies.
    #[default]
    Client,
    /// Change the static policies of all tenants as well.
    Admin,
}

/// SHA-256 of a secret. Not shown: a weak secret could be guessed from it.
#[derive(Clone, Copy)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// To be compared in constant time.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for SecretDigest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[secret]")
    }
}

/// Of nothing: what `printf '' | sha256sum` prints, which is how an unset variable ends up here.
const DIGEST_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

impl FromText for SecretDigest {
    fn allowed() -> String {
        "the SHA-256 of a secret that is not empty, as 64 hexadecimal digits".into()
    }

    fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        (!text.eq_ignore_ascii_case(DIGEST_OF_NOTHING)).then_some(Self(bytes))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Open,
    Clients,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAuth {
    mode: Option<Mode>,
    allow_open_network: Option<bool>,
    clients: Option<Vec<RawClient>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClient {
    id: Parsed<Identifier>,
    tenant: Option<Parsed<Identifier>>,
    secret_sha256: Parsed<SecretDigest>,
    enabled: Option<bool>,
    role: Option<Role>,
}

impl RawAuth {
    pub(super) fn assemble(self, server: &Server, assembly: &mut Assembly<'_>) -> Result<Auth, ConfigError> {
        assembly.not_empty(KeyPath::of("auth.mode"), "everybody may call")?;
        let clients = self.clients.unwrap_or_default();
        match self.mode.unwrap_or_default() {
            Mode::Open if !clients.is_empty() => Err(assembly.invalid(
                KeyPath::of("auth.clients"),
                "found clients while auth.mode is open, where nobody is asked for a secret: set auth.mode: clients, or \
                 remove them",
            )),
            Mode::Open if !server.is_loopback() && self.allow_open_network != Some(true) => Err(assembly.invalid(
                KeyPath::of("server.listen"),
                format!(
                    "found {}, which other machines can reach, while auth.mode is open: set auth.mode: clients and list \
                     auth.clients, or listen on 127.0.0.1, or set auth.allow_open_network: true to let everybody in",
                    server.listen
                ),
            )),
            Mode::Open => Ok(Auth::Open),
            Mode::Clients => listed(clients, assembly).map(Auth::Clients),
        }
    }
}

fn listed(raw: Vec<RawClient>, assembly: &mut Assembly<'_>) -> Result<Vec<Client>, ConfigError> {
    if raw.is_empty() {
        return Err(assembly
            .invalid(KeyPath::of("auth.clients"), "found none while auth.mode is clients, allowed: at least one"));
    }
    let (mut ids, mut secrets) = (BTreeMap::new(), BTreeMap::new());
    let mut clients = Vec::with_capacity(raw.len());
    for (index, client) in raw.into_iter().enumerate() {
        let path = || KeyPath::of("auth.clients").index(index);
        let (Parsed(Identifier(id)), Parsed(secret)) = (client.id, client.secret_sha256);
        if let Some(earlier) = ids.insert(id.clone(), index) {
            let reason = format!("found the id of auth.clients[{earlier}], allowed: one entry a client");
            return Err(assembly.invalid(path().key("id"), reason));
        }
        // A bearer secret alone says who calls.
        if let Some(earlier) = secrets.insert(secret.0, index) {
            let reason = format!("found the secret of auth.clients[{earlier}], allowed: one secret a client");
            return Err(assembly.invalid(path().key("secret_sha256"), reason));
        }
        clients.push(Client {
            tenant: client.tenant.map_or_else(|| id.clone(), |Parsed(Identifier(tenant))| tenant),
            id,
            secret,
            enabled: client.enabled.unwrap_or(true),
            role: client.role.unwrap_or_default(),
        });
    }
    if clients.iter().all(|client| !client.enabled) {
        assembly.warn("auth.clients: none is enabled, so nobody can call");
    }
    Ok(clients)
}
