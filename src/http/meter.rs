//! What requests are counted as, under the names that AxonFlow's dashboards know and a few of our own.
//!
//! Labels are words of this program and names of configured providers: nobody can make the tables grow. Calls to
//! providers are counted by the gateway.

use std::collections::BTreeMap;
use std::time::Duration;

use ::metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};

use super::App;
use super::stats::Ending;
use crate::gateway::meter::{self, OTHER, provider_label};

/// Tells the recorder what the names mean.
pub(super) fn describe() {
    describe_counter!("axonflow_agent_requests_total", "Requests of applications, by how they ended");
    describe_counter!("axonflow_agent_blocked_requests_total", "Requests that a policy refused");
    describe_counter!("axonflow_agent_policy_evaluations_total", "Evaluations of policies for requests");
    describe_histogram!(
        "axonflow_agent_request_duration_milliseconds",
        Unit::Milliseconds,
        "Time from the head of a request to its answer, by type"
    );
    describe_counter!("axonflow_gateway_precheck_requests_total", "Pre-checks");
    describe_histogram!("axonflow_gateway_precheck_duration_milliseconds", Unit::Milliseconds, "Time of a pre-check");
    describe_counter!("axonflow_gateway_audit_requests_total", "Reported calls");
    describe_histogram!("axonflow_gateway_audit_duration_milliseconds", Unit::Milliseconds, "Time to record a call");
    meter::describe();
    describe_counter!("octroi_http_errors_total", "Requests that were answered with an error, by code");
    describe_counter!("octroi_admin_errors_total", "The same of the admin API");
}

/// The counters of one kind of request. Looking one up by its labels costs more than counting, so each is kept.
#[derive(Debug, Default)]
pub(super) struct Requests {
    ended: BTreeMap<&'static str, Counter>,
    elapsed: Option<Histogram>,
}

impl Requests {
    /// One request of an application is over.
    pub(super) fn count(&mut self, kind: &'static str, ending: Ending, elapsed: Duration) {
        let status = ending.as_str();
        let ended = self.ended.entry(status);
        ended.or_insert_with(|| counter!("axonflow_agent_requests_total", "status" => status)).increment(1);
        let new = || histogram!("axonflow_agent_request_duration_milliseconds", "type" => kind);
        self.elapsed.get_or_insert_with(new).record(milliseconds(elapsed));
        if ending == Ending::Blocked {
            counter!("axonflow_agent_blocked_requests_total").increment(1);
        }
    }
}

/// So many policies were asked for a request.
pub(super) fn policies_asked(count: usize) {
    counter!("axonflow_agent_policy_evaluations_total").increment(count as u64);
}

/// One pre-check is over.
pub(super) fn pre_check(ending: Ending, elapsed: Duration) {
    let status = if ending == Ending::Error { "error" } else { "success" };
    let approved = if ending == Ending::Success { "true" } else { "false" };
    counter!("axonflow_gateway_precheck_requests_total", "status" => status, "approved" => approved).increment(1);
    histogram!("axonflow_gateway_precheck_duration_milliseconds").record(milliseconds(elapsed));
}

/// One report of a call is over.
pub(super) fn reported(app: &App, provider: Option<&str>, ending: Ending, elapsed: Duration) {
    let provider = provider.map_or(OTHER, |name| provider_label(app.gateway.router(), name)).to_owned();
    counter!("axonflow_gateway_audit_requests_total", "status" => ending.as_str(), "provider" => provider).increment(1);
    histogram!("axonflow_gateway_audit_duration_milliseconds").record(milliseconds(elapsed));
}

fn milliseconds(elapsed: Duration) -> f64 {
    elapsed.as_secs_f64() * 1_000.0
}
