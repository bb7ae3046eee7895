//! Ids that call several times, as of clients that send none, or of models that count anew in each turn. Anthropic refuses
//! a conversation for it, Mistral a message, and an answer that names its call by one alone could be any's.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};

use crate::chat::{Message, Part};
use crate::provider::tools::call_id::derive;
use crate::provider::tools::tool_ids::id;

/// A conversation in which each call has an id of its own: further calls by one id get stand-ins that every vendor takes,
/// and answers belong to them in order. And how many those are.
pub(crate) fn told_apart(messages: &[Message]) -> (Cow<'_, [Message]>, usize) {
    let mut ids = HashSet::new();
    if messages.iter().flat_map(Message::tool_calls).all(|call| ids.insert(call.id())) {
        return (Cow::Borrowed(messages), 0);
    }
    let mut taken: HashSet<String> =
        messages.iter().flat_map(|message| &message.parts).filter_map(id).map(str::to_owned).collect();
    let mut messages = messages.to_vec();
    let mut repeated = 0;
    // By each id that called, the round of its last stand-in.
    let mut rounds: HashMap<String, u32> = HashMap::new();
    // The ids of the calls that one id made in the message that called it last, and that wait for their answers.
    let mut waiting: HashMap<String, VecDeque<String>> = HashMap::new();
    for message in &mut messages {
        let mut called: HashMap<String, VecDeque<String>> = HashMap::new();
        for part in &mut message.parts {
            match part {
                Part::ToolCall { id, .. } => {
                    let calls = called.entry(id.clone()).or_default();
                    if let Some(round) = rounds.get_mut(id) {
                        *id = stand_in(id, round, &mut taken);
                        repeated += 1;
                    } else {
                        rounds.insert(id.clone(), 0);
                    }
                    calls.push_back(id.clone());
                }
                Part::ToolResult { id, .. } => {
                    if let Some(call) = waiting.get_mut(id).and_then(VecDeque::pop_front) {
                        *id = call;
                    }
                }
                _ => {}
            }
        }
        waiting.extend(called);
    }
    (Cow::Owned(messages), repeated)
}

/// The next stand-in of an id that nothing else has. `round`: that of the last one.
fn stand_in(id: &str, round: &mut u32, taken: &mut HashSet<String>) -> String {
    loop {
        *round = round.wrapping_add(1);
        let new = derive(id.as_bytes(), *round);
        if taken.insert(new.clone()) {
            return new;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Role;
    use crate::provider::tools::call_id::fits;
    use crate::provider::tools::tool_ids::tests::conversation;

    #[test]
    fn calls_of_one_id_are_told_apart_and_so_are_their_answers() {
        let result = |text: &str| Message {
            role: Role::Tool,
            parts: vec![Part::ToolResult { id: "call_1".into(), name: None, text: text.into() }],
        };
        let twice = || conversation(&["call_1", "call_2", "call_1"]).remove(0);
        let once = [conversation(&["call_1", "call_2"]).remove(0), result("a"), result("b")];
        assert!(matches!(told_apart(&once), (Cow::Borrowed(_), 0)));

        let messages = [twice(), result("one"), result("two"), result("surplus"), twice(), result("three")];
        let (apart, repeated) = told_apart(&messages);
        let ids: Vec<&str> = apart.iter().flat_map(|message| &message.parts).filter_map(id).collect();
        let [one, _, two, first, second, surplus, again, _, anew, third] = ids[..] else { panic!("{ids:?}") };
        assert_eq!((repeated, one), (4, "call_1"));
        assert_eq!((first, second, third), (one, two, again));
        assert_eq!(surplus, "call_1", "it belongs to no call any more");
        let calls = [one, two, again, anew];
        assert!(calls[1..].iter().all(|id| fits(id)) && HashSet::from(calls).len() == calls.len(), "{ids:?}");
        assert_eq!(told_apart(&messages[..2]).0[..], apart[..2], "a conversation that grows keeps them");
    }
}
