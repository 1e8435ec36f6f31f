//! What the engine wants done and what it tells, through the life of an edit and of a store that fails.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Array;
use sync_wasm::Replica;
use wasm_bindgen::JsValue;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::device::{Device, Rows, array, bytes, code, get, js, same, show, word};

/// The kinds of what it told, without those of statuses; forgets them.
fn told(device: &mut Device) -> String {
    let kinds: Vec<String> = device.events.drain(..).map(|event| word(&event, "kind")).collect();
    kinds.into_iter().filter(|kind| kind != "status").collect::<Vec<_>>().join(" ")
}

#[wasm_bindgen_test]
fn it_asks_its_store_who_it_is_and_then_for_a_connection() {
    let mut replica = Replica::new(&[1; 32], true, None, None).expect("a seed");
    assert!(!replica.is_identified());
    let read = replica.poll_output();
    same(word(&read, "kind"), "read");
    same(show(&get(&read, "tables")), r#"["meta"]"#);
    assert!(bytes(&read, "prefix") == b"identity");
    assert!(replica.poll_output().is_undefined(), "it knows nothing to do before");
    let task = get(&read, "task").as_f64().expect("a number");
    for no_rows in ["[1]", "[[1]]", "[[[1, 2]]]", "[[[new Uint8Array()]]]"] {
        same(code(replica.handle_rows(0.0, task, &array(no_rows))), "bad-value");
    }
    replica.handle_rows(0.0, task, &array("[[]]")).expect("an empty table");
    assert!(replica.is_identified());
    let commit = replica.poll_output();
    same(word(&commit, "kind"), "commit");
    let write = Array::from(&get(&commit, "writes")).get(0);
    same(format!("{} {}", word(&write, "kind"), word(&write, "table")), "put meta");
    assert!(bytes(&write, "key") == b"identity" && !bytes(&write, "value").is_empty());
    same(word(&replica.poll_output(), "kind"), "connect");
}

#[wasm_bindgen_test]
fn an_edit_is_told_as_changed_and_then_as_saved() {
    let mut device = Device::new();
    let document = device.open("life");
    same(told(&mut device), "ready changed");
    let edit = device.change(document, "[['put', [], 'n', 1]]").expect("it is done");
    let outbox = |device: &Device| {
        show(&device.replica.outbox(document).iter().map(|entry| get(&entry, "state")).collect::<Array>())
    };
    same(outbox(&device), r#"["unsaved"]"#);
    device.drain();
    same(outbox(&device), r#"["saved"]"#);
    let saved = device.events.iter().find(|event| word(event, "kind") == "saved").expect("it is saved").clone();
    assert!(
        get(&saved, "change").as_f64() == Some(edit) && get(&saved, "document").as_f64() == Some(f64::from(document))
    );
    let changed = device.events.iter().find(|event| word(event, "kind") == "changed").expect("it is changed");
    assert!(get(changed, "local") == JsValue::TRUE);
    same(told(&mut device), "changed saved");
    let status = r#"{"state":"offline","pending":1,"rejected":0,"unsaved":0}"#;
    same(show(&device.replica.status(document)), status);
    same(show(&device.replica.overall()), status);
    let entry = device.replica.outbox(document).get(0);
    same(show(&get(&entry, "time")), r#""date 0""#);
    assert!(get(&entry, "operations").as_f64() == Some(1.0));
    same(word(&entry, "change"), &word(&device.replica.history(document).get(0), "change"));
}

#[wasm_bindgen_test]
fn a_row_of_the_drivers_own_is_in_the_transaction_of_its_change() {
    let mut device = Device::new();
    let document = device.open("beside");
    let (key, value) = (b"own".to_vec(), b"done".to_vec());
    let edits = array("[['put', [], 'n', 1]]");
    device.replica.change(0.0, 0.0, document, &edits, Some(key.clone()), Some(value.clone())).expect("it is done");
    let mut outputs = std::iter::repeat_with(|| device.replica.poll_output());
    let commit = outputs.find(|output| output.is_undefined() || word(output, "kind") == "commit").expect("an output");
    let writes = Array::from(&get(&commit, "writes"));
    assert!(writes.length() > 1, "the change is there, too");
    let beside = |write: JsValue| {
        word(&write, "table") == "outbox" && bytes(&write, "key") == key && bytes(&write, "value") == value
    };
    assert!(writes.iter().any(beside));
}

#[wasm_bindgen_test]
fn a_store_that_fails_is_told_how_and_gets_it_again() {
    for (failure, want, state) in
        [("full", "full", "storage-full"), ("io", "io", "storage-full"), ("what", "io", "storage-full")]
    {
        let mut device = Device::new();
        let document = device.open("failing");
        device.failure = js(&format!("{{ code: '{failure}', message: 'no luck' }}"));
        device.edit(document, "[['put', [], 'n', 1]]");
        let failed = device.events.iter().find(|event| word(event, "kind") == "storage-failed").expect("it is told");
        same(word(failed, "code"), want);
        same(word(&device.replica.status(document), "state"), state);
        device.failure = JsValue::UNDEFINED;
        let due = device.replica.poll_timeout().expect("it is tried again");
        device.replica.handle_timeout(due);
        device.drain();
        assert!(device.told("saved"));
    }
}

#[wasm_bindgen_test]
fn a_store_that_does_not_say_who_this_is_fails_the_engine() {
    for (failure, want) in [("corrupt", "corrupt"), ("io", "io")] {
        let mut replica = Replica::new(&[1; 32], true, None, None).expect("a seed");
        let task = get(&replica.poll_output(), "task").as_f64().expect("a number");
        replica.handle_read_failed(0.0, task, &js(&format!("{{ code: '{failure}', message: 'no luck' }}")));
        let event = get(&replica.poll_output(), "event");
        same(format!("{} {}", word(&event, "kind"), word(&event, "code")), &format!("storage-failed {want}"));
        assert!(word(&event, "reason").contains("no luck") && !replica.is_identified());
    }
}

/// Gives the rows of a table a format; opens the document again.
fn with_format(table: &str, format: u8) -> Device {
    let mut device = Device::new();
    let document = device.open("rows");
    device.edit(document, "[['put', [], 'n', 1]]");
    let store: Rc<RefCell<Rows>> = device.store;
    store.borrow_mut().iter_mut().filter(|((of, _), _)| of == table).for_each(|(_, value)| value[0] = format);
    let mut again = Device::on(&store, None, 2);
    again.replica.open(0.0, "rows").expect("a name");
    again.drain();
    again
}

#[wasm_bindgen_test]
fn rows_that_a_newer_version_wrote_are_told_from_damaged_ones() {
    for (table, kind) in [("outbox", "failed"), ("meta", "storage-failed")] {
        for (format, want) in [(200, "newer"), (0, "corrupt")] {
            let device = with_format(table, format);
            let event = device.events.iter().find(|event| word(event, "kind") == kind).expect("it is told");
            same(word(event, "code"), want);
            assert!(word(event, "reason").contains("newer version") == (want == "newer"));
            assert!(!device.told("ready"));
        }
    }
}
