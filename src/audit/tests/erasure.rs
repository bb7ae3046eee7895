//! Texts are erased; records, chain and the search stand.

use super::*;
use crate::audit::chain::{Covered, Head, Place};
use crate::audit::record::Erasure;
use crate::audit::row::Row;
use crate::audit::store::{self, Link, Role};
use crate::audit::text_rule::TextRule;
use crate::audit::{ChainHash, Checkpoint, CheckpointKind, ErasureOrder, Misfit, Selection, TextVerifier, TrailRecord};

on_both_stores! {
    one_requests_texts_are_erased_beside_a_running_gateway_and_the_chain_still_fits,
    a_clients_older_texts_are_erased_and_nobody_elses,
    more_texts_than_one_transaction_takes_are_erased,
    an_erasure_accounts_for_the_texts_that_it_names_and_for_no_others,
    an_erasure_that_no_operator_signed_accounts_for_no_text,
    behind_what_another_key_signed_texts_are_erased_and_that_is_told_of,
}

fn order(selection: Selection) -> ErasureOrder {
    ErasureOrder { selection, by: "uid 0".into(), reason: Some("asked for".into()) }
}

fn erase(settings: &Settings, order: &ErasureOrder) -> Result<u64, AuditError> {
    apart(|| crate::audit::erase(settings, order))
}

/// The texts of one request, or of a context.
pub(super) fn erase_one(settings: &Settings, id: &str) -> Result<u64, AuditError> {
    erase(settings, &order(Selection::Id(id.into())))
}

fn texts(home: &Home) -> i64 {
    home.count("SELECT count(*) FROM contents")
}

async fn one_requests_texts_are_erased_beside_a_running_gateway_and_the_chain_still_fits(home: Home) {
    let settings = home.settings();
    let log = AuditLog::open(&settings).unwrap();
    request(&log, intent("r1", 0), outcome("r1", 1)).await;
    request(&log, intent("r2", 2), outcome("r2", 3)).await;
    append(&log, pre_check("c1", 4)).await.unwrap();
    append(&log, llm_call("a1", "c1", 5)).await.unwrap();

    assert_eq!(erase_one(&settings, "r1"), Ok(2));
    assert_eq!(erase_one(&settings, "c1"), Ok(2), "the pre-check's and its call's");
    assert_eq!(erase_one(&settings, "r1"), Ok(0), "once");
    assert_eq!(erase_one(&settings, "nobody"), Ok(0));
    assert_eq!(texts(&home), 2);

    append(&log, intent("r3", 6)).await.unwrap();
    let page = log.search(Query { decision_id: Some("r1".into()), ..Query::new("acme") }).await.unwrap();
    assert_eq!((page.entries[0].query.clone(), page.entries[0].response_sample.clone()), (None, None));
    log.shutdown().await.unwrap();
    let (chains, found) = chain::verify(&home, &settings.key).unwrap();
    assert_eq!(chains.iter().map(|chain| (chain.records, chain.signed.0)).collect::<Vec<_>>(), [(7, 7), (2, 2)]);
    assert_eq!((found.texts, found.erased), (3, 4));
    let bodies = "SELECT count(*) FROM records WHERE kind = 'erasure' AND body LIKE '%\"by\":\"uid 0\"%asked for%'";
    assert_eq!(home.count(bodies), 2);
}

async fn a_clients_older_texts_are_erased_and_nobody_elses(home: Home) {
    let settings = home.settings();
    let log = AuditLog::open(&settings).unwrap();
    for (id, client, second) in [("r1", "acme-app", 0), ("r2", "acme-app", 10), ("r3", "other-app", 0)] {
        let mut asked = intent(id, second);
        asked.caller.client = client.into();
        request(&log, asked, outcome(id, second)).await;
    }
    let selection = Selection::Client { client: "acme-app".into(), before: at(10) };
    assert_eq!(erase(&settings, &order(selection)), Ok(2));
    let left = "SELECT count(*) FROM contents c JOIN records r ON r.place = c.place WHERE r.id IN ('r2', 'r3')";
    assert_eq!((home.count(left), texts(&home)), (4, 4));
}

async fn an_erasure_accounts_for_the_texts_that_it_names_and_for_no_others(home: Home) {
    let log = home.open();
    request(&log, intent("r1", 0), outcome("r1", 1)).await;
    request(&log, intent("r2", 2), outcome("r2", 3)).await;
    append(&log, intent("r3", 4)).await.unwrap();
    log.shutdown().await.unwrap();
    drop(log);
    assert_eq!(erase_one(&home.settings(), "r1"), Ok(2));
    let node = home.column("SELECT id FROM nodes WHERE role = 'gateway'").remove(0);
    let named = home.column("SELECT body FROM records WHERE kind = 'erasure'").remove(0);
    assert!(named.contains(&format!(r#""records":{{"{node}":[1,2]}}"#)), "{named}");
    // Its records are removed; then somebody makes as many other texts vanish.
    retention::cut(&home, &[2]);
    assert_eq!(chain::verify(&home, &home.key).unwrap().1.erased, 0);
    home.tamper("DELETE FROM contents WHERE place & 255 IN (3, 4)");
    let misfit = chain::verify(&home, &home.key).unwrap_err();
    assert_eq!(misfit, Misfit::Vanished { missing: 2, erased: 0, first: format!("{node} 3") });
}

/// What an intruder does who may write the store and has no key: texts go, and a record that fits its chain says that they
/// were erased. Perhaps with a signature by a key of the intruder's own.
fn forge_an_erasure(home: &Home, of: i64, into: &str, role: Role, signed_by: Option<&AuditKey>) {
    let store = store::open_existing(&home.store()).unwrap();
    let gateway = store.nodes().unwrap().remove(0);
    let forger = store.enrol(Some(into), role).unwrap();
    let erasure = Erasure {
        erasure_id: "erasure-1".into(),
        at: at(100),
        by: "uid 0".into(),
        of_id: None,
        of_client: None,
        before: None,
        reason: None,
        texts: 1,
        records: [(gateway.id, vec![of])].into(),
        places: vec![Place::new(gateway.number, Seq(of))],
    };
    let row = Row::new(erasure.into(), &TextRule { key: home.key.clone(), mode: ContentMode::Nothing }).unwrap();
    let forge = &mut |session: &mut dyn store::Session| {
        let (head, _) = session.head(&forger).unwrap();
        let seq = Seq(head.seq.0 + 1);
        let (at_microseconds, kind) = (row.at.as_microsecond(), row.kind.as_str());
        let covered =
            Covered { node: into, seq, previous: head.hash, at_microseconds, kind, id: &row.id, body: &row.body };
        let (place, hash) = (Place::new(forger.number, seq), covered.hash());
        let sign = |key| Checkpoint::sign(CheckpointKind::Checkpoint, into, at(100), Head { seq, hash }, key);
        let checkpoint = signed_by.map(sign);
        let links = [Link { place, hash, row: &row }];
        session.commit(&links, checkpoint.as_ref().map(|checkpoint| (place, checkpoint))).unwrap();
    };
    store.write(forge).unwrap();
}

async fn an_erasure_that_no_operator_signed_accounts_for_no_text(home: Home) {
    let log = home.open();
    request(&log, intent("r1", 0), outcome("r1", 1)).await;
    request(&log, intent("r2", 2), outcome("r2", 3)).await;
    log.shutdown().await.unwrap();
    drop(log);
    let gateway = home.column("SELECT id FROM nodes").remove(0);
    let vanished = |missing, erased| Misfit::Vanished { missing, erased, first: format!("{gateway} 2") };

    // In the gateway's chain, where the gateway signs it with its own.
    let copy = home.copy();
    apart(|| forge_an_erasure(&copy, 2, &gateway, Role::Gateway, None));
    assert_eq!(chain::verify(&copy, &home.key).unwrap_err(), vanished(1, 0));
    let log = copy.open();
    append(&log, intent("r3", 4)).await.unwrap();
    log.shutdown().await.unwrap();
    drop(log);
    assert_eq!(chain::verify(&copy, &home.key).unwrap_err(), vanished(1, 0));

    // In the operator's, where the next erasure does not.
    assert_eq!(erase_one(&home.settings(), "r2"), Ok(2));
    apart(|| forge_an_erasure(&home, 2, "operator", Role::Operator, None));
    let found = || chain::verify(&home, &home.key).unwrap_err().to_string();
    let said = "operator: records 2 to 2 were not signed, although an erasure is signed";
    assert!(found().contains(said), "{}", found());
    let refused = || erase_one(&home.settings(), "r1").map_err(|error| error.code()) == Err("audit_corrupt");
    assert!(refused());

    // Nor where a row that is no signature covers it while texts are erased, or names a record that is not there.
    home.tamper(
        "INSERT INTO checkpoints SELECT place, 'checkpoint', at, hash, {zeros}, \
         (SELECT signature FROM checkpoints ORDER BY place LIMIT 1) FROM records WHERE id = 'erasure-1'",
    );
    assert!(refused());
    home.tamper("UPDATE checkpoints SET place = place + 1 WHERE public_key = {zeros}");
    assert!(refused());
    home.tamper("DELETE FROM checkpoints WHERE public_key = {zeros}");
    assert!(found().contains(said), "{}", found());
}

async fn behind_what_another_key_signed_texts_are_erased_and_that_is_told_of(home: Home) {
    let log = home.open();
    for id in ["r1", "r2", "r3"] {
        request(&log, intent(id, 0), outcome(id, 1)).await;
    }
    log.shutdown().await.unwrap();
    drop(log);
    assert_eq!(erase_one(&home.settings(), "r1"), Ok(2));

    // Whoever makes a key can sign with it, and take the signature away once the next one covers the record.
    let copy = home.copy();
    let somebodys = AuditKey::random().unwrap();
    apart(|| forge_an_erasure(&copy, 3, "operator", Role::Operator, Some(&somebodys)));
    assert_eq!(erase_one(&copy.settings(), "r3"), Ok(2));
    copy.tamper("DELETE FROM checkpoints WHERE place = (SELECT place FROM records WHERE id = 'erasure-1')");
    let misfit = chain::verify(&copy, &copy.key).unwrap_err().to_string();
    assert!(misfit.contains("operator: records 2 to 2 were not signed, although an erasure is signed"), "{misfit}");

    // Where the key was changed, both are trusted.
    let new = Settings { key: AuditKey::random().unwrap(), ..home.settings() };
    assert_eq!((erase_one(&new, "r2"), erase_one(&new, "r3")), (Ok(2), Ok(2)));
    let (chains, texts) = chain::verify_with(&home, &home.key, &[home.key.public(), new.key.public()]).unwrap();
    assert_eq!((chains[1].records, chains[1].signed, chains[1].taken_over.len()), (4, Seq(4), 0));
    assert_eq!((texts.texts, texts.erased), (0, 6));
}

#[test]
fn an_erasure_that_names_no_records_accounts_for_as_many_as_it_counts() {
    let key = AuditKey::random().unwrap();
    let record = |node: &str, seq, kind: &str, body: String| TrailRecord {
        node: node.into(),
        seq: Seq(seq),
        at: at(0),
        kind: kind.into(),
        id: "1".into(),
        body,
        hash: None,
        content: None,
    };
    for (counted, fits) in [(2, true), (1, false)] {
        let mut texts = TextVerifier::new(&key, &[]);
        for seq in [1, 2] {
            texts.record(&record("a", seq, "intent", r#"{"kept_hmac":"00"}"#.into())).unwrap();
        }
        texts.record(&record("operator", 1, "erasure", format!(r#"{{"texts":{counted}}}"#))).unwrap();
        let head = Head { seq: Seq(1), hash: ChainHash::NONE };
        texts.checkpoint("operator", &Checkpoint::sign(CheckpointKind::Checkpoint, "operator", at(0), head, &key));
        assert_eq!(texts.end().is_ok(), fits, "{counted}");
    }
}

#[tokio::test]
async fn what_was_erased_is_in_no_file() {
    let home = Home::sqlite();
    let settings = home.settings();
    let log = AuditLog::open(&settings).unwrap();
    let secret = "the-secret-of-eva";
    let asked = Intent { content: Content::unchanged(&secret), ..intent("r1", 0) };
    request(&log, asked, outcome("r1", 1)).await;
    log.shutdown().await.unwrap();
    let holds = || {
        let files = std::fs::read_dir(home.folder()).unwrap().map(|it| std::fs::read(it.unwrap().path()).unwrap());
        files.filter(|bytes| bytes.windows(secret.len()).any(|it| it == secret.as_bytes())).count()
    };
    assert_eq!(holds(), 1);
    assert_eq!(erase_one(&settings, "r1"), Ok(2));
    assert_eq!(holds(), 0);
}

#[test]
fn the_operators_chain_is_nobody_elses() {
    let home = Home::sqlite();
    let settings = Settings { node: Some("operator".into()), ..home.settings() };
    assert_eq!(AuditLog::open(&settings).err().unwrap().code(), "audit_settings", "before anything was erased");
    drop(home.open());
    let other = rusqlite::Connection::open(home.path()).unwrap();
    other.execute("INSERT INTO nodes (id, role) VALUES ('operator', 'operator')", []).unwrap();
    let error = AuditLog::open(&settings).err().unwrap();
    assert_eq!(error.code(), "audit_settings");
}

async fn more_texts_than_one_transaction_takes_are_erased(home: Home) {
    let log = home.open();
    for number in 0..1_200 {
        drop(log.append(intent(&format!("r{number}"), number)).unwrap());
    }
    for number in 0..200 {
        drop(log.append(outcome(&format!("r{number}"), number)).unwrap());
    }
    log.shutdown().await.unwrap();
    let selection = Selection::Client { client: "acme-app".into(), before: at(1_100) };
    assert_eq!(erase(&home.settings(), &order(selection.clone())), Ok(1_300));
    assert_eq!(erase(&home.settings(), &order(selection)), Ok(0));
    assert_eq!(texts(&home), 100);
    chain::verify(&home, &home.key).unwrap();
}
