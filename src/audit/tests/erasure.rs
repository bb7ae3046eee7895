//! Texts are erased; records, chain and the search stand.

use super::*;
use crate::audit::{ErasureOrder, Selection};

on_both_stores! {
    one_requests_texts_are_erased_beside_a_running_gateway_and_the_chain_still_fits,
    a_clients_older_texts_are_erased_and_nobody_elses,
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
    drop(home.open());
    let other = rusqlite::Connection::open(home.path()).unwrap();
    other.execute("INSERT INTO nodes (id, role) VALUES ('operator', 'operator')", []).unwrap();
    let error = AuditLog::open(&settings).err().unwrap();
    assert_eq!(error.code(), "audit_settings");
}
