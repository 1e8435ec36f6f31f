//! Edits: what each does, what it refuses, and that all of a change is done or nothing.

use wasm_bindgen_test::wasm_bindgen_test;

use crate::device::{Device, code, same};

const BEFORE: &str = "[['put', [], 'list', { list: ['a', { map: [['n', 1]] }, 'c'] }], ['put', [], 'text', { text: 'a😀c' }], ['put', [], 'count', { counter: 5 }]]";

fn device() -> (Device, u32) {
    let mut device = Device::new();
    let document = device.open("edits");
    device.edit(document, BEFORE);
    (device, document)
}

#[track_caller]
fn check(edits: &str, want: &str) {
    let (mut device, document) = device();
    device.edit(document, edits);
    same(device.shown(document), want);
}

#[wasm_bindgen_test]
fn each_edit_does_what_it_says() {
    check("[['put', ['list', 1], 'n', 2]]", r#"{"count":5,"list":["a",{"n":2},"c"],"text":"a😀c"}"#);
    check("[['put', ['list'], 0, null]]", r#"{"count":5,"list":[null,{"n":1},"c"],"text":"a😀c"}"#);
    check("[['delete', [], 'list']]", r#"{"count":5,"text":"a😀c"}"#);
    check("[['splice', ['list'], 1, 2, [1, { list: [2] }]]]", r#"{"count":5,"list":["a",1,[2]],"text":"a😀c"}"#);
    check("[['splice', ['list'], 3, 0, ['d']]]", r#"{"count":5,"list":["a",{"n":1},"c","d"],"text":"a😀c"}"#);
    check("[['text', ['text'], 1, 1, '😀é']]", r#"{"count":5,"list":["a",{"n":1},"c"],"text":"a😀éc"}"#);
    check("[['increment', [], 'count', -7]]", r#"{"count":-2,"list":["a",{"n":1},"c"],"text":"a😀c"}"#);
}

#[wasm_bindgen_test]
fn later_edits_of_a_change_find_their_place_after_earlier_ones() {
    check(
        "[['splice', ['list'], 0, 1, []], ['put', ['list', 0], 'n', 3], ['text', ['text'], 0, 3, 'x'], ['text', ['text'], 1, 0, 'y']]",
        r#"{"count":5,"list":[{"n":3},"c"],"text":"xy"}"#,
    );
}

#[wasm_bindgen_test]
fn an_edit_that_can_not_be_done_leaves_nothing_of_its_change() {
    let refused = [
        "1",
        "['fold']",
        "['put']",
        "['put', 1, 'a', 1]",
        "['put', [null], 'a', 1]",
        "['put', [], -1, 1]",
        "['put', [], 0.5, 1]",
        "['put', [], {}, 1]",
        "['put', ['nowhere'], 'a', 1]",
        "['put', ['list', 3], 'a', 1]",
        "['put', ['list', 0], 'a', 1]",
        "['put', ['list'], 3, 1]",
        "['delete', [], 1]",
        "['splice', ['list'], 4, 0, []]",
        "['splice', ['list'], 1, 3, []]",
        "['splice', ['list'], -1, 0, []]",
        "['splice', ['list'], 0, 0, 1]",
        "['splice', ['list'], 0, 0, [{}]]",
        "['splice', ['text'], 0, 1, []]",
        "['text', ['text'], 4, 0, 'x']",
        "['text', ['text'], 0, 0, 1]",
        "['text', ['text'], 2 ** 53, 0, 'x']",
        "['text', ['list'], 0, 0, 'x']",
        "['increment', [], 'text', 1]",
        "['increment', [], 'count', 0.5]",
        "['increment', [], 'count', 1n]",
    ];
    let (mut device, document) = device();
    let before = device.shown(document);
    for edit in refused {
        let change = device.change(document, &format!("[['put', [], 'first', 1], {edit}]"));
        assert!(change.is_err(), "{edit} is done");
        same(code(change), "bad-value");
        same(device.shown(document), &before);
    }
    assert!(device.replica.outbox(document).length() == 1, "only what was there before");
}

#[wasm_bindgen_test]
fn a_root_key_is_made_as_every_device_makes_it() {
    let mut shown = Vec::new();
    for chance in [1, 2] {
        let mut device = Device::on(&std::rc::Rc::default(), None, chance);
        let document = device.open("init");
        for (key, kind, start) in
            [("m", "map", None), ("l", "list", None), ("t", "text", None), ("c", "counter", Some(3.0))]
        {
            device.replica.init(0.0, document, key, kind, start).expect("it is made");
            device.replica.init(0.0, document, key, kind, start).expect("it is there");
        }
        device.drain();
        same(device.shown(document), r#"{"c":3,"l":[],"m":{},"t":""}"#);
        shown.push(crate::device::show(&device.replica.outbox(document)));
        same(code(device.replica.init(0.0, document, "x", "heap", None)), "bad-value");
        same(code(device.replica.init(0.0, document, "x", "counter", Some(0.5))), "bad-value");
        same(code(device.replica.init(0.0, document + 1, "x", "map", None)), "not-ready");
    }
    same(&shown[0], &shown[1]);
}
