//! Hand-made changes that would break a document, each refused for the reason it breaks.

use automerge::{Change, ExpandedChange};
use serde_json::{Value, json};
use sync_core::change::{Change as Parsed, ChangeError, ScanError};
use sync_core::limits::{ChangeLimits, OP_COUNTER_MAX};
use sync_core::table::TableError;
use sync_core::validator::{OpName, Refusal, Wrong};

use super::chunk::{Chunk, body, unsigned, wrap};
use super::support::Gate;

const A: &str = "aa";
const B: &str = "bb";
const C: &str = "cc";

fn change(actor: &str, seq: u64, start: u64, deps: &[&Change], ops: Value) -> Change {
    let deps: Vec<String> = deps.iter().map(|dep| dep.hash().to_string()).collect();
    let json =
        json!({"actor": actor, "seq": seq, "startOp": start, "time": 0, "message": null, "deps": deps, "ops": ops});
    expanded(serde_json::from_value(json).expect("a change in JSON"))
}

fn expanded(change: ExpandedChange) -> Change {
    Change::from(change)
}

/// A document by `aa` with one of everything, and beside it a change of `cc` that later ones have not seen.
fn document() -> (Gate, Change, Change) {
    let first = change(
        A,
        1,
        1,
        &[],
        json!([
            {"action": "makeText", "obj": "_root", "key": "text", "pred": []},
            {"action": "makeMap", "obj": "_root", "key": "map", "pred": []},
            {"action": "makeList", "obj": "_root", "key": "list", "pred": []},
            {"action": "set", "obj": "_root", "key": "n", "value": 5, "datatype": "counter", "pred": []},
            {"action": "set", "obj": "1@aa", "elemId": "_head", "insert": true, "value": "a", "pred": []},
            {"action": "set", "obj": "1@aa", "elemId": "5@aa", "insert": true, "value": "b", "pred": []},
            {"action": "set", "obj": "2@aa", "key": "k", "value": "v", "pred": []},
            {"action": "set", "obj": "3@aa", "elemId": "_head", "insert": true, "value": 1, "pred": []},
            {"action": "set", "obj": "2@aa", "key": "gone", "value": "x", "pred": []},
            {"action": "del", "obj": "2@aa", "key": "gone", "pred": ["9@aa"]},
            {"action": "inc", "obj": "_root", "key": "n", "value": 1, "pred": ["4@aa"]},
            {"action": "markBegin", "obj": "1@aa", "elemId": "_head", "insert": true, "name": "b", "value": true, "expand": false, "pred": []},
            {"action": "markEnd", "obj": "1@aa", "elemId": "6@aa", "insert": true, "expand": false, "pred": []},
        ]),
    );
    let beside = change(C, 1, 1, &[], json!([{"action": "makeMap", "obj": "_root", "key": "other", "pred": []}]));
    let mut gate = Gate::default();
    gate.admit_all([&first, &beside]);
    (gate, first, beside)
}

fn name(id: &str) -> OpName {
    let (counter, actor) = id.split_once('@').expect("counter@actor");
    OpName { counter: counter.parse().expect("a counter"), actor: actor.try_into().expect("an actor") }
}

/// Operations of `bb` on the document's first change are refused as they should be, and change nothing.
fn refused(ops: Value, index: u32, wrong: Wrong) {
    let (mut gate, first, _) = document();
    let poison = change(B, 1, 14, &[&first], ops.clone());
    assert_eq!(gate.admit(&poison), Err(Refusal::Operation { index, wrong }), "{ops}");
    assert_eq!((gate.table.len(), gate.index.highest_op()), (2, 13));
    let good =
        change(B, 1, 14, &[&first], json!([{"action": "set", "obj": "2@aa", "key": "new", "value": 1, "pred": []}]));
    assert_eq!(gate.admit(&good), Ok(()), "after {ops}");
}

fn accepted(ops: Value) {
    let (mut gate, first, _) = document();
    assert_eq!(gate.admit(&change(B, 1, 14, &[&first], ops.clone())), Ok(()), "{ops}");
}

fn set(obj: &str, key: &str, pred: &[&str]) -> Value {
    json!({"action": "set", "obj": obj, "key": key, "value": 1, "pred": pred})
}

fn element(action: &str, obj: &str, elem: &str, insert: bool, pred: &[&str]) -> Value {
    let mut op = json!({"action": action, "obj": obj, "elemId": elem, "insert": insert, "pred": pred});
    if action != "del" && !action.starts_with("make") {
        op["value"] = json!(1);
    }
    op
}

#[test]
fn objects_are_made_in_the_past() {
    refused(json!([set("99@aa", "k", &[])]), 0, Wrong::NotPast(name("99@aa")));
    refused(json!([set("7@aa", "k", &[])]), 0, Wrong::NoObject(name("7@aa")));
    refused(json!([set("1@cc", "k", &[])]), 0, Wrong::NotPast(name("1@cc")));
    refused(json!([set("_root", "x", &[]), set("14@bb", "k", &[])]), 1, Wrong::NoObject(name("14@bb")));
    refused(
        json!([set("15@bb", "k", &[]), element("makeMap", "3@aa", "_head", true, &[])]),
        0,
        Wrong::NotPast(name("15@bb")),
    );
    refused(json!([set("1@aa", "k", &[])]), 0, Wrong::KeyInSequence);
    refused(json!([element("set", "2@aa", "_head", true, &[])]), 0, Wrong::ElementInMap);
    refused(
        json!([{"action": "set", "obj": "2@aa", "key": "k", "insert": true, "value": 1, "pred": []}]),
        0,
        Wrong::InsertInMap,
    );
    accepted(json!([
        element("makeMap", "3@aa", "8@aa", true, &[]),
        set("14@bb", "k", &[]),
        set("14@bb", "k", &["15@bb"])
    ]));
}

/// Found by mutation: a table is made without complaint, and the first change within it makes `apply_changes` panic.
#[test]
fn tables_are_not_made() {
    refused(json!([{"action": "makeTable", "obj": "_root", "key": "t", "pred": []}]), 0, Wrong::MakesTable);
}

#[test]
fn elements_are_inserts_of_that_object() {
    refused(json!([element("set", "1@aa", "99@aa", true, &[])]), 0, Wrong::NotPast(name("99@aa")));
    refused(json!([element("set", "1@aa", "8@aa", true, &[])]), 0, Wrong::NoElement(name("8@aa")));
    refused(json!([element("set", "3@aa", "7@aa", true, &[])]), 0, Wrong::NoElement(name("7@aa")));
    refused(json!([element("set", "1@aa", "11@aa", true, &[])]), 0, Wrong::NoElement(name("11@aa")));
    refused(json!([element("set", "1@aa", "_head", false, &["5@aa"])]), 0, Wrong::UpdatesHead);
    refused(json!([element("set", "1@aa", "12@aa", false, &["12@aa"])]), 0, Wrong::UpdatesMark(name("12@aa")));
    let updated = element("set", "3@aa", "8@aa", false, &["8@aa"]);
    refused(json!([updated, element("set", "3@aa", "14@bb", true, &[])]), 1, Wrong::NoElement(name("14@bb")));
    accepted(json!([element("set", "1@aa", "12@aa", true, &[]), updated]));
}

#[test]
fn predecessors_are_values_at_the_same_place() {
    refused(json!([set("2@aa", "k", &["99@aa"])]), 0, Wrong::NotPast(name("99@aa")));
    refused(json!([set("2@aa", "other", &["7@aa"])]), 0, Wrong::PredecessorElsewhere(name("7@aa")));
    refused(json!([set("_root", "k", &["7@aa"])]), 0, Wrong::PredecessorElsewhere(name("7@aa")));
    refused(json!([set("2@aa", "gone", &["10@aa"])]), 0, Wrong::PredecessorNoValue(name("10@aa")));
    refused(json!([set("_root", "n", &["11@aa"])]), 0, Wrong::PredecessorNoValue(name("11@aa")));
    refused(json!([set("2@aa", "k", &["7@aa", "7@aa"])]), 0, Wrong::PredecessorOrder(name("7@aa")));
    refused(json!([element("set", "1@aa", "5@aa", false, &["6@aa"])]), 0, Wrong::PredecessorElsewhere(name("6@aa")));
    refused(json!([element("set", "1@aa", "5@aa", false, &["12@aa"])]), 0, Wrong::PredecessorNoValue(name("12@aa")));
    refused(json!([element("set", "1@aa", "5@aa", true, &["5@aa"])]), 0, Wrong::InsertWithPredecessor);
    refused(json!([element("set", "1@aa", "5@aa", false, &[])]), 0, Wrong::NoPredecessor);
    refused(json!([element("del", "1@aa", "5@aa", false, &[])]), 0, Wrong::NoPredecessor);
    refused(json!([{"action": "del", "obj": "2@aa", "key": "k", "pred": []}]), 0, Wrong::NoPredecessor);
    refused(json!([element("del", "1@aa", "5@aa", true, &[])]), 0, Wrong::InsertsNothing);
    accepted(json!([set("2@aa", "k", &["7@aa"]), element("del", "1@aa", "5@aa", false, &["5@aa"])]));
}

#[test]
fn increments_need_a_counter_and_stay_countable() {
    let inc = |key: &str, by: i64, pred: &[&str]| json!([{"action": "inc", "obj": "_root", "key": key, "value": by, "pred": pred}]);
    refused(inc("n", 1, &[]), 0, Wrong::NoPredecessor);
    refused(inc("text", 1, &["1@aa"]), 0, Wrong::NoCounter);
    refused(inc("n", i64::MAX, &["4@aa"]), 0, Wrong::CounterRange(i64::MAX));
    accepted(inc("n", -1, &["4@aa"]));
}

#[test]
fn marks_are_pairs_in_document_order() {
    let begin = |obj: &str, elem: &str, insert: bool| json!({"action": "markBegin", "obj": obj, "elemId": elem, "insert": insert, "name": "m", "value": 1, "expand": false, "pred": []});
    let end = |obj: &str, elem: &str| json!({"action": "markEnd", "obj": obj, "elemId": elem, "insert": true, "expand": false, "pred": []});
    refused(json!([begin("1@aa", "5@aa", true)]), 0, Wrong::MarkUnpaired);
    refused(json!([end("1@aa", "5@aa")]), 0, Wrong::MarkUnpaired);
    refused(json!([begin("1@aa", "5@aa", true), set("_root", "x", &[]), end("1@aa", "6@aa")]), 1, Wrong::MarkUnpaired);
    refused(json!([begin("1@aa", "5@aa", true), begin("1@aa", "5@aa", true)]), 1, Wrong::MarkUnpaired);
    refused(json!([begin("3@aa", "_head", true), end("3@aa", "8@aa")]), 0, Wrong::MarkOutsideText);
    refused(json!([begin("1@aa", "5@aa", false), end("1@aa", "6@aa")]), 0, Wrong::MarkNotInserted);
    refused(json!([begin("1@aa", "5@aa", true), end("1@aa", "5@aa")]), 1, Wrong::MarkOrder);
    refused(json!([begin("1@aa", "6@aa", true), end("1@aa", "5@aa")]), 1, Wrong::MarkOrder);
    refused(json!([begin("1@aa", "6@aa", true), end("1@aa", "_head")]), 1, Wrong::MarkOrder);
    accepted(json!([begin("1@aa", "5@aa", true), end("1@aa", "6@aa")]));
    accepted(json!([begin("1@aa", "6@aa", true), end("1@aa", "14@bb")]));
    let text = json!({"action": "makeText", "obj": "_root", "key": "second", "pred": []});
    refused(json!([text, begin("1@aa", "5@aa", true), end("14@bb", "_head")]), 2, Wrong::MarkUnpaired);
}

#[test]
fn nesting_keys_and_values_are_bounded() {
    let nest = |count: u64| -> Value {
        let made = (0..count).map(|n| {
            let obj = if n == 0 { "_root".to_owned() } else { format!("{}@bb", 13 + n) };
            json!({"action": "makeMap", "obj": obj, "key": "deep", "pred": []})
        });
        made.collect()
    };
    accepted(nest(100));
    refused(nest(300), 100, Wrong::TooDeep { depth: 101, max: 100 });
    let bounds = |op: Value, what: &'static str, count: u64, max: u64| {
        let (mut gate, first, _) = document();
        let refused = gate.admit(&change(B, 1, 14, &[&first], json!([op])));
        assert_eq!(refused, Err(Refusal::Bounds(ScanError::TooMany { what, count, max })));
    };
    bounds(set("_root", &"k".repeat(2000), &[]), "key bytes", 2000, 1024);
    let long = json!({"action": "set", "obj": "_root", "key": "k", "value": "v".repeat((2 << 20) + 1), "pred": []});
    bounds(long, "value bytes", (2 << 20) + 1, 2 << 20);
}

#[test]
fn the_header_fits_the_history() {
    let (gate, first, beside) = document();
    let ops = || json!([{"action": "set", "obj": "_root", "key": "x", "value": 1, "pred": []}]);
    let admit = |change: &Change| gate.clone().admit(change);
    let other = change(B, 1, 1, &[], json!([]));
    let id = |actor: &str| actor.try_into().expect("an actor");
    assert_eq!(
        admit(&change(B, 5, 14, &[&first], ops())),
        Err(Refusal::Place(TableError::SeqGap { actor: id(B), seq: 5, held: 0 }))
    );
    let twice = change(A, 1, 14, &[&first], ops());
    let held = first.hash();
    assert_eq!(admit(&twice), Err(Refusal::Place(TableError::Equivocation { actor: id(A), seq: 1, held })));
    assert_eq!(admit(&first), Err(Refusal::Place(TableError::Held)));
    assert_eq!(admit(&change(C, 2, 14, &[&other], ops())), Err(Refusal::Place(TableError::MissingDep(other.hash()))));
    assert_eq!(admit(&change(C, 2, 14, &[&first], ops())), Err(Refusal::PreviousNotAncestor { seq: 1 }));
    assert_eq!(admit(&change(B, 1, 14, &[&first, &first], ops())), Err(Refusal::DepOrder));
    assert_eq!(admit(&change(B, 1, 1, &[&first], ops())), Err(Refusal::StartTooLow { start_op: 1, highest: 13 }));
    assert_eq!(admit(&change(B, 1, 13, &[&first], ops())), Err(Refusal::StartTooLow { start_op: 13, highest: 13 }));
    let (start_op, max) = (14 + (1 << 20) + 1, 14 + (1 << 20));
    assert_eq!(admit(&change(B, 1, start_op, &[&first], ops())), Err(Refusal::StartTooHigh { start_op, max }));
    assert_eq!(admit(&change(B, 1, max, &[&first], ops())), Ok(()));
    let last = OP_COUNTER_MAX;
    let exhausted = Refusal::CountersExhausted { last, max: last - 1 };
    assert_eq!(admit(&change(B, 1, last, &[&first], ops())), Err(exhausted));
    let near_max = admit(&change(B, 1, u64::from(u32::MAX) - 1, &[&first], ops()));
    assert_eq!(near_max, Err(Refusal::Bounds(ScanError::OutOfRange("start_op"))));
    let empty = |start| change(B, 1, start, &[&first], json!([]));
    assert_eq!(admit(&empty(15)), Err(Refusal::EmptyStart { start_op: 15, expected: 14 }));
    assert_eq!(admit(&empty(14)), Ok(()));
    assert_eq!(admit(&change(B, 1, 14, &[&first, &beside], ops())), Ok(()));
}

#[test]
fn counters_skipped_are_charged_to_their_actor() {
    let (mut gate, first, _) = document();
    gate.limits.gap_total_max = 100;
    let ops = json!([{"action": "set", "obj": "_root", "key": "x", "value": 1, "pred": []}]);
    let once = change(B, 1, 14 + 60, &[&first], ops.clone());
    assert_eq!(gate.admit(&once), Ok(()));
    assert_eq!(gate.index.skipped(2), 60);
    let again = change(B, 2, 75 + 60, &[&once], ops.clone());
    assert_eq!(gate.admit(&again), Err(Refusal::SkippedTooMany { skipped: 120, max: 100 }));
    assert_eq!(gate.admit(&change(A, 2, 75 + 60, &[&once], ops)), Ok(()));
}

#[test]
fn actors_heads_times_and_footers_are_bounded() {
    let (gate, first, _) = document();
    let make = |edit: &dyn Fn(&mut ExpandedChange)| {
        let mut made = change(B, 1, 14, &[&first], json!([])).decode();
        edit(&mut made);
        expanded(made)
    };
    let admit = |change: &Change, limits: ChangeLimits| Gate { limits, ..gate.clone() }.admit(change);
    let plain = make(&|_| ());
    let limits = ChangeLimits::default();
    let few = |actors_max, heads_max| ChangeLimits { actors_max, heads_max, ..limits };
    assert_eq!(admit(&plain, few(2, 9)), Err(Refusal::TooManyActors(2)));
    assert_eq!(admit(&plain, few(3, 2)), Ok(()));
    let new_head = change(B, 1, 1, &[], json!([]));
    assert_eq!(admit(&new_head, few(3, 2)), Err(Refusal::TooManyHeads(2)));
    let unseen = change(C, 2, 14, &[&first, &gate_beside()], json!([]));
    assert_eq!(admit(&unseen, ChangeLimits { seen_steps_max: 0, ..limits }), Err(Refusal::TooManySteps));
    let out = |what| Err(Refusal::Bounds(ScanError::OutOfRange(what)));
    assert_eq!(admit(&make(&|c| c.time = (1 << 53) + 1), limits), out("time"));
    assert_eq!(admit(&make(&|c| c.time = -(1 << 53)), limits), Ok(()));
    assert_eq!(admit(&make(&|c| c.actor_id = (&[][..]).into()), limits), out("actor"));
    let long = Err(Refusal::Bounds(ScanError::TooMany { what: "actor bytes", count: 65, max: 64 }));
    assert_eq!(admit(&make(&|c| c.actor_id = (&[7; 65][..]).into()), limits), long);
    assert_eq!(admit(&make(&|c| c.extra_bytes = vec![1, 2, 7, 7]), limits), Ok(()));
    assert_eq!(admit(&make(&|c| c.extra_bytes = vec![1, 2, 7, 7, 7]), limits), Err(Refusal::Footer(5)));
    assert_eq!(admit(&make(&|c| c.extra_bytes = vec![2, 2, 7, 7]), limits), Err(Refusal::Footer(4)));
    let mut second = change(A, 2, 14, &[&first], json!([])).decode();
    second.extra_bytes = vec![1, 2, 7, 7];
    assert_eq!(admit(&expanded(second), limits), Err(Refusal::Footer(4)));
    let seq = make(&|c| c.seq = 1 << 32);
    assert_eq!(Parsed::parse(seq.raw_bytes(), &limits), Err(ChangeError::Scan(ScanError::OutOfRange("seq"))));
    let unknown = change(B, 1, 14, &[&first], json!([set("1@dd", "k", &[])]));
    assert_eq!(admit(&unknown, limits), Err(Refusal::UnknownActor("dd".try_into().expect("an actor"))));
}

fn gate_beside() -> Change {
    document().2
}

#[test]
fn a_mark_whose_ends_lie_too_far_apart_is_refused() {
    let (mut gate, first, _) = document();
    gate.limits.order_steps_max = 1;
    let ops = json!([
        {"action": "markBegin", "obj": "1@aa", "elemId": "5@aa", "insert": true, "name": "m", "value": 1, "expand": false, "pred": []},
        {"action": "markEnd", "obj": "1@aa", "elemId": "6@aa", "insert": true, "expand": false, "pred": []},
    ]);
    let refused = Err(Refusal::Operation { index: 1, wrong: Wrong::MarkTooFar });
    assert_eq!(gate.admit(&change(B, 1, 14, &[&first], ops)), refused);
}

/// One operation that sets a key of the root, taken apart.
fn simple() -> Chunk {
    Chunk::parse(change(A, 1, 1, &[], json!([set("_root", "x", &[])])).raw_bytes())
}

fn parse(bytes: &[u8]) -> Result<(), ScanError> {
    match Parsed::parse(bytes, &ChangeLimits::default()) {
        Ok(_) => Ok(()),
        Err(ChangeError::Scan(reason)) => Err(reason),
        Err(other) => panic!("refused after the scan: {other}"),
    }
}

/// A run of `count` times one byte's value.
fn run(count: u64, value: u8) -> Vec<u8> {
    let mut out = Vec::new();
    // Signed: a leading zero bit keeps it positive.
    let mut rest = count;
    while rest >= 0x40 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.extend([rest as u8, value]);
    out
}

#[test]
fn run_length_bombs_are_refused_before_they_go_off() {
    let many: u64 = 5_000_000;
    let bomb = simple().with(0x42, &run(many, 1)).with(0x56, &run(many, 0)).with(0x70, &run(many, 0));
    assert!(bomb.build().len() < 80);
    assert_eq!(parse(&bomb.build()), Err(ScanError::TooMany { what: "operations", count: many, max: 200_000 }));
    let preds =
        simple().with(0x70, &[1, 0xc0, 0x84, 0x3d]).with(0x71, &run(1_000_000, 0)).with(0x73, &run(1_000_000, 1));
    assert_eq!(parse(&preds.build()), Err(ScanError::TooMany { what: "predecessors", count: 1_000_000, max: 200_000 }));
    let ragged = simple().with(0x15, &[0xc0, 0x84, 0x3d, 1, b'x']);
    assert_eq!(parse(&ragged.build()), Err(ScanError::TooMany { what: "keys", count: 1_000_000, max: 1 }));
    let short = simple().with(0x34, &[0]);
    assert_eq!(parse(&short.build()), Err(ScanError::Rows { column: "insert", rows: 0, expected: 1 }));
}

#[test]
fn columns_are_the_known_ones_and_within_range() {
    let range = |what| Err(ScanError::OutOfRange(what));
    assert_eq!(parse(&simple().build()), Ok(()));
    assert_eq!(parse(&simple().with(0x42, &[0x7f, 8]).build()), range("operations"));
    assert_eq!(parse(&simple().with(0x01, &[0x7f, 1]).with(0x02, &[0x7f, 1]).build()), range("object actors"));
    assert_eq!(parse(&simple().with(0x11, &[0x7f, 9]).build()), range("key actors"));
    assert_eq!(parse(&simple().with(0x13, &[0x7f, 0x7f]).build()), range("key counters"));
    assert_eq!(parse(&simple().with(0x13, &[0x7f, 0x81, 0x80, 0x80, 0x80, 0x08]).build()), range("key counters"));
    let pred = simple().with(0x70, &[0x7f, 2]).with(0x71, &[2, 0]).with(0x73, &[0x7e, 3, 0x7c]);
    assert_eq!(parse(&pred.build()), range("predecessor counters"));
    assert_eq!(parse(&simple().with(0x62, &[0x7f, 1]).build()), Err(ScanError::Column(0x62)));
    assert_eq!(parse(&simple().with(0x1b5, &[0x7f, 1]).build()), Err(ScanError::Column(0x1b5)));
    let mut twisted = simple();
    twisted.columns.reverse();
    assert!(matches!(parse(&twisted.build()), Err(ScanError::Column(_))));
    let values = simple().with(0x57, &[1, 2]);
    assert_eq!(parse(&values.build()), Err(ScanError::Rows { column: "values", rows: 2, expected: 1 }));
    assert_eq!(parse(&simple().with(0x42, &[0, 1]).build()), Err(ScanError::Null("operations")));
}

#[test]
fn only_plain_changes_are_taken() {
    let whole = simple().build();
    for kind in [0, 2, 3, 9] {
        assert_eq!(parse(&wrap(kind, body(&whole))), Err(ScanError::ChunkType(kind)));
    }
    assert_eq!(parse(b"no automerge chunk"), Err(ScanError::Magic));
    for end in 0..whole.len() {
        assert!(parse(&whole[..end]).is_err(), "cut at {end}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert_eq!(parse(&longer), Err(ScanError::Leftover(1)));
    let mut overlong = vec![1, 0x80 | body(&whole).len() as u8, 0];
    overlong.splice(0..0, whole[..8].iter().copied());
    overlong.extend(body(&whole));
    assert_eq!(parse(&overlong), Err(ScanError::Number("length")));
    let mut wrong_sum = whole.clone();
    wrong_sum[4] ^= 1;
    assert_eq!(Parsed::parse(&wrong_sum, &ChangeLimits::default()), Err(ChangeError::Checksum));
    let mut deps = Vec::new();
    unsigned(&mut deps, 5_000);
    assert_eq!(parse(&wrap(1, &deps)), Err(ScanError::TooMany { what: "deps", count: 5_000, max: 1_024 }));
    let big = vec![0; (4 << 20) + 1];
    assert_eq!(parse(&big), Err(ScanError::TooLong { bytes: (4 << 20) + 1, max: 4 << 20 }));
}

#[test]
fn a_change_that_automerge_would_write_otherwise_is_refused() {
    let other_bytes = [
        // One operation as a run of one instead of a literal.
        simple().with(0x42, &[1, 1]),
        // An expand flag on what is no mark.
        simple().with(0x94, &[0, 1]),
        // A mark name on what is no mark.
        simple().with(0xa5, &[0x7f, 1, b'm']),
        // A key written as two runs' worth of nothing before it.
        simple().with(0x34, &[1, 0]),
    ];
    for chunk in other_bytes {
        let parsed = Parsed::parse(&chunk.build(), &ChangeLimits::default()).expect("automerge reads it");
        assert_eq!(Gate::default().admit_parsed(&parsed), Err(Refusal::NotCanonical), "{chunk:?}");
    }
}
