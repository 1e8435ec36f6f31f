//! Marks: where they stand for JavaScript, what grows into them at their ends, and which are none.

use js_sys::Function;
use wasm_bindgen::JsCast as _;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::device::{Device, array, code, js, same, show, word};

/// A text with a mark on its `b😀`, and what is inserted before and behind it.
#[track_caller]
fn check(name: &str, expand: &str, want: &str) {
    let mut device = Device::new();
    let document = device.open("marks");
    device.edit(document, "[['put', [], 't', { text: 'ab😀c' }]]");
    device.edit(document, &format!("[['mark', ['t'], 1, 3, '{name}', true{expand}]]"));
    device.edit(document, "[['text', ['t'], 3, 0, '>'], ['text', ['t'], 1, 0, '<']]");
    same(device.shown(document), r#"{"t":"a<b😀>c"}"#);
    same(show(&device.replica.marks(document, &array("['t']")).expect("a path")), want);
}

#[wasm_bindgen_test]
fn a_mark_takes_in_what_is_written_at_its_ends_as_it_says() {
    check("bold", "", r#"[{"from":2,"to":6,"name":"bold","value":true}]"#);
    check("bold", ", 'after'", r#"[{"from":2,"to":6,"name":"bold","value":true}]"#);
    check("bold", ", 'none'", r#"[{"from":2,"to":5,"name":"bold","value":true}]"#);
    check("bold", ", 'before'", r#"[{"from":1,"to":5,"name":"bold","value":true}]"#);
    check("bold", ", 'both'", r#"[{"from":1,"to":6,"name":"bold","value":true}]"#);
    check("link", "", r#"[{"from":2,"to":5,"name":"link","value":true}]"#);
}

#[wasm_bindgen_test]
fn a_mark_says_any_value_without_parts_and_is_taken_away_by_none() {
    let mut device = Device::new();
    let document = device.open("marks");
    device.edit(document, "[['put', [], 't', { text: 'abcdef' }]]");
    for (at, value) in ["'x:'", "2", "true", "2n ** 60n", "new Date(5)", "Uint8Array.of(1)"].iter().enumerate() {
        device.edit(document, &format!("[['mark', ['t'], {at}, {}, 'm', {value}, 'none']]", at + 1));
    }
    let marks = device.replica.marks(document, &array("['t']")).expect("a path");
    let values: Vec<String> =
        js_sys::Array::from(&marks).iter().map(|mark| show(&crate::device::get(&mark, "value"))).collect();
    same(values.join(" "), r#""x:" 2 true "1152921504606846976n" "date 5" "bytes 1""#);
    device.edit(document, "[['mark', ['t'], 0, 6, 'm', null]]");
    same(show(&device.replica.marks(document, &array("['t']")).expect("a path")), "undefined");
}

#[wasm_bindgen_test]
fn what_is_no_mark_is_refused_and_what_is_no_text_has_none() {
    let mut device = Device::new();
    let document = device.open("marks");
    device.edit(
        document,
        "[['put', [], 't', { text: 'abc' }], ['put', [], 'l', { list: [1, 2] }], ['put', [], 's', 'plain']]",
    );
    let refused = [
        "['mark', ['t'], 0, 4, 'm', true]",
        "['mark', ['t'], 1, 1, 'm', true]",
        "['mark', ['t'], 2, 1, 'm', true]",
        "['mark', ['t'], -1, 1, 'm', true]",
        "['mark', ['t'], 0, 1, 5, true]",
        "['mark', ['t'], 0, 1, 'm', { list: [] }]",
        "['mark', ['t'], 0, 1, 'm', undefined]",
        "['mark', ['l'], 0, 1, 'm', true]",
        "['put', [], 'u', { text: 'ab', marks: [{ from: 0, to: 3, name: 'm' }] }]",
        "['put', [], 'u', { text: 'ab', marks: [{ to: 1, name: 'm', value: true }] }]",
        "['put', [], 'u', { text: 'ab', marks: 5 }]",
    ];
    for edit in refused {
        let change = device.change(document, &format!("[{edit}]"));
        assert!(change.is_err(), "{edit} is done");
        same(code(change), "bad-value");
    }
    same(code(device.change(document, &format!("[['mark', ['t'], 0, 1, '{}', true]]", "x".repeat(1_025)))), "refused");
    for path in ["['t']", "['l']", "['s']", "['nowhere']", "[]"] {
        same(show(&device.replica.marks(document, &array(path)).expect("a path")), "undefined");
    }
    same(code(device.replica.marks(document, &array("[null]"))), "bad-value");
}

#[wasm_bindgen_test]
fn a_text_that_is_shown_brings_its_marks_also_as_they_were() {
    let mut device = Device::new();
    let document = device.open("marks");
    device
        .edit(document, "[['put', [], 't', { text: '😀b', marks: [{ from: 2, to: 3, name: 'bold', value: true }] }]]");
    let then = word(&device.replica.history(document).get(0), "change");
    device.edit(document, "[['text', ['t'], 0, 1, '']]");
    let kinds = |from: u32, to: u32| format!(r#"["t",[{{"from":{from},"to":{to},"name":"bold","value":true}}]]"#);
    js("globalThis.kinds = []");
    let special: Function = js("(_, key, kind) => globalThis.kinds.push([key, kind])").unchecked_into();
    device.replica.value(document, &special).expect("it is shown");
    device.replica.value_at(document, &then, &special).expect("it is shown");
    same(show(&js("globalThis.kinds")), &format!("[{},{}]", kinds(0, 1), kinds(2, 3)));
}
