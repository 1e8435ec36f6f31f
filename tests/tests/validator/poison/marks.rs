//! Poison in marks: ends without begins, ends before begins, marks where no text is.

use serde_json::{Value, json};
use sync_core::validator::Wrong;

use super::{Table, element, name, on_key, set};

pub(super) fn begin(obj: &str, elem: &str, insert: bool) -> Value {
    json!({"action": "markBegin", "obj": obj, "elemId": elem, "insert": insert, "name": "m", "value": 1, "expand": false, "pred": []})
}

pub(super) fn end(obj: &str, elem: &str) -> Value {
    json!({"action": "markEnd", "obj": obj, "elemId": elem, "insert": true, "expand": false, "pred": []})
}

pub(super) fn pairs(t: &mut Table) {
    let open = || begin("1@aa", "5@aa", true);
    let close = || end("1@aa", "6@aa");
    t.operations(json!([open()]), 0, Wrong::MarkUnpaired);
    t.operations(json!([set("_root", "x", &[]), open()]), 1, Wrong::MarkUnpaired);
    t.operations(json!([end("1@aa", "5@aa")]), 0, Wrong::MarkUnpaired);
    t.operations(json!([end("1@aa", "12@aa")]), 0, Wrong::MarkUnpaired);
    t.operations(json!([open(), set("_root", "x", &[]), close()]), 1, Wrong::MarkUnpaired);
    t.operations(json!([open(), open()]), 1, Wrong::MarkUnpaired);
    t.operations(json!([open(), open(), close(), close()]), 1, Wrong::MarkUnpaired);
    t.operations(json!([open(), close(), close()]), 2, Wrong::MarkUnpaired);
    t.operations(json!([close(), open()]), 0, Wrong::MarkUnpaired);
    let second = on_key("makeText", "_root", "second", &[]);
    t.operations(json!([second, open(), end("14@bb", "_head")]), 2, Wrong::MarkUnpaired);
}

pub(super) fn places(t: &mut Table) {
    t.operations(json!([begin("3@aa", "_head", true), end("3@aa", "8@aa")]), 0, Wrong::MarkOutsideText);
    t.operations(json!([begin("2@aa", "_head", true), end("2@aa", "_head")]), 0, Wrong::MarkOutsideText);
    t.operations(json!([begin("_root", "_head", true), end("_root", "_head")]), 0, Wrong::MarkOutsideText);
    t.operations(json!([begin("99@aa", "_head", true), end("99@aa", "_head")]), 0, Wrong::NotPast(name("99@aa")));
    t.operations(json!([begin("1@aa", "5@aa", false), end("1@aa", "6@aa")]), 0, Wrong::MarkNotInserted);
    t.operations(json!([begin("1@aa", "99@aa", true), end("1@aa", "6@aa")]), 0, Wrong::NotPast(name("99@aa")));
    t.operations(json!([begin("1@aa", "8@aa", true), end("1@aa", "6@aa")]), 0, Wrong::NoElement(name("8@aa")));
    t.operations(json!([begin("1@aa", "15@bb", true), end("1@aa", "6@aa")]), 0, Wrong::NotPast(name("15@bb")));
    t.operations(json!([begin("1@aa", "5@aa", true), end("1@aa", "15@bb")]), 1, Wrong::NotPast(name("15@bb")));
    t.operations(json!([begin("1@aa", "5@aa", true), end("1@aa", "5@aa")]), 1, Wrong::MarkOrder);
    t.operations(json!([begin("1@aa", "6@aa", true), end("1@aa", "5@aa")]), 1, Wrong::MarkOrder);
    t.operations(json!([begin("1@aa", "6@aa", true), end("1@aa", "_head")]), 1, Wrong::MarkOrder);
    t.operations(json!([begin("1@aa", "6@aa", true), end("1@aa", "12@aa")]), 1, Wrong::MarkOrder);
    let typed = element("set", "1@aa", "6@aa", true, &[]);
    t.operations(json!([typed, begin("1@aa", "14@bb", true), end("1@aa", "6@aa")]), 2, Wrong::MarkOrder);
    let with_pred = json!({"action": "markBegin", "obj": "1@aa", "elemId": "5@aa", "insert": true, "name": "m", "value": 1, "expand": false, "pred": ["5@aa"]});
    t.operations(json!([with_pred, end("1@aa", "6@aa")]), 0, Wrong::InsertWithPredecessor);
    let on_a_key = json!({"action": "markBegin", "obj": "1@aa", "key": "k", "insert": true, "name": "m", "value": 1, "expand": false, "pred": []});
    t.operations(json!([on_a_key, end("1@aa", "6@aa")]), 0, Wrong::KeyInSequence);
}
