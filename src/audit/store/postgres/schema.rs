//! The schema and its migrations: forward only, one SQL file each, counted in a table.

use tokio_postgres::Client;

use super::connection::Address;
use crate::audit::AuditError;

/// In order; the first makes version 1. A released file is never edited.
const MIGRATIONS: [&str; 2] = [include_str!("0001_trail.sql"), include_str!("0002_versions.sql")];

/// Of gateways that start at once, one migrates: "Octr".
pub(super) const TURN: i64 = 0x4f63_7472;

/// Brings the schema up to date. Refuses one that a newer version wrote.
pub(super) async fn migrate(client: &Client, address: &Address) -> Result<(), AuditError> {
    takes_all_characters(client, address).await?;
    let known = MIGRATIONS.len();
    // Where there is nothing to be done, nobody's turn is waited for.
    if exists(client).await? && found(client, address).await? == known as i64 {
        return Ok(());
    }
    client.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock({TURN})")).await?;
    if !exists(client).await? {
        // Only where it is missing: whoever made it may have left us without the right to make another.
        client
            .batch_execute("CREATE SCHEMA IF NOT EXISTS octroi; CREATE TABLE schema_version (version BIGINT)")
            .await?;
        client.batch_execute("INSERT INTO schema_version VALUES (0)").await?;
    }
    let found = found(client, address).await?;
    let done = usize::try_from(found).unwrap_or(0);
    if done < known {
        tracing::info!(store = %address, found, known, "the audit store's schema is brought up to date");
    }
    for migration in MIGRATIONS.iter().skip(done) {
        client.batch_execute(migration).await?;
    }
    client.batch_execute(&format!("UPDATE schema_version SET version = {known}; COMMIT")).await?;
    Ok(())
}

/// Whether the database has the schema of this version, which it must have where it may not be changed.
pub(super) async fn check(client: &Client, address: &Address) -> Result<(), AuditError> {
    let found = if exists(client).await? { found(client, address).await? } else { 0 };
    let known = MIGRATIONS.len() as i64;
    if found < known {
        return Err(AuditError::OlderSchema { path: address.to_string(), found, known });
    }
    Ok(())
}

/// In another encoding the database has no place for some characters, and refuses each record that has one.
async fn takes_all_characters(client: &Client, address: &Address) -> Result<(), AuditError> {
    let encoding: String = client.query_one("SELECT current_setting('server_encoding')", &[]).await?.get(0);
    if ["UTF8", "SQL_ASCII"].contains(&encoding.as_str()) {
        return Ok(());
    }
    let reason = format!(
        "its encoding is {encoding}, which cannot hold every character of a record; make a database with \
         `CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0`, and name that in `audit.url`, or move this one there \
         with pg_dump"
    );
    Err(AuditError::Open { path: address.to_string(), reason })
}

async fn exists(client: &Client) -> Result<bool, AuditError> {
    // Not by `to_regclass`: it may remember that there was none before the turn was waited for.
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables \
                              WHERE schemaname = 'octroi' AND tablename = 'schema_version')";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

async fn found(client: &Client, address: &Address) -> Result<i64, AuditError> {
    let found = client.query_one("SELECT max(version) FROM schema_version", &[]).await?.get(0);
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(AuditError::NewerSchema { path: address.to_string(), found, known });
    }
    Ok(found)
}
