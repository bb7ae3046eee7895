//! Rows into a table, several with one statement: what that found out about the table's end holds for the next row too.

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, Statement};

use crate::audit::AuditError;

/// The statements that insert rows of so many columns.
pub(super) struct Insert<'c, const COLUMNS: usize> {
    one: Statement<'c>,
    several: Statement<'c>,
    /// How many those are.
    together: usize,
}

impl<'c, const COLUMNS: usize> Insert<'c, COLUMNS> {
    /// `into` is the statement up to the table's name.
    pub(super) fn new(
        connection: &'c Connection,
        into: &str,
        columns: [&str; COLUMNS],
        together: usize,
    ) -> Result<Self, AuditError> {
        let prepare = |rows: usize| {
            let row = format!("({})", ["?"; COLUMNS].join(", "));
            let sql = format!("{into} ({}) VALUES {}", columns.join(", "), vec![row; rows].join(", "));
            connection.prepare(&sql)
        };
        Ok(Self { one: prepare(1)?, several: prepare(together)?, together })
    }

    pub(super) fn rows(&mut self, rows: &[[ToSqlOutput<'_>; COLUMNS]]) -> rusqlite::Result<()> {
        let mut several = rows.chunks_exact(self.together);
        for rows in &mut several {
            execute(&mut self.several, rows)?;
        }
        several.remainder().chunks(1).try_for_each(|row| execute(&mut self.one, row))
    }
}

fn execute<const COLUMNS: usize>(
    statement: &mut Statement<'_>,
    rows: &[[ToSqlOutput<'_>; COLUMNS]],
) -> rusqlite::Result<()> {
    for (index, value) in rows.iter().flatten().enumerate() {
        statement.raw_bind_parameter(index + 1, value)?;
    }
    statement.raw_execute().map(drop)
}
