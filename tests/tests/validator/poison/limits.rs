//! Changes that would be honest in a document with more room.

use serde_json::json;
use sync_core::limits::ChangeLimits;
use sync_core::validator::{Refusal, Wrong};

use super::{B, C, Table, change, marks, set};

fn full(t: &mut Table, what: &str, limits: ChangeLimits, refusal: Refusal) {
    let first = t.first.clone();
    t.limited(what, &change(B, 1, 14, &[&first], json!([set("_root", "x", &[])])), limits, refusal);
}

pub(super) fn document(t: &mut Table) {
    let (_, first, beside) = super::document();
    let usual = ChangeLimits::default();
    full(t, "one actor too many", ChangeLimits { actors_max: 2, ..usual }, Refusal::TooManyActors(2));
    let held = super::document().0.index.entries();
    let narrow = ChangeLimits { index_entries_max: held, ..usual };
    full(t, "an op index that is full", narrow, Refusal::IndexFull(held));
    let new_head = change(B, 1, 1, &[], json!([]));
    t.limited("one head too many", &new_head, ChangeLimits { heads_max: 2, ..usual }, Refusal::TooManyHeads(2));
    let unseen = change(C, 2, 14, &[&first, &beside], json!([]));
    let no_steps = ChangeLimits { seen_steps_max: 0, ..usual };
    t.limited("one more way of having seen each other", &unseen, no_steps, Refusal::TooManySteps);
    let ops = json!([set("_root", "x", &[])]);
    let skips = change(B, 1, 14 + 101, &[&first], ops.clone());
    let few = ChangeLimits { gap_total_max: 100, ..usual };
    t.limited("too many counters skipped", &skips, few, Refusal::SkippedTooMany { skipped: 101, max: 100 });
    let near = ChangeLimits { start_op_gap_max: 10, ..usual };
    let high = Refusal::StartTooHigh { start_op: 25, max: 24 };
    t.limited("a gap too wide", &change(B, 1, 25, &[&first], ops), near, high);
    let mark = change(B, 1, 14, &[&first], json!([marks::begin("1@aa", "5@aa", true), marks::end("1@aa", "6@aa")]));
    let one = ChangeLimits { order_steps_max: 1, ..usual };
    let far = Refusal::Operation { index: 1, wrong: Wrong::MarkTooFar };
    t.limited("a mark whose ends lie too far apart", &mark, one, far);
    let flat = change(B, 1, 14, &[&first], json!([{"action": "makeMap", "obj": "2@aa", "key": "deep", "pred": []}]));
    let shallow = ChangeLimits { depth_max: 1, ..usual };
    let deep = Refusal::Operation { index: 0, wrong: Wrong::TooDeep { depth: 2, max: 1 } };
    t.limited("an object too deep", &flat, shallow, deep);
}
