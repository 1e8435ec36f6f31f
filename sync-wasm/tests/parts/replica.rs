//! The engine itself: what it is made of, its documents, its connection, and what it says of a document.

use js_sys::Array;
use sync_wasm::{Replica, version};
use wasm_bindgen::JsValue;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::device::{Device, code, get, same, show, word};

/// What the device's wall clock says where the tests begin, in milliseconds since 1970.
const WALL_MS: f64 = 1_790_000_000_000.0;

#[wasm_bindgen_test]
fn it_is_made_of_32_bytes_and_an_author_with_a_name() {
    for seed in [0, 31, 33] {
        same(code(Replica::new(&vec![1; seed], true, None, None).map(drop)), "bad-value");
    }
    for author in [String::new(), "x".repeat(10_000)] {
        same(code(Replica::new(&[1; 32], true, None, Some(author)).map(drop)), "bad-value");
    }
    assert!(version().split('.').all(|part| part.parse::<u32>().is_ok()), "{}", version());
}

#[wasm_bindgen_test]
fn a_change_names_the_author_that_it_was_told() {
    let mut device = Device::new();
    device.replica = Replica::new(&[1; 32], true, None, Some("Zoë".into())).expect("an author");
    device.drain();
    let document = device.open("authors");
    device.edit(document, "[['put', [], 'n', 1]]");
    let version = device.replica.history(document).get(0);
    same(word(&version, "author"), "Zoë");
    assert!(get(&version, "mine") == JsValue::TRUE && word(&version, "actor").len() == 32);
}

#[wasm_bindgen_test]
fn a_document_has_one_number_and_its_name() {
    let mut device = Device::new();
    for name in ["", "a//b", &"x".repeat(257)] {
        same(code(device.replica.open(0.0, name)), "bad-name");
        assert!(device.replica.document_id(name).is_none());
    }
    let document = device.open("notes/one");
    assert!(device.replica.open(0.0, "notes/one").ok() == Some(document));
    assert!(device.open("notes/two") != document);
    assert!(device.replica.document_id("notes/one") == Some(document));
    assert!(device.replica.document_name(document).as_deref() == Some("notes/one"));
    assert!(device.replica.document_id("notes/three").is_none() && device.replica.document_name(99).is_none());
    device.change(document, "[['put', [], 'n', 1]]").expect("it is done");
    device.replica.close(document);
    device.drain();
    same(device.shown(document), "undefined");
    let mut again = Device::on(&device.store, None, 2);
    let document = again.open("notes/one");
    same(again.shown(document), r#"{"n":1}"#);
}

#[wasm_bindgen_test]
fn it_connects_greets_gives_up_what_talks_nonsense_and_tries_again() {
    let mut device = Device::new();
    same(device.wants(), "connect");
    assert!(!device.replica.is_online());
    device.replica.set_token("token".into());
    device.replica.handle_connected(0.0, WALL_MS);
    device.drain();
    same(device.wants(), "send");
    device.replica.handle_frame(0.0, vec![0xff; 8]);
    device.drain();
    same(device.wants(), "disconnect");
    let due = device.replica.poll_timeout().expect("it is tried again");
    assert!(due > 0.0);
    device.replica.handle_timeout(due);
    device.drain();
    same(device.wants(), "connect");
    device.replica.handle_disconnected(due);
    device.drain();
    same(device.wants(), "");
    device.replica.handle_network_changed(due);
    device.drain();
    same(device.wants(), "connect");
    device.replica.handle_connected(due, WALL_MS + due);
    device.replica.set_online(due, false);
    device.drain();
    same(device.wants(), "send disconnect");
    device.replica.handle_network_changed(due);
    device.drain();
    same(device.wants(), "");
    device.replica.set_online(due, true);
    device.drain();
    same(device.wants(), "connect");
}

#[wasm_bindgen_test]
fn it_says_what_it_holds_of_a_document_and_where_that_is_unsent() {
    let mut device = Device::new();
    let document = device.open("held");
    same(show(&device.replica.holds(document)), r#"{"clock":[]}"#);
    same(show(&device.replica.holds(document + 1)), "undefined");
    assert!(device.replica.export(document).is_empty());
    device.edit(document, "[['put', [], 'list', { list: [1] }]]");
    device.edit(document, "[['splice', ['list'], 1, 0, [{ map: [['a', 1]] }]]]");
    let clock = Array::from(&get(&device.replica.holds(document), "clock"));
    let entry = Array::from(&clock.get(0));
    assert!(clock.length() == 1 && entry.get(0) == get(&device.replica.history(document).get(0), "actor"));
    assert!(entry.get(1).as_f64() == Some(2.0), "two changes");
    same(show(&device.replica.pending_paths(document)), r#"[["list"],["list"],["list",1,"a"]]"#);
    assert!(device.replica.export(document).starts_with(&[0x85, 0x6f, 0x4a, 0x83]), "automerge's own form");
    device.replica.apply_waiting(0.0, document);
    device.replica.emit(document, vec![1], 1_000.0);
    device.drain();
    same(device.shown(document), r#"{"list":[1,{"a":1}]}"#);
}

#[wasm_bindgen_test]
fn what_was_not_sent_is_taken_back_by_its_name() {
    let mut device = Device::new();
    let document = device.open("taken-back");
    device.edit(document, "[['put', [], 'a', 1]]");
    device.edit(document, "[['put', [], 'b', 2]]");
    let first = word(&device.replica.outbox(document).get(0), "change");
    for no_hash in ["", "0", &"g".repeat(64)] {
        same(code(device.replica.discard(0.0, document, no_hash)), "bad-value");
        same(code(device.replica.retry(0.0, document, no_hash)), "bad-value");
    }
    let unknown = "0".repeat(64);
    assert!(device.replica.discard(0.0, document, &unknown).ok() == Some(false));
    assert!(device.replica.retry(0.0, document, &first).ok() == Some(false), "the server has not refused it");
    assert!(device.replica.discard(0.0, document, &first).ok() == Some(true));
    device.drain();
    same(device.shown(document), r#"{"b":2}"#);
    assert!(device.replica.outbox(document).length() == 1);
}

#[wasm_bindgen_test]
fn rules_are_declared_in_the_document_once() {
    let mut device = Device::new();
    let document = device.open("rules");
    assert!(device.replica.declared(document).is_none());
    let rules = r#"[["stock/*","max@1"]]"#;
    assert!(device.replica.declare(0.0, 0.0, document, rules).ok() == Some(true));
    assert!(device.replica.declared(document).as_deref() == Some(rules));
    assert!(device.replica.declare(0.0, 0.0, document, rules).ok() == Some(false), "it is there");
    same(code(device.replica.declare(0.0, 0.0, document + 1, rules)), "not-ready");
    device.drain();
    same(device.shown(document), "{}");
    same(code(device.change(document, "[['put', [], '$settled', 1]]")), "reserved-key");
}
