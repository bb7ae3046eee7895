//! Tools that applications run, and report.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::record;
use super::request::{Caller, ToolCallReport};
use super::to_its_end::to_its_end;
use super::{Gateway, GatewayError, Surface};
use crate::audit::record as audit;
use crate::chat::{Message, Part, Role};
use crate::policy::AuditPhase;

/// The request type of a report, as policies and the search know it.
pub(super) const REQUEST_TYPE: &str = "tool-call";

/// A report that is on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCallReply {
    /// The record's id.
    pub audit_id: String,
    /// When it was reported.
    pub at: Timestamp,
}

impl Gateway {
    /// Records a tool that the application ran. Answers once the record is durable.
    pub async fn report_tool_call(
        self: &Arc<Self>,
        caller: &Caller,
        report: ToolCallReport,
    ) -> Result<ToolCallReply, GatewayError> {
        let (gateway, caller) = (self.clone(), caller.clone());
        to_its_end(&self.tasks, async move { gateway.record_tool_call(&caller, report).await })?.await
    }

    async fn record_tool_call(&self, caller: &Caller, report: ToolCallReport) -> Result<ToolCallReply, GatewayError> {
        let now = Timestamp::now();
        // As stores keep it: the answer says what a search will say.
        let at = Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
        let permit = self.audit.reserve()?;
        let set = self.policies.set();
        let audit_id = Uuid::now_v7().to_string();
        let told = Arc::new(caller.context(Surface::Gateway, REQUEST_TYPE));
        let mut policies = Vec::new();
        let reported = ReportedTool { input: report.input, output: report.output, error_message: report.error_message };
        let content = match reported.messages() {
            Some(messages) => {
                let messages = Arc::new(messages);
                let kept = self.keep(&set, AuditPhase::Outcome, &told, &messages, &audit_id, &mut policies).await;
                reported.content(kept.as_deref())
            }
            None => None,
        };
        let call = audit::ToolCall {
            audit_id: audit_id.clone(),
            at,
            caller: record::caller(caller),
            tool: report.tool,
            caller_name: report.caller_name,
            tool_type: report.tool_type,
            workflow_id: report.workflow_id,
            step_id: report.step_id,
            policies_applied: report.policies_applied,
            success: report.success,
            latency_ms: report.latency_ms,
            generation: set.generation().0,
            policies,
            content,
        };
        permit.append(call).await?;
        Ok(ToolCallReply { audit_id, at })
    }
}

/// What an application reported of a tool in words.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ReportedTool {
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
}

impl ReportedTool {
    /// The same for the audit policies: input and output as JSON, and behind them the error.
    pub(super) fn messages(&self) -> Option<Vec<Message>> {
        let values = [&self.input, &self.output].into_iter().flatten();
        let texts = values.map(Value::to_string).chain(self.error_message.clone());
        let parts: Vec<_> = texts.map(|text| Part::Text { text }).collect();
        (!parts.is_empty()).then(|| vec![Message { role: Role::Assistant, parts }])
    }

    /// The report as content. Of input and output that is withheld which the audit policies' edits made unreadable.
    fn content(&self, kept: Option<&Vec<Message>>) -> Option<audit::Content> {
        let Some(kept) = kept else { return audit::Content::withheld(self) };
        let mut texts = kept.iter().flat_map(|message| &message.parts).filter_map(Part::text);
        let mut value = |was: &Option<Value>| {
            let text = was.as_ref().and_then(|_| texts.next());
            text.and_then(|text| serde_json::from_str(text).ok())
        };
        let (input, output) = (value(&self.input), value(&self.output));
        let error_message = self.error_message.as_ref().and_then(|_| texts.next()).map(str::to_owned);
        let kept = Self { input, output, error_message };
        if kept == *self { audit::Content::unchanged(self) } else { audit::Content::edited(self, &kept) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(messages: &[Message]) -> Vec<&str> {
        messages[0].parts.iter().filter_map(Part::text).collect()
    }

    #[test]
    fn what_policies_left_comes_back_to_its_place() {
        let output = Some(json!({ "mail": "a@b.example" }));
        let tool = ReportedTool { output, error_message: Some("no answer".into()), ..ReportedTool::default() };
        let messages = tool.messages().unwrap();
        assert_eq!(texts(&messages), [r#"{"mail":"a@b.example"}"#, "no answer"]);
        assert_eq!(tool.content(Some(&messages)), audit::Content::unchanged(&tool));
        assert_eq!(tool.content(None), audit::Content::withheld(&tool));
        for (edited, expected) in
            [(r#"{"mail":"[EMAIL]"}"#, Some(json!({ "mail": "[EMAIL]" }))), (r#"{"mail":[EMAIL]}"#, None)]
        {
            let mut messages = messages.clone();
            messages[0].parts[0] = Part::Text { text: edited.into() };
            let expected =
                ReportedTool { output: expected, error_message: Some("no answer".into()), ..ReportedTool::default() };
            assert_eq!(tool.content(Some(&messages)), audit::Content::edited(&tool, &expected), "{edited}");
        }
        assert_eq!(ReportedTool::default().messages(), None);
    }
}
