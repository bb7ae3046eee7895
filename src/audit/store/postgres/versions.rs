//! The archive of versions.

use tokio_postgres::Client;

use crate::audit::{ArchivedVersion, AuditError};

/// Keeps a version. One that is there stays as it is.
pub(super) async fn keep(client: &Client, archived: &ArchivedVersion) -> Result<(), AuditError> {
    let is_there = async |sql: &str, digest: &str| -> Result<bool, AuditError> {
        Ok(client.query_one(&format!("SELECT EXISTS ({sql})"), &[&digest]).await?.get(0))
    };
    if is_there("SELECT FROM versions WHERE version = $1", &archived.version).await? {
        return Ok(());
    }
    let module = archived.module_digest();
    // Megabytes are not sent for nothing.
    if !is_there("SELECT FROM modules WHERE digest = $1", &module).await? {
        let sql = "INSERT INTO modules (digest, bytes) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        client.execute(sql, &[&module, &archived.module.as_slice()]).await?;
    }
    let sql = "INSERT INTO versions (version, module, manifest) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    client.execute(sql, &[&archived.version, &module, &&*archived.manifest]).await?;
    Ok(())
}

/// The version of that digest.
pub(super) async fn find(client: &Client, version: &str) -> Result<Option<ArchivedVersion>, AuditError> {
    let sql = "SELECT v.module, m.bytes, v.manifest FROM versions v JOIN modules m ON m.digest = v.module \
               WHERE v.version = $1";
    let Some(row) = client.query_opt(sql, &[&version]).await? else { return Ok(None) };
    Ok(Some(ArchivedVersion::read(version, row.get(0), row.get(1), row.get(2))?))
}
