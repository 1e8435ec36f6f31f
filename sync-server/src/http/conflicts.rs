//! Conflicts over HTTP: list them, answer one, take an answer back.
//!
//! Owns how an answer is said in JSON, and how what stands against it is said. What is written is that of sync-core's `desk`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;
use sync_core::conflict::ConflictId;
use sync_core::desk::{AUTHOR, Chosen, Desk, DeskError, Wish};
use sync_core::id::DocumentName;
use sync_core::protocol::RejectCode;
use sync_core::settlement::{Answer, AnswerError};

use super::documents::{bad_name, document, read_error};
use super::{App, error, origin_allowed};
use crate::clock::Clock;
use crate::conflicts;
use crate::materialise::Form;
use crate::own::{OwnError, Stored};

/// An answer, as it is said: one of `pick`, `value`, `remove` and `keep`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    pick: Option<Pick>,
    #[serde(default, deserialize_with = "there")]
    value: Option<serde_json::Value>,
    remove: Option<bool>,
    keep: Option<Keep>,
    /// The version that was looked at.
    version: u64,
    note: Option<String>,
    author: Option<String>,
}

/// A side by its number in the list, or by its change.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Pick {
    Side(usize),
    Change(String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Keep {
    Both,
}

/// Who takes an answer back.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Who {
    author: Option<String>,
}

/// `null` is a value.
fn there<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(from).map(Some)
}

impl Said {
    fn chosen(&self) -> Option<Chosen> {
        let pick = self.pick.as_ref().map(|pick| match pick {
            Pick::Side(number) => Some(Chosen::Side(*number)),
            Pick::Change(change) => change.parse().ok().map(|change| Chosen::Answer(Answer::Pick(change))),
        });
        let value = self.value.as_ref().map(|value| Chosen::Answer(Answer::Value(Some(conflicts::from_json(value)))));
        let remove = self.remove.map(|remove| remove.then_some(Chosen::Answer(Answer::Value(None))));
        let keep = self.keep.as_ref().map(|Keep::Both| Chosen::Answer(Answer::Both));
        let mut all = [pick, value.map(Some), remove, keep.map(Some)].into_iter().flatten();
        match (all.next(), all.next()) {
            (Some(chosen), None) => chosen,
            _ => None,
        }
    }
}

/// `GET /v1/documents/{name}/conflicts`.
pub(super) async fn list(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    let name = match DocumentName::parse(&name) {
        Ok(name) => name,
        Err(e) => return bad_name(e),
    };
    match app.own.materialiser.read(name, Form::Conflicts).await {
        Ok(value) => document(value, Form::Conflicts),
        Err(e) => read_error(&e),
    }
}

/// `GET /v1/documents/{name}/conflicts/{id}`: one of them with all its values.
pub(super) async fn show(State(app): State<Arc<App>>, Path((name, id)): Path<(String, String)>) -> Response {
    let (name, id) = match named(&name, &id) {
        Ok(place) => place,
        Err(refused) => return *refused,
    };
    let listed = app.own.materialiser.at_desk(name.clone(), |desk| desk.listed()).await;
    let found = match listed {
        Ok(Ok(listed)) => listed.into_iter().find(|listed| listed.conflict.id == id),
        Ok(Err(e)) => return own_error(&name, &e.into()),
        Err(e) => return read_error(&e),
    };
    match found {
        Some(listed) => Json(conflicts::to_json(&name, &listed)).into_response(),
        None => own_error(&name, &DeskError::Answer(AnswerError::Gone(id), None).into()),
    }
}

/// `POST /v1/documents/{name}/conflicts/{id}`: answers it for everybody, once the answer is stored.
pub(super) async fn answer(
    State(app): State<Arc<App>>,
    Path(place): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Json<Said>, JsonRejection>,
) -> Response {
    let (name, id) = match allowed(&app, &headers, &place) {
        Ok(place) => place,
        Err(refused) => return *refused,
    };
    let Json(said) = match body {
        Ok(said) => said,
        Err(e) => return error(e.status(), "bad-answer", e.body_text()),
    };
    let Some(chosen) = said.chosen() else {
        let message = "an answer is one of pick (a side's number or change), value, remove (true) and keep (both)";
        return error(StatusCode::BAD_REQUEST, "bad-answer", message);
    };
    let author = said.author.unwrap_or_else(|| AUTHOR.into());
    let wish = Wish { id, version: Some(said.version), chosen, note: said.note, author };
    written(&app, name, id, move |desk| desk.answer(Clock::wall(), &wish)).await
}

/// `POST /v1/documents/{name}/conflicts/{id}/reopen`: takes the answer back.
pub(super) async fn reopen(
    State(app): State<Arc<App>>,
    Path(place): Path<(String, String)>,
    headers: HeaderMap,
    body: Option<Json<Who>>,
) -> Response {
    let (name, id) = match allowed(&app, &headers, &place) {
        Ok(place) => place,
        Err(refused) => return *refused,
    };
    let author = body.and_then(|Json(who)| who.author).unwrap_or_else(|| AUTHOR.into());
    written(&app, name, id, move |desk| desk.reopen(Clock::wall(), id, &author)).await
}

fn allowed(
    app: &App,
    headers: &HeaderMap,
    (name, id): &(String, String),
) -> Result<(DocumentName, ConflictId), Box<Response>> {
    if !origin_allowed(headers, &app.allow_origin) {
        let message = "this origin is not allowed (--allow-origin)";
        return Err(Box::new(error(StatusCode::FORBIDDEN, "forbidden-origin", message)));
    }
    named(name, id)
}

fn named(name: &str, id: &str) -> Result<(DocumentName, ConflictId), Box<Response>> {
    let name = DocumentName::parse(name).map_err(|e| Box::new(bad_name(e)))?;
    let bad_id = || error(StatusCode::BAD_REQUEST, "bad-id", "a conflict is named by 32 hexadecimal digits");
    Ok((name, id.parse().map_err(|()| Box::new(bad_id()))?))
}

/// Writes, and tells the change.
async fn written(
    app: &App,
    name: DocumentName,
    id: ConflictId,
    work: impl FnOnce(&mut Desk) -> Result<(), DeskError> + Send + 'static,
) -> Response {
    match app.own.write(name.clone(), work).await {
        Ok(((), Some(Stored { change, seq, durable, .. }))) => {
            let (document, change) = (name.as_str(), change.to_string());
            let body =
                json!({"document": document, "id": id.to_string(), "change": change, "seq": seq.0, "durable": durable});
            Json(body).into_response()
        }
        Ok(((), None)) => error(StatusCode::INTERNAL_SERVER_ERROR, "broken", "nothing was written"),
        Err(e) => own_error(&name, &e),
    }
}

fn own_error(name: &DocumentName, e: &OwnError) -> Response {
    let message = e.to_string();
    match e {
        OwnError::Read(e) => read_error(e),
        OwnError::ReadOnly(_) => error(StatusCode::FORBIDDEN, "forbidden", message),
        OwnError::Silent => error(StatusCode::GATEWAY_TIMEOUT, "unknown", message),
        OwnError::Refused(code, _) if code.is_retryable() || *code == RejectCode::Equivocation => {
            error(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
        }
        OwnError::Refused(..) => error(StatusCode::CONFLICT, "refused", message),
        OwnError::Desk(DeskError::Answer(AnswerError::Changed(_), now)) => {
            let now = now.as_ref().map(|now| conflicts::to_json(name, now));
            let body = json!({"error": {"code": "conflict-changed", "message": message, "conflict": now}});
            (StatusCode::CONFLICT, Json(body)).into_response()
        }
        OwnError::Desk(DeskError::Answer(AnswerError::Gone(_), _)) => {
            error(StatusCode::NOT_FOUND, "conflict-gone", message)
        }
        OwnError::Desk(DeskError::Answer(AnswerError::NotSettled(_), _)) => {
            error(StatusCode::CONFLICT, "not-settled", message)
        }
        OwnError::Desk(DeskError::Broken(_)) => error(StatusCode::SERVICE_UNAVAILABLE, "quarantined", message),
        OwnError::Desk(_) => error(StatusCode::UNPROCESSABLE_ENTITY, "unfit", message),
    }
}
