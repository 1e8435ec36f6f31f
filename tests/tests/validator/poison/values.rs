//! Poison by size and depth.

use serde_json::{Value, json};
use sync_core::change::ScanError;
use sync_core::validator::Wrong;

use super::{B, Table, change, expanded, marks, set};

/// Objects of a kind, each within the one before.
pub(super) fn nest(kind: &str, count: u64) -> Value {
    let made = (0..count).map(|n| {
        let obj = if n == 0 { "_root".to_owned() } else { format!("{}@bb", 13 + n) };
        if kind == "makeList" && n > 0 {
            json!({"action": kind, "obj": obj, "elemId": "_head", "insert": true, "pred": []})
        } else {
            json!({"action": kind, "obj": obj, "key": "deep", "pred": []})
        }
    });
    made.collect()
}

pub(super) fn nesting(t: &mut Table) {
    t.operations(nest("makeMap", 101), 100, Wrong::TooDeep { depth: 101, max: 100 });
    t.operations(nest("makeMap", 300), 100, Wrong::TooDeep { depth: 101, max: 100 });
    t.operations(nest("makeList", 300), 100, Wrong::TooDeep { depth: 101, max: 100 });
}

pub(super) fn sizes(t: &mut Table) {
    let first = t.first.clone();
    let make = |ops: Value| change(B, 1, 14, &[&first], ops);
    let many = |what, count, max| ScanError::TooMany { what, count, max };
    let keys = |count| many("key bytes", count, 1024);
    t.scanned("a key of 1,025 bytes", &make(json!([set("_root", &"k".repeat(1025), &[])])), keys(1025));
    t.scanned("a key of 100,000 bytes", &make(json!([set("_root", &"k".repeat(100_000), &[])])), keys(100_000));
    let mut mark = marks::begin("1@aa", "5@aa", true);
    mark["name"] = json!("m".repeat(2000));
    t.scanned("a mark's name of 2,000 bytes", &make(json!([mark, marks::end("1@aa", "6@aa")])), keys(2000));
    let long = json!({"action": "set", "obj": "_root", "key": "k", "value": "v".repeat((2 << 20) + 1), "pred": []});
    t.scanned("a string above 2 MiB", &make(json!([long])), many("value bytes", (2 << 20) + 1, 2 << 20));
    let mut huge = make(json!([set("_root", "k", &[])])).decode();
    let text = "v".repeat((4 << 20) + 1);
    huge.operations[0].action = automerge::legacy::OpType::Put(text.as_str().into());
    let huge = expanded(huge);
    let bytes = huge.raw_bytes().len();
    t.scanned("a change above 4 MiB", &huge, ScanError::TooLong { bytes, max: 4 << 20 });
    for count in [4_097, 100_000] {
        let mut told = make(json!([])).decode();
        told.message = Some("m".repeat(count));
        t.scanned("a long message", &expanded(told), many("message bytes", count as u64, 4_096));
    }
}
