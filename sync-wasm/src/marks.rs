//! Marks: what is said of a range of a text, such as that it is bold or a link.
//!
//! Owns their form in JavaScript, how they are written, and between which units of JavaScript's strings they stand; edits count characters.

use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::{Transactable as _, Transaction};
use automerge::{Automerge, AutomergeError, ChangeHash, ObjId, ObjType, Prop, ROOT, ReadDoc as _, ScalarValue, Value};
use js_sys::{Array, Object};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};

use crate::error::EngineError;
use crate::value::{NewValue, show_scalar};
use crate::{edit, js};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &'static str = r#"
/** What a mark says: `true` for one that is only there or not, an address for a link. */
export type MarkValue = string | number | boolean | bigint | Date | Uint8Array;
/** What is said of a range of a text, by UTF-16 units. Of one name no two stand on the same character. */
export type Mark = { readonly from: number; readonly to: number; readonly name: string; readonly value: MarkValue };
/** At which of its ends a mark takes in what is inserted there. */
export type Expand = "before" | "after" | "both" | "none";
/** Is told of each text, with its marks if it has any, and of each counter. */
export type Special = (container: object, key: string | number, kind: "text" | "counter" | readonly Mark[]) => void;
"#;

/// A mark on its way into a text, by characters. Of no value, it takes away what is there of its name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewMark {
    start: usize,
    end: usize,
    name: String,
    value: ScalarValue,
    expand: ExpandMark,
}

impl NewMark {
    /// Takes what an edit says. Without a word on it, a link takes in nothing at its ends and all else takes in what is written behind it.
    pub(crate) fn new(
        (start, end): (usize, usize),
        name: &JsValue,
        value: &JsValue,
        expand: &JsValue,
    ) -> Result<Self, EngineError> {
        let name = name.as_string().ok_or_else(|| EngineError::bad_value("a mark has a name"))?;
        let NewValue::Scalar(value) = NewValue::from_js(value)? else {
            return Err(EngineError::bad_value("a mark has no parts"));
        };
        let expand = match expand.as_string().as_deref() {
            Some("before") => ExpandMark::Before,
            Some("both") => ExpandMark::Both,
            Some("none") => ExpandMark::None,
            None if name == "link" => ExpandMark::None,
            _ => ExpandMark::After,
        };
        Ok(Self { start, end, name, value, expand })
    }

    /// Takes the marks of a text that is put as a whole.
    pub(crate) fn list_from_js(marks: &JsValue, text: &str) -> Result<Vec<Self>, EngineError> {
        let bad = || EngineError::bad_value("these are no marks");
        let starts = starts(text);
        let mark = |mark: JsValue| {
            let part = |key| js::get(&mark, key).ok_or_else(bad);
            let at = |unit: usize| starts.partition_point(|start| *start < unit);
            let range = (at(js::index(&part("from")?)?), at(js::index(&part("to")?)?));
            Self::new(range, &part("name")?, &part("value")?, &JsValue::UNDEFINED)
        };
        marks.dyn_ref::<Array>().ok_or_else(bad)?.iter().map(mark).collect()
    }

    #[cfg(test)]
    pub(crate) fn for_test((start, end): (usize, usize), name: &str, value: ScalarValue) -> Self {
        Self { start, end, name: name.into(), value, expand: ExpandMark::After }
    }

    /// Writes it.
    pub(crate) fn apply(&self, tx: &mut Transaction<'_>, text: &ObjId) -> Result<(), AutomergeError> {
        if tx.object_type(text)? != ObjType::Text || self.start >= self.end || self.end > tx.length(text) {
            return Err(AutomergeError::InvalidIndex(self.end));
        }
        let mark = Mark::new(self.name.clone(), self.value.clone(), self.start, self.end);
        tx.mark(text, mark, self.expand)
    }
}

/// Where each character of a text begins in UTF-16 units, and where the text ends.
fn starts(text: &str) -> Vec<usize> {
    let mut at = 0;
    let ends = text.chars().map(|character| {
        at += character.len_utf16();
        at
    });
    std::iter::once(0).chain(ends).collect()
}

/// The marks of the text at a path, as JavaScript counts; none if it has none.
pub(crate) fn at(document: &Automerge, path: &[Prop], heads: Option<&[ChangeHash]>) -> Option<Object> {
    let text = match heads {
        None => edit::object(document, path).ok()?,
        Some(heads) => path.iter().try_fold(ROOT, |object, step| {
            match document.get_at(&object, step.clone(), heads).ok()?? {
                (Value::Object(_), child) => Some(child),
                _ => None,
            }
        })?,
    };
    let marks = match heads {
        None => document.marks(&text),
        Some(heads) => document.marks_at(&text, heads),
    };
    let marks = marks.ok().filter(|marks| !marks.is_empty())?;
    let string = heads.map_or_else(|| document.text(&text), |heads| document.text_at(&text, heads)).ok()?;
    Some(show(&string, &marks))
}

/// Marks of a text, by characters, as JavaScript counts.
pub(crate) fn show(text: &str, marks: &[Mark]) -> Object {
    let starts = starts(text);
    let unit = |at: usize| js::number(starts.get(at).copied().unwrap_or_default() as u64);
    let show = |mark: &Mark| {
        let object = Object::new();
        js::set(&object, "from", unit(mark.start));
        js::set(&object, "to", unit(mark.end));
        js::set(&object, "name", mark.name());
        js::set(&object, "value", show_scalar(mark.value()));
        Object::freeze(&object)
    };
    Object::freeze(&marks.iter().map(show).collect::<Array>())
}
