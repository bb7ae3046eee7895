//! Keeps every version that goes live in the audit store, beside the record of the change. It stops nothing: a version
//! that cannot be archived is in force all the same, and is tried again with the next change.

use std::sync::Arc;

use crate::audit::{ArchivedVersion, AuditLog};
use crate::policy::Original;

/// Bytes of modules that wait for a store which does not take them; beyond it the oldest is given up.
const MOST_WAITING: usize = 256 << 20;

/// What is still to be archived.
pub(super) struct Archivist {
    audit: AuditLog,
    waiting: Vec<Original>,
}

impl Archivist {
    pub(super) fn new(audit: AuditLog) -> Self {
        Self { audit, waiting: Vec::new() }
    }

    /// Archives these, and what could not be archived before.
    pub(super) async fn keep(&mut self, originals: Vec<Original>) {
        let mut left = std::mem::take(&mut self.waiting).into_iter().chain(originals);
        // After a failure the others wait too: a store that does not answer would hold up the next change.
        while self.waiting.is_empty()
            && let Some(original) = left.next()
        {
            let archived = ArchivedVersion {
                version: original.version.to_string(),
                module: Arc::clone(&original.module),
                manifest: Arc::clone(&original.manifest),
            };
            if let Err(error) = self.audit.archive(archived).await {
                let version = original.version;
                tracing::error!(
                    code = error.code(), %version, %error,
                    "a version of a policy was not archived: its decisions cannot be recomputed until it is; it is \
                     tried again with the next change of the policies"
                );
                metrics::counter!("octroi_audit_archive_failures_total", "code" => error.code()).increment(1);
                // Behind the others: it may be the one at fault.
                self.waiting = left.by_ref().chain([original]).collect();
            }
        }
        self.bound();
    }

    fn bound(&mut self) {
        let size = |original: &Original| original.module.len() + original.manifest.len();
        while self.waiting.iter().map(size).sum::<usize>() > MOST_WAITING {
            let given_up = self.waiting.remove(0).version;
            tracing::error!(version = %given_up, "too many versions wait to be archived: this one is given up");
            metrics::counter!("octroi_audit_archive_failures_total", "code" => "given_up").increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AuditReader, AuditStore, Settings};
    use crate::policy::digest::Digest;

    fn original(word: &str) -> Original {
        let module = Arc::new(word.as_bytes().to_vec());
        Original { version: Digest::of(&module), manifest: "name: p".into(), module }
    }

    #[tokio::test]
    async fn what_the_store_did_not_take_is_kept_and_taken_with_the_next_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.db");
        let store = AuditStore::Sqlite(path.clone());
        let log = AuditLog::open(&Settings::new(store.clone()).unwrap()).unwrap();
        let mut archivist = Archivist::new(log);
        let (one, two) = (original("one"), original("two"));

        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("ALTER TABLE versions RENAME TO elsewhere").unwrap();
        archivist.keep(vec![one.clone()]).await;
        assert_eq!(archivist.waiting, std::slice::from_ref(&one));
        other.execute_batch("ALTER TABLE elsewhere RENAME TO versions").unwrap();
        archivist.keep(vec![two.clone()]).await;
        assert!(archivist.waiting.is_empty());
        let reader = AuditReader::open(&store).unwrap();
        for original in [one, two] {
            assert!(reader.version(&original.version.to_string()).unwrap().is_some());
        }
    }

    #[tokio::test]
    async fn what_waits_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let store = AuditStore::Sqlite(folder.path().join("audit.db"));
        let mut archivist = Archivist::new(AuditLog::open(&Settings::new(store).unwrap()).unwrap());
        let large = Arc::new(vec![0; MOST_WAITING / 2]);
        let of = |word: &str| Original { module: large.clone(), ..original(word) };
        archivist.waiting = vec![of("one"), of("two"), of("three")];
        archivist.bound();
        let left: Vec<_> = archivist.waiting.iter().map(|it| it.version).collect();
        assert_eq!(left, [of("three").version], "with their manifests two are too many");
    }
}
