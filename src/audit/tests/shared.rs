//! Several gateways on one database.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contexts_and_searches_go_over_all_nodes_and_chains_are_each_nodes_own() {
    let Some(home) = Home::postgres() else { return };
    let of = |node: &str| AuditLog::open(&Settings { node: Some(node.into()), ..home.settings() }).unwrap();
    let (east, west) = (of("east"), of("west"));
    append(&east, pre_check("c1", 0)).await.unwrap();
    let context = west.context("c1").await.unwrap();
    let user = caller("acme").user;
    assert!(context.is_some_and(|it| it.client == "acme-app" && it.user == user && it.approved));
    append(&west, llm_call("a1", "c1", 1)).await.unwrap();
    request(&west, intent("r1", 2), outcome("r1", 3)).await;
    for log in [&east, &west] {
        assert_eq!(ids(log, Query::new("acme")).await, ["r1", "a1", "c1"]);
        assert_eq!(ids(log, Query { request_id: Some("c1".into()), ..Query::new("acme") }).await, ["a1", "c1"]);
    }
    east.shutdown().await.unwrap();
    west.shutdown().await.unwrap();
    let (chains, _) = chain::verify(&home, &home.key).unwrap();
    assert_eq!(chains.iter().map(|it| (it.node.as_str(), it.records)).collect::<Vec<_>>(), [("east", 1), ("west", 3)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_start_at_once_make_the_tables_once() {
    let Some(home) = Home::postgres() else { return };
    let openings: Vec<_> = (0..8)
        .map(|number| {
            let settings = Settings { node: Some(format!("node-{number}")), ..home.settings() };
            std::thread::spawn(move || AuditLog::open(&settings).map(drop))
        })
        .collect();
    for opening in openings {
        opening.join().unwrap().unwrap();
    }
    assert_eq!(home.count("SELECT count(*) FROM nodes"), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_callers_name_things_by_may_hold_a_nul() {
    for home in [Some(Home::sqlite()), Home::postgres()].into_iter().flatten() {
        let log = home.open();
        let mut asked = intent("r1", 0);
        asked.caller.user = "eva\0".into();
        request(&log, asked, outcome("r1", 1)).await;
        let found = Query { user_email: Some("eva\0".into()), ..Query::new("acme") };
        assert_eq!(ids(&log, found).await, ["r1"]);
        assert_eq!(log.context("no\0context").await, Ok(None));
    }
}
