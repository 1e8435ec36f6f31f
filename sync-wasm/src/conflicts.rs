//! Conflicts as plain objects.
//!
//! Owns the shape in which the page is given them. What is one is decided in `sync_core::conflict`.

use std::collections::BTreeMap;

use automerge::ObjId;
use js_sys::{Array, Object};
use sync_core::conflict::{Candidate, ConflictId, ConflictKind, PathPart, Steps, Value};
use sync_core::id::ChangeHash;
use sync_core::limits::{CONFLICT_VALUES_BYTES_MAX, CONFLICTS_TOLD_MAX};
use sync_core::replica::{Listed, OutboxEntry, OutboxState, ResolveError};
use sync_core::settlement::{self, Answer, AnswerError, Telling};
use wasm_bindgen::JsValue;

use crate::error::{EngineError, ErrorCode};
use crate::js::{self, number, set};
use crate::value::{self, NewValue};

/// The conflicts of the document `name`, of which those that a list has no room for are counted, and those without values say that they are
/// cut; or the one that is asked for, whole. `outbox` says why the server refused what it did.
pub(crate) fn told(name: &str, outbox: &[OutboxEntry], all: Vec<Listed>, only: Option<ConflictId>) -> Object {
    let telling = settlement::telling(&all, CONFLICT_VALUES_BYTES_MAX, CONFLICTS_TOLD_MAX);
    let conflicts = Array::new();
    let mut more = 0;
    for (listed, telling) in all.into_iter().zip(telling) {
        let is_it = only == Some(listed.conflict.id);
        if is_it || (only.is_none() && telling != Telling::Counted) {
            conflicts.push(&conflict(name, outbox, listed, is_it || telling == Telling::Whole));
        } else {
            more += 1;
        }
    }
    let told = Object::new();
    set(&told, "conflicts", conflicts);
    set(&told, "more", number(more));
    told
}

fn conflict(name: &str, outbox: &[OutboxEntry], listed: Listed, is_whole: bool) -> Object {
    let state = listed.state().name();
    let Listed { conflict, settled, settled_by, answer, keeps_both } = listed;
    let object = Object::new();
    set(&object, "id", conflict.id.to_string());
    set(&object, "version", number(conflict.version));
    set(&object, "document", name);
    set(&object, "path", path(&conflict.path));
    set(&object, "kind", conflict.kind.name());
    if conflict.spot.is_gone {
        set(&object, "gone", true);
    }
    if let Some(marking) = &conflict.marking {
        let mark = Object::new();
        set(&mark, "name", marking.name.as_str());
        set(&mark, "words", marking.words.as_str());
        set(&object, "mark", mark);
    }
    if keeps_both {
        set(&object, "keepsBoth", true);
    }
    let show = |value: Option<&Value>| value.filter(|_| is_whole).map_or(JsValue::UNDEFINED, show);
    if conflict.base.is_some() {
        set(&object, "base", show(conflict.base.as_ref()));
    }
    let candidates = Array::new();
    for side in &conflict.candidates {
        candidates.push(&candidate(side, show(side.value.as_ref())));
    }
    set(&object, "candidates", candidates);
    if is_whole {
        steps(&object, &conflict.steps);
    } else {
        set(&object, "cut", true);
    }
    set(&object, "policy", "human@1");
    set(&object, "state", state);
    if let Some(settled) = settled {
        set(&object, "answer", show(answer.as_ref()));
        let by = Object::new();
        if let Some(settler) = &settled_by {
            set(&by, "change", settler.change.to_string());
            set(&by, "at", settler.time as f64);
            if let Some(author) = &settler.author {
                set(&by, "author", String::from_utf8_lossy(author).into_owned());
            }
        }
        set(&by, "policy", settled.policy);
        if let ObjId::Id(_, actor, _) = &settled.written {
            set(&by, "actor", actor.to_string());
        }
        if let Some(note) = settled.note {
            set(&by, "note", note);
        }
        set(&object, "settledBy", by);
    }
    if conflict.kind == ConflictKind::Rejected {
        let of = |entry: &&OutboxEntry| conflict.candidates.iter().any(|side| side.change == entry.change);
        if let Some(OutboxState::Rejected { reason, .. }) = outbox.iter().find(of).map(|entry| &entry.state) {
            set(&object, "reason", reason.as_str());
        }
    }
    object
}

/// What counts in a sum of steps; nothing if there are too many.
fn steps(object: &Object, steps: &Steps) {
    let all: &[(Value, i64)] = match steps {
        Steps::FromBase => return,
        Steps::Shared(all) => all,
        _ => &[],
    };
    let counted = Array::new();
    for (value, times) in all {
        let one = Object::new();
        set(&one, "value", show(value));
        set(&one, "times", *times as f64);
        counted.push(&one);
    }
    set(object, "steps", counted);
}

fn path(path: &[PathPart]) -> Array {
    let step = |step: &PathPart| match step {
        PathPart::Key(key) => JsValue::from(key.as_str()),
        PathPart::Index(index) => number(*index as u64).into(),
    };
    path.iter().map(step).collect()
}

fn candidate(candidate: &Candidate, value: JsValue) -> Object {
    let object = Object::new();
    set(&object, "value", value);
    set(&object, "actor", candidate.actor.to_string());
    if let Some(author) = &candidate.author {
        set(&object, "author", String::from_utf8_lossy(author).into_owned());
    }
    set(&object, "at", candidate.time as f64);
    set(&object, "change", candidate.change.to_string());
    set(&object, "mine", candidate.mine);
    set(&object, "shown", candidate.shown);
    object
}

/// A value as it is read of a document, frozen.
fn show(read: &Value) -> JsValue {
    match read {
        Value::Scalar(scalar) => value::show_scalar(scalar),
        Value::Text(text) => JsValue::from(text.as_str()),
        Value::List(items) => Object::freeze(&items.iter().map(show).collect::<Array>()).into(),
        Value::Map(entries) => {
            let object = Object::new();
            for (key, entry) in entries {
                value::define(&object, key, &show(entry));
            }
            Object::freeze(&object).into()
        }
    }
}

/// The id of a conflict.
pub(crate) fn id(hex: &str) -> Result<ConflictId, EngineError> {
    hex.parse().map_err(|()| EngineError::bad_value("a conflict is named by 32 hexadecimal digits"))
}

/// An answer: `{pick}`, `{value}`, `{remove}` or `{keep}`.
pub(crate) fn answer(answer: &JsValue) -> Result<Answer, EngineError> {
    let bad = || EngineError::bad_value("this is no answer to a conflict");
    if let Some(change) = js::get(answer, "pick") {
        let change: ChangeHash = change.as_string().ok_or_else(bad)?.parse().map_err(|_| bad())?;
        return Ok(Answer::Pick(change));
    }
    if let Some(value) = js::get(answer, "value") {
        return Ok(Answer::Value(Some(NewValue::from_js(&value)?.into())));
    }
    match (js::get(answer, "remove"), js::get(answer, "keep")) {
        (Some(_), _) => Ok(Answer::Value(None)),
        (None, Some(_)) => Ok(Answer::Both),
        (None, None) => Err(bad()),
    }
}

impl From<NewValue> for Value {
    fn from(value: NewValue) -> Self {
        match value {
            NewValue::Scalar(scalar) => Self::Scalar(scalar),
            NewValue::Text(text, _) => Self::Text(text),
            NewValue::List(items) => Self::List(items.into_iter().map(Self::from).collect()),
            NewValue::Map(entries) => {
                let mut map = BTreeMap::new();
                for (key, value) in entries {
                    map.insert(key, value.into());
                }
                Self::Map(map)
            }
        }
    }
}

impl From<ResolveError> for EngineError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Edit(error) => error.into(),
            ResolveError::Answer(answer) => {
                let code = match &answer {
                    AnswerError::Gone(_) => ErrorCode::ConflictGone,
                    AnswerError::Changed(_) => ErrorCode::ConflictChanged,
                    AnswerError::NotSettled(_) => ErrorCode::NotSettled,
                    _ => ErrorCode::BadValue,
                };
                Self { code, message: answer.to_string() }
            }
        }
    }
}
