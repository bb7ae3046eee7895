//! Versions of policies that ever were in force: kept so that a decision of theirs can be recomputed years later.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::AuditError;

/// A version of a policy, as it was read. Its digest proves it; the chain holds the digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedVersion {
    /// Its digest, as records name it.
    pub version: String,
    /// The module's bytes.
    pub module: Arc<Vec<u8>>,
    /// The manifest's text, as it was when the version first went live.
    pub manifest: Arc<str>,
}

impl ArchivedVersion {
    /// What a module is kept by: versions that share one share its bytes.
    pub(crate) fn module_digest(&self) -> String {
        digest(&self.module)
    }

    /// What a store has kept, once the module is seen to be the one that was given to it.
    pub(crate) fn read(
        version: &str,
        module_digest: &str,
        module: Vec<u8>,
        manifest: String,
    ) -> Result<Self, AuditError> {
        if digest(&module) != module_digest {
            return Err(AuditError::Corrupt(format!("the archived module of version {version} is not whole")));
        }
        Ok(Self { version: version.to_owned(), module: Arc::new(module), manifest: manifest.into() })
    }
}

fn digest(module: &[u8]) -> String {
    hex::encode(Sha256::digest(module))
}
