//! Small helpers to make and to take apart JavaScript's objects.

use js_sys::{Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue};

use crate::error::EngineError;

/// Largest integer that a JavaScript number holds exactly.
pub(crate) const SAFE_INTEGER_MAX: f64 = 9_007_199_254_740_991.0;

/// Sets a property of an object of our own making.
pub(crate) fn set(object: &Object, key: &str, value: impl Into<JsValue>) {
    let set = Reflect::set(object, &key.into(), &value.into());
    assert!(set.is_ok(), "an object of our own takes every property");
}

/// An object with a `kind`.
pub(crate) fn kind(kind: &str) -> Object {
    let object = Object::new();
    set(&object, "kind", kind);
    object
}

/// A copy of bytes that JavaScript owns.
pub(crate) fn bytes(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).into()
}

/// An id or a count as a number. They count up from zero, one at a time, and never reach 2^53.
pub(crate) fn number(number: u64) -> f64 {
    number as f64
}

/// A property that may be missing.
pub(crate) fn get(object: &JsValue, key: &str) -> Option<JsValue> {
    Reflect::get(object, &key.into()).ok().filter(|value| !value.is_undefined())
}

/// The integer in a JavaScript number, if it is one and exact.
pub(crate) fn integer(value: &JsValue) -> Option<i64> {
    let number = value.as_f64()?;
    (number.fract() == 0.0 && number.abs() <= SAFE_INTEGER_MAX).then_some(number as i64)
}

/// A count or position: an integer from zero up.
pub(crate) fn index(value: &JsValue) -> Result<usize, EngineError> {
    let index = integer(value).and_then(|number| usize::try_from(number).ok());
    index.ok_or_else(|| EngineError::bad_value("a position is a whole number from 0 up"))
}

/// The bytes in a `Uint8Array`.
pub(crate) fn to_bytes(value: &JsValue) -> Option<Vec<u8>> {
    value.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec)
}
