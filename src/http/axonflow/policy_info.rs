//! `policy_info`: what policies said, in AxonFlow's words.

use std::time::Duration;

use serde::Serialize;

use crate::gateway;

/// What policies said.
#[derive(Debug, Serialize)]
pub(super) struct PolicyInfo<'a> {
    /// Those that matched, the one that refused first: SDKs show the first as *the* policy.
    policies_evaluated: &'a [String],
    /// Those that were asked.
    static_checks: &'a [String],
    processing_time: String,
    tenant_id: &'a str,
}

impl<'a> PolicyInfo<'a> {
    pub(super) fn new(policies: &'a gateway::PolicyInfo, tenant: &'a str) -> Self {
        Self {
            policies_evaluated: &policies.matched,
            static_checks: &policies.asked,
            processing_time: processing_time(policies.elapsed),
            tenant_id: tenant,
        }
    }
}

/// A duration that Go could parse: always milliseconds, so that one can compare them by eye.
pub(super) fn processing_time(elapsed: Duration) -> String {
    format!("{:.2}ms", elapsed.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_milliseconds() {
        for (microseconds, expected) in [(0, "0.00ms"), (850, "0.85ms"), (3_414, "3.41ms"), (1_234_567, "1234.57ms")] {
            assert_eq!(processing_time(Duration::from_micros(microseconds)), expected);
        }
    }
}
