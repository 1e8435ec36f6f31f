//! HTTP: the way into the WebSocket, documents for reading, their conflicts, health and metrics.
//!
//! Owns paths, status codes and JSON shapes. Errors are `{"error": {"code", "message"}}`.

mod conflicts;
mod documents;
mod health;
mod host;
mod upgrade;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use axum::Router;
use axum::body::to_bytes;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::sync::mpsc;

pub(crate) use self::host::Hosts;
use crate::health::Health;
use crate::own::Own;
use crate::rooms::Rooms;
use crate::socket::Surroundings;
use crate::writer::StoreThreads;

/// Longest reason of the framework that is passed on.
const REASON_BYTES_MAX: usize = 4 << 10;

/// What requests need.
pub(crate) struct App {
    pub(crate) surroundings: Arc<Surroundings>,
    pub(crate) rooms: Rooms,
    pub(crate) store: StoreThreads,
    pub(crate) own: Arc<Own>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Option<PrometheusHandle>,
    pub(crate) allow_origin: Vec<String>,
    pub(crate) hosts: Hosts,
    pub(crate) connections_max: usize,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) sessions: Arc<AtomicU64>,
    /// Held by each connection while it lives.
    pub(crate) alive: mpsc::Sender<()>,
}

/// All paths.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/sync", get(upgrade::upgrade))
        .route("/v1/documents", get(documents::list))
        .route("/v1/documents/{name}", get(documents::read).delete(documents::delete))
        .route("/v1/documents/{name}/conflicts", get(conflicts::list))
        .route("/v1/documents/{name}/conflicts/{id}", get(conflicts::show).post(conflicts::answer))
        .route("/v1/documents/{name}/conflicts/{id}/reopen", post(conflicts::reopen))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(|| async { error(StatusCode::NOT_FOUND, "not-found", "no such path") })
        .layer(map_response(in_our_words))
        .layer(from_fn_with_state(app.clone(), host::check))
        .with_state(app)
}

/// An error as JSON.
fn error(status: StatusCode, code: &str, message: impl AsRef<str>) -> Response {
    (status, axum::Json(json!({"error": {"code": code, "message": message.as_ref()}}))).into_response()
}

/// Says what the framework refuses by itself, such as a query that it can't read, as all other errors are said.
async fn in_our_words(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_ours = kind.is_some_and(|kind| kind == "application/json");
    if is_ours || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (head, body) = response.into_parts();
    let reason = to_bytes(body, REASON_BYTES_MAX).await.unwrap_or_default();
    let name = status.canonical_reason().unwrap_or("refused");
    let message = if reason.is_empty() { name.into() } else { String::from_utf8_lossy(&reason) };
    let mut said = error(status, &name.to_ascii_lowercase().replace(' ', "-"), message);
    for (name, value) in head.headers.iter().filter(|(name, _)| !of_body(name)) {
        said.headers_mut().append(name, value.clone());
    }
    said
}

fn of_body(name: &HeaderName) -> bool {
    [header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(name)
}

/// Whether a browser's page may do this: requests without an `Origin` come from no page.
fn origin_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    if allowed.iter().any(|a| a == "*" || a.eq_ignore_ascii_case(origin)) {
        return true;
    }
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok());
    let page = origin.split_once("://").map(|(_, rest)| rest);
    matches!((host, page), (Some(host), Some(page)) if host.eq_ignore_ascii_case(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_connect_from_its_own_server_or_where_allowed() {
        let check = |origin: Option<&str>, allowed: &[&str]| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "sync.example.org:8787".parse().expect("a value"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().expect("a value"));
            }
            origin_allowed(&headers, &allowed.iter().map(|s| s.to_string()).collect::<Vec<_>>())
        };
        assert!(check(None, &[]));
        assert!(check(Some("https://sync.example.org:8787"), &[]));
        assert!(!check(Some("https://evil.example"), &[]));
        assert!(!check(Some("null"), &[]));
        assert!(check(Some("https://app.example"), &["https://app.example"]));
        assert!(check(Some("https://evil.example"), &["*"]));
    }
}
