//! From the manifest's `settings` to a configured policy.

use serde::de::{Deserializer, IntoDeserializer, value::Error as Problem};
use serde::{Deserialize, de::Error as _};

use crate::{Action, Policy, Role, Severity};

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

/// Reads a type of the WIT by the names that it has there and in manifests: `require-approval`, not `RequireApproval`.
macro_rules! by_name {
    ($type:ident: $($name:ident)*) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(Deserialize)]
                #[serde(rename_all = "kebab-case")]
                enum Names {
                    $($name),*
                }
                // As a text first: an enum as a key of a map is lost to the path in an error.
                let name = String::deserialize(deserializer)?;
                let name: Result<_, Problem> = Names::deserialize(name.as_str().into_deserializer());
                Ok(match name.map_err(D::Error::custom)? {
                    $(Names::$name => Self::$name),*
                })
            }
        }
    };
}

by_name!(Action: Allow Log Warn Redact RequireApproval Deny);
by_name!(Severity: Info Low Medium High Critical);
by_name!(Role: System User Assistant Tool);

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
    fn what_the_wit_names_has_its_name_there() {
        assert!(configure::<Example>(r#"{"rules":{"a":"require-approval"}}"#).is_ok());
        assert_eq!(serde_json::from_str::<Role>(r#""assistant""#).unwrap(), Role::Assistant);
        assert_eq!(serde_json::from_str::<Severity>(r#""info""#).unwrap(), Severity::Info);
        assert!(serde_json::from_str::<Role>(r#""Tool""#).is_err());
    }
}
