//! What configuration promises, claim by claim.
mod audit;
mod expansion;
mod files;
mod formats;
mod hostile;
mod precedence;
mod secrets;
mod wrong;

use crate::config::{Config, ConfigError, Environment, Loaded};

/// A home directory, and the variables given.
fn environment<const N: usize>(variables: [(&str, &str); N]) -> Environment {
    variables.into_iter().collect::<Environment>().with("HOME", "/home/someone")
}

fn parse(text: &str, environment: &Environment) -> Result<Loaded, ConfigError> {
    Config::parse(text, "octroi.yaml", environment)
}

/// The configuration in `body`, below the version, with a Mistral key in the environment.
fn body(body: &str) -> Result<Loaded, ConfigError> {
    parse(&format!("version: \"1.0\"\n{body}"), &environment([("MISTRAL_API_KEY", "sk-environment")]))
}
