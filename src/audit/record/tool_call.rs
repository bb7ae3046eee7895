//! The record of a tool that an application ran.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Caller, Content, Decision, PolicyEvaluation};

/// An application reports a tool that it ran: not a call to a model, and under no pre-check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The report's own id.
    pub audit_id: String,
    /// When it was reported.
    pub at: Timestamp,
    /// Who reported it.
    pub caller: Caller,
    /// The tool's name, in the application's words, as are all names here.
    pub tool: String,
    /// The program that ran it, such as `claude_code`; empty where the application did not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub caller_name: String,
    /// The tool's type, such as `mcp`; empty where the application did not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tool_type: String,
    /// The workflow that it was part of; empty where the application did not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub workflow_id: String,
    /// The step within the workflow; empty where the application did not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub step_id: String,
    /// Policies that the application says it applied. None of them is this gateway's word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies_applied: Vec<String>,
    /// Whether the tool succeeded; `None` where the application did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
    /// Milliseconds that it took.
    #[serde(default)]
    pub latency_ms: u64,
    /// The policy set's generation when the report came in.
    #[serde(default)]
    pub generation: u64,
    /// Audit policies' parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyEvaluation>,
    /// What the tool was given (`input`), what it answered (`output`) and what went wrong (`error_message`), if anything.
    #[serde(skip)]
    pub content: Option<Content>,
}

impl ToolCall {
    /// An error where the application says that the tool failed.
    pub fn decision(&self) -> Decision {
        if self.success == Some(false) { Decision::Error } else { Decision::Allowed }
    }
}
