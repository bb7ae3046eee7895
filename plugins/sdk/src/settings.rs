//! From the manifest's `settings` to a configured policy.

use serde::de::{Deserializer, IntoDeserializer, value::Error as ValueError};
use serde::{Deserialize, de::Error as _};

use crate::{Action, Policy, Severity};

/// The settings of a policy that has none: every key is refused.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// Configures a policy as the gateway does, from JSON text. Also the way to one in a test.
///
/// # Errors
///
/// What [`Policy::configure`] refuses, and settings of another shape, with the path of the key:
/// ``settings.rules.email.action: unknown variant `mask`, expected one of ...``.
pub fn configure<P: Policy>(settings: &str) -> Result<P, String> {
    let value: serde_json::Value = serde_json::from_str(settings).map_err(|error| format!("settings: {error}"))?;
    let settings =
        serde_path_to_error::deserialize(value).map_err(|error| match error.path().to_string().as_str() {
            "." => format!("settings: {}", error.inner()),
            path => format!("settings.{path}: {}", error.inner()),
        })?;
    P::configure(settings)
}

/// The names are those of the manifests: `require-approval`, not `RequireApproval`.
impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case", remote = "Action")]
        enum Names {
            Allow,
            Log,
            Warn,
            Redact,
            RequireApproval,
            Deny,
        }
        let name = String::deserialize(deserializer)?;
        Names::deserialize(into(&name)).map_err(D::Error::custom)
    }
}

/// The names are those of the WIT: `info`, `low`, `medium`, `high`, `critical`.
impl<'de> Deserialize<'de> for Severity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case", remote = "Severity")]
        enum Names {
            Info,
            Low,
            Medium,
            High,
            Critical,
        }
        let name = String::deserialize(deserializer)?;
        Names::deserialize(into(&name)).map_err(D::Error::custom)
    }
}

/// A name as something to deserialise an enum from.
fn into(name: &str) -> impl Deserializer<'_, Error = ValueError> {
    name.into_deserializer()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Description;

    struct Example;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        #[serde(default)]
        rules: BTreeMap<String, Action>,
    }

    impl Policy for Example {
        type Settings = Settings;

        fn configure(settings: Settings) -> Result<Self, String> {
            if settings.rules.contains_key("none") { Err("settings.rules.none: no such rule".into()) } else { Ok(Self) }
        }

        fn describe(&self) -> Description {
            Description::new("example", "1.0.0", "")
        }
    }

    #[test]
    fn an_error_names_the_key_and_what_is_allowed() {
        for (settings, error) in [
            (
                r#"{"rules":{"a":"mask"}}"#,
                "settings.rules.a: unknown variant `mask`, expected one of `allow`, `log`, `warn`, `redact`, `require-approval`, `deny`",
            ),
            (r#"{"rule":{}}"#, "settings.rule: unknown field `rule`, expected `rules`"),
            (r#"{"rules":{"none":"deny"}}"#, "settings.rules.none: no such rule"),
            (r#"{"rules":3}"#, "settings.rules: invalid type: integer `3`, expected a map"),
        ] {
            assert_eq!(configure::<Example>(settings).err().as_deref(), Some(error));
        }
    }

    #[test]
    fn an_action_has_its_manifest_name() {
        assert!(configure::<Example>(r#"{"rules":{"a":"require-approval"}}"#).is_ok());
    }
}
