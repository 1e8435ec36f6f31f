//! Hand-made changes that would break a document: one table of them, each refused for the reason it breaks, by every way in.
//!
//! Owns the table's shape and what is checked of each case by the validator alone; the ways in are in [`ways`], the cases in the modules
//! named after what they attack.

mod bytes;
mod headers;
mod host;
mod limits;
mod marks;
mod operations;
mod own;
mod peer;
mod values;
mod ways;

use automerge::{Change, ExpandedChange};
use rejoin_fuzz::gate::Gate;
use serde_json::{Value, json};
use sync_core::change::{Change as Parsed, ChangeError, ScanError};
use sync_core::limits::ChangeLimits;
use sync_core::validator::{OpName, Refusal, Wrong};

const A: &str = "aa";
const B: &str = "bb";
const C: &str = "cc";

/// What a case is refused with.
#[derive(Clone, Debug, PartialEq)]
enum Refused {
    /// The bytes are no change that is taken.
    Bytes(ChangeError),
    /// The change may not enter this document.
    Change(Refusal),
}

/// One poison: a change on top of [`document`].
#[derive(Clone, Debug)]
struct Case {
    name: String,
    bytes: Vec<u8>,
    /// The actor and seq it is sent under.
    author: (Vec<u8>, u32),
    limits: ChangeLimits,
    refused: Refused,
}

impl Case {
    /// What becomes of it at a gate.
    fn outcome(&self, gate: &mut Gate) -> Result<(), Refused> {
        let parsed = Parsed::parse(&self.bytes, &ChangeLimits::default()).map_err(Refused::Bytes)?;
        gate.limits = self.limits;
        gate.admit_parsed(&parsed).map_err(Refused::Change)
    }
}

/// The cases of one topic, numbered as they are added.
struct Table {
    topic: &'static str,
    cases: Vec<Case>,
    first: Change,
}

impl Table {
    /// Operations of `bb` on the document's first change: operation `index` of them is wrong.
    fn operations(&mut self, ops: Value, index: u32, wrong: Wrong) {
        let change = change(B, 1, 14, &[&self.first], ops.clone());
        self.add(
            ops.to_string(),
            &change,
            ChangeLimits::default(),
            Refused::Change(Refusal::Operation { index, wrong }),
        );
    }

    /// A change that is wrong as a whole.
    fn change(&mut self, what: &str, change: &Change, refusal: Refusal) {
        self.limited(what, change, ChangeLimits::default(), refusal);
    }

    /// A change that is beyond limits lower than usual.
    fn limited(&mut self, what: &str, change: &Change, limits: ChangeLimits, refusal: Refusal) {
        self.add(what.into(), change, limits, Refused::Change(refusal));
    }

    /// A change that is refused before it is parsed.
    fn scanned(&mut self, what: &str, change: &Change, error: ScanError) {
        self.raw(what, change.raw_bytes().to_vec(), ChangeError::Scan(error));
    }

    /// Bytes that are refused before they are a change.
    fn raw(&mut self, what: &str, bytes: Vec<u8>, error: ChangeError) {
        let name = self.name(what);
        let (author, limits) = ((vec![0xbb], 1), ChangeLimits::default());
        self.cases.push(Case { name, bytes, author, limits, refused: Refused::Bytes(error) });
    }

    fn add(&mut self, what: String, change: &Change, limits: ChangeLimits, refused: Refused) {
        let author =
            (change.actor_id().to_bytes().to_vec(), u32::try_from(change.seq()).expect("tests make seqs that fit"));
        let name = self.name(&what);
        self.cases.push(Case { name, bytes: change.raw_bytes().to_vec(), author, limits, refused });
    }

    fn name(&self, what: &str) -> String {
        let short: String = what.chars().take(160).collect();
        format!("{} {}: {short}", self.topic, self.cases.len() + 1)
    }
}

/// A topic, and what adds its cases.
type Topic = (&'static str, fn(&mut Table));

/// All poison there is.
fn cases() -> Vec<Case> {
    let topics: [Topic; 17] = [
        ("objects", operations::objects),
        ("elements", operations::elements),
        ("predecessors", operations::predecessors),
        ("deletes and increments", operations::deletes_and_increments),
        ("marks", marks::pairs),
        ("mark places", marks::places),
        ("values", values::sizes),
        ("nesting", values::nesting),
        ("seqs and deps", headers::places),
        ("start_op", headers::counters),
        ("header fields", headers::fields),
        ("footers", headers::footers),
        ("fixed changes", headers::forged_init),
        ("limits of a document", limits::document),
        ("run-length bombs", bytes::bombs),
        ("columns", bytes::columns),
        ("chunks and encodings", bytes::chunks),
    ];
    let make = |(topic, add): Topic| {
        let mut table = Table { topic, cases: Vec::new(), first: document().1 };
        add(&mut table);
        table.cases
    };
    topics.into_iter().flat_map(make).collect()
}

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

fn set(obj: &str, key: &str, pred: &[&str]) -> Value {
    json!({"action": "set", "obj": obj, "key": key, "value": 1, "pred": pred})
}

/// One operation that sets a key of the root.
fn json_set(key: &str) -> Value {
    json!([set("_root", key, &[])])
}

fn element(action: &str, obj: &str, elem: &str, insert: bool, pred: &[&str]) -> Value {
    let mut op = json!({"action": action, "obj": obj, "elemId": elem, "insert": insert, "pred": pred});
    if action != "del" && !action.starts_with("make") {
        op["value"] = json!(1);
    }
    op
}

fn on_key(action: &str, obj: &str, key: &str, pred: &[&str]) -> Value {
    let mut op = json!({"action": action, "obj": obj, "key": key, "pred": pred});
    if action == "inc" {
        op["value"] = json!(1);
    }
    op
}

/// The honest change that is taken after any poison was refused.
fn good(first: &Change) -> Change {
    change("dd", 1, 14, &[first], json!([set("2@aa", "new", &[])]))
}

#[test]
fn every_poison_is_refused_for_its_reason_and_changes_nothing() {
    let cases = cases();
    let mut wrong = Vec::new();
    for case in &cases {
        let (mut gate, first, _) = document();
        let outcome = case.outcome(&mut gate);
        if outcome != Err(case.refused.clone()) {
            wrong.push(format!("{}: {outcome:?} instead of {:?}", case.name, case.refused));
            continue;
        }
        assert_eq!((gate.table.len(), gate.index.highest_op()), (2, 13), "{}", case.name);
        gate.limits = ChangeLimits::default();
        assert_eq!(gate.admit(&good(&first)), Ok(()), "after {}", case.name);
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    println!("{} kinds of poison refused", cases.len());
    assert!(cases.len() > 150, "{} kinds of poison", cases.len());
}

/// Found by a test of conflicts: automerge gives up when somebody reads the place.
#[test]
fn a_counter_that_was_incremented_in_a_text_breaks_the_law() {
    let first = document().1;
    let counter = json!({"action": "set", "obj": "1@aa", "elemId": "5@aa", "insert": true, "value": 1, "datatype": "counter", "pred": []});
    let poison = change("bb", 1, 14, &[&first], json!([counter, element("inc", "1@aa", "14@bb", false, &["14@bb"])]));
    let broken = rejoin_fuzz::law::check(&[first.clone(), poison.clone()], &poison, 1).expect_err("it can't be read");
    assert!(broken.contains("panics"), "{broken}");
}

#[test]
fn no_poison_is_in_the_table_twice() {
    let cases = cases();
    let different: std::collections::BTreeSet<_> = cases.iter().map(|case| &case.bytes).collect();
    // Those beyond lowered limits are honest changes, some of them the same.
    let lowered = cases.iter().filter(|case| case.limits != ChangeLimits::default()).count();
    assert!(different.len() + lowered >= cases.len(), "{} of {} differ", different.len(), cases.len());
}

/// What stands right beside the poison and is honest.
#[test]
fn what_differs_from_poison_by_being_honest_is_taken() {
    let mark = |elem: &str, end: &str| [marks::begin("1@aa", elem, true), marks::end("1@aa", end)];
    let honest = [
        json!([element("makeMap", "3@aa", "8@aa", true, &[]), set("14@bb", "k", &[]), set("14@bb", "k", &["15@bb"])]),
        json!([element("set", "1@aa", "12@aa", true, &[]), element("set", "3@aa", "8@aa", false, &["8@aa"])]),
        json!([set("2@aa", "k", &["7@aa"]), element("del", "1@aa", "5@aa", false, &["5@aa"])]),
        json!([{"action": "inc", "obj": "_root", "key": "n", "value": -1, "pred": ["4@aa"]}]),
        json!(mark("5@aa", "6@aa")),
        json!(mark("6@aa", "14@bb")),
        values::nest("makeMap", 100),
        json!([{"action": "set", "obj": "_root", "key": "k".repeat(1024), "value": 1, "pred": []}]),
    ];
    for ops in honest {
        let (mut gate, first, _) = document();
        assert_eq!(gate.admit(&change(B, 1, 14, &[&first], ops.clone())), Ok(()), "{ops}");
    }
    headers::honest().into_iter().for_each(|change| assert_eq!(document().0.admit(&change), Ok(()), "{change:?}"));
}
