//! Tools that applications run, and report.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::reported::Reported;
use super::request::Caller;
use super::to_its_end::to_its_end;
use super::{Gateway, GatewayError, Surface, record};
use crate::audit::record as audit;
use crate::in_flight::Held;

/// The request type of a report, as policies and the search know it.
pub(super) const REQUEST_TYPE: &str = "tool-call";

/// A tool that an application ran.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolCallReport {
    /// Its name, in the application's words, as are all names here.
    pub tool: String,
    /// The program that ran it; empty where the application did not say.
    pub caller_name: String,
    /// The tool's type; empty where the application did not say.
    pub tool_type: String,
    /// The workflow that it was part of; empty where the application did not say.
    pub workflow_id: String,
    /// The step within the workflow; empty where the application did not say.
    pub step_id: String,
    /// Policies that the application says it applied.
    pub policies_applied: Vec<String>,
    /// Whether it succeeded, where the application said so.
    pub success: Option<bool>,
    /// Milliseconds that it took.
    pub latency_ms: u64,
    /// What it was given.
    pub input: Option<Value>,
    /// What it answered.
    pub output: Option<Value>,
    /// What went wrong.
    pub error_message: Option<String>,
    /// Its room among the bytes in flight, given back when the report is dropped.
    pub held: Option<Held>,
}

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
        let reported = ReportedTool { input: report.input, output: report.output, error_message: report.error_message };
        let (content, policies) = self.keep_report(&set, &told, &reported, &audit_id).await;
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

impl Reported for ReportedTool {
    /// Input and output, and behind them the error.
    fn texts(&self) -> impl Iterator<Item = String> {
        let values = [&self.input, &self.output].into_iter().flatten();
        values.map(Value::to_string).chain(self.error_message.clone())
    }

    fn of_texts(&self, mut texts: impl Iterator<Item = String>) -> Self {
        let mut next = |was: bool| if was { texts.next() } else { None };
        let (input, output) = (next(self.input.is_some()), next(self.output.is_some()));
        let value = |text: Option<String>| serde_json::from_str(&text?).ok();
        Self { input: value(input), output: value(output), error_message: next(self.error_message.is_some()) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::chat::{Message, Part};

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
