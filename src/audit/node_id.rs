//! A node's name: made once, and kept.

use std::io::ErrorKind;
use std::path::Path;

use super::AuditError;
use super::kept::kept;

/// A name for a node that was given none.
pub(crate) fn new_node_id() -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("node-{}", random.get(..8).unwrap_or(&random))
}

/// The name that is kept in a file, which is made if it is not there.
pub fn kept_node_id(path: &Path) -> Result<String, AuditError> {
    let failed = |what: &str, error: std::io::Error| {
        let path = path.display();
        AuditError::Settings(format!("the node's name, {path}, cannot be {what}: {error}; `audit.node` can name it"))
    };
    let (text, _) = kept(path, 0o644, || Ok(format!("{}\n", new_node_id())), failed)?;
    match text.trim() {
        "" => Err(failed("read", ErrorKind::UnexpectedEof.into())),
        id => Ok(id.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("octroi.node");
        let first = kept_node_id(&path).unwrap();
        assert!(first.starts_with("node-"), "{first}");
        assert_eq!(kept_node_id(&path), Ok(first));
        assert_eq!(kept_node_id(&folder.path().join("missing/octroi.node")).unwrap_err().code(), "audit_settings");
    }
}
