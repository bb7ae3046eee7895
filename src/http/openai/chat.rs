//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;

use super::{exchange, reasoning, request};
use crate::chat::Task;
use crate::http::App;

/// `POST /v1/chat/completions`.
pub(super) async fn handle(State(app): State<Arc<App>>, request: Request) -> Response {
    let form = reasoning::form(request.headers());
    exchange::handle(app, request, Task::Chat, form, request::parse).await
}
