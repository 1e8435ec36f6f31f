//! Values on their way in and out: every type of a document, what has no form in one, and where texts and counters are.

use js_sys::{Array, Function, Object, Reflect};
use sync_wasm::show_view;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::device::{Device, array, code, get, js, same, show, word};

/// What is put, and what is shown then, in this engine and in the next on its store.
#[track_caller]
fn check(value: &str, want: &str) {
    let mut device = Device::new();
    let document = device.open("values");
    device.edit(document, &format!("[['put', [], 'it', {value}]]"));
    let want = format!(r#"{{"it":{want}}}"#);
    same(device.shown(document), &want);
    let mut again = Device::on(&device.store, None, 2);
    let document = again.open("values");
    same(again.shown(document), &want);
}

#[wasm_bindgen_test]
fn every_kind_of_value_comes_back_as_itself() {
    check("null", "null");
    check("false", "false");
    check("-3", "-3");
    check("0.5", "0.5");
    check("2 ** 53 - 1", "9007199254740991");
    check("2 ** 60", "1152921504606847000");
    check("2n ** 53n", r#""9007199254740992n""#);
    check("-(2n ** 63n)", r#""-9223372036854775808n""#);
    check("7n", "7");
    check("'é😀\\0'", r#""é😀\u0000""#);
    check("new Date(-1)", r#""date -1""#);
    check("Uint8Array.of(0, 255)", r#""bytes 0,255""#);
    check("new Uint8Array()", r#""bytes ""#);
    check("{ text: 'a😀' }", r#""a😀""#);
    check("{ counter: -7 }", "-7");
    check("{ list: [] }", "[]");
    check("{ map: [['b', 1], ['a', { list: [{ text: 'x' }, null] }]] }", r#"{"a":["x",null],"b":1}"#);
}

/// Not taken for the prototype of what is shown.
#[wasm_bindgen_test]
fn a_key_may_have_any_name() {
    check("{ map: [['__proto__', 1], ['', 2]] }", r#"{"":2,"__proto__":1}"#);
    let mut device = Device::new();
    let document = device.open("keys");
    device.edit(document, "[['put', [], '__proto__', { map: [['x', 1]] }]]");
    let shown = device.replica.value(document, &js("() => {}").unchecked_into()).expect("it is shown");
    assert!(JsValue::from(Object::get_prototype_of(&shown)) == js("Object.prototype"), "it is a plain object");
}

#[wasm_bindgen_test]
fn what_a_document_can_not_hold_is_refused() {
    let deep = |depth: usize| format!("{}1{}", "{ list: [".repeat(depth), "] }".repeat(depth));
    let refused = [
        "undefined",
        "Symbol('none')",
        "() => 1",
        "{}",
        "[]",
        "2n ** 63n",
        "new Date(NaN)",
        "{ text: 1 }",
        "{ counter: 0.5 }",
        "{ counter: '1' }",
        "{ list: 1 }",
        "{ map: [1] }",
        "{ map: [[1, 2]] }",
        "{ map: { a: 1 } }",
        "{ text: 'a', marks: 1 }",
        &deep(101),
    ];
    let mut device = Device::new();
    let document = device.open("values");
    for value in refused {
        same(code(device.change(document, &format!("[['put', [], 'it', {value}]]"))), "bad-value");
    }
    same(device.shown(document), "{}");
    check(&deep(50), &format!("{}1{}", "[".repeat(50), "]".repeat(50)));
}

#[wasm_bindgen_test]
fn what_is_shown_is_frozen_and_names_its_texts_and_counters() {
    let mut device = Device::new();
    let document = device.open("special");
    device.edit(
        document,
        "[['put', [], 'list', { list: [{ text: 'a' }, 'b', { counter: 1 }, { map: [['t', { text: 'c' }]] }] }]]",
    );
    let told = Array::new();
    let special: Function =
        js("(told) => (container, key, kind) => told.push([container, key, kind])").unchecked_into();
    let special: Function = special.call1(&JsValue::UNDEFINED, &told).expect("it is made").unchecked_into();
    let value = device.replica.value(document, &special).expect("it is shown");
    let list = get(&value, "list");
    let nested = Reflect::get_u32(&list, 3).expect("it is a list");
    let is_frozen: Function = js("Object.isFrozen").unchecked_into();
    for part in [&value, &list, &nested] {
        assert!(is_frozen.call1(&JsValue::UNDEFINED, part) == Ok(JsValue::TRUE), "{}", show(part));
    }
    same(
        show(&told.iter().map(|one| Array::from(&one).slice(1, 3)).collect::<Array>()),
        r#"[[0,"text"],[2,"counter"],["t","text"]]"#,
    );
    let containers: Vec<JsValue> = told.iter().map(|one| Array::from(&one).get(0)).collect();
    assert!(containers == [list.clone(), list, nested], "containers are those of the value");
    let throws: Function = js("() => { throw new Error('not for me') }").unchecked_into();
    let thrown = device.replica.value(document, &throws).expect_err("what it throws comes out");
    same(word(&thrown, "message"), "not for me");
}

#[wasm_bindgen_test]
fn a_document_that_is_not_open_has_no_value() {
    let device = Device::new();
    same(device.shown(9), "undefined");
    same(show(&device.replica.marks(9, &array("['t']")).expect("a path")), "undefined");
    same(show(&device.replica.history(9)), "[]");
}

#[wasm_bindgen_test]
fn an_earlier_value_is_shown_by_its_change() {
    let mut device = Device::new();
    let document = device.open("then");
    let ignore: Function = js("() => {}").unchecked_into();
    device.edit(document, "[['put', [], 'n', 1]]");
    let then = word(&device.replica.history(document).get(0), "change");
    device.edit(document, "[['put', [], 'n', 2]]");
    let at = |change: &str| device.replica.value_at(document, change, &ignore);
    same(show(&at(&then).expect("it is shown")), r#"{"n":1}"#);
    same(show(&at(&"0".repeat(64)).expect("a hash")), "undefined");
    for no_hash in ["", "0", &"g".repeat(64)] {
        same(code(at(no_hash)), "bad-value");
    }
}

#[wasm_bindgen_test]
fn bytes_that_are_no_view_are_refused() {
    let ignore: Function = js("() => {}").unchecked_into();
    for view in [&[][..], &[0xff], &[1, 2, 3]] {
        same(code(show_view(view, &ignore)), "bad-value");
    }
}
