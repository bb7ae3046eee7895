//! The traits that an author implements.

use serde::de::DeserializeOwned;

use crate::{Answer, Context, Description, Entry, Message, Verdict};

/// A configured policy: what its `configure` built, read by every evaluation.
pub trait Policy: Sized + Send + Sync + 'static {
    /// The manifest's `settings`. Derive `Deserialize` with `#[serde(default, deny_unknown_fields)]`, so that a
    /// misspelt key is refused at load rather than ignored. [`NoSettings`](crate::NoSettings) if there are none.
    type Settings: DeserializeOwned;

    /// Builds the policy, once, before everything else. Do expensive work here.
    ///
    /// # Errors
    ///
    /// Refuses the load; the text is shown to the operator. Name the key and say what is allowed. Settings that do
    /// not have the shape of [`Settings`](Self::Settings) never get here: they are refused with the path of the key.
    fn configure(settings: Self::Settings) -> Result<Self, String>;

    /// What the policy says about itself, with the rules in force.
    fn describe(&self) -> Description;
}

/// Decides before a request goes to a model.
pub trait PreCheck: Policy {
    /// Judges one request. `messages` holds every message of every role, tool arguments and results included, as
    /// earlier policies left them.
    fn pre_check(&self, context: &Context, messages: &[Message]) -> Verdict;
}

/// Decides on what a model answered, before the client sees it.
pub trait Response: Policy {
    /// Judges an answer, or a piece of one. A stream is shown in overlapping pieces to one instance: each part then has a
    /// `window`, and an edit may not touch what the client already has
    /// ([`Text::may_edit`](crate::Text::may_edit)).
    fn response(&self, context: &Context, answer: &Answer) -> Verdict;
}

/// Decides on what is kept of a request.
pub trait Audit: Policy {
    /// Judges one record that is about to be written. `redact` stores the text with the edits applied, `deny`
    /// withholds the text and keeps the record.
    fn audit(&self, context: &Context, entry: &Entry) -> Verdict;
}
