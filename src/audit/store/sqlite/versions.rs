//! The archive of versions.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::Turns;
use crate::audit::{ArchivedVersion, AuditError};

/// Bytes of a module in one transaction: the records' writer waits for no more.
const PART: usize = 1 << 20;

/// Keeps a version, one statement in each turn. One that is there stays as it is.
pub(super) fn keep(connection: &Connection, turns: &Turns, archived: &ArchivedVersion) -> Result<(), AuditError> {
    let is_there = |column: &str, value: &str| {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM versions WHERE {column} = ?)");
        connection.query_row(&sql, [value], |row| row.get::<_, bool>(0))
    };
    if is_there("version", &archived.version)? {
        return Ok(());
    }
    let module = archived.module_digest();
    if !is_there("module", &module)? {
        let sql = "INSERT OR IGNORE INTO modules (digest, part, bytes) VALUES (?, ?, ?)";
        let mut insert = connection.prepare(sql)?;
        for (part, bytes) in archived.module.chunks(PART).enumerate() {
            let _turn = turns.wait();
            insert.execute(params![module, part as i64, bytes])?;
        }
    }
    let sql = "INSERT OR IGNORE INTO versions (version, module, manifest) VALUES (?, ?, ?)";
    let _turn = turns.wait();
    connection.execute(sql, params![archived.version, module, &*archived.manifest])?;
    Ok(())
}

/// The version of that digest.
pub(super) fn find(connection: &Connection, version: &str) -> Result<Option<ArchivedVersion>, AuditError> {
    let sql = "SELECT module, manifest FROM versions WHERE version = ?";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    let Some((digest, manifest)) = connection.query_row(sql, [version], read).optional()? else {
        return Ok(None);
    };
    let mut parts = connection.prepare("SELECT bytes FROM modules WHERE digest = ? ORDER BY part")?;
    let mut rows = parts.query([&digest])?;
    let mut module = Vec::new();
    while let Some(row) = rows.next()? {
        let part = row.get_ref(0)?;
        module.extend_from_slice(part.as_blob().map_err(|error| AuditError::Corrupt(error.to_string()))?);
    }
    ArchivedVersion::read(version, &digest, module, manifest).map(Some)
}
