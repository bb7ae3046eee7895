//! A version's files, as they were read: what an archive keeps, and what the version can be loaded from again.

use std::sync::Arc;

use super::digest::Digest;
use super::load::worker::version_id;
use super::manifest::Manifest;
use crate::config::yaml;

/// The keys of a manifest that its version does not cover: policies that differ in these alone share one, and who changes
/// them in an archive is not found out by it.
pub const NOT_COVERED: &[&str] =
    &["name", "order", "mode", "rollout", "match", "phases", "on_error", "stream", "limits", "capabilities"];

/// Module and manifest of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// The version: the digest of component, settings and cases together.
    pub version: Digest,
    /// The manifest's text.
    pub manifest: Arc<str>,
    /// The module's bytes.
    pub module: Arc<Vec<u8>>,
}

/// Files are not those of the version.
#[derive(Debug, thiserror::Error)]
pub enum NotOriginal {
    /// The manifest cannot be read any more.
    #[error("the manifest of version {version} cannot be read by this gateway: {error}")]
    Manifest {
        /// The version.
        version: Digest,
        /// What is wrong with it.
        error: yaml::Error,
    },
    /// Module, settings or cases are others.
    #[error("what is kept as version {kept} is version {found}: somebody changed it")]
    Another {
        /// The version that was asked for.
        kept: Digest,
        /// The version that these files are.
        found: Digest,
    },
}

impl Original {
    /// The manifest, once it is certain that these are the files of the version.
    pub fn manifest(&self) -> Result<Manifest, NotOriginal> {
        let manifest = Manifest::parse(&self.manifest, "the archived manifest")
            .map_err(|error| NotOriginal::Manifest { version: self.version, error })?;
        let found = version_id(&manifest, &Digest::of(&self.module));
        if found == self.version { Ok(manifest) } else { Err(NotOriginal::Another { kept: self.version, found }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_or_settings_that_were_changed_are_not_taken_for_the_version() {
        let text = "name: p\nmodule: p.wasm\nsettings: { word: tulip }\n";
        let module = Arc::new(b"bytes".to_vec());
        let version = version_id(&Manifest::parse(text, "p").unwrap(), &Digest::of(&module));
        let original = Original { version, manifest: text.into(), module };
        assert_eq!(original.manifest().unwrap().name.as_str(), "p");
        for changed in [
            Original { manifest: text.replace("tulip", "rose").into(), ..original.clone() },
            Original { module: Arc::new(b"bytez".to_vec()), ..original.clone() },
        ] {
            assert!(matches!(changed.manifest(), Err(NotOriginal::Another { kept, .. }) if kept == version));
        }
        // The module's file and its pin go without saying: its bytes are checked.
        let further = "order: 1\nmode: off\nrollout: 5\nmatch: { clients: [c] }\nphases: [audit]\non_error: allow\n\
                       stream: { mode: buffer }\nlimits: { time: 1ms }\ncapabilities: [clock]\n";
        let others = Original { manifest: (text.replace("name: p", "name: q") + further).into(), ..original.clone() };
        assert_eq!(others.manifest().unwrap().name.as_str(), "q");
        let keys = others.manifest.lines().filter_map(|line| line.split_once(':')).map(|(key, _)| key);
        let uncovered: Vec<_> = keys.filter(|key| !["module", "settings"].contains(key)).collect();
        assert_eq!(uncovered, NOT_COVERED);
        let unreadable = Original { manifest: "name: [".into(), ..original };
        assert!(matches!(unreadable.manifest(), Err(NotOriginal::Manifest { .. })));
    }
}
