//! The connection that writes, with its statements prepared once.

use std::sync::Arc;

use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::archive::{self, hash};
use super::batch::Batch;
use super::connection::Connection;
use crate::audit::chain::{ChainHash, Head, Place, Seq};
use crate::audit::store::{Link, Node, Session, cut, sampled_of_each};
use crate::audit::{AuditError, Checkpoint};

/// A cut is a thousand rows of tables that may have millions. How many rows its statements name is beyond what the planner
/// guesses, and it would rather read a table from end to end than look for so many by their keys.
pub(super) const BEGIN_CUT: &str = "BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; \
                                    SET LOCAL enable_mergejoin = off; SET LOCAL jit = off";

/// What the records of all nodes take. Each node is a question of its own, with all the time that one has: many at once
/// would take longer than an answer is waited for.
pub(super) fn used_bytes(connection: &Connection) -> Result<u64, AuditError> {
    let nodes = connection.ask(async |client| archive::nodes(&client).await)?;
    let sampled = sampled_of_each(nodes.len());
    let of = |node: &Node| connection.ask(async |client| archive::used_bytes(&client, node.number, sampled).await);
    nodes.iter().map(of).sum()
}

pub(super) struct PostgresSession<'c> {
    connection: &'c Connection,
    statements: Statements,
}

#[derive(Clone)]
struct Statements {
    records: Statement,
    contents: Statement,
    entries: Statement,
    contexts: Statement,
    close: Statement,
    matched: Statement,
    checkpoint: Statement,
    erase: Statement,
}

impl Statements {
    async fn prepare(client: &Client) -> Result<Self, AuditError> {
        Ok(Self {
            records: client
                .prepare(
                    "INSERT INTO records (place, at, kind, id, body, hash) \
                     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bytea[])",
                )
                .await?,
            contents: client
                .prepare("INSERT INTO contents (place, content) SELECT * FROM unnest($1::bigint[], $2::text[])")
                .await?,
            entries: client
                .prepare(
                    "INSERT INTO entries \
                     (place, id, context_id, kind, at, tenant, client, \"user\", request_type, decision) \
                     SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], \
                     $7::text[], $8::text[], $9::text[], $10::text[])",
                )
                .await?,
            contexts: client
                .prepare(
                    "INSERT INTO contexts (context_id, client, tenant, approved, expires_at) \
                     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[], $5::bigint[])",
                )
                .await?,
            close: client
                .prepare(
                    "UPDATE entries e SET outcome_place = c.place, decision = c.decision \
                     FROM unnest($1::text[], $2::bigint[], $3::text[]) AS c (id, place, decision) \
                     WHERE e.id = c.id AND e.kind = 'request' AND e.outcome_place IS NULL",
                )
                .await?,
            matched: client
                .prepare(
                    "INSERT INTO entry_policies (tenant, policy, at, entry) \
                     SELECT e.tenant, m.policy, e.at, e.place \
                     FROM unnest($1::text[], $2::text[]) AS m (id, policy) JOIN entries e ON e.id = m.id \
                     ON CONFLICT DO NOTHING",
                )
                .await?,
            checkpoint: client
                .prepare(
                    "INSERT INTO checkpoints (place, kind, at, hash, public_key, signature) \
                     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
                )
                .await?,
            erase: client.prepare("DELETE FROM contents WHERE place = ANY ($1::bigint[])").await?,
        })
    }
}

impl<'c> PostgresSession<'c> {
    pub(super) fn new(connection: &'c Connection) -> Result<Self, AuditError> {
        let statements = connection.ask(async |client| Statements::prepare(&client).await)?;
        Ok(Self { connection, statements })
    }

    /// Ends the transaction that failed, unless the connection is given up and ends it with itself.
    fn rolled_back<T>(&self, result: Result<T, AuditError>) -> Result<T, AuditError> {
        if result.as_ref().is_err_and(|error| !error.leaves_it_open()) && !self.connection.is_closed() {
            self.connection.ask(async |client: Arc<Client>| Ok(client.batch_execute("ROLLBACK").await?))?;
        }
        result
    }
}

/// A parameter.
type Column<'a> = &'a (dyn ToSql + Sync);

async fn sign(
    client: &Client,
    statements: &Statements,
    Place(place): Place,
    checkpoint: &Checkpoint,
) -> Result<u64, tokio_postgres::Error> {
    let (kind, at) = (checkpoint.kind.as_str(), checkpoint.at.as_microsecond());
    let (hash, key) = (&checkpoint.head.hash.0[..], &checkpoint.public_key.0[..]);
    client.execute(&statements.checkpoint, &[&place, &kind, &at, &hash, &key, &&checkpoint.signature[..]]).await
}

/// Everything up to `end` is sent at once; the answers come in order, and the first error is the one that counts.
async fn write_all(
    client: &Client,
    statements: &Statements,
    links: &[Link<'_>],
    checkpoint: Option<(Place, &Checkpoint)>,
    end: &str,
) -> Result<(), AuditError> {
    let batch = Batch::new(links);
    let (contents, entries, contexts) = (&batch.contents, &batch.entries, &batch.contexts);
    let (closed, matched) = (&batch.closed, &batch.matched);
    let none = || Ok::<u64, tokio_postgres::Error>(0);
    let (begun, records, texts, opened, contexts, updated, policies, erased, signed) = tokio::join!(
        biased;
        client.batch_execute("BEGIN"),
        async {
            if batch.places.is_empty() { return none() }
            let columns: [Column<'_>; 6] = [&batch.places, &batch.ats, &batch.kinds, &batch.ids, &batch.bodies, &batch.hashes];
            client.execute(&statements.records, &columns).await
        },
        async {
            if contents.places.is_empty() { return none() }
            client.execute(&statements.contents, &[&contents.places, &contents.texts]).await
        },
        async {
            if entries.places.is_empty() { return none() }
            let columns: [Column<'_>; 10] = [
                &entries.places, &entries.ids, &entries.context_ids, &entries.kinds, &entries.ats, &entries.tenants,
                &entries.clients, &entries.users, &entries.request_types, &entries.decisions,
            ];
            client.execute(&statements.entries, &columns).await
        },
        async {
            if contexts.ids.is_empty() { return none() }
            let columns: [Column<'_>; 5] = [
                &contexts.ids, &contexts.clients, &contexts.tenants, &contexts.approved, &contexts.expiries,
            ];
            client.execute(&statements.contexts, &columns).await
        },
        async {
            if closed.ids.is_empty() { return none() }
            client.execute(&statements.close, &[&closed.ids, &closed.places, &closed.decisions]).await
        },
        async {
            if matched.ids.is_empty() { return none() }
            client.execute(&statements.matched, &[&matched.ids, &matched.policies]).await
        },
        async {
            if batch.erased.is_empty() { return none() }
            client.execute(&statements.erase, &[&batch.erased]).await
        },
        async {
            match checkpoint {
                Some((place, checkpoint)) => sign(client, statements, place, checkpoint).await,
                None => none(),
            }
        },
    );
    begun?;
    records?;
    texts?;
    // Which of many it is, the writer finds out by writing each alone.
    let id = || batch.ids.first().map(|id| (*id).to_owned()).unwrap_or_default();
    let named = |error: tokio_postgres::Error| match AuditError::from(error) {
        AuditError::Duplicate { .. } => AuditError::Duplicate { id: id() },
        other => other,
    };
    opened.map_err(named)?;
    contexts.map_err(named)?;
    let updated = updated?;
    policies?;
    let erased = erased?;
    signed?;
    if erased != batch.erased.len() as u64 {
        return Err(AuditError::ChainMoved);
    }
    if updated != closed.ids.len() as u64 {
        let known: i64 =
            client.query_one("SELECT count(*) FROM entries WHERE id = ANY ($1::text[])", &[&closed.ids]).await?.get(0);
        let id = closed.ids.first().map(|id| (*id).to_owned()).unwrap_or_default();
        return Err(if known == 0 { AuditError::NoIntent { id } } else { AuditError::Duplicate { id } });
    }
    client.batch_execute(end).await?;
    Ok(())
}

impl Session for PostgresSession<'_> {
    fn head(&mut self, node: &Node) -> Result<(Head, Seq), AuditError> {
        let (Place(first), Place(last)) = Place::of_node(node.number);
        self.connection.ask(async |client| {
            let end = async |table: &str| -> Result<Head, AuditError> {
                let sql = format!(
                    "SELECT place, hash FROM {table} WHERE place BETWEEN $1 AND $2 ORDER BY place DESC LIMIT 1"
                );
                let row = client.query_opt(&sql, &[&first, &last]).await?;
                row.map_or(Ok(Head::EMPTY), |row| Ok(Head { seq: Place(row.get(0)).seq(), hash: hash(row.get(1))? }))
            };
            let head = end("records").await?;
            let signed = end("checkpoints").await?;
            // All records may have been removed by a cut: the chain goes on from it.
            Ok(if signed.seq > head.seq { (signed, signed.seq) } else { (head, signed.seq) })
        })
    }

    fn last_checkpoint(&mut self, node: &Node) -> Result<Option<Checkpoint>, AuditError> {
        self.connection.ask(async |client| archive::last_checkpoint(&client, node.number).await)
    }

    fn commit(&mut self, links: &[Link<'_>], checkpoint: Option<(Place, &Checkpoint)>) -> Result<(), AuditError> {
        let statements = &self.statements;
        let result =
            self.connection.ask(async |client| write_all(&client, statements, links, checkpoint, "COMMIT").await);
        self.rolled_back(result)
    }

    fn would_take(&mut self, links: &[Link<'_>]) -> Result<(), AuditError> {
        let statements = &self.statements;
        let result = self.connection.ask(async |client| write_all(&client, statements, links, None, "ROLLBACK").await);
        self.rolled_back(result)
    }

    fn gateways(&mut self) -> Result<Vec<Node>, AuditError> {
        self.connection.ask(async |client| archive::gateways(&client).await)
    }

    fn extent(&mut self, node: i64) -> Result<Option<(Place, Place)>, AuditError> {
        self.connection.ask(async |client| archive::extent(&client, node).await)
    }

    fn record_at(&mut self, place: Place) -> Result<Option<(Place, i64, ChainHash)>, AuditError> {
        self.connection.ask(async |client| archive::record_at(&client, place).await)
    }

    fn first_since(&mut self, from: Place, through: Place, since: Timestamp) -> Result<Option<Place>, AuditError> {
        let sql = "SELECT place FROM records WHERE place BETWEEN $1 AND $2 AND at >= $3 ORDER BY place LIMIT 1";
        let since = since.as_microsecond();
        self.connection.ask(async |client| {
            let row = client.query_opt(sql, &[&from.0, &through.0, &since]).await?;
            Ok(row.map(|row| Place(row.get(0))))
        })
    }

    fn used_bytes(&mut self) -> Result<u64, AuditError> {
        used_bytes(self.connection)
    }

    fn cut(&mut self, through: Place, cut: &Checkpoint) -> Result<(), AuditError> {
        let (first, _) = Place::of_node(through.node());
        let statements = &self.statements;
        let result = self.connection.ask(async |client| {
            client.batch_execute(BEGIN_CUT).await?;
            // Of gateways that cut a node's chain at once, one goes first, and the others see what it did.
            client.execute("SELECT FROM nodes WHERE number = $1 FOR UPDATE", &[&through.node()]).await?;
            if archive::record_at(&client, through).await?.is_none_or(|(at, ..)| at != through) {
                return Ok(client.batch_execute("ROLLBACK").await?);
            }
            for sql in cut::statements(cut.at) {
                client.execute(&sql, &[&first.0, &through.0]).await?;
            }
            sign(&client, statements, through, cut).await?;
            client.batch_execute("COMMIT").await?;
            Ok(())
        });
        self.rolled_back(result)
    }

    fn clean_contexts(&mut self, before: Timestamp, at_most: usize) -> Result<usize, AuditError> {
        let sql = "DELETE FROM contexts WHERE context_id IN \
                   (SELECT context_id FROM contexts WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)";
        let (before, at_most) = (before.as_microsecond(), at_most as i64);
        self.connection.ask(async |client: Arc<Client>| Ok(client.execute(sql, &[&before, &at_most]).await? as usize))
    }

    fn tidy(&mut self) {}

    fn finish(&mut self) -> Result<(), AuditError> {
        Ok(())
    }
}
