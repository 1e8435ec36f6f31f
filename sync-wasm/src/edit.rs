//! Edits as the package records them: each names its place by a path from the root, as it is when the edits before it are done.
//!
//! Owns the shape of an edit and how it is done in a transaction. That it is allowed is decided by the replica.

use automerge::transaction::{Transactable as _, Transaction};
use automerge::{AutomergeError, ObjId, ObjType, Prop, ROOT, ReadDoc, Value};
use js_sys::Array;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};

use crate::error::EngineError;
use crate::js;
use crate::marks::NewMark;
use crate::value::NewValue;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &'static str = r#"
/** Where an object stands: keys and indices from the root down. */
export type Path = (string | number)[];
/** A value on its way into a document, in a form that survives `postMessage`. */
export type NewValue =
  | null | boolean | number | bigint | string | Date | Uint8Array
  | { text: string; marks?: readonly Mark[] } | { counter: number } | { list: NewValue[] } | { map: [string, NewValue][] };
/** One edit. Positions in texts count Unicode code points. A mark of no value takes away what is there of its name. */
export type Edit =
  | ["put", Path, string | number, NewValue]
  | ["delete", Path, string]
  | ["splice", Path, number, number, NewValue[]]
  | ["text", Path, number, number, string]
  | ["mark", Path, number, number, string, MarkValue | null, (Expand | undefined)?]
  | ["increment", Path, string | number, number];
"#;

/// One edit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Edit {
    path: Vec<Prop>,
    action: Action,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Put(Prop, NewValue),
    Delete(String),
    Splice { index: usize, delete: usize, insert: Vec<NewValue> },
    Text { index: usize, delete: usize, insert: String },
    Mark(NewMark),
    Increment(Prop, i64),
}

impl Edit {
    /// Takes the edits of one change.
    pub(crate) fn list_from_js(edits: &Array) -> Result<Vec<Self>, EngineError> {
        edits.iter().map(|edit| Self::from_js(&edit)).collect()
    }

    fn from_js(edit: &JsValue) -> Result<Self, EngineError> {
        let bad = || EngineError::bad_value("this is no edit");
        let parts = edit.dyn_ref::<Array>().ok_or_else(bad)?;
        let part = |index: u32| parts.get(index);
        let path = self::path(&part(1).dyn_into::<Array>().map_err(|_| bad())?)?;
        let action = match part(0).as_string().as_deref() {
            Some("put") => Action::Put(prop(&part(2))?, NewValue::from_js(&part(3))?),
            Some("delete") => Action::Delete(part(2).as_string().ok_or_else(bad)?),
            Some("splice") => {
                let insert = part(4).dyn_into::<Array>().map_err(|_| bad())?;
                let insert = insert.iter().map(|value| NewValue::from_js(&value)).collect::<Result<_, _>>()?;
                Action::Splice { index: js::index(&part(2))?, delete: js::index(&part(3))?, insert }
            }
            Some("text") => Action::Text {
                index: js::index(&part(2))?,
                delete: js::index(&part(3))?,
                insert: part(4).as_string().ok_or_else(bad)?,
            },
            Some("mark") => {
                let range = (js::index(&part(2))?, js::index(&part(3))?);
                Action::Mark(NewMark::new(range, &part(4), &part(5), &part(6))?)
            }
            Some("increment") => Action::Increment(
                prop(&part(2))?,
                js::integer(&part(3)).ok_or_else(|| EngineError::bad_value("a counter moves by a whole number"))?,
            ),
            _ => return Err(bad()),
        };
        Ok(Self { path, action })
    }

    /// Does the edit.
    pub(crate) fn apply(&self, tx: &mut Transaction<'_>) -> Result<(), AutomergeError> {
        let object = object(tx, &self.path)?;
        match &self.action {
            Action::Put(prop, value) => value.put(tx, &object, prop.clone()),
            Action::Delete(key) => tx.delete(&object, key.as_str()),
            Action::Splice { index, delete, insert } => splice(tx, &object, *index, *delete, insert),
            Action::Text { index, delete, insert } => {
                let delete = isize::try_from(*delete).map_err(|_| AutomergeError::InvalidIndex(*delete))?;
                tx.splice_text(&object, *index, delete, insert)
            }
            Action::Mark(mark) => mark.apply(tx, &object),
            Action::Increment(prop, by) => tx.increment(&object, prop.clone(), *by),
        }
    }
}

fn prop(step: &JsValue) -> Result<Prop, EngineError> {
    match step.as_string() {
        Some(key) => Ok(Prop::Map(key)),
        None => js::index(step).map(Prop::Seq),
    }
}

/// Takes a path from the root.
pub(crate) fn path(steps: &Array) -> Result<Vec<Prop>, EngineError> {
    steps.iter().map(|step| prop(&step)).collect()
}

/// The object at a path from the root.
pub(crate) fn object(document: &impl ReadDoc, path: &[Prop]) -> Result<ObjId, AutomergeError> {
    path.iter().try_fold(ROOT, |object, step| match document.get(object, step.clone())? {
        Some((Value::Object(_), child)) => Ok(child),
        _ => Err(AutomergeError::NotAnObject),
    })
}

fn splice(
    tx: &mut Transaction<'_>,
    list: &ObjId,
    index: usize,
    delete: usize,
    insert: &[NewValue],
) -> Result<(), AutomergeError> {
    let length = tx.length(list);
    if tx.object_type(list)? != ObjType::List || index > length || delete > length - index {
        return Err(AutomergeError::InvalidIndex(index));
    }
    for _ in 0..delete {
        tx.delete(list, index)?;
    }
    insert.iter().enumerate().try_for_each(|(offset, value)| value.insert(tx, list, index + offset))
}

#[cfg(test)]
mod tests {
    use automerge::{AutoSerde, Automerge, ScalarValue};

    use super::*;

    fn edit(path: &[&str], action: Action) -> Edit {
        Edit { path: path.iter().map(|key| Prop::Map((*key).into())).collect(), action }
    }

    fn scalar(value: impl Into<ScalarValue>) -> NewValue {
        NewValue::Scalar(value.into())
    }

    /// Does edits in one transaction; gives the value as JSON, or that one of them was refused.
    fn check(edits: &[Edit], want: &str) {
        let mut document = Automerge::new();
        let done = document.transact(|tx| edits.iter().try_for_each(|edit| edit.apply(tx)));
        let got = match done {
            Ok(_) => serde_json::to_string(&AutoSerde::from(&document)).expect("string keys only"),
            Err(_) => "refused".into(),
        };
        assert_eq!(got, want);
    }

    fn groceries() -> Vec<Edit> {
        let milk = NewValue::Map(vec![("name".into(), scalar("milk")), ("left".into(), scalar(2))]);
        let list = NewValue::List(vec![scalar("a"), milk, scalar("c")]);
        vec![
            edit(&[], Action::Put(Prop::Map("items".into()), list)),
            edit(&[], Action::Put(Prop::Map("note".into()), NewValue::Text("hello".into(), Vec::new()))),
        ]
    }

    #[test]
    fn nested_values_are_made_where_they_are_put() {
        check(&groceries(), r#"{"items":["a",{"left":2,"name":"milk"},"c"],"note":"hello"}"#);
    }

    #[test]
    fn later_edits_see_earlier_ones() {
        let mut edits = groceries();
        let insert = vec![scalar("x"), NewValue::List(vec![scalar(1)])];
        edits.push(edit(&["items"], Action::Splice { index: 0, delete: 1, insert }));
        let place = vec![Prop::Map("items".into()), Prop::Seq(2)];
        edits.push(Edit { path: place, action: Action::Put(Prop::Map("left".into()), scalar(1)) });
        edits.push(edit(&["note"], Action::Text { index: 1, delete: 3, insert: "é😀".into() }));
        check(&edits, r#"{"items":["x",[1],{"left":1,"name":"milk"},"c"],"note":"hé😀o"}"#);
    }

    #[test]
    fn what_has_no_place_is_refused_whole() {
        let cases = [
            edit(&["nowhere"], Action::Put(Prop::Map("a".into()), scalar(1))),
            edit(&["items"], Action::Splice { index: 4, delete: 0, insert: vec![] }),
            edit(&["items"], Action::Splice { index: 1, delete: 3, insert: vec![] }),
            edit(&["note"], Action::Splice { index: 0, delete: 1, insert: vec![] }),
            edit(&["note"], Action::Text { index: 9, delete: 0, insert: "x".into() }),
            edit(&[], Action::Increment(Prop::Map("note".into()), 1)),
        ];
        for case in cases {
            check(&[groceries(), vec![case]].concat(), "refused");
        }
    }

    #[test]
    fn a_mark_has_a_range_within_its_text() {
        let mark = |from, to, name: &str, value: ScalarValue| {
            let mark = NewMark::for_test((from, to), name, value);
            edit(&["note"], Action::Mark(mark))
        };
        let hello = r#"{"items":["a",{"left":2,"name":"milk"},"c"],"note":"hello"}"#;
        check(
            &[groceries(), vec![mark(0, 5, "bold", true.into()), mark(1, 2, "bold", ScalarValue::Null)]].concat(),
            hello,
        );
        for (from, to) in [(0, 6), (2, 2), (3, 1), (6, 7)] {
            check(&[groceries(), vec![mark(from, to, "bold", true.into())]].concat(), "refused");
        }
        let items = Edit { path: vec![Prop::Map("items".into())], ..mark(0, 1, "bold", true.into()) };
        check(&[groceries(), vec![items]].concat(), "refused");
    }

    #[test]
    fn counters_add_up() {
        let counter = NewValue::Scalar(ScalarValue::counter(5));
        let edits = [
            edit(&[], Action::Put(Prop::Map("n".into()), counter)),
            edit(&[], Action::Increment(Prop::Map("n".into()), -2)),
        ];
        check(&edits, r#"{"n":3}"#);
    }
}
