//! Reading the trail itself: records in the order of their chains, and the signatures over them.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::audit::chain::{ChainHash, Head, Place};
use crate::audit::store::{EntryRow, Node, PAGE_BYTES, PolicyRow, StoredRecord, Texts, trail};
use crate::audit::{AuditError, Checkpoint, CheckpointKind, PublicKey, Selection};

pub(super) fn nodes(connection: &Connection) -> Result<Vec<Node>, AuditError> {
    nodes_where(connection, "TRUE")
}

pub(super) fn gateways(connection: &Connection) -> Result<Vec<Node>, AuditError> {
    nodes_where(connection, "role = 'gateway'")
}

fn nodes_where(connection: &Connection, condition: &str) -> Result<Vec<Node>, AuditError> {
    let sql = format!("SELECT number, id FROM nodes WHERE {condition} ORDER BY number");
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map([], |row| Ok(Node { number: row.get(0)?, id: row.get(1)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn extent(connection: &Connection, node: i64) -> Result<Option<(Place, Place)>, AuditError> {
    let (first, last) = Place::of_node(node);
    let end = |order: &str| {
        let sql = format!("SELECT place FROM records WHERE place BETWEEN ? AND ? ORDER BY place {order} LIMIT 1");
        connection.query_row(&sql, [first.0, last.0], |row| row.get(0).map(Place)).optional()
    };
    Ok(end("ASC")?.zip(end("DESC")?))
}

/// What a record takes in its own row beside its body, what a text does, and what a record does in all other tables.
const BESIDE_BODY: i64 = 120;
const BESIDE_TEXT: i64 = 20;
const ELSEWHERE: i64 = 480;

/// The number of a node's records times what they take on average, as records from its whole chain say. Of rows that are
/// not much shorter than a page, the rest of it is lost.
pub(super) fn used_bytes(connection: &Connection, node: i64, sampled: i64, page: i64) -> Result<i64, AuditError> {
    let Some((Place(first), Place(last))) = extent(connection, node)? else { return Ok(0) };
    let sql = format!(
        "WITH RECURSIVE sampled (place) AS (SELECT ?1 UNION ALL SELECT place + ?3 FROM sampled WHERE place + ?3 <= ?2), \
         sizes (body, content) AS ( \
             SELECT octet_length(r.body) + {BESIDE_BODY}, octet_length(c.content) + {BESIDE_TEXT} \
             FROM sampled s CROSS JOIN records r ON r.place = s.place LEFT JOIN contents c ON c.place = s.place \
         ) \
         SELECT CAST(coalesce(avg(iif(body < ?4, ?4 / (?4 / body), body) \
                                  + coalesce(iif(content < ?4, ?4 / (?4 / content), content), 0)), 0) AS INTEGER) \
         FROM sizes"
    );
    // Odd: intents and outcomes often take turns.
    let step = ((last - first) / sampled) | 1;
    let each: i64 = connection.query_row(&sql, [first, last, step, page], |row| row.get(0))?;
    Ok((last - first + 1) * (each + ELSEWHERE))
}

pub(super) fn indexed(connection: &Connection, node: i64) -> Result<Place, AuditError> {
    let sql = "SELECT place FROM indexed WHERE node = ?";
    let reached = connection.query_row(sql, [node], |row| row.get(0).map(Place)).optional()?;
    Ok(reached.unwrap_or(Place::of_node(node).0))
}

pub(super) fn record_at(connection: &Connection, from: Place) -> Result<Option<(Place, i64, ChainHash)>, AuditError> {
    let (_, Place(last)) = Place::of_node(from.node());
    let sql = "SELECT place, at, hash FROM records WHERE place BETWEEN ? AND ? ORDER BY place LIMIT 1";
    let read = |row: &Row<'_>| Ok((Place(row.get(0)?), row.get(1)?, ChainHash(row.get(2)?)));
    Ok(connection.query_row(sql, [from.0, last], read).optional()?)
}

pub(super) fn records(
    connection: &Connection,
    from: Place,
    to: Place,
    at_most: usize,
    texts: Texts,
) -> Result<Vec<StoredRecord>, AuditError> {
    let sql = format!("{} WHERE r.place BETWEEN ? AND ? ORDER BY r.place LIMIT ?", trail::record(texts));
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params![from.0, to.0, at_most as i64])?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    while bytes < PAGE_BYTES
        && let Some(row) = rows.next()?
    {
        let read = record(row)?;
        bytes += read.size();
        records.push(read);
    }
    Ok(records)
}

pub(super) fn records_of(connection: &Connection, id: &str) -> Result<Vec<StoredRecord>, AuditError> {
    by_id(connection, &trail::records_of(), id)
}

pub(super) fn records_with_id(connection: &Connection, id: &str) -> Result<Vec<StoredRecord>, AuditError> {
    by_id(connection, &trail::records_with_id(), id)
}

fn by_id(connection: &Connection, sql: &str, id: &str) -> Result<Vec<StoredRecord>, AuditError> {
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([id], record)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn record(row: &Row<'_>) -> rusqlite::Result<StoredRecord> {
    Ok(StoredRecord {
        place: Place(row.get(0)?),
        at_microseconds: row.get(1)?,
        kind: row.get(2)?,
        id: row.get(3)?,
        body: row.get(4)?,
        hash: row.get::<_, Option<[u8; 32]>>(5)?.map(ChainHash),
        content: row.get(6)?,
    })
}

pub(super) fn entry_rows(
    connection: &Connection,
    from: Place,
    to: Place,
    at_most: usize,
) -> Result<Vec<EntryRow>, AuditError> {
    let mut statement = connection.prepare(trail::ENTRY_ROWS)?;
    let rows = statement.query_map(params![from.0, to.0, at_most as i64], |row| {
        Ok(EntryRow {
            place: row.get(0)?,
            outcome_place: row.get(1)?,
            id: row.get(2)?,
            context_id: row.get(3)?,
            kind: row.get(4)?,
            at: row.get(5)?,
            tenant: row.get(6)?,
            client: row.get(7)?,
            user: row.get(8)?,
            request_type: row.get(9)?,
            decision: row.get(10)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn policy_rows(
    connection: &Connection,
    behind: &PolicyRow,
    at_most: usize,
) -> Result<Vec<PolicyRow>, AuditError> {
    let PolicyRow { tenant, policy, at, entry } = behind;
    let mut statement = connection.prepare(trail::POLICY_ROWS)?;
    let rows = statement.query_map(params![tenant, policy, at, entry, at_most as i64], |row| {
        Ok(PolicyRow { tenant: row.get(0)?, policy: row.get(1)?, at: row.get(2)?, entry: row.get(3)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn checkpoints(connection: &Connection, node: i64) -> Result<Vec<Checkpoint>, AuditError> {
    checkpoints_in(connection, node, "ORDER BY place, kind")
}

pub(super) fn last_checkpoint(connection: &Connection, node: i64) -> Result<Option<Checkpoint>, AuditError> {
    Ok(checkpoints_in(connection, node, "ORDER BY place DESC, kind DESC LIMIT 1")?.pop())
}

fn checkpoints_in(connection: &Connection, node: i64, order: &str) -> Result<Vec<Checkpoint>, AuditError> {
    let (first, last) = Place::of_node(node);
    let sql = format!(
        "SELECT place, kind, at, hash, public_key, signature FROM checkpoints WHERE place BETWEEN ? AND ? {order}"
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map([first.0, last.0], |row| {
        let head = Head { seq: Place(row.get(0)?).seq(), hash: ChainHash(row.get(3)?) };
        Ok((row.get::<_, String>(1)?, row.get(2)?, head, PublicKey(row.get(4)?), row.get(5)?))
    })?;
    rows.map(|row| {
        let (kind, at, head, public_key, signature) = row?;
        let wrong = |what: &str| AuditError::Encoding(format!("checkpoint {}: {what}", head.seq.0));
        let kind = CheckpointKind::parse(&kind).ok_or_else(|| wrong("unknown kind"))?;
        let at = Timestamp::from_microsecond(at).map_err(|_| wrong("no such time"))?;
        Ok(Checkpoint { kind, at, head, public_key, signature })
    })
    .collect()
}

pub(super) fn texts(
    connection: &Connection,
    selection: &Selection,
    behind: Place,
    at_most: usize,
) -> Result<(Vec<Place>, Place), AuditError> {
    let (sql, whose, before) = trail::texts(selection);
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params![whose, before, behind.0, at_most as i64])?;
    let (mut places, mut last) = (Vec::new(), behind);
    while let Some(row) = rows.next()? {
        last = Place(row.get(0)?);
        for column in [1, 2] {
            places.extend(row.get::<_, Option<i64>>(column)?.map(Place));
        }
    }
    Ok((places, last))
}
