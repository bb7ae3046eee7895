//! Tool call ids. Mistral takes nine letters and digits and refuses everything else with code 3280; and of those of one
//! message each once.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};

use crate::chat::{Message, Part};
use crate::provider::tools::call_id::derive;
use crate::provider::tools::tool_ids::id;

/// A conversation in which each call of a message has an id of its own (Q6): where one id calls several times at once, the
/// further calls get stand-ins, and answers belong to them in order. And how many those are.
pub(super) fn told_apart(messages: &[Message]) -> (Cow<'_, [Message]>, usize) {
    if messages.iter().all(has_each_id_once) {
        return (Cow::Borrowed(messages), 0);
    }
    let mut taken: HashSet<String> =
        messages.iter().flat_map(|message| &message.parts).filter_map(id).map(str::to_owned).collect();
    let mut messages = messages.to_vec();
    let mut repeated = 0;
    // The ids of the calls that one id made in the message that called it last, and that wait for their answers.
    let mut waiting: HashMap<String, VecDeque<String>> = HashMap::new();
    for message in &mut messages {
        let mut called: HashMap<String, VecDeque<String>> = HashMap::new();
        for part in &mut message.parts {
            match part {
                Part::ToolCall { id, .. } => {
                    let calls = called.entry(id.clone()).or_default();
                    if !calls.is_empty() {
                        let mut rounds = (1..=u32::MAX).map(|round| derive(id.as_bytes(), round));
                        *id = rounds.find(|new| taken.insert(new.clone())).unwrap_or_default();
                        repeated += 1;
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

fn has_each_id_once(message: &Message) -> bool {
    let mut ids = HashSet::new();
    message.tool_calls().all(|call| ids.insert(call.id()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Role;
    use crate::provider::tools::call_id::fits;
    use crate::provider::tools::tool_ids::tests::conversation;

    #[test]
    fn calls_of_one_id_at_once_are_told_apart_and_so_are_their_answers() {
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
        assert_eq!((repeated, one, again), (2, "call_1", "call_1"));
        assert_eq!((first, second, third), (one, two, one));
        assert_eq!(surplus, "call_1", "it belongs to no call any more");
        assert!(fits(two) && fits(anew) && two != anew, "{ids:?}");
        assert_eq!(told_apart(&messages[..2]).0[..], apart[..2], "a conversation that grows keeps them");
    }
}
