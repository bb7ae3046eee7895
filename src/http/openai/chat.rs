//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;

use super::answer::Form;
use super::{exchange, request};
use crate::chat::Task;
use crate::http::App;

/// `POST /v1/chat/completions`.
pub(super) async fn handle(State(app): State<Arc<App>>, request: Request) -> Response {
    exchange::handle(app, request, Task::Chat, Form::Chat, request::parse).await
}
