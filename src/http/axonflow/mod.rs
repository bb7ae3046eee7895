//! AxonFlow's surface: proxy mode, gateway mode, the audit's reads, decisions, the list of providers and static policies,
//! as its SDKs speak them.
//!
//! Reading is tolerant where AxonFlow is (nulls, missing ids, unknown request types); a value of a wrong type is an error
//! that names its field. In answers keys are left out rather than null: several SDKs stumble over null.

mod approvals;
mod audit;
mod capabilities;
mod context;
mod decisions;
mod extension;
mod llm_call;
mod media;
mod policy_info;
mod pre_check;
mod pricing;
mod providers;
mod query;
mod read_scope;
mod request;
mod request_type;
mod static_policies;
mod stream;
mod time;
mod tool_call;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::{ApiError, App};

/// The routes of this surface.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/request", post(request::handle))
        .route("/api/policy/pre-check", post(pre_check::handle))
        .route("/api/audit/llm-call", post(llm_call::handle))
        .route("/api/v1/audit/search", post(audit::search))
        .route("/api/v1/audit/tenant/{tenant}", get(audit::tenant))
        .route("/api/v1/audit/tool-call", post(tool_call::handle))
        .route("/api/v1/pricing", get(pricing::handle))
        .merge(approvals::routes())
        .merge(decisions::routes())
        .merge(providers::routes())
        .merge(static_policies::routes())
}

/// A text that must be there and not be empty.
fn required(field: &'static str, value: Option<String>) -> Result<String, ApiError> {
    value.filter(|text| !text.trim().is_empty()).ok_or(ApiError::Required(field))
}

/// A name that stands in records and labels: bounded, without characters that do harm there; `None` when empty.
fn name(field: &'static str, value: Option<String>) -> Result<Option<String>, ApiError> {
    match value {
        None => Ok(None),
        Some(text) => Ok(super::identity::checked(field, &text)?.map(str::to_owned)),
    }
}
