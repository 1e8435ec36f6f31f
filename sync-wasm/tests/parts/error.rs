//! Errors as JavaScript catches them.

use sync_wasm::{EngineError, ErrorCode};
use wasm_bindgen::JsValue;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::device::{code, same, word};

/// Applications compare these words: none ever changes.
#[wasm_bindgen_test]
fn each_code_has_its_word() {
    let words = [
        (ErrorCode::BadName, "bad-name"),
        (ErrorCode::NotReady, "not-ready"),
        (ErrorCode::OutboxFull, "outbox-full"),
        (ErrorCode::BadValue, "bad-value"),
        (ErrorCode::Refused, "refused"),
        (ErrorCode::ReservedKey, "reserved-key"),
        (ErrorCode::Reloading, "reloading"),
        (ErrorCode::ConflictGone, "conflict-gone"),
        (ErrorCode::ConflictChanged, "conflict-changed"),
    ];
    for (error, want) in words {
        let error = EngineError { code: error, message: "in words for people".into() };
        same(code(Err::<(), _>(error)), want);
    }
}

#[wasm_bindgen_test]
fn an_error_is_one_of_javascript_s_own_with_a_stack_and_its_words() {
    let error = JsValue::from(EngineError { code: ErrorCode::Refused, message: "é😀".into() });
    same(word(&error, "message"), "é😀");
    same(word(&error, "name"), "Error");
    assert!(!word(&error, "stack").is_empty());
}
