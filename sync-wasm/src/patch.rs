//! What has come to a document, as the edits that a page's mirror of the value does.
//!
//! Owns the translation of automerge's patches. What a page's values can't show, such as marks, is left out; what it does not know asks for
//! the whole value instead.

use automerge::{Automerge, ObjType, Patch, PatchAction, Prop, ReadDoc as _, ScalarValue, Value};
use js_sys::{Array, Object};
use sync_core::settlement;
use wasm_bindgen::JsValue;

use crate::{js, value};

/// The edits that do what these patches say, one after the other. `None` if one of them has no such form.
pub(crate) fn edits(document: &Automerge, patches: &[Patch]) -> Option<Array> {
    let edits = Array::new();
    for patch in patches.iter().filter(|patch| !is_hidden(patch)) {
        let path: Array = patch.path.iter().map(|(_, prop)| step(prop)).collect();
        let is_text = document.object_type(&patch.obj).ok()? == ObjType::Text;
        let edit = match &patch.action {
            PatchAction::PutMap { key, value, .. } => edit("put", &path, [key.into(), shown(&value.0)]),
            PatchAction::PutSeq { index, value, .. } if !is_text => {
                edit("put", &path, [index_of(*index), shown(&value.0)])
            }
            PatchAction::Insert { index, values } if !is_text => {
                let values: Array = values.iter().map(|(value, ..)| shown(value)).collect();
                edit("splice", &path, [index_of(*index), 0.into(), values.into()])
            }
            PatchAction::DeleteSeq { index, length } if !is_text => {
                edit("splice", &path, [index_of(*index), index_of(*length), Array::new().into()])
            }
            PatchAction::SpliceText { index, value, .. } => {
                edit("text", &path, [index_of(*index), 0.into(), value.make_string().into()])
            }
            PatchAction::DeleteSeq { index, length } => {
                edit("text", &path, [index_of(*index), index_of(*length), "".into()])
            }
            PatchAction::Increment { prop, value } => edit("increment", &path, [step(prop), (*value as f64).into()]),
            PatchAction::DeleteMap { key } => edit("delete", &path, [key.into()]),
            PatchAction::Conflict { .. } | PatchAction::Mark { .. } => continue,
            PatchAction::PutSeq { .. } | PatchAction::Insert { .. } => return None,
        };
        edits.push(&edit);
    }
    Some(edits)
}

/// Settlements are no part of the value.
fn is_hidden(patch: &Patch) -> bool {
    match (patch.path.first(), &patch.action) {
        (Some((_, Prop::Map(key))), _) => key == settlement::ROOT_KEY,
        (None, PatchAction::PutMap { key, .. } | PatchAction::DeleteMap { key }) => key == settlement::ROOT_KEY,
        _ => false,
    }
}

fn edit<const N: usize>(kind: &str, path: &Array, parts: [JsValue; N]) -> JsValue {
    let edit = Array::of2(&kind.into(), path);
    for part in parts {
        edit.push(&part);
    }
    edit.into()
}

fn step(prop: &Prop) -> JsValue {
    match prop {
        Prop::Map(key) => key.into(),
        Prop::Seq(index) => index_of(*index),
    }
}

fn index_of(index: usize) -> JsValue {
    js::number(index as u64).into()
}

/// A value as edits take it. What is in an object comes in patches of its own.
fn shown(value: &Value<'_>) -> JsValue {
    let (key, empty): (&str, JsValue) = match value {
        Value::Object(ObjType::Map | ObjType::Table) => ("map", Array::new().into()),
        Value::Object(ObjType::List) => ("list", Array::new().into()),
        Value::Object(ObjType::Text) => ("text", "".into()),
        Value::Scalar(scalar) => match scalar.as_ref() {
            counter @ ScalarValue::Counter(_) => ("counter", value::show_scalar(counter)),
            scalar => return value::show_scalar(scalar),
        },
    };
    let object = Object::new();
    js::set(&object, key, empty);
    object.into()
}
