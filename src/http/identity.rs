//! Who calls: one resolver for all surfaces.
//!
//! - `auth.mode: open`: callers say who they are, and nobody checks. The client is the body's `client_id`, else
//!   `X-Client-ID`, else the user of Basic credentials, else `community`; its tenant is itself. Secrets and bearer keys
//!   are not looked at. Reads belong to the identity of the headers: a client that a search names is a filter. Only who
//!   has no identity in the headers (a `curl` by hand; SDKs always send one) is taken for the one that the search or the
//!   path names.
//! - `auth.mode: clients`: Basic `id:secret` or `Bearer secret`. The secret decides; every id beside it must fit.
//!
//! Header credentials are checked before a body is read ([`Resolver::presented`]), the rest when it is there.

mod user;

use std::borrow::Cow;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use super::errors::ApiError;
use crate::config::{Auth, Client, Role};
use crate::gateway::Caller;
use crate::text::does_harm;

pub use user::user;

/// The longest id, in bytes.
const ID: usize = 128;

/// Who calls and says nothing about it.
const COMMUNITY: &str = "community";

/// Finds out who calls.
#[derive(Debug)]
pub struct Resolver {
    auth: Auth,
}

/// What the headers say about the caller. With clients configured they have proved it.
#[derive(Debug)]
pub enum Presented<'a> {
    /// Open mode: what they claim, if anything.
    Claimed(Option<String>),
    /// A configured client.
    Known {
        /// The client.
        client: &'a Client,
        /// All of them.
        all: &'a [Client],
    },
}

impl Resolver {
    /// As the configuration says.
    pub fn new(auth: Auth) -> Self {
        Self { auth }
    }

    /// Who the headers present.
    pub fn presented(&self, headers: &HeaderMap) -> Result<Presented<'_>, ApiError> {
        match &self.auth {
            Auth::Open => claimed(headers).map(Presented::Claimed),
            Auth::Clients(all) => {
                let client = authenticate(all, headers)?;
                if !client.enabled {
                    return Err(ApiError::ClientDisabled);
                }
                for (name, own) in [("x-client-id", &client.id), ("x-tenant-id", &client.tenant)] {
                    if headers.get_all(name).iter().any(|value| !value.is_empty() && value.as_bytes() != own.as_bytes())
                    {
                        return Err(ApiError::TenantMismatch);
                    }
                }
                Ok(Presented::Known { client, all })
            }
        }
    }
}

impl Presented<'_> {
    /// Who asks, with what the body says. Nobody is `community`.
    pub fn caller(&self, client_id: Option<&str>, user_token: Option<String>) -> Result<Caller, ApiError> {
        let (client, tenant) = self.ids(client_id)?.unwrap_or((COMMUNITY, COMMUNITY));
        Ok(made(client, tenant, user_token))
    }

    /// The same where somebody must be named.
    pub fn named_caller(
        &self,
        client_id: Option<&str>,
        user_token: Option<String>,
    ) -> Result<Option<Caller>, ApiError> {
        Ok(self.ids(client_id)?.map(|(client, tenant)| made(client, tenant, user_token)))
    }

    /// What it may do; in open mode, where nobody has proved anything, `open`.
    pub fn role(&self, open: Role) -> Role {
        match self {
            Self::Claimed(_) => open,
            Self::Known { client, .. } => client.role,
        }
    }

    /// Client and tenant, if anybody is named.
    fn ids<'a>(&'a self, client_id: Option<&'a str>) -> Result<Option<(&'a str, &'a str)>, ApiError> {
        let named = client_id.map(|id| checked("client_id", id)).transpose()?.flatten();
        match self {
            Self::Claimed(claimed) => Ok(named.or(claimed.as_deref()).map(|client| (client, client))),
            Self::Known { client, .. } if named.is_some_and(|named| named != client.id) => {
                Err(ApiError::TenantMismatch)
            }
            Self::Known { client, .. } => Ok(Some((&client.id, &client.tenant))),
        }
    }

    /// Whose records a search may see, when it filters by this client.
    pub fn searched_tenant(&self, filter: Option<&str>) -> Result<String, ApiError> {
        let filter = filter.map(|id| checked("client_id", id)).transpose()?.flatten();
        match self {
            Self::Claimed(claimed) => Ok(claimed.as_deref().or(filter).unwrap_or(COMMUNITY).to_owned()),
            Self::Known { client, all } => {
                let is_own = |id: &str| all.iter().any(|it| it.id == id && it.tenant == client.tenant);
                if filter.is_some_and(|id| !is_own(id)) {
                    return Err(ApiError::TenantMismatch);
                }
                Ok(client.tenant.clone())
            }
        }
    }

    /// The tenant that a path names, if its records may be seen.
    pub fn tenant_of_path<'p>(&self, path: &'p str) -> Result<&'p str, ApiError> {
        let own = match self {
            Self::Claimed(None) => path,
            Self::Claimed(Some(claimed)) => claimed,
            Self::Known { client, .. } => &client.tenant,
        };
        if path == own { Ok(path) } else { Err(ApiError::TenantMismatch) }
    }
}

fn made(client: &str, tenant: &str, user_token: Option<String>) -> Caller {
    Caller { client: client.to_owned(), tenant: tenant.to_owned(), user: user_token.and_then(user) }
}

/// An id as it came; `None` for an empty one, an error for one that could not stand in a record or a log.
pub(super) fn checked<'i>(field: &'static str, id: &'i str) -> Result<Option<&'i str>, ApiError> {
    let id = id.trim_matches(' ');
    if id.len() > ID {
        return Err(ApiError::field(field, format!("expected at most {ID} bytes")));
    }
    if id.chars().any(does_harm) {
        let problem = "expected a text without control characters, line separators and marks of direction";
        return Err(ApiError::field(field, problem));
    }
    Ok((!id.is_empty()).then_some(id))
}

/// What open mode takes from the headers.
fn claimed(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    if let Some(value) = headers.get("x-client-id") {
        let id = std::str::from_utf8(value.as_bytes()).map_err(|_| ApiError::field("X-Client-ID", "expected UTF-8"))?;
        if let Some(id) = checked("X-Client-ID", id)? {
            return Ok(Some(id.to_owned()));
        }
    }
    match credentials(headers) {
        Some(Credentials::Basic { id, .. }) => Ok(checked("Authorization", &id)?.map(str::to_owned)),
        _ => Ok(None),
    }
}

/// What an `Authorization` header holds.
enum Credentials<'h> {
    Basic { id: String, secret: Vec<u8> },
    Bearer(Cow<'h, [u8]>),
}

/// What an `Authorization` header of this scheme holds.
pub(super) fn authorization<'h>(headers: &'h HeaderMap, scheme: &str) -> Option<&'h [u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (name, rest) = value.split_at(space);
    name.eq_ignore_ascii_case(scheme.as_bytes()).then(|| rest.trim_ascii())
}

fn credentials(headers: &HeaderMap) -> Option<Credentials<'_>> {
    if let Some(secret) = authorization(headers, "bearer") {
        return Some(Credentials::Bearer(Cow::Borrowed(secret)));
    }
    let rest = authorization(headers, "basic")?;
    let mut decoded = STANDARD.decode(rest).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let secret = decoded.split_off(colon + 1);
    decoded.truncate(colon);
    Some(Credentials::Basic { id: String::from_utf8(decoded).ok()?, secret })
}

fn authenticate<'a>(clients: &'a [Client], headers: &HeaderMap) -> Result<&'a Client, ApiError> {
    if !headers.contains_key(AUTHORIZATION) {
        return Err(ApiError::NoCredentials);
    }
    let client = match credentials(headers) {
        Some(Credentials::Basic { id, secret }) => owner(clients, &secret).filter(|client| client.id == id),
        Some(Credentials::Bearer(secret)) => owner(clients, &secret),
        None => None,
    };
    client.ok_or(ApiError::WrongCredentials)
}

/// Whose secret this is. Every digest is compared, in constant time, whether one has fitted or not: how long it takes
/// says nothing about the secrets.
fn owner<'a>(clients: &'a [Client], secret: &[u8]) -> Option<&'a Client> {
    let digest = Sha256::digest(secret);
    let mut found = u64::MAX;
    for (index, client) in (0_u64..).zip(clients) {
        found.conditional_assign(&index, digest.as_slice().ct_eq(client.secret.as_bytes().as_slice()));
    }
    clients.get(usize::try_from(found).ok()?)
}

#[cfg(test)]
mod tests;
