//! Reading the trail itself: records in the order of their chains, and the signatures over them.

use jiff::Timestamp;
use tokio_postgres::{Client, Row};

use crate::audit::chain::{ChainHash, Head, Place};
use crate::audit::store::{EntryRow, Node, Outline, PolicyRow, StoredRecord, Texts, page_of, storable, trail};
use crate::audit::{AuditError, Checkpoint, CheckpointKind, PublicKey, Selection};

pub(super) async fn nodes(client: &Client) -> Result<Vec<Node>, AuditError> {
    let rows = client.query("SELECT number, id FROM nodes ORDER BY number", &[]).await?;
    Ok(rows.iter().map(|row| Node { number: row.get(0), id: row.get(1) }).collect())
}

pub(super) async fn gateways(client: &Client) -> Result<Vec<Node>, AuditError> {
    let rows = client.query("SELECT number, id FROM nodes WHERE role = 'gateway' ORDER BY number", &[]).await?;
    Ok(rows.iter().map(|row| Node { number: row.get(0), id: row.get(1) }).collect())
}

pub(super) async fn record_at(client: &Client, from: Place) -> Result<Option<(Place, i64, ChainHash)>, AuditError> {
    let (_, Place(last)) = Place::of_node(from.node());
    let sql = "SELECT place, at, hash FROM records WHERE place BETWEEN $1 AND $2 ORDER BY place LIMIT 1";
    let row = client.query_opt(sql, &[&from.0, &last]).await?;
    row.map(|row| Ok((Place(row.get(0)), row.get(1), hash(row.get(2))?))).transpose()
}

/// What a record takes beside its body and its text: its other columns, its row in `entries`, the indexes.
const BESIDE: i64 = 700;

/// The number of a node's records times what they take on average, all tables together: as they are stored, and of
/// records from its whole chain, which differ with the time. The tables' own sizes would not do: they keep the room of
/// what was removed.
pub(super) async fn used_bytes(client: &Client, node: i64, sampled: i64) -> Result<u64, AuditError> {
    let sql = "SELECT coalesce(avg(pg_column_size(r.body) + coalesce(pg_column_size(c.content), 0)), 0)::bigint \
               FROM generate_series($1::bigint, $2::bigint, $3::bigint) AS sampled (place) \
               JOIN records r ON r.place = sampled.place LEFT JOIN contents c ON c.place = r.place";
    let Some((Place(first), Place(last))) = extent(client, node).await? else { return Ok(0) };
    // Odd: intents and outcomes often take turns.
    let step = ((last - first) / sampled) | 1;
    let each: i64 = client.query_one(sql, &[&first, &last, &step]).await?.get(0);
    Ok(((last - first + 1) * (each + BESIDE)).unsigned_abs())
}

pub(super) async fn extent(client: &Client, node: i64) -> Result<Option<(Place, Place)>, AuditError> {
    let (Place(first), Place(last)) = Place::of_node(node);
    let sql = "SELECT min(place), max(place) FROM records WHERE place BETWEEN $1 AND $2";
    let row = client.query_one(sql, &[&first, &last]).await?;
    Ok(row.get::<_, Option<i64>>(0).zip(row.get(1)).map(|(first, last)| (Place(first), Place(last))))
}

pub(super) async fn outline(client: &Client, node: i64) -> Result<Outline, AuditError> {
    client.batch_execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let outline = (checkpoints(client, node).await?, extent(client, node).await?);
    client.batch_execute("COMMIT").await?;
    Ok(outline)
}

pub(super) async fn records(
    client: &Client,
    Place(from): Place,
    Place(to): Place,
    at_most: usize,
    texts: Texts,
) -> Result<Vec<StoredRecord>, AuditError> {
    // How many of them make a page is found out first: an answer comes whole.
    let (size, beside) = match texts {
        Texts::Read => {
            ("octet_length(r.body) + coalesce(octet_length(c.content), 0)", "LEFT JOIN contents c ON c.place = r.place")
        }
        Texts::Left => ("octet_length(r.body)", ""),
    };
    let sizes = format!(
        "SELECT r.place, ({size})::bigint FROM (SELECT place, body FROM records WHERE place BETWEEN $1 AND $2 \
                                                ORDER BY place LIMIT $3) r {beside} ORDER BY r.place"
    );
    let sized = client.query(&sizes, &[&from, &to, &(at_most as i64)]).await?;
    let sized: Vec<_> = sized.iter().map(|row| (Place(row.get(0)), row.get(1))).collect();
    let Some(&(Place(last), _)) = sized.get(..page_of(&sized)).and_then(<[_]>::last) else { return Ok(Vec::new()) };
    let sql = format!("{} WHERE r.place BETWEEN $1 AND $2 ORDER BY r.place", trail::record(texts));
    client.query(&sql, &[&from, &last]).await?.iter().map(record).collect()
}

pub(super) async fn records_of(client: &Client, id: &str) -> Result<Vec<StoredRecord>, AuditError> {
    client.query(&trail::records_of(), &[&storable(id)]).await?.iter().map(record).collect()
}

pub(super) async fn records_with_id(client: &Client, id: &str) -> Result<Vec<StoredRecord>, AuditError> {
    client.query(&trail::records_with_id(), &[&storable(id)]).await?.iter().map(record).collect()
}

fn record(row: &Row) -> Result<StoredRecord, AuditError> {
    Ok(StoredRecord {
        place: Place(row.get(0)),
        at_microseconds: row.get(1),
        kind: row.get(2),
        id: row.get(3),
        body: row.get(4),
        hash: Some(hash(row.get(5))?),
        content: row.get(6),
    })
}

pub(super) fn hash(bytes: &[u8]) -> Result<ChainHash, AuditError> {
    Ok(ChainHash(exactly(bytes)?))
}

fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], AuditError> {
    let wrong = |_| AuditError::Encoding(format!("{} bytes where there should be {N}", bytes.len()));
    bytes.try_into().map_err(wrong)
}

pub(super) async fn entry_rows(
    client: &Client,
    Place(from): Place,
    Place(to): Place,
    at_most: usize,
) -> Result<Vec<EntryRow>, AuditError> {
    let rows = client.query(trail::ENTRY_ROWS, &[&from, &to, &(at_most as i64)]).await?;
    let read = |row: &Row| EntryRow {
        place: row.get(0),
        outcome_place: row.get(1),
        id: row.get(2),
        context_id: row.get(3),
        kind: row.get(4),
        at: row.get(5),
        tenant: row.get(6),
        client: row.get(7),
        user: row.get(8),
        request_type: row.get(9),
        decision: row.get(10),
    };
    Ok(rows.iter().map(read).collect())
}

pub(super) async fn policy_rows(
    client: &Client,
    behind: &PolicyRow,
    at_most: usize,
) -> Result<Vec<PolicyRow>, AuditError> {
    let PolicyRow { tenant, policy, at, entry } = behind;
    let rows = client.query(trail::POLICY_ROWS, &[tenant, policy, at, entry, &(at_most as i64)]).await?;
    let read = |row: &Row| PolicyRow { tenant: row.get(0), policy: row.get(1), at: row.get(2), entry: row.get(3) };
    Ok(rows.iter().map(read).collect())
}

pub(super) async fn checkpoints(client: &Client, node: i64) -> Result<Vec<Checkpoint>, AuditError> {
    checkpoints_in(client, node, "ORDER BY place, kind").await
}

pub(super) async fn last_checkpoint(client: &Client, node: i64) -> Result<Option<Checkpoint>, AuditError> {
    Ok(checkpoints_in(client, node, "ORDER BY place DESC, kind DESC LIMIT 1").await?.pop())
}

async fn checkpoints_in(client: &Client, node: i64, order: &str) -> Result<Vec<Checkpoint>, AuditError> {
    let (Place(first), Place(last)) = Place::of_node(node);
    let sql = format!(
        "SELECT place, kind, at, hash, public_key, signature FROM checkpoints WHERE place BETWEEN $1 AND $2 {order}"
    );
    client.query(&sql, &[&first, &last]).await?.iter().map(checkpoint).collect()
}

fn checkpoint(row: &Row) -> Result<Checkpoint, AuditError> {
    let head = Head { seq: Place(row.get(0)).seq(), hash: hash(row.get(3))? };
    let wrong = |what: &str| AuditError::Encoding(format!("checkpoint {}: {what}", head.seq.0));
    Ok(Checkpoint {
        kind: CheckpointKind::parse(row.get(1)).ok_or_else(|| wrong("unknown kind"))?,
        at: Timestamp::from_microsecond(row.get(2)).map_err(|_| wrong("no such time"))?,
        head,
        public_key: PublicKey(exactly(row.get(4))?),
        signature: exactly(row.get(5))?,
    })
}

pub(super) async fn texts(
    client: &Client,
    selection: &Selection,
    Place(behind): Place,
    at_most: usize,
) -> Result<(Vec<Place>, Place), AuditError> {
    let (sql, whose, before) = trail::texts(selection);
    let rows = client.query(&sql, &[&storable(whose), &before, &behind, &(at_most as i64)]).await?;
    let last = rows.last().map_or(Place(behind), |row| Place(row.get(0)));
    let of = |row: &Row| [1, 2].map(|column| row.get::<_, Option<i64>>(column).map(Place));
    Ok((rows.iter().flat_map(of).flatten().collect(), last))
}
