//! What applications report in words of what they did themselves: judged by the audit policies, and kept.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Gateway;
use crate::audit::record as audit;
use crate::chat::{Message, Part, Role};
use crate::policy::{AuditPhase, Context, PolicySet};

/// What was reported in words.
pub(super) trait Reported: Serialize + DeserializeOwned + PartialEq {
    /// Its texts, in their order. Values are JSON.
    fn texts(&self) -> impl Iterator<Item = String>;

    /// The same with these texts in their places. A value that is JSON no more is left out.
    fn of_texts(&self, texts: impl Iterator<Item = String>) -> Self;

    /// Its texts for the audit policies, if there are any.
    fn messages(&self) -> Option<Vec<Message>> {
        let parts: Vec<_> = self.texts().map(|text| Part::Text { text }).collect();
        (!parts.is_empty()).then(|| vec![Message { role: Role::Assistant, parts }])
    }

    /// For its record, with what those policies left of its messages.
    fn content(&self, kept: Option<&[Message]>) -> Option<audit::Content> {
        let Some(kept) = kept else { return audit::Content::withheld(self) };
        let texts = kept.iter().flat_map(|message| &message.parts).filter_map(Part::text);
        let kept = self.of_texts(texts.map(str::to_owned));
        if kept == *self { audit::Content::unchanged(self) } else { audit::Content::edited(self, &kept) }
    }
}

impl Gateway {
    /// What is kept of a report, and what the policies that were asked about it said.
    pub(super) async fn keep_report(
        &self,
        set: &PolicySet,
        told: &Arc<Context>,
        reported: &impl Reported,
        id: &str,
    ) -> (Option<audit::Content>, Vec<audit::PolicyEvaluation>) {
        let mut policies = Vec::new();
        let Some(messages) = reported.messages() else { return (None, policies) };
        let kept = self.keep(set, AuditPhase::Outcome, told, &Arc::new(messages), id, &mut policies).await;
        (reported.content(kept.as_deref().map(Vec::as_slice)), policies)
    }
}
