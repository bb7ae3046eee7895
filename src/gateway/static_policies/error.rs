//! Why there is no answer about a static policy.

use super::rules::{DiskError, FieldError, FileError};
use crate::gateway::GatewayError;
use crate::line;
use crate::policy::component::EvaluationError;

/// Why there is no answer about a static policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StaticPolicyError {
    /// A value that a rule cannot have.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The policy host does not take the rules with this change.
    #[error("{0}")]
    Refused(String),
    /// There is none with this id, or it is another tenant's.
    #[error("there is no static policy with this id")]
    NotFound,
    /// It is a policy of the folder.
    #[error("system policies are changed in the policies directory, and not over this API")]
    System,
    /// It is one of all tenants.
    #[error("only the role admin may make, change or delete policies of the tier organization")]
    Organization,
    /// It is another tenant's, and the author is `admin`.
    #[error("the policy of another tenant may be disabled and deleted, and not changed otherwise")]
    Foreign,
    /// There are as many as there may be.
    #[error("{0}")]
    Full(String),
    /// The file is not in order: somebody edited it.
    #[error("{0}")]
    Conflict(String),
    /// Other changes are under way.
    #[error("other policies are being changed or loaded; try again shortly")]
    Busy,
    /// Too many evaluations.
    #[error("the gateway is at its limit of concurrent policy evaluations; try again shortly")]
    Overloaded,
    /// Rules cannot be kept, or not be loaded, at the moment.
    #[error("{0}")]
    Unavailable(String),
    /// The gateway is going down.
    #[error("the gateway is shutting down")]
    ShuttingDown,
    /// A fault of the gateway.
    #[error("internal error; the gateway's log has more")]
    Internal,
}

impl StaticPolicyError {
    /// Stable, for metrics and answers.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Field(_) => "invalid_field",
            Self::Refused(_) => "policy_refused",
            Self::NotFound => "policy_not_found",
            Self::System => "system_policy",
            Self::Organization => "admin_required",
            Self::Foreign => "foreign_policy",
            Self::Full(_) => "too_many_policies",
            Self::Conflict(_) => "policy_file_conflict",
            Self::Busy => "policies_busy",
            Self::Overloaded => "overloaded",
            Self::Unavailable(_) => "policies_unavailable",
            Self::ShuttingDown => "shutting_down",
            Self::Internal => "internal",
        }
    }
}

impl From<GatewayError> for StaticPolicyError {
    fn from(error: GatewayError) -> Self {
        match error {
            GatewayError::ShuttingDown => Self::ShuttingDown,
            GatewayError::Overloaded | GatewayError::TooManyStreams(_) => Self::Overloaded,
            GatewayError::Audit(_) | GatewayError::Internal | GatewayError::InvalidContext => Self::Internal,
        }
    }
}

impl From<line::Busy> for StaticPolicyError {
    fn from(_: line::Busy) -> Self {
        Self::Busy
    }
}

impl From<FileError> for StaticPolicyError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Unreadable(problem) => Self::Conflict(format!("{problem}; correct the file, or take it away")),
            FileError::Full(_) | FileError::TooLarge => Self::Full(error.to_string()),
            FileError::NoRule => Self::NotFound,
            FileError::Field(error) => Self::Field(error),
        }
    }
}

impl From<DiskError> for StaticPolicyError {
    fn from(error: DiskError) -> Self {
        tracing::error!(%error, "static policies cannot be read or written");
        Self::Unavailable(format!("static policies cannot be read or written: {error}"))
    }
}

impl From<EvaluationError> for StaticPolicyError {
    fn from(error: EvaluationError) -> Self {
        match error {
            EvaluationError::Overloaded => Self::Overloaded,
            EvaluationError::Host => Self::Internal,
            error => Self::Refused(format!("the policies would be too expensive with this change: {error}")),
        }
    }
}
