//! A document's value as JavaScript's own objects, and values on their way in.
//!
//! Owns how types map: maps and lists are frozen objects and arrays, text is a string, a counter a number, a timestamp a `Date`, bytes
//! a `Uint8Array`. A string can't say that it is a text that several people edit, so a callback is told of each text and counter.

use std::collections::BTreeSet;

use automerge::hydrate::Value;
use automerge::transaction::{Transactable as _, Transaction};
use automerge::{Automerge, AutomergeError, ChangeHash, ObjId, ObjType, Prop, ScalarValue};
use js_sys::{Array, BigInt, Date, Function, Object, Reflect};
use sync_core::view::View;
use sync_core::{settlement, touched};
use wasm_bindgen::{JsCast as _, JsValue};

use crate::error::EngineError;
use crate::marks::NewMark;
use crate::{js, marks};

/// Deepest nesting of a value on its way in. The validator allows 100 objects below the root.
const DEPTH_MAX: usize = 100;

/// Shows a document's value to JavaScript, without what is the engine's own. `special(container, key, kind)` is called for each text and
/// counter in it; for a text that has marks they are its kind. Only texts that are `marked` may have any.
pub(crate) fn show_document(
    document: &Automerge,
    heads: Option<&[ChangeHash]>,
    marked: &[ObjId],
    special: &Function,
) -> Result<JsValue, JsValue> {
    // Where a text stood earlier is looked up when it is met.
    let places = marked.iter().filter_map(|text| touched::place(document, text)).collect();
    let marked = if heads.is_some() && !marked.is_empty() { None } else { Some(places) };
    let mut teller = Teller { document, heads, marked, special, path: Vec::new() };
    teller.show(&document.hydrate(heads), &[settlement::ROOT_KEY])
}

/// Shows a value, and knows where in it it is.
struct Teller<'a> {
    document: &'a Automerge,
    heads: Option<&'a [ChangeHash]>,
    /// Where texts are that may have marks; `None` if any may.
    marked: Option<BTreeSet<Vec<Prop>>>,
    special: &'a Function,
    path: Vec<Prop>,
}

impl Teller<'_> {
    fn show(&mut self, value: &Value, but: &[&str]) -> Result<JsValue, JsValue> {
        Ok(match value {
            Value::Scalar(scalar) => show_scalar(scalar),
            Value::Text(text) => JsValue::from(text.to_string()),
            Value::Map(map) => {
                let object = Object::new();
                // Sorted, so that the same value is the same object, key by key, on every replica.
                let shown = map.iter().map(|(key, _)| key).filter(|key| !but.contains(&key.as_str()));
                let mut keys: Vec<&String> = shown.collect();
                keys.sort_unstable();
                for key in keys {
                    let Some(value) = map.get(key) else { continue };
                    let shown = self.part(value, &object, key.as_str().into())?;
                    define(&object, key, &shown);
                }
                Object::freeze(&object).into()
            }
            Value::List(list) => {
                let array = Array::new();
                for (index, item) in list.iter().enumerate() {
                    let shown = self.part(&item.value, &array, index.into())?;
                    array.push(&shown);
                }
                Object::freeze(&array).into()
            }
        })
    }

    /// What stands at a key or index of a container.
    fn part(&mut self, value: &Value, container: &Object, at: Prop) -> Result<JsValue, JsValue> {
        let Value::Scalar(scalar) = value else {
            let key = key(&at);
            self.path.push(at);
            if let Value::Text(_) = value {
                let is_asked = self.marked.as_ref().is_none_or(|marked| marked.contains(&self.path));
                let marks = is_asked.then(|| marks::at(self.document, &self.path, self.heads)).flatten();
                let kind = marks.map_or("text".into(), JsValue::from);
                self.special.call3(&JsValue::UNDEFINED, container, &key, &kind)?;
            }
            let shown = self.show(value, &[]);
            self.path.pop();
            return shown;
        };
        if let ScalarValue::Counter(_) = scalar {
            self.special.call3(&JsValue::UNDEFINED, container, &key(&at), &"counter".into())?;
        }
        Ok(show_scalar(scalar))
    }
}

fn key(at: &Prop) -> JsValue {
    match at {
        Prop::Map(key) => key.as_str().into(),
        Prop::Seq(index) => js::number(*index as u64).into(),
    }
}

/// As [`show_document`], of a view.
pub(crate) fn show_view(view: &View, special: &Function) -> Result<JsValue, JsValue> {
    show_part(view, special, &[settlement::ROOT_KEY])
}

fn show_part(view: &View, special: &Function, but: &[&str]) -> Result<JsValue, JsValue> {
    let mark = |value: &View, container: &Object, key: &JsValue| {
        let kind: JsValue = match value {
            View::Text(text, said) if !said.is_empty() => marks::show(text, said).into(),
            View::Text(..) => "text".into(),
            View::Scalar(ScalarValue::Counter(_)) => "counter".into(),
            _ => return Ok(()),
        };
        special.call3(&JsValue::UNDEFINED, container, key, &kind).map(drop)
    };
    Ok(match view {
        View::Scalar(scalar) => show_scalar(scalar),
        View::Text(text, _) => JsValue::from(text.as_str()),
        View::Map(map) => {
            let object = Object::new();
            for (key, value) in map.iter().filter(|(key, _)| !but.contains(&key.as_str())) {
                mark(value, &object, &key.into())?;
                define(&object, key, &show_part(value, special, &[])?);
            }
            Object::freeze(&object).into()
        }
        View::List(list) => {
            let array = Array::new();
            for (index, item) in list.iter().enumerate() {
                mark(item, &array, &js::number(index as u64).into())?;
                array.push(&show_part(item, special, &[])?);
            }
            Object::freeze(&array).into()
        }
    })
}

/// `__proto__` is a key like any other to a document, but to a plain assignment it is not.
pub(crate) fn define(object: &Object, key: &str, value: &JsValue) {
    if key != "__proto__" {
        return js::set(object, key, value);
    }
    let descriptor = Object::new();
    js::set(&descriptor, "value", value);
    js::set(&descriptor, "enumerable", true);
    let defined = Reflect::define_property(object, &key.into(), &descriptor);
    assert!(defined.is_ok(), "an object of our own takes every property");
}

pub(crate) fn show_scalar(scalar: &ScalarValue) -> JsValue {
    match scalar {
        ScalarValue::Bytes(bytes) | ScalarValue::Unknown { bytes, .. } => js::bytes(bytes),
        ScalarValue::Str(text) => JsValue::from(text.as_str()),
        ScalarValue::Int(number) => integer(*number),
        ScalarValue::Uint(number) => i64::try_from(*number).map_or_else(|_| JsValue::from(*number), integer),
        ScalarValue::F64(number) => (*number).into(),
        ScalarValue::Counter(counter) => integer(i64::from(counter)),
        ScalarValue::Timestamp(ms) => Date::new(&(*ms as f64).into()).into(),
        ScalarValue::Boolean(value) => (*value).into(),
        ScalarValue::Null => JsValue::NULL,
    }
}

/// A number where it is exact, else a `bigint`.
fn integer(number: i64) -> JsValue {
    let exact = number.unsigned_abs() <= js::SAFE_INTEGER_MAX as u64;
    if exact { (number as f64).into() } else { BigInt::from(number).into() }
}

/// A value on its way into a document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NewValue {
    /// Anything without parts.
    Scalar(ScalarValue),
    /// A text with these characters and marks.
    Text(String, Vec<NewMark>),
    /// A list of these items.
    List(Vec<NewValue>),
    /// A map of these entries, in this order.
    Map(Vec<(String, NewValue)>),
}

impl NewValue {
    /// Takes what the package's encoder made: scalars as they are, `{list}`, `{map}` (pairs), `{text}` (with `marks`) and `{counter}`.
    pub(crate) fn from_js(value: &JsValue) -> Result<Self, EngineError> {
        Self::nested(value, 0)
    }

    fn nested(value: &JsValue, depth: usize) -> Result<Self, EngineError> {
        if depth > DEPTH_MAX {
            return Err(EngineError::bad_value("the value is nested too deeply"));
        }
        if let Some(scalar) = scalar(value)? {
            return Ok(Self::Scalar(scalar));
        }
        let bad = || EngineError::bad_value("a document can't hold such a value");
        if let Some(text) = js::get(value, "text") {
            let text = text.as_string().ok_or_else(bad)?;
            let marks =
                js::get(value, "marks").map_or_else(|| Ok(Vec::new()), |marks| NewMark::list_from_js(&marks, &text));
            return Ok(Self::Text(text, marks?));
        }
        if let Some(start) = js::get(value, "counter") {
            let start = js::integer(&start).ok_or_else(|| EngineError::bad_value("a counter holds a whole number"))?;
            return Ok(Self::Scalar(ScalarValue::counter(start)));
        }
        if let Some(items) = js::get(value, "list") {
            let items = items.dyn_into::<Array>().map_err(|_| bad())?;
            return items.iter().map(|item| Self::nested(&item, depth + 1)).collect::<Result<_, _>>().map(Self::List);
        }
        let entries = js::get(value, "map").and_then(|map| map.dyn_into::<Array>().ok()).ok_or_else(bad)?;
        let entry = |pair: JsValue| {
            let pair = pair.dyn_into::<Array>().map_err(|_| bad())?;
            Ok((pair.get(0).as_string().ok_or_else(bad)?, Self::nested(&pair.get(1), depth + 1)?))
        };
        entries.iter().map(entry).collect::<Result<_, _>>().map(Self::Map)
    }

    /// Puts the value at a key, or in place of a list's element.
    pub(crate) fn put(&self, tx: &mut Transaction<'_>, object: &ObjId, prop: Prop) -> Result<(), AutomergeError> {
        match self.kind() {
            None => tx.put(object, prop, self.scalar()),
            Some(kind) => tx.put_object(object, prop, kind).and_then(|made| self.fill(tx, &made)),
        }
    }

    /// Inserts the value into a list.
    pub(crate) fn insert(&self, tx: &mut Transaction<'_>, list: &ObjId, index: usize) -> Result<(), AutomergeError> {
        match self.kind() {
            None => tx.insert(list, index, self.scalar()),
            Some(kind) => tx.insert_object(list, index, kind).and_then(|made| self.fill(tx, &made)),
        }
    }

    fn kind(&self) -> Option<ObjType> {
        match self {
            Self::Scalar(_) => None,
            Self::Text(..) => Some(ObjType::Text),
            Self::List(_) => Some(ObjType::List),
            Self::Map(_) => Some(ObjType::Map),
        }
    }

    fn scalar(&self) -> ScalarValue {
        match self {
            Self::Scalar(scalar) => scalar.clone(),
            _ => ScalarValue::Null,
        }
    }

    fn fill(&self, tx: &mut Transaction<'_>, object: &ObjId) -> Result<(), AutomergeError> {
        match self {
            Self::Scalar(_) => Ok(()),
            Self::Text(text, marks) => {
                tx.splice_text(object, 0, 0, text)?;
                marks.iter().try_for_each(|mark| mark.apply(tx, object))
            }
            Self::List(items) => items.iter().enumerate().try_for_each(|(i, item)| item.insert(tx, object, i)),
            Self::Map(entries) => {
                entries.iter().try_for_each(|(key, value)| value.put(tx, object, Prop::Map(key.into())))
            }
        }
    }
}

fn scalar(value: &JsValue) -> Result<Option<ScalarValue>, EngineError> {
    let scalar = if value.is_null() {
        ScalarValue::Null
    } else if let Some(value) = value.as_bool() {
        ScalarValue::Boolean(value)
    } else if let Some(text) = value.as_string() {
        ScalarValue::Str(text.into())
    } else if let Some(integer) = js::integer(value) {
        ScalarValue::Int(integer)
    } else if let Some(number) = value.as_f64() {
        ScalarValue::F64(number)
    } else if let Some(big) = value.dyn_ref::<BigInt>() {
        let number = i64::try_from(big.clone());
        ScalarValue::Int(number.map_err(|_| EngineError::bad_value("an integer has at most 64 bits"))?)
    } else if let Some(bytes) = js::to_bytes(value) {
        ScalarValue::Bytes(bytes)
    } else if let Some(date) = value.dyn_ref::<Date>() {
        let ms = js::integer(&date.get_time().into());
        ScalarValue::Timestamp(ms.ok_or_else(|| EngineError::bad_value("a date must be a valid one"))?)
    } else {
        return Ok(None);
    };
    Ok(Some(scalar))
}
