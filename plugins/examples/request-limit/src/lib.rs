//! Refuses a client's requests above a number in a time. It needs the host interface `counters`.

use std::time::Duration;

use octroi_policy::prelude::*;

/// The manifest's `settings`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Requests of one client in the window.
    pub requests: u64,
    /// The window, in seconds.
    pub seconds: u64,
}

/// The policy.
#[derive(Debug)]
pub struct RequestLimit(Settings);

impl Policy for RequestLimit {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        if settings.seconds == 0 {
            return Err("settings.seconds: found 0, expected 1 or more".into());
        }
        Ok(Self(settings))
    }

    fn describe(&self) -> Description {
        Description::new("request-limit", env!("CARGO_PKG_VERSION"), "So many requests a client in a time").rule(
            "too-many-requests",
            "rate-limit",
            "A client asks more often than it may",
        )
    }
}

impl PreCheck for RequestLimit {
    fn pre_check(&self, context: &Context, _: &[Message]) -> Verdict {
        let Settings { requests, seconds } = self.0;
        let counter = format!("requests/{}", context.caller.client);
        if counters::add(&counter, 1, Duration::from_secs(seconds)) <= requests {
            return Verdict::allow();
        }
        Verdict::deny(format!("More than {requests} requests in {seconds} seconds")).finding(Finding::new(
            "too-many-requests",
            "rate-limit",
            Severity::Low,
        ))
    }
}

octroi_policy::export!(RequestLimit: PreCheck);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_above_the_number_is_refused() {
        let policy: RequestLimit = configure(r#"{"requests":2,"seconds":60}"#).unwrap();
        let actions = [(); 3].map(|()| policy.pre_check(&Context::example(), &[Message::user("Hello")]).action);
        assert_eq!(actions, [Action::Allow, Action::Allow, Action::Deny]);
    }
}
