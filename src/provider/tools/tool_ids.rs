//! Stand-ins for ids of tool calls that a vendor refuses, also in a history that another vendor's model began.

use std::collections::{HashMap, HashSet};

use crate::chat::{Message, Part};
use crate::provider::tools::call_id::derive;

/// Of replaced ids: what the record says of them, behind their number.
pub(crate) const REPLACED: &str = "tool call ids replaced by ones that the provider takes";

/// A note on so many replaced ids.
pub(crate) fn note(replaced: usize) -> Option<String> {
    (replaced > 0).then(|| format!("{replaced} {REPLACED}"))
}

/// Which id stands for which in one conversation. The same id gets the same stand-in in every turn, so that a
/// conversation that grows stays the same text to the vendor's prompt cache.
#[derive(Debug, Default)]
pub(crate) struct ToolIds<'a> {
    mapped: HashMap<&'a str, String>,
}

impl<'a> ToolIds<'a> {
    /// Looks through a conversation. Ids that `fit` the vendor stay as they are and are never given to another.
    pub(crate) fn of(messages: &'a [Message], fit: impl Fn(&str) -> bool) -> Self {
        let ids = || messages.iter().flat_map(|message| &message.parts).filter_map(id);
        if ids().all(&fit) {
            return Self::default();
        }
        let mut taken: HashSet<String> = ids().filter(|id| fit(id)).map(str::to_owned).collect();
        let mut mapped = HashMap::new();
        for id in ids().filter(|id| !fit(id)) {
            if !mapped.contains_key(id) {
                let stand_in =
                    (0..=u32::MAX).map(|round| derive(id.as_bytes(), round)).find(|new| !taken.contains(new));
                let stand_in = stand_in.unwrap_or_else(|| derive(id.as_bytes(), 0));
                taken.insert(stand_in.clone());
                mapped.insert(id, stand_in);
            }
        }
        Self { mapped }
    }

    /// The id to send.
    pub(crate) fn get<'b>(&'b self, id: &'b str) -> &'b str {
        self.mapped.get(id).map_or(id, String::as_str)
    }

    /// How many were replaced.
    pub(crate) fn replaced(&self) -> usize {
        self.mapped.len()
    }
}

/// The id of a call, or the one that an answer names.
pub(crate) fn id(part: &Part) -> Option<&str> {
    match part {
        Part::ToolCall { id, .. } | Part::ToolResult { id, .. } => Some(id),
        _ => None,
    }
}

/// The same, to be replaced.
pub(crate) fn id_mut(part: &mut Part) -> Option<&mut String> {
    match part {
        Part::ToolCall { id, .. } | Part::ToolResult { id, .. } => Some(id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Role;
    use crate::provider::tools::call_id::fits;

    /// A message that calls a tool under each of these ids.
    fn conversation(ids: &[&str]) -> Vec<Message> {
        let call =
            |id: &&str| Part::ToolCall { id: (*id).into(), name: "f".into(), arguments: "{}".into(), seal: None };
        vec![Message { role: Role::Assistant, parts: ids.iter().map(call).collect() }]
    }

    #[test]
    fn ids_that_fit_pass_and_others_get_nine_characters() {
        let messages =
            conversation(&["D681PevKs", "call_abc123", "", "null", "ninechar!", "toolu_01A09q90qw90lq917835lq9"]);
        let ids = ToolIds::of(&messages, fits);
        assert_eq!(ids.get("D681PevKs"), "D681PevKs");
        for id in ["call_abc123", "", "null", "ninechar!", "toolu_01A09q90qw90lq917835lq9"] {
            assert!(fits(ids.get(id)), "{id}");
        }
        assert_eq!(ids.replaced(), 5);
    }

    #[test]
    fn an_id_keeps_its_stand_in_when_the_conversation_grows() {
        let short = conversation(&["call_1"]);
        let long = conversation(&["call_0", "call_1", "D681PevKs"]);
        assert_eq!(ToolIds::of(&short, fits).get("call_1"), ToolIds::of(&long, fits).get("call_1"));
    }

    #[test]
    fn a_stand_in_never_meets_an_id_that_is_there() {
        let natural = derive(b"call_1", 0);
        let messages = conversation(&["call_1", &natural]);
        let ids = ToolIds::of(&messages, fits);
        assert_eq!(ids.get(&natural), natural);
        assert_ne!(ids.get("call_1"), natural);
        assert!(fits(ids.get("call_1")));
    }
}
