//! Which file is the configuration.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::error::ConfigError;
use super::yaml::Bounds;

/// Files looked for when none is named, in this order.
const FALLBACKS: [&str; 3] = ["octroi.yaml", "axonflow.yaml", "config/axonflow.yaml"];

/// Variables that name a file, in this order.
const VARIABLES: [&str; 3] = ["OCTROI_CONFIG", "AXONFLOW_CONFIG_FILE", "AXONFLOW_LLM_CONFIG_FILE"];

/// The file that is the configuration and its text; nothing if there is none. Relative names start at `directory`.
pub(super) fn find(
    directory: &Path,
    explicit: Option<&Path>,
    environment: &Environment,
) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let variable = || VARIABLES.iter().find_map(|name| Some((PathBuf::from(environment.get(name)?), *name)));
    if let Some((path, named_by)) = explicit.map(|path| (path.to_owned(), "--config")).or_else(variable) {
        return match read(&directory.join(&path))? {
            Some(text) => Ok(Some((path, text))),
            None => Err(ConfigError::NotFound { path, named_by }),
        };
    }
    for name in FALLBACKS {
        if let Some(text) = read(&directory.join(name))? {
            return Ok(Some((name.into(), text)));
        }
    }
    Ok(None)
}

/// The file's text, no more of it than shows that it is too long; nothing if there is no such file.
fn read(path: &Path) -> Result<Option<String>, ConfigError> {
    let failed = |reason| ConfigError::Read { path: path.to_owned(), reason };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    let most = Bounds::CONFIGURATION.bytes;
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > most {
        // The cut may be inside a character.
        return Ok(Some(String::from_utf8_lossy(&bytes).into_owned()));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| failed(std::io::Error::new(ErrorKind::InvalidData, "not UTF-8")))
}
