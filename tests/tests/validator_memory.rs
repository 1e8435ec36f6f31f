//! How much memory the way from bytes to an admitted change takes at its worst, for what is refused and for what is taken.
//!
//! One test in a binary of its own: its allocator counts for the whole process.

use std::alloc::System;
use std::num::NonZeroU64;

use automerge::legacy::{ElementId, Key, MarkData, ObjectId, Op, OpId, OpType};
use automerge::{ActorId, ChangeHash, ExpandedChange, ObjType, ScalarValue};
use peakmem_alloc::{INSTRUMENTED_SYSTEM, PeakMemAlloc, PeakMemAllocTrait};
use rejoin_fuzz::chunk;
use sync_core::change::{Change, ChangeError};
use sync_core::limits::{ChangeLimits, PackLimits};
use sync_core::op_index::OpIndex;
use sync_core::pack::{self, PackError};
use sync_core::table::ChangeTable;
use sync_core::validator::{Refusal, Wrong, admit};

#[global_allocator]
static ALLOCATOR: &PeakMemAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Most bytes at once for a change that is refused before it is parsed, beyond its own.
const UNPARSED_BYTES_MAX: usize = 4 << 10;
/// Most bytes at once for one operation of a change that is parsed, whether it is taken or refused.
const OPERATION_BYTES_MAX: usize = 400;
/// Most bytes that one entry of the op index keeps.
const ENTRY_BYTES_MAX: usize = 64;
/// Most bytes at once to take a pack apart.
const PACK_BYTES_MAX: usize = 48 << 20;

const MOST: u64 = 200_000;

fn id(counter: u64) -> OpId {
    OpId::new(counter, &ActorId::from([7; 16]))
}

fn change(seq: u64, start: u64, deps: Vec<ChangeHash>, operations: Vec<Op>) -> automerge::Change {
    automerge::Change::from(ExpandedChange {
        operations,
        actor_id: ActorId::from([7; 16]),
        hash: None,
        seq,
        start_op: NonZeroU64::new(start).expect("not zero"),
        time: 0,
        message: None,
        author: None,
        deps,
        extra_bytes: Vec::new(),
    })
}

fn key() -> Key {
    Key::Map("k".into())
}

fn op(obj: ObjectId, key: Key, insert: bool, action: OpType, pred: Vec<OpId>) -> Op {
    Op { obj, key, insert, action, pred: pred.into() }
}

/// Nothing, whose value takes no byte.
fn put(pred: Vec<OpId>) -> Op {
    op(ObjectId::Root, key(), false, OpType::Put(ScalarValue::Null), pred)
}

fn text() -> Op {
    op(ObjectId::Root, key(), false, OpType::Make(ObjType::Text), vec![])
}

fn insert(after: ElementId, action: OpType) -> Op {
    op(ObjectId::Id(id(1)), Key::Seq(after), true, action, vec![])
}

fn mark(number: u64) -> [Op; 2] {
    let data = MarkData { name: "m".into(), value: ScalarValue::Null, expand: false };
    let begun = ElementId::Id(id(2 + 2 * number));
    [insert(ElementId::Head, OpType::MarkBegin(data)), insert(begun, OpType::MarkEnd(false))]
}

/// Changes of the most operations there may be, in few bytes, each kind of which weighs on something else.
fn heaviest() -> Vec<(&'static str, Vec<Op>)> {
    let half = MOST / 2;
    let nothing = || OpType::Put(ScalarValue::Null);
    let make = |_| op(ObjectId::Root, key(), false, OpType::Make(ObjType::Map), vec![]);
    let typed = |n| insert(if n == 1 { ElementId::Head } else { ElementId::Id(id(n)) }, nothing());
    let delete = |n| op(ObjectId::Root, key(), false, OpType::Delete, vec![id(n)]);
    let named = |n: u64| op(ObjectId::Root, Key::Map(n.to_string().into()), false, nothing(), vec![]);
    vec![
        ("one key again and again", (0..MOST).map(|_| put(vec![])).collect()),
        ("one key over itself", (0..MOST).map(|n| put(if n == 0 { vec![] } else { vec![id(n)] })).collect()),
        ("objects", (0..MOST).map(make).collect()),
        ("typed", std::iter::once(text()).chain((1..MOST).map(typed)).collect()),
        (
            "typed backwards",
            std::iter::once(text()).chain((1..MOST).map(|_| insert(ElementId::Head, nothing()))).collect(),
        ),
        ("marks", std::iter::once(text()).chain((0..half - 1).flat_map(mark)).collect()),
        ("all predecessors", (0..half).map(|_| put(vec![])).chain([put((1..=half).map(id).collect())]).collect()),
        ("deletes", (0..half).map(|_| put(vec![])).chain((1..=half).map(delete)).collect()),
        ("keys", (0..MOST).map(named).collect()),
    ]
}

/// The most bytes at once that something takes, beyond what is there before.
fn peak<T>(run: impl FnOnce() -> T) -> (T, usize) {
    ALLOCATOR.reset_peak_memory();
    let done = run();
    (done, ALLOCATOR.get_peak_memory())
}

fn run_of(count: u64, value: u8) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), count);
    while rest >= 0x40 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.extend([rest as u8, value]);
    out
}

fn bombs_do_not_go_off(report: &mut Vec<String>) {
    let simple = chunk::Chunk::parse(change(1, 1, vec![], vec![put(vec![])]).raw_bytes());
    for count in [MOST + 1, 5_000_000, 50_000_000, i64::MAX as u64] {
        let bomb =
            simple.clone().with(0x42, &run_of(count, 1)).with(0x56, &run_of(count, 0)).with(0x70, &run_of(count, 0));
        let bytes = bomb.build();
        let (parsed, bytes_max) = peak(|| Change::parse(&bytes, &ChangeLimits::default()));
        assert!(matches!(parsed, Err(ChangeError::Scan(_))), "{count}: {parsed:?}");
        assert!(bytes_max <= UNPARSED_BYTES_MAX, "{count}: {bytes_max} bytes");
        report.push(format!("{:>7} bytes, {count} operations, refused unparsed: {bytes_max} bytes", bytes.len()));
    }
}

fn heaviest_changes_take_what_their_operations_take(report: &mut Vec<String>) {
    let limits = ChangeLimits::default();
    for (name, mut operations) in heaviest() {
        for taken in [true, false] {
            if !taken {
                let wrong = op(ObjectId::Id(id(1 << 30)), key(), false, OpType::Put(ScalarValue::Null), vec![]);
                *operations.last_mut().expect("many") = wrong;
            }
            let count = operations.len();
            let bytes = change(1, 1, vec![], operations.clone()).raw_bytes().to_vec();
            let (table, mut index) = (ChangeTable::new(), OpIndex::new());
            let (outcome, bytes_max) = peak(|| {
                let parsed = Change::parse(&bytes, &limits).expect("well formed");
                admit(&parsed, &table, &mut index, &limits)
            });
            let fault = matches!(outcome, Err(Refusal::Operation { wrong: Wrong::NotPast(_), .. }));
            assert!(outcome == Ok(()) && taken || fault && !taken, "{name}: {outcome:?}");
            let bound = OPERATION_BYTES_MAX * count + 2 * bytes.len();
            assert!(bytes_max <= bound, "{name}: {bytes_max} bytes for {count} operations");
            let (kept, entries) = (index.bytes(), index.entries());
            assert!(kept <= ENTRY_BYTES_MAX * (entries + 16), "{name}: {kept} bytes in {entries} entries");
            let end = if taken { "taken" } else { "refused at its last operation" };
            let (size, each) = (bytes.len(), bytes_max / count);
            report
                .push(format!("{size:>7} bytes, {name}, {end}: {bytes_max} bytes, {each} an operation; keeps {kept}"));
        }
    }
}

/// A pack says even more in a byte than a change does.
fn packs_are_taken_apart_within_their_bound(report: &mut Vec<String>) {
    let limits = PackLimits::default();
    let mut changes: Vec<Change> = Vec::new();
    for seq in 1..=100u64 {
        let deps = changes.last().map(|c| vec![c.hash()]).unwrap_or_default();
        let made = change(seq, 1 + (seq - 1) * MOST, deps, (0..MOST).map(|_| put(vec![])).collect());
        changes.push(Change::from_automerge(made).expect("small"));
    }
    let many = pack::encode(&changes, 0, &ChangeTable::new()).expect("packed");
    let held = ChangeTable::new();
    let (refused, bytes_max) = peak(|| pack::decode(&many, &held, &limits).map(drop));
    assert_eq!(refused, Err(PackError::TooLarge("operations")));
    assert!(bytes_max <= UNPARSED_BYTES_MAX * changes.len(), "{bytes_max} bytes");
    report.push(format!("{:>7} bytes, a pack of {} operations, refused: {bytes_max} bytes", many.len(), 100 * MOST));
    let alone = pack::encode(&changes[..1], 0, &held).expect("packed");
    assert_eq!(pack::decode(&alone, &held, &limits).map(|u| u.changes.len()), Ok(1));
    assert!(limits.operations_max >= limits.change.operations_max, "a change that may be made can be sent");

    let mut zeros = vec![0x81, 1, 0, 0];
    zeros.extend([0; 8]);
    let mut deflate = flate2::write::DeflateEncoder::new(zeros, flate2::Compression::best());
    std::io::Write::write_all(&mut deflate, &vec![0; 100 << 20]).expect("in memory");
    let zeros = deflate.finish().expect("in memory");
    let (refused, bytes_max) = peak(|| pack::decode(&zeros, &held, &limits).map(drop));
    assert_eq!(refused, Err(PackError::TooLarge("bytes once inflated")));
    assert!(bytes_max <= PACK_BYTES_MAX, "{bytes_max} bytes");
    report.push(format!("{:>7} bytes, a pack of 100 MiB of zeros, refused: {bytes_max} bytes", zeros.len()));

    let text = || op(ObjectId::Root, key(), false, OpType::Put("v".repeat(2 << 20).as_str().into()), vec![]);
    let mut large: Vec<Change> = Vec::new();
    for seq in 1..=3u64 {
        let deps = large.last().map(|c| vec![c.hash()]).unwrap_or_default();
        large.push(Change::from_automerge(change(seq, seq, deps, vec![text()])).expect("small"));
    }
    let large = pack::encode(&large, 0, &held).expect("packed");
    let (taken, bytes_max) = peak(|| pack::decode(&large, &held, &limits).map(|u| u.changes.len()));
    assert_eq!(taken, Ok(3));
    assert!(bytes_max <= PACK_BYTES_MAX, "{bytes_max} bytes");
    report.push(format!("{:>7} bytes, a pack of 6 MiB of text, taken: {bytes_max} bytes", large.len()));
}

#[test]
fn memory_is_bounded_by_what_is_counted_before_it_is_used() {
    let mut report = Vec::new();
    bombs_do_not_go_off(&mut report);
    heaviest_changes_take_what_their_operations_take(&mut report);
    packs_are_taken_apart_within_their_bound(&mut report);
    println!("{}", report.join("\n"));
}
