//! `GET /health`: for everybody, always 200, nothing secret.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;

use super::{App, answer};
use crate::policy::{PolicyHost, PolicyState};
use crate::router::State as ProviderState;

#[derive(Serialize)]
struct Health<'a> {
    /// `healthy`; `degraded` while a policy is not as its files say. A provider's troubles are in `providers`: another
    /// one may answer.
    status: &'static str,
    service: &'static str,
    version: &'static str,
    timestamp: Timestamp,
    uptime: String,
    tier: &'static str,
    edition: &'static str,
    deployment_mode: &'static str,
    policies: Policies,
    providers: Vec<Provider<'a>>,
    components: BTreeMap<&'static str, &'static str>,
    capabilities: &'static [Capability],
    sdk_compatibility: Compatibility,
}

#[derive(Serialize)]
struct Policies {
    generation: u64,
    live: usize,
    errors: Vec<PolicyError>,
    /// Who else may write the policies directory, and what in a `match` fits nothing. Nothing is wrong with the policies
    /// for it.
    warnings: Vec<String>,
}

/// Why a policy is not as its files say. The message stays in the log: it may hold paths, and the guest's text.
#[derive(Debug, PartialEq, Serialize)]
struct PolicyError {
    policy: String,
    step: &'static str,
    code: &'static str,
}

#[derive(Serialize)]
struct Provider<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    status: &'static str,
}

#[derive(Serialize)]
struct Capability {
    name: &'static str,
    since: &'static str,
    description: &'static str,
}

/// What is true of this version, under AxonFlow's names and the versions in which they came.
const CAPABILITIES: &[Capability] = &[
    Capability { name: "health_check", since: "1.0.0", description: "health of the gateway" },
    Capability { name: "proxy_llm_call", since: "1.0.0", description: "proxied calls, judged by policies" },
    Capability { name: "audit_llm_call", since: "1.0.0", description: "records of calls that applications make" },
    Capability { name: "static_policies", since: "2.0.0", description: "policies that applications list and make" },
    Capability { name: "gateway_mode", since: "3.0.0", description: "pre-check and audit" },
    Capability {
        name: "version_discovery",
        since: "4.8.0",
        description: "capabilities and SDK versions in the health answer",
    },
];

#[derive(Serialize)]
struct Compatibility {
    min_sdk_version: Versions,
    recommended_sdk_version: Versions,
}

#[derive(Serialize)]
struct Versions {
    python: &'static str,
    typescript: &'static str,
    go: &'static str,
    java: &'static str,
}

/// `GET /health`.
pub(super) async fn handle(State(app): State<Arc<App>>) -> Response {
    let errors = policy_errors(app.gateway.policies());
    let status = if errors.is_empty() { "healthy" } else { "degraded" };
    let set = app.gateway.policies().set();
    let mut serving = false;
    let providers: Vec<_> = app
        .gateway
        .router()
        .providers()
        .map(|provider| {
            serving |= provider.health.state != ProviderState::Unhealthy;
            Provider {
                name: &provider.info.name,
                kind: provider.info.kind.as_str(),
                status: provider.health.state.as_str(),
            }
        })
        .collect();
    let providers_status = match (providers.is_empty(), serving) {
        (true, _) => "none",
        (false, true) => "healthy",
        (false, false) => "unhealthy",
    };
    let health = Health {
        status,
        service: "octroi",
        version: env!("CARGO_PKG_VERSION"),
        timestamp: Timestamp::now(),
        uptime: uptime(app.started.elapsed()),
        tier: "Community",
        edition: "community",
        deployment_mode: "community",
        policies: Policies {
            generation: set.generation().0,
            live: set.live().count(),
            errors,
            warnings: app.gateway.policies().all_warnings(),
        },
        providers,
        components: BTreeMap::from([("policies", status), ("providers", providers_status)]),
        capabilities: CAPABILITIES,
        sdk_compatibility: Compatibility {
            min_sdk_version: Versions { python: "6.0.0", typescript: "5.0.0", go: "5.0.0", java: "5.0.0" },
            recommended_sdk_version: Versions { python: "9.5.0", typescript: "9.5.0", go: "9.5.0", java: "9.5.0" },
        },
    };
    answer::json(StatusCode::OK, &health)
}

fn policy_errors(host: &PolicyHost) -> Vec<PolicyError> {
    let mut errors: Vec<_> = host
        .statuses()
        .iter()
        .filter(|status| matches!(status.state, PolicyState::Degraded | PolicyState::Broken))
        .map(|status| {
            let (step, code) =
                status.error.as_ref().map_or(("", ""), |error| (error.step.as_str(), error.code.as_str()));
            PolicyError { policy: status.name.clone(), step, code }
        })
        .collect();
    for name in host.set().missing() {
        if errors.iter().all(|error| error.policy != name.as_str()) {
            errors.push(PolicyError { policy: name.to_string(), step: "required", code: "policy_missing" });
        }
    }
    errors
}

/// As Go prints durations, to the second: `26h3m7s`.
fn uptime(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_is_printed_as_go_does() {
        for (seconds, expected) in [(0, "0s"), (59, "59s"), (60, "1m0s"), (3_600, "1h0m0s"), (93_787, "26h3m7s")] {
            assert_eq!(uptime(Duration::from_secs(seconds)), expected);
        }
    }
}
