//! Configuration: YAML, `${VAR:-default}` and the environment become one [`Config`], or one error.
//!
//! It is read once, at the start, by [`Config::load`]. Whatever holds a `Config` needs no checks of its own: what the
//! types cannot hold was refused, with the file, the key, what was found and what is allowed. Secrets stand in
//! [`Secret`], which never shows them. `docs/configuration.md` is the reference.
//!
//! This module opens no file but the configuration, and changes nothing.

mod admin;
mod assembly;
mod audit;
mod auth;
mod endpoint;
mod environment;
mod error;
mod expand;
mod foreign;
mod log;
mod origin;
mod policies;
mod policy_name;
mod provider;
mod provider_cap;
mod providers;
mod retry;
mod routing;
mod scalar;
mod search;
mod secret;
mod server;
#[cfg(test)]
mod tests;
pub mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use admin::Admin;
pub use audit::{
    AUDIT_QUEUE, Audit, AuditContent, AuditFailure, AuditKeySource, AuditNode, AuditStore, CheckpointEvery,
    DatabaseUrl, Durability, FileBeside,
};
pub use auth::{Auth, Client, Role, SecretDigest, Tenants};
pub use endpoint::Endpoint;
pub use environment::Environment;
pub use error::ConfigError;
pub use log::{Log, LogFormat, LogLevel};
pub use origin::Origin;
pub use policies::Policies;
pub use policy_name::PolicyName;
pub use provider::{CacheKey, Provider, ProviderKind, ProviderName};
pub use retry::{Breaker, Retry};
pub use routing::{DEADLINE, Routing, Strategy, Weights};
pub use secret::Secret;
pub use server::Server;

use assembly::Assembly;
use yaml::{Document, KeyPath, Node, Problem};

/// What to tell whoever starts a gateway without any provider.
pub const NO_PROVIDER_ADVICE: &str = "no LLM provider is configured: set MISTRAL_API_KEY, or add \
                                      llm_providers.mistral.credentials.api_key to the configuration file";

/// Everything that is configured, checked.
#[derive(Clone, Debug, Serialize)]
pub struct Config {
    /// Where the gateway listens and what it accepts.
    pub server: Server,
    /// Who may call.
    pub auth: Auth,
    /// The operator's own address; none when it is switched off.
    pub admin: Option<Admin>,
    /// The providers that are started, by name. May be empty: see [`NO_PROVIDER_ADVICE`].
    pub providers: Vec<Provider>,
    /// Which provider a request goes to.
    pub routing: Routing,
    /// Where policies come from.
    pub policies: Policies,
    /// Where records are kept.
    pub audit: Audit,
    /// What the gateway says about itself.
    pub log: Log,
}

/// A configuration, and what its reader should know.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file that it is from; none when it is from the environment alone.
    pub source: Option<PathBuf>,
    /// What was passed over or left out, one sentence each, in a fixed order. None holds a secret.
    pub warnings: Vec<String>,
}

impl Config {
    /// Finds the file (`explicit`, else `OCTROI_CONFIG`, `AXONFLOW_CONFIG_FILE`, `octroi.yaml`, `axonflow.yaml`,
    /// `config/axonflow.yaml`, else none) and reads it together with the environment.
    pub fn load(explicit: Option<&Path>, environment: &Environment) -> Result<Loaded, ConfigError> {
        Self::load_in(Path::new(""), explicit, environment)
    }

    fn load_in(directory: &Path, explicit: Option<&Path>, environment: &Environment) -> Result<Loaded, ConfigError> {
        match search::find(directory, explicit, environment)? {
            Some((path, text)) => {
                let loaded = Self::parse(&text, &path.display().to_string(), environment)?;
                Ok(Loaded { source: Some(path), ..loaded })
            }
            None => assemble(&Document::read("", "no configuration file")?, Raw::default(), environment, Vec::new()),
        }
    }

    /// Reads a configuration from `text`, which errors call `what`, together with the environment.
    pub fn parse(text: &str, what: &str, environment: &Environment) -> Result<Loaded, ConfigError> {
        let mut document = Document::read(text, what)?;
        if document.root == Node::Null {
            // Says what is missing rather than that nothing is there.
            document.root = Node::Map(Vec::new());
        }
        let mut warnings: Vec<String> = foreign::take(&mut document).into_iter().collect();
        warnings.extend(expand::expand(&mut document, environment)?);
        let raw: Raw = document.typed()?;
        if raw.version.is_none() {
            return Err(document.refuse(KeyPath::of("version"), Problem::MissingKey).into());
        }
        assemble(&document, raw, environment, warnings)
    }

    /// SHA-256 in hexadecimal over everything but secrets: equal for configurations that behave alike.
    pub fn digest(&self) -> String {
        // Every field has a JSON form; should one ever have none, the digest is of that error.
        let canonical = serde_json::to_vec(self).unwrap_or_else(|error| error.to_string().into_bytes());
        hex::encode(Sha256::digest(canonical))
    }
}

fn assemble(
    document: &Document<'_>,
    raw: Raw,
    environment: &Environment,
    warnings: Vec<String>,
) -> Result<Loaded, ConfigError> {
    let mut assembly = Assembly { document, environment, warnings };
    assembly.warnings.extend(environment.older_names());
    foreign::variables(&mut assembly);
    let server = raw.server.unwrap_or_default().assemble(&mut assembly)?;
    let auth = raw.auth.unwrap_or_default().assemble(&server, &mut assembly)?;
    foreign::posture(&auth, &mut assembly);
    let admin = raw.admin.unwrap_or_default().assemble(&server, &assembly)?;
    let mut routing = raw.routing.unwrap_or_default();
    let mut providers = providers::assemble(raw.llm_providers.unwrap_or_default(), &mut assembly)?;
    let mut weights = routing.weights(&providers, &mut assembly)?;
    provider_cap::apply(&mut providers.started, routing.max_providers, &mut weights, &mut assembly)?;
    let routing = routing.assemble(weights, &providers, &mut assembly)?;
    let policies = raw.policies.unwrap_or_default().assemble(&mut assembly)?;
    let config = Config {
        server,
        auth,
        admin,
        providers: providers.started,
        routing,
        policies,
        audit: raw.audit.unwrap_or_default().assemble(&assembly)?,
        log: raw.log.unwrap_or_default().assemble(),
    };
    Ok(Loaded { config, source: None, warnings: assembly.warnings })
}

/// The file as it is written; a key that is absent, empty or expanded to nothing is left open.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    version: Option<Version>,
    server: Option<server::RawServer>,
    auth: Option<auth::RawAuth>,
    admin: Option<admin::RawAdmin>,
    llm_providers: Option<BTreeMap<String, Option<providers::RawProvider>>>,
    routing: Option<routing::RawRouting>,
    policies: Option<policies::RawPolicies>,
    audit: Option<audit::RawAudit>,
    log: Option<log::RawLog>,
}

/// The format's version. AxonFlow wants the text "1.0"; without the quotes it is a number.
#[derive(Clone, Copy, Debug)]
struct Version;

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VersionVisitor)
    }
}

struct VersionVisitor;

impl Visitor<'_> for VersionVisitor {
    type Value = Version;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("\"1.0\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Version, E> {
        match text {
            "1.0" => Ok(Version),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Version, E> {
        match number.to_string().as_str() {
            "1" => Ok(Version),
            _ => Err(E::invalid_value(serde::de::Unexpected::Float(number), &self)),
        }
    }
}
