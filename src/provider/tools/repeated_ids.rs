//! Ids that call several times, as of clients that send none, or of models that count anew in each turn. Anthropic refuses
//! a conversation for it, Mistral a message, and an answer that names its call by one alone could be any's.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::chat::{Message, Part, Role};
use crate::provider::tools::call_id::derive;
use crate::provider::tools::tool_ids::{id, id_mut};

/// A conversation in which each call has an id of its own: further calls by one id get stand-ins that every vendor takes,
/// and answers belong to those of their turn: to the tool that they name, else in order. And how many those are.
pub(crate) fn told_apart(messages: &[Message]) -> (Cow<'_, [Message]>, usize) {
    let mut ids = HashSet::new();
    if messages.iter().flat_map(Message::tool_calls).all(|call| ids.insert(call.id())) {
        return (Cow::Borrowed(messages), 0);
    }
    let taken = messages.iter().flat_map(|message| &message.parts).filter_map(id).map(str::to_owned).collect();
    let mut calls = Calls { taken, ..Calls::default() };
    let mut apart = messages.to_vec();
    for (message, apart) in messages.iter().zip(&mut apart) {
        // Instructions stand outside of turns.
        calls.over |= matches!(message.role, Role::User | Role::Tool);
        for (part, apart) in message.parts.iter().zip(&mut apart.parts) {
            let own = match part {
                Part::ToolCall { id, name, .. } => Some(calls.called(id, name)),
                Part::ToolResult { id, name, .. } => calls.answered(id, name.as_deref()),
                _ => None,
            };
            if let Some((id, own)) = id_mut(apart).zip(own) {
                *id = own;
            }
        }
    }
    (Cow::Owned(apart), calls.repeated)
}

/// The calls so far.
#[derive(Default)]
struct Calls<'a> {
    by_id: HashMap<&'a str, ById<'a>>,
    /// Ids that no stand-in may be.
    taken: HashSet<String>,
    repeated: usize,
    turn: usize,
    /// Whether something else has come since the last calls, so that the next ones begin a turn.
    over: bool,
}

/// Those by one id.
#[derive(Default)]
struct ById<'a> {
    /// Of the last stand-in.
    round: u32,
    /// That of the last call.
    turn: usize,
    waiting: Waiting<'a>,
    /// The one that was answered last, and in its turn that of each tool.
    answered: Option<String>,
    answered_of: HashMap<&'a str, String>,
}

impl<'a> Calls<'a> {
    /// The id for a call.
    fn called(&mut self, id: &'a str, tool: &'a str) -> String {
        self.turn += usize::from(std::mem::take(&mut self.over));
        let (calls, own) = match self.by_id.entry(id) {
            Entry::Vacant(new) => (new.insert(ById::default()), id.to_owned()),
            Entry::Occupied(known) => {
                self.repeated += 1;
                let calls = known.into_mut();
                let own = stand_in(id, &mut calls.round, &mut self.taken);
                (calls, own)
            }
        };
        if calls.turn != self.turn {
            // What was not answered then never is: it must not get what belongs to this one.
            calls.waiting = Waiting::default();
            calls.answered_of.clear();
            calls.turn = self.turn;
        }
        calls.waiting.push(tool, own.clone());
        own
    }

    /// The id of the call that an answer belongs to. One too many is a further one to the call that was answered last, of
    /// its tool where it names one.
    fn answered(&mut self, id: &str, tool: Option<&'a str>) -> Option<String> {
        let calls = self.by_id.get_mut(id)?;
        let call = match tool.and_then(|tool| calls.waiting.take_of(tool)) {
            Some(call) => Some(call),
            None => match tool.and_then(|tool| calls.answered_of.get(tool)) {
                Some(answered) => return Some(answered.clone()),
                None => calls.waiting.take_first(),
            },
        };
        if let Some((tool, call)) = call {
            calls.answered_of.insert(tool, call.clone());
            calls.answered = Some(call);
        }
        calls.answered.clone()
    }
}

/// The calls by one id that wait for their answers, in order: each with its tool. Many may wait, and an answer looks
/// through none of them.
#[derive(Default)]
struct Waiting<'a> {
    calls: BTreeMap<usize, (&'a str, String)>,
    by_tool: BTreeSet<(&'a str, usize)>,
}

impl<'a> Waiting<'a> {
    fn push(&mut self, tool: &'a str, id: String) {
        let place = self.calls.last_key_value().map_or(0, |(last, _)| last + 1);
        self.calls.insert(place, (tool, id));
        self.by_tool.insert((tool, place));
    }

    fn take_first(&mut self) -> Option<(&'a str, String)> {
        self.take(*self.calls.first_key_value()?.0)
    }

    fn take_of(&mut self, tool: &'a str) -> Option<(&'a str, String)> {
        let (_, place) = *self.by_tool.range((tool, 0)..=(tool, usize::MAX)).next()?;
        self.take(place)
    }

    fn take(&mut self, place: usize) -> Option<(&'a str, String)> {
        let call = self.calls.remove(&place)?;
        self.by_tool.remove(&(call.0, place));
        Some(call)
    }
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
    use crate::provider::tools::call_id::fits;

    /// A conversation in short, and the call that each result is expected to belong to: `s`ystem, `u`ser, `a`ssistant;
    /// `a:x/f,y/g` calls tools, each by an id and its name; `t:x=0` and `t:x/f=0` answer the call of that place.
    fn conversation(short: &str) -> (Vec<Message>, Vec<usize>) {
        let mut belong = Vec::new();
        let messages = short.split_whitespace().map(|word| {
            let (role, parts) = word.split_once(':').unwrap_or((word, ""));
            let parts = parts.split(',').filter(|part| !part.is_empty()).map(|part| {
                let (part, call) = part.split_once('=').unwrap_or((part, ""));
                let (id, name) = part.split_once('/').unwrap_or((part, ""));
                if role == "a" {
                    return Part::ToolCall { id: id.into(), name: name.into(), arguments: "{}".into(), seal: None };
                }
                belong.push(call.parse().unwrap());
                let name = (!name.is_empty()).then(|| name.to_owned());
                Part::ToolResult { id: id.into(), name, text: "found".into() }
            });
            let parts = parts.collect();
            let role = match role {
                "s" => Role::System,
                "a" => Role::Assistant,
                "t" => Role::Tool,
                _ => Role::User,
            };
            Message { role, parts }
        });
        (messages.collect(), belong)
    }

    /// Whether each call has an id of its own and each result that of its call, whatever has come of the conversation.
    fn check(short: &str) {
        let (messages, belong) = conversation(short);
        let (apart, repeated) = told_apart(&messages);
        let ids = |messages: &[Message], of: fn(&Part) -> bool| {
            let parts = messages.iter().flat_map(|message| &message.parts).filter(|part| of(part));
            parts.filter_map(id).map(str::to_owned).collect::<Vec<_>>()
        };
        let calls = |messages: &[Message]| ids(messages, |part| matches!(part, Part::ToolCall { .. }));
        let (before, after) = (calls(&messages), calls(&apart));
        assert_eq!(HashSet::<&String>::from_iter(&after).len(), after.len(), "{short}: {after:?}");
        let stand_ins: Vec<_> = after.iter().zip(&before).filter(|(after, before)| after != before).collect();
        assert!(stand_ins.len() == repeated && stand_ins.iter().all(|(id, _)| fits(id)), "{short}: {after:?}");
        let results = ids(&apart, |part| matches!(part, Part::ToolResult { .. }));
        let expected: Vec<_> = belong.iter().map(|call| after[*call].clone()).collect();
        assert_eq!(results, expected, "{short}: {after:?}");
        for end in 0..messages.len() {
            assert_eq!(
                told_apart(&messages[..end]).0[..],
                apart[..end],
                "{short}: a conversation that grows keeps them"
            );
        }
    }

    #[test]
    fn each_answer_belongs_to_the_call_of_its_turn() {
        for short in [
            "u a:c/f,d/f,c/f t:c=0 t:c=2 t:d=1",
            "u a:c/f t:c=0 a:c/f t:c=1 u a:c/f t:c=2",
            // Calls of one turn in a message each.
            "u a:c/f a:c/f t:c=0 t:c=1",
            "u a:c/f a a:c/f s a:c/f t:c=0 t:c=1 t:c=2",
            // Those that nobody answered.
            "u a:c/f u a:c/f t:c=1",
            "u a:c/f,d/f t:d=1 a:c/f t:c=2",
            "u a:c/f,c/f t:c=0 a:c/f,c/f t:c=2 t:c=3",
            // Late answers.
            "u a:c/f,c/f t:c=0 u a t:c=1",
            "u a:c/f t:c=0 a:d/f t:d=1 t:c=0 a:d/f t:d=2",
            // Surplus ones are further ones to the call that was answered last.
            "u a:c/f t:c=0 t:c=0 a:c/f t:c=1 t:c=1",
            "u a:c/f,c/f t:c=0 t:c=1 t:c=1 a:c/f,c/f t:c=2",
            "u a:c/f,c/g t:c/f=0 t:c/f=0 t:c/g=1 t:c/f=0 t:c=1",
            // Names.
            "u a:/f,/g t:/g=1 t:/f=0",
            "u a:/f,/g,/f,/g t:/g=1 t:/f=0 t:/g=3 t:/f=2",
            "u a:/f,/g t:/h=0 t:=1 t:/f=0",
            "u a:/f,/g t:/g=1 a:/g,/f t:/f=3 t:/g=2",
        ] {
            check(short);
        }
    }

    #[test]
    fn calls_find_their_answers_in_whatever_order_and_messages_they_stand() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            for (first, second) in [(',', ','), (',', ' '), (' ', ','), (' ', ' ')] {
                let next = |separator| if separator == ' ' { " a:" } else { "," };
                let calls = format!("a:c/f{}c/g{}c/h", next(first), next(second));
                let turn = |before: usize| {
                    let results = order.map(|call| format!("t:c/{}={}", ["f", "g", "h"][call], before + call));
                    format!("u {calls} {}", results.join(" "))
                };
                check(&[turn(0), turn(3), turn(6)].join(" "));
            }
        }
    }

    #[test]
    fn a_conversation_without_repeated_ids_stays_as_it_is() {
        let (messages, _) = conversation("t:x=0 u a:c/f,d/g t:d/f=0 t:c=0 t:c=0 t:e=0 u a:e/f");
        assert!(matches!(told_apart(&messages), (Cow::Borrowed(_), 0)));
    }
}
