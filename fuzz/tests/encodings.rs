//! What the scan proves of a change's bytes is what automerge writes, by chance: the fuzz target `encodings` looks by coverage.

use std::collections::BTreeMap;

use automerge::Change;
use automerge::legacy::{Key, ObjectId, Op, OpId, OpType, SortedVec};
use automerge::transaction::Transactable as _;
use automerge::{AutoCommit, ObjType, ROOT};
use rejoin_fuzz::canonical::{self, Encoding};
use rejoin_fuzz::chunk::Chunk;
use rejoin_fuzz::editor::{Editor, actor};
use rejoin_fuzz::encodings::twist;
use rejoin_fuzz::mutants::World;
use rejoin_fuzz::panics::quietly;
use sync_core::change::Change as Parsed;
use sync_core::limits::ChangeLimits;
use sync_core::rng::Rng;

fn encoding(bytes: &[u8]) -> Option<Encoding> {
    let parsed = quietly(|| Parsed::parse(bytes, &ChangeLimits::default())).expect("parsing is guarded");
    parsed.ok().map(|change| canonical::check(&change))
}

/// Small changes of a history and on top of it, and one large change.
fn honest(seed: u64) -> Vec<Change> {
    let mut world = World::new(seed);
    let edits: Vec<Change> = (0..10).filter_map(|_| world.edit()).collect();
    let mut editor = Editor::new(seed, 1);
    let large = quietly(|| {
        editor.edit(40);
        editor.docs[0].commit();
        editor.docs[0].get_last_local_change()
    });
    world.history.into_iter().chain(edits).chain(large.ok().flatten()).collect()
}

#[test]
fn the_scan_proves_what_automerge_writes_and_nothing_else() {
    let mut rng = Rng::from_number(11);
    let rounds = std::env::var("REJOIN_ENCODING_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let mut tally: BTreeMap<(usize, String), u64> = BTreeMap::new();
    for change in (0..rounds).flat_map(honest) {
        for twists in (0..40).map(|n| n % 4) {
            let mut chunk = Chunk::parse(change.raw_bytes());
            (0..twists).for_each(|_| twist(&mut chunk, &mut rng));
            let Some(encoding) = encoding(&chunk.build()) else { continue };
            *tally.entry((twists, format!("{encoding:?}"))).or_default() += 1;
        }
    }
    println!("{tally:?}");
    let count = |twists, encoding: &str| tally.get(&(twists, encoding.to_owned())).copied().unwrap_or(0);
    assert!(count(0, "Proven") > 1_000 && count(1, "Proven") > 500 && count(1, "Other") > 1_000, "{tally:?}");
    assert_eq!(count(0, "Other") + count(0, "Undecodable"), 0, "{tally:?}");
}

#[test]
fn a_change_of_so_many_operations_that_automerge_encodes_them_row_by_row_is_proven() {
    let mut doc = AutoCommit::new().with_actor(actor(1));
    let text = doc.put_object(ROOT, "text", ObjType::Text).expect("a new key");
    doc.splice_text(&text, 0, 0, &"ab c".repeat(3_000)).expect("an empty text");
    doc.splice_text(&text, 50, 100, "").expect("within the text");
    let change = doc.get_last_local_change().expect("just made");
    assert!(change.len() > 10_000);
    assert_eq!(encoding(change.raw_bytes()), Some(Encoding::Proven));
}

/// A change with an operation in an object of each of `others` actors.
fn of_actors(others: u8) -> Change {
    let mut doc = AutoCommit::new().with_actor(actor(1));
    doc.put(ROOT, "k", 1).expect("a new key");
    let mut change = doc.get_last_local_change().expect("just made").decode();
    let op = |n| Op {
        action: OpType::Put(1.into()),
        obj: ObjectId::Id(OpId::new(1, &vec![n].into())),
        key: Key::Map("k".into()),
        pred: SortedVec::new(),
        insert: false,
    };
    change.operations = (0..others).map(op).collect();
    Change::from(change)
}

/// The same with one more actor behind the others, which nobody names.
fn with_unnamed_actor(change: &Change) -> Vec<u8> {
    let others = change.other_actor_ids().len();
    let mut chunk = Chunk::parse(change.raw_bytes());
    let at = chunk.head.len() - 2 * others - 1;
    assert_eq!(usize::from(chunk.head[at]), others);
    chunk.head[at] += 1;
    chunk.head.extend([1, 0xff]);
    chunk.build()
}

#[test]
fn actors_that_nobody_names_are_noticed_however_many_there_are() {
    for others in [0, 1, 2, 61, 62, 63, 64, 65, 66, 100] {
        let change = of_actors(others);
        let expected = if others < 63 { Encoding::Proven } else { Encoding::Same };
        assert_eq!(encoding(change.raw_bytes()), Some(expected), "{others} actors");
        assert_eq!(encoding(&with_unnamed_actor(&change)), Some(Encoding::Other), "one more than {others} actors");
    }
}

#[test]
fn deps_in_another_order_and_a_checksum_of_something_else_are_not_proven() {
    let mut docs = [1, 2].map(|n| AutoCommit::new().with_actor(actor(n)));
    docs.iter_mut().for_each(|doc| doc.put(ROOT, "k", 1).expect("a new key"));
    let [first, second] = &mut docs;
    first.merge(second).expect("replicas merge");
    first.put(ROOT, "other", 2).expect("a new key");
    let change = first.get_last_local_change().expect("just made");
    assert_eq!(change.deps().len(), 2);
    let unchecked = |bytes: &[u8]| {
        let change =
            quietly(|| Change::try_from(bytes)).expect("no panic").expect("automerge does not compare checksums");
        canonical::check(&Parsed::from_automerge(change).expect("a seq that fits"))
    };
    let whole = change.raw_bytes();
    assert_eq!(unchecked(whole), Encoding::Proven);
    let mut sum = whole.to_vec();
    sum[5] ^= 1;
    assert_eq!(unchecked(&sum), Encoding::Other);
    let mut chunk = Chunk::parse(whole);
    chunk.head[1..65].rotate_left(32);
    assert_eq!(unchecked(&chunk.build()), Encoding::Other);
}
