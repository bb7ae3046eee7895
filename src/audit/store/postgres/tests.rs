//! Questions that are given up, turns that are not waited for, how a cut finds its rows, and what records take.

use std::time::Instant;

use jiff::Timestamp;

use super::*;
use crate::audit::chain::{ChainHash, Head, Seq};
use crate::audit::store::cut;
use crate::audit::tests::postgres;
use crate::audit::{AuditKey, CheckpointKind};

/// Has somebody else's connection hold something until it is dropped.
fn held(url: &DatabaseUrl, sql: &str) -> Connection {
    let other = Address::parse(url, ANSWER_WITHIN).unwrap().connect().unwrap();
    other.ask(async |client| Ok(client.batch_execute(sql).await?)).unwrap();
    other
}

#[test]
fn what_is_given_up_goes_on_neither_here_nor_in_the_server() {
    let Some(server) = postgres::shared() else { return };
    let url = DatabaseUrl::new(server.database());
    PostgresStore::open(&url).unwrap();
    let store = PostgresStore::new(&url, Duration::from_secs(5)).unwrap();
    let in_state = |state: &str| {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state =";
        postgres::execute(url.expose(), &format!("{sql} '{state}'")).unwrap()[0][0] != Some("0".into())
    };
    let write = &mut |session: &mut dyn Session| {
        let _lock = held(&url, "BEGIN; LOCK TABLE checkpoints IN ACCESS EXCLUSIVE MODE");
        let (head, key) = (Head { seq: Seq(1), hash: ChainHash::NONE }, AuditKey::random().unwrap());
        let checkpoint = Checkpoint::sign(CheckpointKind::Checkpoint, "n", Timestamp::now(), head, &key);
        let given_up = session.commit(&[], Some((Place::new(1, head.seq), &checkpoint))).unwrap_err();
        assert_eq!(given_up.code(), "audit_unreachable");
        // The lock is still held, and nothing was asked behind what failed.
        let until = Instant::now() + Duration::from_secs(60);
        while !in_state("idle in transaction (aborted)") {
            assert!(Instant::now() < until, "the server still waits, or was asked for more");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    store.write(write).unwrap();
}

#[test]
fn a_transaction_whose_process_is_gone_holds_nobody_up_for_long() {
    let Some(server) = postgres::shared() else { return };
    let url = DatabaseUrl::new(server.database());
    let store = PostgresStore::open(&url).unwrap();
    let setting = |name: &str| {
        let show = format!("SELECT current_setting('{name}')");
        let asked = |connection: &Connection| {
            connection.ask(async |client| Ok(client.query_one(&show, &[]).await?.get::<_, String>(0)))
        };
        store.with(asked).unwrap()
    };
    assert_eq!(setting("idle_in_transaction_session_timeout"), "15s");
    let transport = ["tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_user_timeout"];
    assert_eq!(transport.map(setting), ["30", "30", "15000"]);

    let gone = Address::parse(&url, Duration::from_secs(1)).unwrap().connect().unwrap();
    let begun = "BEGIN; INSERT INTO nodes (id, role) VALUES ('north', 'gateway')";
    gone.ask(async |client| Ok(client.batch_execute(begun).await?)).unwrap();
    assert_eq!(store.enrol(Some("north"), Role::Gateway).unwrap().id, "north", "behind what will never be committed");
    // Should it be there after all, it learns of it.
    let late = gone.ask(async |client| Ok(client.batch_execute("COMMIT").await?)).unwrap_err();
    assert_eq!(late.code(), "audit_unreachable");
}

#[test]
fn a_start_that_has_nothing_to_migrate_waits_for_nobodys_migration() {
    let Some(server) = postgres::shared() else { return };
    let url = DatabaseUrl::new(server.database());
    PostgresStore::open(&url).unwrap();
    let _turn = held(&url, &format!("SELECT pg_advisory_lock({})", schema::TURN));
    PostgresStore::open(&url).unwrap();
}

#[test]
fn a_database_without_a_place_for_every_character_is_refused_and_told_of() {
    let Some(server) = postgres::shared() else { return };
    let made = |name: &str, encoding: &str| {
        let sql = format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        postgres::execute(&server.url("postgres"), &sql).unwrap();
        DatabaseUrl::new(server.url(name))
    };
    let url = made("latin", "LATIN1");
    let said = PostgresStore::open(&url).err().unwrap().to_string();
    assert!(said.contains("its encoding is LATIN1") && said.contains("ENCODING 'UTF8'"), "{said}");
    // What an earlier version wrote there is read.
    let store = PostgresStore::new(&url, ANSWER_WITHIN).unwrap();
    let tables = "CREATE SCHEMA octroi; CREATE TABLE octroi.schema_version AS SELECT 2::bigint AS version";
    store.with(|connection| connection.ask(async |client| Ok(client.batch_execute(tables).await?))).unwrap();
    PostgresStore::open_existing(&url).unwrap();
    PostgresStore::open(&made("bytes", "SQL_ASCII")).unwrap();
}

#[test]
fn gateways_whose_database_is_set_to_serializable_keep_out_of_each_others_way() {
    let Some(server) = postgres::shared() else { return };
    let url = server.database();
    let name = url.rsplit('/').next().unwrap();
    let set = format!("ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'");
    postgres::execute(&server.url("postgres"), &set).unwrap();
    let store = PostgresStore::open(&DatabaseUrl::new(&url)).unwrap();
    let told = store.with(|connection| {
        connection
            .ask(async |client| Ok(client.query_one("SHOW transaction_isolation", &[]).await?.get::<_, String>(0)))
    });
    assert_eq!(told, Ok("read committed".to_owned()));
}

#[test]
fn a_transaction_that_others_were_in_the_way_of_is_for_another_attempt() {
    let Some(server) = postgres::shared() else { return };
    let url = DatabaseUrl::new(server.database());
    let store = PostgresStore::open(&url).unwrap();
    for state in ["40001", "40P01", "55P03"] {
        let raise = format!("DO $$ BEGIN RAISE EXCEPTION 'so' USING ERRCODE = '{state}'; END $$");
        let told = store.with(|connection| connection.ask(async |client| Ok(client.batch_execute(&raise).await?)));
        assert_eq!(told, Err(AuditError::Locked), "{state}");
    }
}

#[test]
fn no_cut_scans_a_table() {
    let Some(server) = postgres::shared() else { return };
    let url = DatabaseUrl::new(server.database());
    let store = PostgresStore::open(&url).unwrap();
    let filled = "INSERT INTO octroi.entries \
                  (place, outcome_place, id, kind, at, tenant, client, \"user\", request_type, decision) \
                  SELECT (1::bigint << 40) + 2 * n - 1, (1::bigint << 40) + 2 * n, 'r' || n, 'request', n, 'acme', \
                         'app', '', 'chat', 'blocked' FROM generate_series(1, 20000) n; \
                  INSERT INTO octroi.entry_policies \
                  SELECT tenant, policy, at, place FROM octroi.entries, (VALUES ('pii'), ('sql'), ('tone')) p (policy)";
    postgres::execute(url.expose(), filled).unwrap();
    let (Place(first), through) = (Place::of_node(1).0, Place::new(1, Seq(1_000)).0);
    // What the planner knows of new tables, and of known ones.
    for known in ["SELECT", "ANALYZE"] {
        postgres::execute(url.expose(), known).unwrap();
        let plans = store.with(|connection| {
            connection.ask(async |client| {
                client.batch_execute(session::BEGIN_CUT).await?;
                let mut plans = Vec::new();
                for sql in cut::statements(Timestamp::now()) {
                    let plan = client.query(&format!("EXPLAIN {sql}"), &[&first, &through]).await?;
                    plans.push(plan.iter().map(|row| row.get(0)).collect::<Vec<String>>().join("\n"));
                }
                client.batch_execute("ROLLBACK").await?;
                Ok(plans)
            })
        });
        let plans = plans.unwrap();
        for plan in &plans {
            assert!(!plan.contains("Seq Scan"), "{known}: {plan}");
        }
        let by_whole_key = ["tenant", "policy", "at", "entry"].map(|column| format!("({column} = wanted.{column})"));
        assert!(plans[0].contains(&by_whole_key.join(" AND ")), "{known}: {}", plans[0]);
    }
}

#[test]
fn what_records_take_is_estimated_from_all_of_each_node_and_as_it_is_stored() {
    let Some(server) = postgres::shared() else { return };
    let url = DatabaseUrl::new(server.database());
    let store = PostgresStore::open(&url).unwrap();
    // Many small ones, the later ones larger, of two kinds in turns; and a few of a newer node with long texts.
    let filled = "SET search_path = octroi; \
                  INSERT INTO nodes (id, role) VALUES ('east', 'gateway'), ('west', 'gateway'); \
                  INSERT INTO records SELECT (1::bigint << 40) + n, n, 'intent', 'r' || n, \
                      repeat('x', n / 50 + CASE n % 2 WHEN 0 THEN 600 ELSE 100 END), '' FROM generate_series(1, 20000) n; \
                  INSERT INTO records SELECT (2::bigint << 40) + n, n, 'intent', 'r' || n, 'x', '' \
                      FROM generate_series(1, 1000) n; \
                  INSERT INTO contents SELECT (2::bigint << 40) + n, repeat(md5(n::text), 1000) \
                      FROM generate_series(1, 1000) n";
    postgres::execute(url.expose(), filled).unwrap();
    let stored = "SELECT (SELECT sum(pg_column_size(body)) FROM octroi.records) \
                       + (SELECT sum(pg_column_size(content)) FROM octroi.contents)";
    let stored: u64 = postgres::execute(url.expose(), stored).unwrap()[0][0].as_ref().unwrap().parse().unwrap();
    let take = stored + 21_000 * 700;
    let estimated = store.with(session::used_bytes).unwrap();
    assert!(estimated.abs_diff(take) < take / 20, "{estimated} instead of {take}");
}
