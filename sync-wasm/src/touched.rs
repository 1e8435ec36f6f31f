//! Paths at which changes write, as JavaScript has them.
//!
//! Where that is, is `sync_core::touched`'s.

use automerge::Prop;
use js_sys::Array;
use wasm_bindgen::JsValue;

use crate::js;

/// Paths as JavaScript has them.
pub(crate) fn to_js(paths: Vec<Vec<Prop>>) -> Array {
    let step = |step: Prop| match step {
        Prop::Map(key) => JsValue::from(key),
        Prop::Seq(index) => js::number(index as u64).into(),
    };
    paths.into_iter().map(|path| path.into_iter().map(step).collect::<Array>()).collect()
}
