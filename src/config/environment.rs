//! The variables that configuration may read, as a value that tests can make.

use std::collections::BTreeMap;

use super::error::ConfigError;
use super::scalar::FromText;
use super::yaml;

/// Older names of variables, which count where the newer one is not set: the older one, and the newer one.
const OLDER: [(&str, &str); 2] =
    [("LOCAL_LLM_ENDPOINT", "OLLAMA_ENDPOINT"), ("LLM_DEFAULT_PROVIDER", "DEFAULT_LLM_PROVIDER")];

/// Environment variables. An empty one counts as not set.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// This process's own. Variables that are not UTF-8 are left out.
    pub fn process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// This one and one variable more, or with another value.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// The variable's value, unless it is empty; that of its older name where it has one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.own(name).or_else(|| self.own(self.older(name)?))
    }

    /// The parts of the variable between commas, unless they are empty.
    pub(super) fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        let parts = self.get(name).unwrap_or_default().split(',');
        parts.map(str::trim).filter(|part| !part.is_empty())
    }

    /// The older name under which a variable is set, where the newer one is not.
    fn older(&self, name: &str) -> Option<&'static str> {
        let (older, _) = OLDER.iter().find(|(_, newer)| *newer == name && self.own(newer).is_none())?;
        self.own(older).map(|_| *older)
    }

    fn own(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// One sentence for each older name that is set: it is used, or passed over.
    pub(super) fn older_names(&self) -> impl Iterator<Item = String> {
        OLDER.iter().filter(|(older, _)| self.own(older).is_some()).map(|(older, newer)| match self.own(newer) {
            None => format!("{older} is an older name, taken for {newer}; set that instead"),
            Some(_) => format!("{older} was passed over: it is an older name of {newer}, which is set"),
        })
    }

    /// The variable as a `T`. An error does not show the value when it could be a secret.
    pub(super) fn parsed<T: FromText>(&self, name: &'static str) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match T::from_text(text) {
            Some(value) => Ok(Some(value)),
            None => {
                let found = match name {
                    _ if name.ends_with("_KEY") => "a text (not shown)".into(),
                    _ if name.ends_with("_ENDPOINT") => yaml::quoted_address(text),
                    _ => yaml::quoted(text),
                };
                let name = self.older(name).unwrap_or(name);
                Err(ConfigError::Variable { name, found, allowed: T::allowed() })
            }
        }
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Names only: values may be secrets.
impl std::fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}
