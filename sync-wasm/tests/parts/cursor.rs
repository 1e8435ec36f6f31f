//! Cursors: how they count, where they go, and what is none.

use wasm_bindgen_test::wasm_bindgen_test;

use crate::device::{Device, array, code, same, show};

fn device() -> (Device, u32) {
    let mut device = Device::new();
    let document = device.open("cursors");
    device.edit(
        document,
        "[['put', [], 't', { text: 'a😀bc' }], ['put', [], 'l', { list: ['x', 'y', 'z'] }], ['put', [], 's', 'plain']]",
    );
    (device, document)
}

#[wasm_bindgen_test]
fn a_cursor_stays_with_its_character_and_counts_as_it_is_asked() {
    let (mut device, document) = device();
    let path = array("['t']");
    let at =
        |device: &Device, index: f64, utf16| device.replica.cursor(document, &path, index, utf16).expect("a place");
    let b = at(&device, 3.0, true);
    same(&b, &at(&device, 2.0, false));
    let end = at(&device, 5.0, true);
    device.edit(document, "[['text', ['t'], 0, 0, '😀'], ['text', ['t'], 5, 0, 'd']]");
    let stands = |device: &Device, cursor: &str| {
        (device.replica.position(document, cursor), device.replica.exact(document, &path, cursor))
    };
    assert!(stands(&device, &b) == (Some(5), Some(3)), "it went on with what was inserted before");
    assert!(device.replica.position(document, &end) == Some(8), "the end stays the end");
    device.edit(document, "[['text', ['t'], 3, 1, '']]");
    assert!(stands(&device, &b) == (Some(5), None), "its character is gone, its place is not");
}

#[wasm_bindgen_test]
fn a_cursor_stays_with_an_element_of_a_list() {
    let (mut device, document) = device();
    let path = array("['l']");
    let y = device.replica.cursor(document, &path, 1.0, true).expect("a place");
    device.edit(document, "[['splice', ['l'], 0, 1, [1, 2, 3]]]");
    assert!((device.replica.position(document, &y), device.replica.exact(document, &path, &y)) == (Some(3), Some(3)));
    assert!(device.replica.exact(document, &array("['t']"), &y).is_none(), "it is of another object");
    assert!(device.replica.exact(document, &array("[null]"), &y).is_none(), "no path");
}

#[wasm_bindgen_test]
fn cursors_of_a_range_come_as_runs() {
    let (mut device, document) = device();
    device.edit(document, "[['text', ['t'], 1, 1, '']]");
    let runs = device.replica.cursors(document, &array("['t']"), 0, 3).expect("a range");
    let first = device.replica.cursor(document, &array("['t']"), 0.0, false).expect("a place");
    let second = device.replica.cursor(document, &array("['t']"), 1.0, false).expect("a place");
    same(show(&runs), &format!(r#"[["{first}",1],["{second}",2]]"#));
    same(code(device.replica.cursors(document, &array("['t']"), 0, 4)), "bad-value");
    same(code(device.replica.cursors(document, &array("['nowhere']"), 0, 1)), "bad-value");
    same(show(&device.replica.cursors(document + 1, &array("['t']"), 0, 1).expect("of nothing")), "[]");
}

#[wasm_bindgen_test]
fn what_is_no_place_has_no_cursor_and_what_is_no_cursor_no_place() {
    let (device, document) = device();
    let cursor = |path: &str, index: f64| device.replica.cursor(document, &array(path), index, true);
    for (path, index) in [
        ("['t']", 6.0),
        ("['t']", -1.0),
        ("['t']", 0.5),
        ("['l']", 4.0),
        ("['s']", 0.0),
        ("['x']", 0.0),
        ("[null]", 0.0),
    ] {
        same(code(cursor(path, index)), "bad-value");
    }
    same(code(device.replica.cursor(document + 1, &array("['t']"), 0.0, true)), "not-ready");
    for none in ["", "/", "x/y", "_root/s/", "é", "9@00/e"] {
        assert!(device.replica.position(document, none).is_none(), "{none}");
    }
    assert!(device.replica.position(document + 1, &cursor("['t']", 0.0).expect("a place")).is_none());
}
