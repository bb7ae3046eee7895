//! Which tools a model calls: a policy sees the names before a client does.

use serde_json::{Value, json};

use super::socket::mistral_that_says;
use super::support::Gateway;
use super::support::guest::Guest;
use super::{ask, last_record, stream, with_pattern};

type Event = (u32, Value, Value);

fn begins(index: u32, name: &str, arguments: &str) -> Event {
    call(index, json!(format!("callnumb{index}")), name, arguments)
}

fn goes_on(index: u32, arguments: &str) -> Event {
    call(index, Value::Null, "", arguments)
}

fn call(index: u32, id: Value, name: &str, arguments: &str) -> Event {
    let function = json!({ "name": name, "arguments": arguments });
    (0, json!({ "tool_calls": [{ "index": index, "id": id, "type": "function", "function": function }] }), Value::Null)
}

/// Arguments with so many words.
fn said(words: usize) -> String {
    json!({ "note": "word ".repeat(words) }).to_string()
}

/// A gateway that refuses the tool `delete_all`, before a model that makes these calls.
async fn without_delete(events: &[Event], manifests: &[&str]) -> Gateway {
    let events = events.iter().cloned().chain([(0, json!({}), json!("tool_calls"))]).collect();
    let prepared = mistral_that_says(events).await.prepare();
    for (number, manifest) in manifests.iter().enumerate() {
        let name = format!("no-deletion-{number}");
        Guest::response("deny").about("delete_all").put(&prepared.policies(), &name, manifest);
    }
    prepared.start()
}

/// Calls that say nothing, not all of it, or less than a window, when the next one is made: as many words.
fn calls(name: &str, words: usize) -> [Vec<Event>; 4] {
    let next = begins(1, "see", &said(words));
    let last = begins(2, "look", &said(60));
    [
        vec![begins(0, name, ""), next.clone(), last.clone()],
        vec![begins(0, name, "{\"a\":"), next.clone(), goes_on(0, "1}"), last.clone()],
        vec![begins(0, name, ""), next.clone(), goes_on(0, "{\"a\":1}"), last.clone()],
        vec![begins(0, name, "{\"a\":1}"), next, last],
    ]
}

const TRANSFORM: &str = "stream: { mode: transform }\n";
const SMALL: &str = "stream: { mode: transform, window: 16B }\n";

#[tokio::test]
async fn the_name_of_a_call_goes_out_behind_its_verdict_whatever_follows_it() {
    for manifests in [vec![TRANSFORM], vec![SMALL, TRANSFORM], vec![TRANSFORM, SMALL]] {
        // The last of them are more than waits for a call to be whole.
        for words in [1, 40, 2_000] {
            for events in calls("delete_all", words) {
                let gateway = without_delete(&events, &manifests).await;
                let seen = stream(&gateway, ask("Tidy up")).await;
                let case = format!("{manifests:?}, {words} words behind {:?}", events[0].1);
                assert_eq!((seen.finish(), seen.done), (Some("content_filter"), true), "{case}: {seen:?}");
                assert_eq!(seen.calls(), [], "{case}: {seen:?}");
                let record = last_record(&gateway).await;
                assert_eq!(record["policy_details"]["streamed"]["released"], 0, "{case}: {record}");
            }
        }
    }
}

#[tokio::test]
async fn calls_that_no_policy_minds_go_out_whole_and_as_they_were_made() {
    for manifests in [vec![TRANSFORM], vec![TRANSFORM, SMALL], vec!["stream: { mode: buffer }\n"]] {
        for words in [1, 40, 2_000] {
            for (events, arguments) in
                calls("list_all", words).into_iter().zip(["{}", "{\"a\":1}", "{\"a\":1}", "{\"a\":1}"])
            {
                let gateway = without_delete(&events, &manifests).await;
                let seen = stream(&gateway, ask("Tidy up")).await;
                let expected = [("list_all", arguments), ("see", &said(words)), ("look", &said(60))];
                let expected = expected.map(|(name, arguments)| (name.to_owned(), arguments.to_owned()));
                assert_eq!(seen.calls(), expected, "{manifests:?}, {words} words behind {:?}", events[0].1);
                assert_eq!((seen.finish(), seen.done), (Some("tool_calls"), true), "{seen:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_only_observes_refuses_a_tool_when_its_name_is_out() {
    for events in calls("delete_all", 40) {
        let gateway = without_delete(&events, &["stream: { mode: observe }\n"]).await;
        let seen = stream(&gateway, ask("Tidy up")).await;
        assert_eq!((seen.finish(), seen.done), (Some("content_filter"), true), "{seen:?}");
    }
}

/// A word that may become another one, where the name of an empty call before it is judged only then.
#[tokio::test]
async fn what_a_call_begins_to_say_may_become_another_word_beside_a_call_that_says_nothing() {
    let text = format!("{{\"a\":\"{}", "go on ".repeat(1_000));
    for empty in [false, true] {
        // So much of it that the empty call is over, by a word more or less.
        for before in [2_000, 4_855, 4_859, 4_862] {
            let text = &text[..before];
            let mut events = vec![begins(1, "see", "")];
            events.extend(text.as_bytes().chunks(40).map(|piece| goes_on(1, std::str::from_utf8(piece).unwrap())));
            events.extend([goes_on(1, " tulip"), goes_on(1, "omania is a word\"}")]);
            events.push((0, json!({}), json!("tool_calls")));
            let mut expected = vec![("see".to_owned(), format!("{text} tulipomania is a word\"}}"))];
            if empty {
                events.insert(0, begins(0, "look", ""));
                expected.insert(0, ("look".to_owned(), "{}".to_owned()));
            }
            let manifest = "stream: { mode: transform, window: 96B }\n";
            let setup = mistral_that_says(events).await;
            let gateway = with_pattern(setup, "no-tulips", manifest, "deny", "\\\\btulip\\\\b");
            let seen = stream(&gateway, ask("Say")).await;
            assert_eq!(seen.finish(), Some("tool_calls"), "behind an empty call: {empty}, {before} bytes: {seen:?}");
            assert_eq!(seen.calls(), expected, "behind an empty call: {empty}, {before} bytes");
        }
    }
}
