//! Liveness, readiness and metrics.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use sync_core::storage::StoreError;

use super::App;
use crate::health::Trouble;

/// `GET /healthz`: the process answers.
pub(super) async fn live() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// `GET /readyz`: whether pushes are taken, and if not why.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    let Some(trouble) = app.health.trouble() else {
        return Json(json!({"status": "ready"})).into_response();
    };
    let (reason, message) = match &trouble {
        Trouble::Stopping => ("stopping", "the server is stopping".to_owned()),
        Trouble::Store(StoreError::Full) => ("disk-full", StoreError::Full.to_string()),
        Trouble::Store(StoreError::ReadOnly) => ("read-only", StoreError::ReadOnly.to_string()),
        Trouble::Store(e) => ("store-failed", e.to_string()),
    };
    let body = json!({"status": "not-ready", "reason": reason, "message": message});
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

/// `GET /metrics`, in Prometheus' text format.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = app.metrics.as_ref().map(|m| m.render()).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
