//! Poison in a change's header: its place, its counters, its author.

use automerge::{Change, ExpandedChange};
use serde_json::{Value, json};
use sync_core::change::ScanError;
use sync_core::document::{InitValue, init_change};
use sync_core::id::ChangeHash;
use sync_core::limits::OP_COUNTER_MAX;
use sync_core::table::TableError;
use sync_core::validator::Refusal;

use super::{A, B, C, Table, change, document, expanded, set};

fn ops() -> Value {
    json!([set("_root", "x", &[])])
}

fn edited(change: &Change, edit: impl FnOnce(&mut ExpandedChange)) -> Change {
    let mut made = change.decode();
    edit(&mut made);
    expanded(made)
}

/// Changes that stand beside the poison and are in order.
pub(super) fn honest() -> Vec<Change> {
    let (_, first, beside) = document();
    let empty = change(B, 1, 14, &[&first], json!([]));
    vec![
        change(B, 1, 14 + (1 << 20), &[&first], ops()),
        change(B, 1, 14, &[&first, &beside], ops()),
        edited(&empty, |c| c.time = -(1 << 53)),
        edited(&empty, |c| c.extra_bytes = vec![1, 2, 7, 7]),
        edited(&empty, |c| c.actor_id = (&[7; 64][..]).into()),
        empty,
        init_change("items", InitValue::Map).expect("a key").into_automerge(),
    ]
}

pub(super) fn places(t: &mut Table) {
    let (_, first, beside) = document();
    let id = |actor: &str| actor.try_into().expect("an actor");
    for seq in [2, 5, u32::MAX] {
        let gap = Refusal::Place(TableError::SeqGap { actor: id(B), seq, held: 0 });
        t.change("a seq ahead of a new actor", &change(B, u64::from(seq), 14, &[&first], ops()), gap);
    }
    let gap = Refusal::Place(TableError::SeqGap { actor: id(A), seq: 3, held: 1 });
    t.change("a seq left out", &change(A, 3, 14, &[&first], ops()), gap);
    let fork = |actor, held| Refusal::Place(TableError::Equivocation { actor: id(actor), seq: 1, held });
    t.change("another first change of aa", &change(A, 1, 14, &[&first], ops()), fork(A, first.hash()));
    t.change("another first change of cc", &change(C, 1, 1, &[], ops()), fork(C, beside.hash()));
    let stranger = change("ee", 1, 1, &[], json!([]));
    let missing = Refusal::Place(TableError::MissingDep(stranger.hash()));
    t.change("a dep nobody holds", &change(C, 2, 14, &[&stranger], ops()), missing.clone());
    t.change("a dep nobody holds beside one that is held", &change(B, 1, 14, &[&first, &stranger], ops()), missing);
    let itself = ChangeHash([7; 32]);
    let invented = edited(&change(B, 1, 14, &[&first], ops()), |c| c.deps = vec![itself]);
    t.change("an invented dep", &invented, Refusal::Place(TableError::MissingDep(itself)));
    t.change(
        "the change before is no ancestor",
        &change(C, 2, 14, &[&first], ops()),
        Refusal::PreviousNotAncestor { seq: 1 },
    );
    t.change("no ancestors", &change(C, 2, 14, &[], ops()), Refusal::PreviousNotAncestor { seq: 1 });
    t.change("aa on cc alone", &change(A, 2, 14, &[&beside], ops()), Refusal::PreviousNotAncestor { seq: 1 });
    t.change("a dep named twice", &change(B, 1, 14, &[&first, &first], ops()), Refusal::DepOrder);
    t.change("a dep named thrice", &change(B, 1, 14, &[&first, &first, &first], json!([])), Refusal::DepOrder);
}

pub(super) fn counters(t: &mut Table) {
    let (_, first, beside) = document();
    for start_op in [1, 5, 13] {
        let low = Refusal::StartTooLow { start_op, highest: 13 };
        t.change("starts within its ancestors", &change(B, 1, start_op, &[&first], ops()), low.clone());
        t.change("starts within both ancestors", &change(B, 1, start_op, &[&first, &beside], ops()), low.clone());
        t.change("empty, within its ancestors", &change(B, 1, start_op, &[&first], json!([])), low.clone());
        t.change("starts within its actor's own", &change(A, 2, start_op, &[&first], ops()), low);
    }
    let max = 14 + (1 << 20);
    for start_op in [max + 1, 1 << 24, OP_COUNTER_MAX - 1_000] {
        let high = Refusal::StartTooHigh { start_op, max };
        t.change("starts far above all", &change(B, 1, start_op, &[&first], ops()), high);
    }
    let exhausted = Refusal::CountersExhausted { last: OP_COUNTER_MAX, max: OP_COUNTER_MAX - 1 };
    t.change("ends beyond the reserve", &change(B, 1, OP_COUNTER_MAX, &[&first], ops()), exhausted.clone());
    let two = json!([set("_root", "x", &[]), set("_root", "y", &[])]);
    t.change("ends beyond it by its second operation", &change(B, 1, OP_COUNTER_MAX - 1, &[&first], two), exhausted);
    for start_op in [OP_COUNTER_MAX + 1, u64::from(u32::MAX) - 1, 1 << 40, 1 << 62] {
        let change = change(B, 1, start_op, &[&first], ops());
        t.scanned("starts beyond all counters", &change, ScanError::OutOfRange("start_op"));
    }
    for start_op in [15, 16, 1 << 20] {
        let late = Refusal::EmptyStart { start_op, expected: 14 };
        t.change("empty, with a gap", &change(B, 1, start_op, &[&first], json!([])), late);
    }
    let late = Refusal::EmptyStart { start_op: 2, expected: 1 };
    t.change("empty, without ancestors, with a gap", &change(B, 1, 2, &[], json!([])), late);
}

pub(super) fn fields(t: &mut Table) {
    let (_, first, _) = document();
    let empty = change(B, 1, 14, &[&first], json!([]));
    for time in [(1 << 53) + 1, i64::MAX, -(1 << 53) - 1, i64::MIN] {
        t.scanned(
            "a time that JavaScript can't hold",
            &edited(&empty, |c| c.time = time),
            ScanError::OutOfRange("time"),
        );
    }
    for seq in [0, 1 << 32, u64::MAX] {
        t.scanned("a seq out of range", &edited(&empty, |c| c.seq = seq), ScanError::OutOfRange("seq"));
    }
    t.scanned("no actor", &edited(&empty, |c| c.actor_id = (&[][..]).into()), ScanError::OutOfRange("actor"));
    for count in [65, 1_000] {
        let long = edited(&empty, |c| c.actor_id = vec![7; count].into());
        t.scanned("a long actor", &long, ScanError::TooMany { what: "actor bytes", count: count as u64, max: 64 });
    }
    let stranger = |ops| change(B, 1, 14, &[&first], ops);
    let unknown = Refusal::UnknownActor("ff".try_into().expect("an actor"));
    t.change("an object by a stranger", &stranger(json!([set("1@ff", "k", &[])])), unknown.clone());
    t.change("a predecessor by a stranger", &stranger(json!([set("2@aa", "k", &["7@ff"])])), unknown.clone());
    let after = json!({"action": "set", "obj": "1@aa", "elemId": "5@ff", "insert": true, "value": 1, "pred": []});
    t.change("an element by a stranger", &stranger(json!([after])), unknown);
}

pub(super) fn footers(t: &mut Table) {
    let (_, first, _) = document();
    let empty = change(B, 1, 14, &[&first], json!([]));
    let mut footer = |what: &str, change: &Change, extra: Vec<u8>| {
        let refusal = Refusal::Footer(extra.len());
        t.change(what, &edited(change, |c| c.extra_bytes = extra), refusal);
    };
    footer("an author with more behind it", &empty, vec![1, 2, 7, 7, 7]);
    footer("another kind of footer", &empty, vec![2, 2, 7, 7]);
    footer("an author cut short", &empty, vec![1, 3, 7, 7]);
    footer("a byte behind the columns", &empty, vec![0]);
    footer("a kilobyte behind the columns", &empty, vec![9; 1024]);
    footer("two authors", &empty, vec![1, 1, 7, 1, 1, 8]);
    let long = [vec![1, 0x81, 0x02], vec![7; 257]].concat();
    footer("an author of 257 bytes", &empty, long);
    footer("an author in a longer length", &empty, vec![1, 0x82, 0, 7, 7]);
    footer("an author on a second change", &change(A, 2, 14, &[&first], json!([])), vec![1, 2, 7, 7]);
}

/// Whoever could forge the change that everybody makes for a root key would own that key.
pub(super) fn forged_init(t: &mut Table) {
    let (_, first, _) = document();
    let init = |key| init_change(key, InitValue::Map).expect("a key").into_automerge();
    let mut forged = |what: &str, edit: &dyn Fn(&mut ExpandedChange)| {
        t.change(what, &edited(&init("items"), edit), Refusal::ForgedInit);
    };
    let other_key = init("else").decode().operations;
    forged("another key", &|c| c.operations = other_key.clone());
    let list = init_change("items", InitValue::List).expect("a key").into_automerge().decode().operations;
    forged("another type", &|c| c.operations = list.clone());
    forged("another time", &|c| c.time = 1);
    forged("a message", &|c| c.message = Some("mine".into()));
    forged("no operation", &|c| c.operations.clear());
    forged("a dep", &|c| {
        c.deps = vec![first.hash()];
        c.start_op = std::num::NonZeroU64::new(14).expect("not zero");
    });
    forged("a later start", &|c| c.start_op = std::num::NonZeroU64::new(2).expect("not zero"));
    forged("an author", &|c| c.extra_bytes = vec![1, 2, 7, 7]);
    let extra = change(A, 1, 1, &[], ops()).decode().operations;
    forged("a second operation", &|c| c.operations.extend(extra.clone()));
}
