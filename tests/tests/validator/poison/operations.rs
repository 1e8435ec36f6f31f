//! Poison that names what is not there, or not for it: objects, elements, predecessors.

use serde_json::json;
use sync_core::validator::Wrong;

use super::{Table, element, name, on_key, set};

pub(super) fn objects(t: &mut Table) {
    for missing in ["99@aa", "1@cc", "14@bb", "15@bb", "1000@bb"] {
        t.operations(json!([set(missing, "k", &[])]), 0, Wrong::NotPast(name(missing)));
    }
    // A value, a counter, a character, a delete, an increment, a mark.
    for no_object in ["7@aa", "4@aa", "5@aa", "10@aa", "11@aa", "12@aa"] {
        t.operations(json!([set(no_object, "k", &[])]), 0, Wrong::NoObject(name(no_object)));
    }
    t.operations(json!([set("_root", "x", &[]), set("14@bb", "k", &[])]), 1, Wrong::NoObject(name("14@bb")));
    let later = element("makeMap", "3@aa", "_head", true, &[]);
    t.operations(json!([set("15@bb", "k", &[]), later]), 0, Wrong::NotPast(name("15@bb")));
    for kind in ["makeMap", "makeList", "makeText"] {
        t.operations(json!([on_key(kind, "99@aa", "k", &[])]), 0, Wrong::NotPast(name("99@aa")));
    }
    t.operations(json!([on_key("del", "99@aa", "k", &["7@aa"])]), 0, Wrong::NotPast(name("99@aa")));
    t.operations(json!([on_key("inc", "99@aa", "n", &["4@aa"])]), 0, Wrong::NotPast(name("99@aa")));
    t.operations(json!([element("set", "1@cc", "_head", true, &[])]), 0, Wrong::NotPast(name("1@cc")));
    t.operations(json!([set("1@aa", "k", &[])]), 0, Wrong::KeyInSequence);
    t.operations(json!([set("3@aa", "k", &[])]), 0, Wrong::KeyInSequence);
    t.operations(json!([on_key("del", "3@aa", "k", &["8@aa"])]), 0, Wrong::KeyInSequence);
    t.operations(json!([element("set", "2@aa", "_head", true, &[])]), 0, Wrong::ElementInMap);
    t.operations(json!([element("set", "_root", "_head", true, &[])]), 0, Wrong::ElementInMap);
    t.operations(json!([element("del", "2@aa", "8@aa", false, &["8@aa"])]), 0, Wrong::ElementInMap);
    for map in ["_root", "2@aa"] {
        let insert = json!({"action": "set", "obj": map, "key": "k", "insert": true, "value": 1, "pred": []});
        t.operations(json!([insert]), 0, Wrong::InsertInMap);
    }
    // Found by mutation: a table is made without complaint, and the first change within it makes `apply_changes` panic.
    t.operations(json!([on_key("makeTable", "_root", "t", &[])]), 0, Wrong::MakesTable);
    t.operations(json!([on_key("makeTable", "2@aa", "k", &["7@aa"])]), 0, Wrong::MakesTable);
    t.operations(json!([element("makeTable", "3@aa", "_head", true, &[])]), 0, Wrong::MakesTable);
}

pub(super) fn elements(t: &mut Table) {
    for missing in ["99@aa", "1@cc", "14@bb", "15@bb"] {
        t.operations(json!([element("set", "1@aa", missing, true, &[])]), 0, Wrong::NotPast(name(missing)));
        t.operations(json!([element("del", "1@aa", missing, false, &[missing])]), 0, Wrong::NotPast(name(missing)));
    }
    // An element of the list, a key's value, an increment, a delete, the text itself.
    for other in ["8@aa", "7@aa", "11@aa", "10@aa", "1@aa"] {
        t.operations(json!([element("set", "1@aa", other, true, &[])]), 0, Wrong::NoElement(name(other)));
    }
    t.operations(json!([element("set", "3@aa", "5@aa", true, &[])]), 0, Wrong::NoElement(name("5@aa")));
    t.operations(json!([element("makeMap", "3@aa", "3@aa", true, &[])]), 0, Wrong::NoElement(name("3@aa")));
    t.operations(json!([element("set", "1@aa", "_head", false, &["5@aa"])]), 0, Wrong::UpdatesHead);
    t.operations(json!([element("del", "1@aa", "_head", false, &["5@aa"])]), 0, Wrong::UpdatesHead);
    t.operations(json!([element("set", "1@aa", "12@aa", false, &["12@aa"])]), 0, Wrong::UpdatesMark(name("12@aa")));
    t.operations(json!([element("del", "1@aa", "13@aa", false, &["13@aa"])]), 0, Wrong::UpdatesMark(name("13@aa")));
    let updated = element("set", "3@aa", "8@aa", false, &["8@aa"]);
    let after_update = element("set", "3@aa", "14@bb", true, &[]);
    t.operations(json!([updated, after_update]), 1, Wrong::NoElement(name("14@bb")));
    let deleted = element("del", "3@aa", "8@aa", false, &["8@aa"]);
    t.operations(json!([deleted, element("set", "3@aa", "14@bb", true, &[])]), 1, Wrong::NoElement(name("14@bb")));
    let second = on_key("makeText", "_root", "second", &[]);
    let across = element("set", "14@bb", "5@aa", true, &[]);
    t.operations(json!([second, across]), 1, Wrong::NoElement(name("5@aa")));
    let inserted = element("set", "1@aa", "_head", true, &[]);
    let across = element("set", "14@bb", "15@bb", true, &[]);
    t.operations(json!([second, inserted, across]), 2, Wrong::NoElement(name("15@bb")));
}

pub(super) fn predecessors(t: &mut Table) {
    for missing in ["99@aa", "1@cc", "14@bb", "15@bb"] {
        t.operations(json!([set("2@aa", "k", &[missing])]), 0, Wrong::NotPast(name(missing)));
    }
    t.operations(json!([set("2@aa", "k", &["7@aa", "99@aa"])]), 0, Wrong::NotPast(name("99@aa")));
    let elsewhere = |id: &str| Wrong::PredecessorElsewhere(name(id));
    t.operations(json!([set("2@aa", "other", &["7@aa"])]), 0, elsewhere("7@aa"));
    t.operations(json!([set("_root", "k", &["7@aa"])]), 0, elsewhere("7@aa"));
    t.operations(json!([set("2@aa", "map", &["2@aa"])]), 0, elsewhere("2@aa"));
    t.operations(json!([set("_root", "k", &["5@aa"])]), 0, elsewhere("5@aa"));
    t.operations(json!([on_key("makeMap", "_root", "map", &["3@aa"])]), 0, elsewhere("3@aa"));
    t.operations(json!([element("set", "1@aa", "5@aa", false, &["6@aa"])]), 0, elsewhere("6@aa"));
    t.operations(json!([element("set", "1@aa", "5@aa", false, &["8@aa"])]), 0, elsewhere("8@aa"));
    t.operations(json!([element("set", "1@aa", "5@aa", false, &["7@aa"])]), 0, elsewhere("7@aa"));
    t.operations(json!([element("makeMap", "3@aa", "8@aa", false, &["5@aa"])]), 0, elsewhere("5@aa"));
    let no_value = |id: &str| Wrong::PredecessorNoValue(name(id));
    t.operations(json!([set("2@aa", "gone", &["10@aa"])]), 0, no_value("10@aa"));
    t.operations(json!([set("2@aa", "gone", &["9@aa", "10@aa"])]), 0, no_value("10@aa"));
    t.operations(json!([set("_root", "n", &["11@aa"])]), 0, no_value("11@aa"));
    t.operations(json!([element("set", "1@aa", "5@aa", false, &["12@aa"])]), 0, no_value("12@aa"));
    t.operations(json!([set("2@aa", "k", &["7@aa", "7@aa"])]), 0, Wrong::PredecessorOrder(name("7@aa")));
    t.operations(json!([element("set", "1@aa", "5@aa", true, &["5@aa"])]), 0, Wrong::InsertWithPredecessor);
    t.operations(json!([element("makeMap", "3@aa", "8@aa", true, &["8@aa"])]), 0, Wrong::InsertWithPredecessor);
    t.operations(json!([element("set", "1@aa", "5@aa", false, &[])]), 0, Wrong::NoPredecessor);
    t.operations(json!([element("makeList", "3@aa", "8@aa", false, &[])]), 0, Wrong::NoPredecessor);
}

pub(super) fn deletes_and_increments(t: &mut Table) {
    t.operations(json!([element("del", "1@aa", "5@aa", false, &[])]), 0, Wrong::NoPredecessor);
    t.operations(json!([on_key("del", "2@aa", "k", &[])]), 0, Wrong::NoPredecessor);
    t.operations(json!([on_key("del", "2@aa", "never set", &[])]), 0, Wrong::NoPredecessor);
    t.operations(json!([on_key("del", "2@aa", "gone", &["10@aa"])]), 0, Wrong::PredecessorNoValue(name("10@aa")));
    let deleted = on_key("del", "2@aa", "k", &["7@aa"]);
    let again = on_key("del", "2@aa", "k", &["14@bb"]);
    t.operations(json!([deleted, again]), 1, Wrong::PredecessorNoValue(name("14@bb")));
    t.operations(json!([on_key("del", "_root", "n", &["11@aa"])]), 0, Wrong::PredecessorNoValue(name("11@aa")));
    t.operations(json!([on_key("del", "2@aa", "k", &["9@aa"])]), 0, Wrong::PredecessorElsewhere(name("9@aa")));
    t.operations(json!([on_key("del", "_root", "other", &["1@cc"])]), 0, Wrong::NotPast(name("1@cc")));
    t.operations(json!([element("del", "1@aa", "5@aa", true, &[])]), 0, Wrong::InsertsNothing);
    t.operations(json!([element("inc", "3@aa", "8@aa", true, &[])]), 0, Wrong::InsertsNothing);
    t.operations(json!([on_key("inc", "_root", "n", &[])]), 0, Wrong::NoPredecessor);
    t.operations(json!([on_key("inc", "_root", "fresh", &[])]), 0, Wrong::NoPredecessor);
    t.operations(json!([on_key("inc", "_root", "text", &["1@aa"])]), 0, Wrong::NoCounter);
    t.operations(json!([on_key("inc", "2@aa", "k", &["7@aa"])]), 0, Wrong::NoCounter);
    t.operations(json!([element("inc", "3@aa", "8@aa", false, &["8@aa"])]), 0, Wrong::NoCounter);
    t.operations(json!([on_key("inc", "_root", "n", &["11@aa"])]), 0, Wrong::PredecessorNoValue(name("11@aa")));
    t.operations(json!([on_key("inc", "_root", "k", &["4@aa"])]), 0, Wrong::PredecessorElsewhere(name("4@aa")));
    let counter = json!({"action": "set", "obj": "1@aa", "elemId": "5@aa", "insert": true, "value": 1, "datatype": "counter", "pred": []});
    t.operations(json!([counter, element("inc", "1@aa", "14@bb", false, &["14@bb"])]), 1, Wrong::IncrementInText);
    for by in [i64::MAX, i64::MIN, (1 << 53) + 1, -(1 << 53) - 1] {
        let increment = json!({"action": "inc", "obj": "_root", "key": "n", "value": by, "pred": ["4@aa"]});
        t.operations(json!([increment]), 0, Wrong::CounterRange(by));
        let counter =
            json!({"action": "set", "obj": "_root", "key": "c", "value": by, "datatype": "counter", "pred": []});
        t.operations(json!([counter]), 0, Wrong::CounterRange(by));
    }
}
