//! Conflicts: how they are told, answered and taken back, and which answers are none.

use js_sys::Array;
use sync_wasm::EngineError;
use wasm_bindgen::JsValue;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::device::{Device, carry, code, get, js, same, show, two_tabs, word};

/// Two tabs that have put `first` and `second` at one key, neither knowing of the other's.
fn disputed(first: &str, second: &str) -> ([Device; 2], u32) {
    let (mut tabs, document) = two_tabs("disputed");
    tabs[0].edit(document, "[['put', [], 'n', 10]]");
    carry(&mut tabs);
    for (tab, value) in tabs.iter_mut().zip([first, second]) {
        tab.change(document, &format!("[['put', [], 'n', {value}]]")).expect("it is done");
    }
    carry(&mut tabs);
    (tabs, document)
}

/// The only conflict.
fn only(device: &mut Device, document: u32) -> JsValue {
    let told = device.replica.conflicts(document, None).expect("a list");
    let conflicts = Array::from(&get(&told, "conflicts"));
    assert!(conflicts.length() == 1 && get(&told, "more").as_f64() == Some(0.0), "{}", show(&told));
    conflicts.get(0)
}

fn answer(device: &mut Device, document: u32, conflict: &JsValue, answer: &str) -> Result<f64, EngineError> {
    let version = get(conflict, "version").as_f64().expect("a number");
    let note = Some("as agreed".into());
    device.replica.resolve_conflict(0.0, 0.0, document, &word(conflict, "id"), version, &js(answer), note)
}

#[wasm_bindgen_test]
fn a_conflict_is_told_alike_in_both_tabs() {
    let (mut tabs, document) = disputed("7", "12");
    let conflicts = tabs.each_mut().map(|tab| only(tab, document));
    same(word(&conflicts[0], "id"), &word(&conflicts[1], "id"));
    for conflict in &conflicts {
        let told: Vec<String> = ["document", "kind", "state", "policy"].iter().map(|key| word(conflict, key)).collect();
        same(told.join(" "), "disputed register open human@1");
        same(show(&get(conflict, "path")), r#"["n"]"#);
        same(show(&get(conflict, "base")), "10");
        let sides = Array::from(&get(conflict, "candidates"));
        let mut values: Vec<String> = sides.iter().map(|side| show(&get(&side, "value"))).collect();
        values.sort();
        same(values.join(" "), "12 7");
        for side in sides.iter() {
            assert!(word(&side, "change").len() == 64 && word(&side, "actor").len() == 32);
            same(show(&get(&side, "mine")), "true");
        }
        assert!(sides.iter().filter(|side| get(side, "shown") == JsValue::TRUE).count() == 1, "one of them is shown");
    }
    let told = tabs[0].replica.conflicts(document, Some(word(&conflicts[0], "id"))).expect("the one that is asked for");
    same(show(&get(&told, "conflicts")), &format!("[{}]", show(&conflicts[0])));
    same(show(&tabs[0].replica.conflicts(document + 9, None).expect("of nothing")), r#"{"conflicts":[],"more":0}"#);
}

#[wasm_bindgen_test]
fn an_answer_is_written_shown_in_both_tabs_and_taken_back() {
    let (mut tabs, document) = disputed("7", "12");
    let conflict = only(&mut tabs[0], document);
    let pick = word(&Array::from(&get(&conflict, "candidates")).get(0), "change");
    let value = show(&get(&Array::from(&get(&conflict, "candidates")).get(0), "value"));
    answer(&mut tabs[0], document, &conflict, &format!("{{ pick: '{pick}' }}")).expect("it is answered");
    carry(&mut tabs);
    for tab in &mut tabs {
        let settled = only(tab, document);
        same(word(&settled, "state"), "settled");
        same(word(&get(&settled, "settledBy"), "note"), "as agreed");
        same(show(&get(&settled, "answer")), &value);
        same(tab.shown(document), &format!(r#"{{"n":{value}}}"#));
    }
    let id = word(&conflict, "id");
    tabs[1].replica.reopen_conflict(0.0, 0.0, document, &id).expect("it is taken back");
    carry(&mut tabs);
    for tab in &mut tabs {
        same(word(&only(tab, document), "state"), "open");
    }
}

#[wasm_bindgen_test]
fn an_answer_may_be_a_value_of_its_own_or_none() {
    for (given, shown) in
        [("{ value: 9 }", r#"{"n":9}"#), ("{ value: { list: [1] } }", r#"{"n":[1]}"#), ("{ remove: true }", "{}")]
    {
        let (mut tabs, document) = disputed("7", "12");
        let conflict = only(&mut tabs[1], document);
        answer(&mut tabs[1], document, &conflict, given).expect("it is answered");
        carry(&mut tabs);
        for tab in &tabs {
            same(tab.shown(document), shown);
        }
    }
}

#[wasm_bindgen_test]
fn what_is_no_answer_is_refused_by_its_reason() {
    let (mut tabs, document) = disputed("7", "12");
    let conflict = only(&mut tabs[0], document);
    let nobody = format!("{{ pick: '{}' }}", "0".repeat(64));
    for none in
        ["{}", "1", "undefined", "{ pick: 1 }", "{ pick: 'x' }", &nobody, "{ value: {} }", "{ value: Symbol('none') }"]
    {
        let answered = answer(&mut tabs[0], document, &conflict, none);
        assert!(answered.is_err(), "{none} is an answer");
        same(code(answered), "bad-value");
    }
    let tab = &mut tabs[0].replica;
    let id = word(&conflict, "id");
    let mut resolve =
        |document, id: &str, version| tab.resolve_conflict(0.0, 0.0, document, id, version, &js("{ value: 1 }"), None);
    same(code(resolve(document, "x", 1.0)), "bad-value");
    same(code(resolve(document, &"0".repeat(32), 1.0)), "conflict-gone");
    same(code(resolve(document, &id, 1e9)), "conflict-changed");
    same(code(resolve(document + 9, &id, 1.0)), "not-ready");
    same(code(tab.reopen_conflict(0.0, 0.0, document, "x")), "bad-value");
    same(code(tab.reopen_conflict(0.0, 0.0, document, &"0".repeat(32))), "conflict-gone");
    same(code(tab.conflicts(document, Some("x".into())).map(drop)), "bad-value");
    same(word(&only(&mut tabs[0], document), "state"), "open");
}
