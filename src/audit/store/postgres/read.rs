//! Searching, and looking up contexts.

use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use crate::audit::AuditError;
use crate::audit::chain::Place;
use crate::audit::entry::{Entry, Stored};
use crate::audit::row::ContextRow;
use crate::audit::search::{Ended, Page, Query};
use crate::audit::store::filter::{Dialect, Filter, Value};
use crate::audit::store::{done, page, page_of};

/// One page, and how many fit, of one moment.
pub(super) async fn search(client: &Client, query: &Query) -> Result<Page, AuditError> {
    let filter = Filter::new(query, Dialect::Postgres);
    let values = parameters(&filter.values);
    client.batch_execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let counted: i64 = client.query_one(&filter.count(), &values).await?.get(0);
    let sized = sizes(client, &filter.page(), &values).await?;
    let read = page_of(&sized);
    let entries = read_at(client, &sized, read).await?;
    client.batch_execute("COMMIT").await?;
    Ok(Page::new(entries, counted, query, Ended::of(read, &sized)))
}

/// When the entries were that fit, and where they are: at most so many behind this place, in order of their places.
pub(super) async fn places(
    client: &Client,
    query: &Query,
    behind: Place,
    at_most: usize,
) -> Result<Vec<(i64, Place)>, AuditError> {
    let filter = Filter::new(query, Dialect::Postgres);
    let rows = client.query(&filter.places(behind, at_most), &parameters(&filter.values)).await?;
    Ok(rows.iter().map(|row| (row.get(0), Place(row.get(1)))).collect())
}

/// The entries at these places, newest first, and how many of the places that was.
pub(super) async fn entries(client: &Client, places: &[Place]) -> Result<(Vec<Entry>, usize), AuditError> {
    let sized = sizes(client, &page::at(places), &[]).await?;
    let read = page_of(&sized);
    Ok((read_at(client, &sized, read).await?, done(places, &sized, read)))
}

/// The places that `page` selects, with the bytes that are read of each entry, newest first.
async fn sizes(client: &Client, page: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<(Place, i64)>, AuditError> {
    let sql = page::sizes(Dialect::Postgres, page);
    let rows = client.query(&sql, values).await?;
    Ok(rows.iter().map(|row| (Place(row.get(0)), row.get(1))).collect())
}

/// The first so many of these entries.
async fn read_at(client: &Client, sized: &[(Place, i64)], first: usize) -> Result<Vec<Entry>, AuditError> {
    let places: Vec<Place> = sized.iter().take(first).map(|(place, _)| *place).collect();
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let sql = page::entries(Dialect::Postgres, &places);
    let rows = client.query(&sql, &[]).await?;
    rows.iter().map(|row| Entry::try_from(stored(row))).collect()
}

fn parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values
        .iter()
        .map(|value| match value {
            Value::Text(text) => text as &(dyn ToSql + Sync),
            Value::Number(number) => number,
        })
        .collect()
}

fn stored(row: &Row) -> Stored {
    Stored {
        id: row.get(0),
        context_id: row.get(1),
        kind: row.get(2),
        at_microseconds: row.get(3),
        tenant: row.get(4),
        client: row.get(5),
        user: row.get(6),
        request_type: row.get(7),
        decision: row.get(8),
        opened: row.get(9),
        opened_content: row.get(10),
        closed: row.get(11),
        closed_content: row.get(12),
    }
}

/// The context of that id.
pub(super) async fn context(client: &Client, id: &str) -> Result<Option<ContextRow>, AuditError> {
    // No context has such an id, and the database could not even be asked for it.
    if id.contains('\0') {
        return Ok(None);
    }
    let sql = "SELECT c.client, c.tenant, c.approved, c.expires_at, coalesce(e.\"user\", '') \
               FROM contexts c LEFT JOIN entries e ON e.id = c.context_id WHERE c.context_id = $1";
    let Some(row) = client.query_opt(sql, &[&id]).await? else { return Ok(None) };
    let expires_at = Timestamp::from_microsecond(row.get(3))
        .map_err(|error| AuditError::Encoding(format!("the expiry of context {id}: {error}")))?;
    let (client, tenant, approved, user) = (row.get(0), row.get(1), row.get(2), row.get(4));
    Ok(Some(ContextRow { client, tenant, user, approved, expires_at }))
}
