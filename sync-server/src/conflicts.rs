//! Conflicts told as JSON, in the shape that browsers have them in.
//!
//! Owns that shape, and how a value is said in JSON and read from it.

use automerge::{ObjId, ScalarValue};
use bytes::Bytes;
use serde_json::{Map, json};
use sync_core::conflict::{Candidate, Conflict, PathPart, Value};
use sync_core::id::DocumentName;
use sync_core::settlement::Listed;

/// All conflicts of a document as JSON.
pub(crate) fn json(name: &DocumentName, listed: &[Listed]) -> Result<Bytes, String> {
    let conflicts: Vec<_> = listed.iter().map(|listed| to_json(name, listed)).collect();
    let open = listed.iter().filter(|listed| listed.is_open()).count();
    let body = json!({"document": name.as_str(), "open": open, "conflicts": conflicts});
    serde_json::to_vec(&body).map(Bytes::from).map_err(|e| e.to_string())
}

/// One conflict. What says that nothing should be there has no `value`.
pub(crate) fn to_json(name: &DocumentName, listed: &Listed) -> serde_json::Value {
    let Conflict { id, version, path, kind, base, candidates, .. } = &listed.conflict;
    let mut out = Map::new();
    let mut set = |key: &str, value: serde_json::Value| drop(out.insert(key.into(), value));
    set("id", id.to_string().into());
    set("version", (*version).into());
    set("document", name.as_str().into());
    set("path", path.iter().map(step).collect());
    set("kind", kind.name().into());
    if let Some(base) = base {
        set("base", value(base));
    }
    set("candidates", candidates.iter().map(candidate).collect());
    set("state", listed.state().name().into());
    if let Some(settled) = &listed.settled {
        if let Some(answer) = &listed.answer {
            set("answer", value(answer));
        }
        let mut by = Map::new();
        by.insert("policy".into(), settled.policy.as_str().into());
        if let Some(change) = listed.settled_by {
            by.insert("change".into(), change.to_string().into());
        }
        if let ObjId::Id(_, actor, _) = &settled.written {
            by.insert("actor".into(), actor.to_string().into());
        }
        if let Some(note) = &settled.note {
            by.insert("note".into(), note.as_str().into());
        }
        set("settledBy", by.into());
    }
    out.into()
}

fn step(step: &PathPart) -> serde_json::Value {
    match step {
        PathPart::Key(key) => key.as_str().into(),
        PathPart::Index(index) => (*index).into(),
    }
}

fn candidate(side: &Candidate) -> serde_json::Value {
    let mut out = Map::new();
    let mut set = |key: &str, value: serde_json::Value| drop(out.insert(key.into(), value));
    if let Some(said) = &side.value {
        set("value", value(said));
    }
    set("actor", side.actor.to_string().into());
    if let Some(author) = &side.author {
        set("author", String::from_utf8_lossy(author).into());
    }
    set("at", side.time.into());
    set("change", side.change.to_string().into());
    set("shown", side.shown.into());
    out.into()
}

/// A value as `GET /v1/documents/{name}` tells it.
pub(crate) fn value(read: &Value) -> serde_json::Value {
    match read {
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(value).collect(),
        Value::Map(entries) => entries.iter().map(|(key, entry)| (key.clone(), value(entry))).collect(),
        Value::Scalar(scalar) => match scalar {
            ScalarValue::Str(text) => text.as_str().into(),
            ScalarValue::Int(number) | ScalarValue::Timestamp(number) => (*number).into(),
            ScalarValue::Uint(number) => (*number).into(),
            ScalarValue::F64(number) => (*number).into(),
            ScalarValue::Counter(counter) => i64::from(counter).into(),
            ScalarValue::Boolean(is) => (*is).into(),
            ScalarValue::Bytes(bytes) | ScalarValue::Unknown { bytes, .. } => bytes.as_slice().into(),
            ScalarValue::Null => serde_json::Value::Null,
        },
    }
}

/// A value that somebody has written as JSON.
pub(crate) fn from_json(said: &serde_json::Value) -> Value {
    match said {
        serde_json::Value::Null => Value::Scalar(ScalarValue::Null),
        serde_json::Value::Bool(is) => Value::Scalar((*is).into()),
        serde_json::Value::String(text) => Value::Scalar(text.as_str().into()),
        serde_json::Value::Number(number) => Value::Scalar(match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => ScalarValue::Int(number),
            (None, Some(number)) => ScalarValue::Uint(number),
            (None, None) => ScalarValue::F64(number.as_f64().unwrap_or_default()),
        }),
        serde_json::Value::Array(items) => Value::List(items.iter().map(from_json).collect()),
        serde_json::Value::Object(entries) => {
            Value::Map(entries.iter().map(|(key, entry)| (key.clone(), from_json(entry))).collect())
        }
    }
}
