//! Documents over HTTP: list, read as JSON or automerge bytes, delete.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;
use sync_core::id::DocumentName;
use sync_core::storage::StoreError;

use super::{App, error, origin_allowed};
use crate::materialise::{Form, Materialised, ReadError};

/// Documents listed at a time unless asked otherwise.
const LIST_DEFAULT: usize = 100;

/// Most documents listed at a time.
const LIST_MAX: usize = 1_000;

#[derive(Deserialize)]
pub(super) struct Page {
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    format: Option<String>,
}

pub(super) fn bad_name(e: sync_core::id::NameError) -> Response {
    error(StatusCode::BAD_REQUEST, "bad-name", e.to_string())
}

pub(super) fn read_error(e: &ReadError) -> Response {
    let message = e.to_string();
    match e {
        ReadError::None => error(StatusCode::NOT_FOUND, "not-found", message),
        ReadError::Quarantined(_) => error(StatusCode::SERVICE_UNAVAILABLE, "quarantined", message),
        ReadError::Overloaded => error(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message),
        ReadError::Store(_) => error(StatusCode::SERVICE_UNAVAILABLE, "store-failed", message),
    }
}

/// `GET /v1/documents?after=NAME&limit=N`.
pub(super) async fn list(State(app): State<Arc<App>>, Query(page): Query<Page>) -> Response {
    let after = match page.after.as_deref().filter(|a| !a.is_empty()).map(DocumentName::parse).transpose() {
        Ok(after) => after,
        Err(e) => return bad_name(e),
    };
    let limit = page.limit.unwrap_or(LIST_DEFAULT).clamp(1, LIST_MAX);
    let found = match app.own.materialiser.list(after, limit).await {
        Ok(found) => found,
        Err(e) => return read_error(&e),
    };
    let next = (found.len() == limit).then(|| found.last().map(|(name, _)| name.to_string())).flatten();
    let documents: Vec<_> = found
        .iter()
        .map(|(name, record)| {
            let incarnation = record.incarnation.map(|i| i.to_string());
            json!({"name": name.as_str(), "head": record.head.0, "digest": record.digest.to_string(), "incarnation": incarnation})
        })
        .collect();
    Json(json!({"documents": documents, "next": next})).into_response()
}

/// `GET /v1/documents/{name}?format=json|automerge`; `Accept: application/octet-stream` also asks for automerge bytes.
pub(super) async fn read(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Response {
    let name = match DocumentName::parse(&name) {
        Ok(name) => name,
        Err(e) => return bad_name(e),
    };
    let accepts = headers.get(header::ACCEPT).and_then(|a| a.to_str().ok()).unwrap_or("");
    let form = match wanted.format.as_deref() {
        Some("json") => Form::Json,
        Some("automerge") => Form::Automerge,
        None if accepts.contains("application/octet-stream") => Form::Automerge,
        None => Form::Json,
        Some(_) => return error(StatusCode::BAD_REQUEST, "bad-format", "format is json or automerge"),
    };
    match app.own.materialiser.read(name, form).await {
        Ok(value) => document(value, form),
        Err(e) => read_error(&e),
    }
}

pub(super) fn document(value: Materialised, form: Form) -> Response {
    let kind = match form {
        Form::Json | Form::Conflicts => "application/json",
        Form::Automerge => "application/octet-stream",
    };
    let mut response = value.bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    let said = [
        ("rejoin-head", value.head.to_string()),
        ("rejoin-digest", value.digest.to_string()),
        ("rejoin-incarnation", value.incarnation.to_string()),
    ];
    for (name, text) in said {
        headers.insert(name, HeaderValue::from_str(&text).expect("digits are a header value"));
    }
    response
}

/// `DELETE /v1/documents/{name}`: leaves a tombstone; whoever has it open is told when they open it again.
pub(super) async fn delete(State(app): State<Arc<App>>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    if !origin_allowed(&headers, &app.allow_origin) {
        return error(StatusCode::FORBIDDEN, "forbidden-origin", "this origin is not allowed (--allow-origin)");
    }
    let name = match DocumentName::parse(&name) {
        Ok(name) => name,
        Err(e) => return bad_name(e),
    };
    match app.store.delete(name.clone()).await {
        Ok(true) => {
            app.rooms.replaced(name).await;
            StatusCode::NO_CONTENT.into_response()
        }
        Ok(false) => read_error(&ReadError::None),
        Err(StoreError::Corrupt(reason)) => read_error(&ReadError::Quarantined(reason)),
        Err(e) => read_error(&ReadError::Store(e)),
    }
}
