//! What a conversation loses or changes on its way to a vendor that takes it in another form, for the record.

use crate::provider::tools::arguments::WRAPPED;

/// What a user says where a vendor wants one to begin and none does.
pub(crate) const OPENING: &str = "Begin.";

/// How often it was done.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) moved_system: usize,
    pub(crate) later_system: usize,
    pub(crate) opened: usize,
    pub(crate) thinking: usize,
    pub(crate) misplaced: usize,
    pub(crate) wrapped: usize,
    pub(crate) details: usize,
    pub(crate) uncached: usize,
    pub(crate) citations: usize,
}

impl Changes {
    /// A note for each kind of change.
    pub(crate) fn notes(&self) -> Vec<String> {
        [
            (
                self.moved_system,
                "system messages moved to the beginning, the only place that the provider has for them",
            ),
            (self.later_system, "system messages moved behind the user's turn, where the provider takes them"),
            (self.opened, "user message added at the beginning, where the provider wants one"),
            (self.thinking, "reasoning parts left out: the provider takes back only what it signed"),
            (self.misplaced, "parts left out that have no place in a message of their role"),
            (self.details, "images sent without their `detail`, which the provider does not have"),
            (self.uncached, "parts whose cache_control was left out with them, or that the provider does not cache"),
            (self.citations, "citations left out, which the provider does not have"),
            (self.wrapped, WRAPPED),
        ]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect()
    }
}
