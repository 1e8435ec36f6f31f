//! Conflicts told as JSON, in the shape that browsers have them in.
//!
//! Owns that shape, and how a value is said in JSON and read from it.

use automerge::{ObjId, ScalarValue};
use bytes::Bytes;
use serde_json::{Map, json};
use sync_core::conflict::{Candidate, Conflict, PathPart, Steps, Value};
use sync_core::id::DocumentName;
use sync_core::limits::{CONFLICT_VALUES_BYTES_MAX, CONFLICTS_TOLD_MAX};
use sync_core::settlement::{self, Listed, Telling};

/// All conflicts of a document as JSON.
pub(crate) fn json(name: &DocumentName, listed: &[Listed]) -> Result<Bytes, String> {
    let body = body(name, listed, CONFLICT_VALUES_BYTES_MAX, CONFLICTS_TOLD_MAX);
    serde_json::to_vec(&body).map(Bytes::from).map_err(|e| e.to_string())
}

/// A list whose values take about `bytes_max` bytes: what is `cut` has none, and beyond `count_max` conflicts there is their number alone.
fn body(name: &DocumentName, listed: &[Listed], bytes_max: usize, count_max: usize) -> serde_json::Value {
    let telling = settlement::telling(listed, bytes_max, count_max);
    let told = listed.iter().zip(&telling).filter_map(|(listed, telling)| match telling {
        Telling::Whole => Some(to_json(name, listed)),
        Telling::WithoutValues => {
            let mut out = to_json(name, &listed.without_values());
            out["cut"] = true.into();
            Some(out)
        }
        Telling::Counted => None,
    });
    let open = listed.iter().filter(|listed| listed.is_open()).count();
    let mut body = json!({"document": name.as_str(), "open": open, "conflicts": told.collect::<Vec<_>>()});
    let more = telling.iter().filter(|telling| **telling == Telling::Counted).count();
    if more > 0 {
        body["more"] = more.into();
    }
    body
}

/// One conflict. What says that nothing should be there has no `value`.
pub(crate) fn to_json(name: &DocumentName, listed: &Listed) -> serde_json::Value {
    let Conflict { id, version, path, kind, base, candidates, steps, spot, marking, .. } = &listed.conflict;
    let mut out = Map::new();
    let mut set = |key: &str, value: serde_json::Value| drop(out.insert(key.into(), value));
    set("id", id.to_string().into());
    set("version", (*version).into());
    set("document", name.as_str().into());
    set("path", path.iter().map(step).collect());
    set("kind", kind.name().into());
    if spot.is_gone {
        set("gone", true.into());
    }
    if let Some(marking) = marking {
        set("mark", json!({"name": marking.name, "words": marking.words}));
    }
    if listed.keeps_both {
        set("keepsBoth", true.into());
    }
    if let Some(base) = base {
        set("base", value(base));
    }
    set("candidates", candidates.iter().map(candidate).collect());
    let counted = |(said, times): &(Value, i64)| json!({"value": value(said), "times": times});
    match steps {
        Steps::Shared(all) => set("steps", all.iter().map(counted).collect()),
        Steps::TooMany => set("steps", json!([])),
        _ => {}
    }
    set("state", listed.state().name().into());
    if let Some(settled) = &listed.settled {
        if let Some(answer) = &listed.answer {
            set("answer", value(answer));
        }
        let mut by = Map::new();
        by.insert("policy".into(), settled.policy.as_str().into());
        if let Some(settler) = &listed.settled_by {
            by.insert("change".into(), settler.change.to_string().into());
            by.insert("at".into(), settler.time.into());
            if let Some(author) = &settler.author {
                by.insert("author".into(), String::from_utf8_lossy(author).into());
            }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sync_core::conflict::{ConflictId, ConflictKind, ConflictState};
    use sync_core::id::{ActorId, ChangeHash};

    use super::*;

    #[test]
    fn a_list_beyond_its_bound_says_which_values_it_leaves_out_and_how_many_conflicts() {
        let one = |number: u8| {
            let side = |shown| Candidate {
                value: Some(Value::Text("x".repeat(1_000))),
                actor: ActorId::from([number]),
                author: None,
                time: 0,
                change: ChangeHash([number; 32]),
                shown,
                mine: false,
                object: None,
            };
            let conflict = Conflict {
                id: ConflictId([number; 16]),
                version: 1,
                path: vec![PathPart::Key("key".into())],
                kind: ConflictKind::Register,
                base: None,
                candidates: vec![side(true), side(false)],
                steps: Default::default(),
                hidden: BTreeMap::new(),
                agreeing: BTreeMap::new(),
                state: ConflictState::Open,
                spot: Default::default(),
                marking: None,
                agrees: false,
            };
            Listed { conflict, settled: None, settled_by: None, answer: None, keeps_both: false }
        };
        let name = DocumentName::parse("a/document").expect("a name");
        let listed: Vec<Listed> = (0..10).map(one).collect();
        let whole = body(&name, &listed, CONFLICT_VALUES_BYTES_MAX, CONFLICTS_TOLD_MAX);
        assert_eq!((whole["conflicts"].as_array().map(Vec::len), whole.get("more")), (Some(10), None));
        assert!(whole["conflicts"][9].get("cut").is_none());
        let bounded = body(&name, &listed, 5_000, 7);
        let told = bounded["conflicts"].as_array().expect("a list");
        let cut: Vec<bool> = told.iter().map(|one| one["cut"] == true).collect();
        assert_eq!(cut, [false, false, true, true, true, true, true]);
        assert_eq!((&bounded["open"], &bounded["more"]), (&10.into(), &3.into()));
        assert!(told[2]["candidates"][1].get("value").is_none() && told[2]["candidates"][1].get("change").is_some());
        assert!(bounded.to_string().len() < 5_000 + 7 * 500, "{bounded}");
    }
}
