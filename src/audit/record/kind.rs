//! The kinds of records, by the names that they have in stores.

use serde::de::IntoDeserializer as _;
use serde::de::value::{Error, StrDeserializer};
use serde::{Deserialize, Serialize};

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// A request was accepted.
    Intent,
    /// What became of it.
    Outcome,
    /// An application asked for a decision.
    PreCheck,
    /// An application reports a call.
    LlmCall,
    /// An application reports a tool that it ran.
    ToolCall,
    /// The live policies changed.
    PolicySetChange,
    /// A static policy is changed over HTTP.
    StaticPolicyChange,
    /// The traffic is shared anew over HTTP.
    RoutingChange,
    /// The gateway started or stopped.
    Lifecycle,
    /// A gateway took over records that nobody had signed.
    Takeover,
    /// Texts were erased.
    Erasure,
    /// Old records are removed.
    Retention,
}

impl RecordKind {
    /// The word in stores and exports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Outcome => "outcome",
            Self::PreCheck => "pre_check",
            Self::LlmCall => "llm_call",
            Self::ToolCall => "tool_call",
            Self::PolicySetChange => "policy_set_change",
            Self::StaticPolicyChange => "static_policy_change",
            Self::RoutingChange => "routing_change",
            Self::Lifecycle => "lifecycle",
            Self::Takeover => "takeover",
            Self::Erasure => "erasure",
            Self::Retention => "retention",
        }
    }

    /// The kind of that word; `None`: it is none of this version's.
    pub fn parse(word: &str) -> Option<Self> {
        let word: StrDeserializer<'_, Error> = word.into_deserializer();
        Self::deserialize(word).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_the_word_that_stands_in_stores() {
        let words = "intent outcome pre_check llm_call tool_call policy_set_change static_policy_change routing_change \
                     lifecycle takeover erasure retention";
        for word in words.split(' ') {
            assert_eq!(RecordKind::parse(word).map(RecordKind::as_str), Some(word));
        }
        assert_eq!(RecordKind::parse("of_tomorrow"), None);
    }
}
