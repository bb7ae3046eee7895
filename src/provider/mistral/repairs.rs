//! What is changed in messages that Mistral would not take as they are, for the record.

use crate::provider::tools::tool_ids::REPLACED;

/// How often it was done.
#[derive(Default)]
pub(super) struct Repairs {
    pub(super) replaced_ids: usize,
    pub(super) dropped_assistants: usize,
    pub(super) dropped_thinking: usize,
    pub(super) dropped_seals: usize,
    pub(super) misplaced_thinking: usize,
    pub(super) misplaced_citations: usize,
    pub(super) misplaced_calls: usize,
    pub(super) moved_system: usize,
    pub(super) moved_results: usize,
    pub(super) joined_results: usize,
    pub(super) stray_results: usize,
    pub(super) unanswered_calls: usize,
    pub(super) bridges: usize,
    pub(super) prefixed: bool,
    pub(super) added_user: bool,
}

impl Repairs {
    /// A note for each kind of change.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let counted = [
            (self.replaced_ids, REPLACED),
            (self.dropped_assistants, "empty assistant messages left out"),
            (self.dropped_thinking, "reasoning parts left out, which the model does not take"),
            (self.dropped_seals, "signatures of reasoning left out, which stood beside none"),
            (
                self.misplaced_thinking,
                "reasoning parts left out, which stood in a message not the assistant's or the system's",
            ),
            (self.misplaced_citations, "citations left out, which stood in a message not the assistant's"),
            (self.misplaced_calls, "tool calls left out, which stood in a message not the assistant's"),
            (self.moved_system, "system messages moved to the beginning: the provider takes none behind an answer"),
            (self.moved_results, "tools' answers moved right behind their calls, where the provider wants them"),
            (self.joined_results, "further answers to a tool call put into the first: the provider takes one to each"),
            (self.stray_results, "tools' answers left out that no call waits for"),
            (self.unanswered_calls, "tool calls answered as not executed: the conversation has no answer to them"),
            (self.bridges, "assistant messages put between a tool's answer and the user, as the model wants"),
        ];
        notes.extend(counted.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
        if self.prefixed {
            notes.push("the last message is the assistant's: sent as a prefix to be continued".to_owned());
        }
        if self.added_user {
            notes.push("an empty user message added, which the provider wants".to_owned());
        }
        notes
    }
}
