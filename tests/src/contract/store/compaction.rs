//! The part of the contract about compaction: what may take the place of what.

use bytes::Bytes;
use sync_core::id::{Digest, LogSeq};
use sync_core::storage::{Append, Compaction, Store, StoreError, StoredPack, StoredSnapshot};

use super::{Fixture, Writer, commit_ok, load_all};

/// One pack over several appends.
fn over(appends: &[Append]) -> StoredPack {
    let (first, last) = (&appends[0].pack, &appends[appends.len() - 1].pack);
    StoredPack {
        first: first.first,
        count: (last.last().0 - first.first.0 + 1) as u32,
        digest: last.digest,
        bytes: Bytes::from(vec![9; 30]),
        outside: Some(Bytes::from_static(b"from before")),
    }
}

fn compaction(of: &Append, packs: Vec<StoredPack>, snapshot: Option<StoredSnapshot>) -> Compaction {
    Compaction { document: of.document.clone(), incarnation: of.incarnation, packs, snapshot }
}

fn snapshot(at: &StoredPack) -> StoredSnapshot {
    StoredSnapshot { seq: at.last(), digest: at.digest, bytes: Bytes::from(vec![5; 40]) }
}

fn refused(store: &mut dyn Store, step: &Compaction) {
    let before = (load_all(store, &step.document), store.open(&step.document, usize::MAX).expect("opens"));
    let error = store.compact(step).expect_err("it does not fit");
    assert!(matches!(error, StoreError::HeadMoved { .. }), "{error}");
    let after = (load_all(store, &step.document), store.open(&step.document, usize::MAX).expect("opens"));
    assert_eq!(after, before, "a refused compaction left something");
}

pub(super) fn packs_take_the_place_of_others(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let (mut a, mut b) = (Writer::new("a", 1), Writer::new("b", 2));
    let appends: Vec<_> = (0..9).map(|i| a.next(1 + i % 3, 20)).collect();
    commit_ok(&mut *store, &appends);
    commit_ok(&mut *store, &[b.next(1, 4)]);
    assert_eq!(store.open(&a.document, usize::MAX).expect("opens"), load_all(&mut *store, &a.document));
    let (one, two) = (over(&appends[..3]), over(&appends[3..6]));
    let step = compaction(&appends[0], vec![one.clone(), two.clone()], Some(snapshot(&two)));
    store.compact(&step).expect("compacts");
    let rest = appends[6..].iter().map(|x| x.pack.clone());
    let all: Vec<_> = [one.clone(), two.clone()].into_iter().chain(rest.clone()).collect();
    let loaded = load_all(&mut *store, &a.document);
    assert_eq!((loaded.record, loaded.packs, loaded.snapshot), (Some(a.record()), all, None));
    let opened = store.open(&a.document, usize::MAX).expect("opens");
    assert_eq!(opened.record, Some(a.record()));
    assert_eq!(opened.packs, rest.collect::<Vec<_>>(), "from the snapshot on");
    assert_eq!(opened.snapshot, Some(snapshot(&two)));
    let middle = store.load(&a.document, LogSeq(one.last().0 + 1), 0).expect("loads").packs;
    assert_eq!(middle, vec![two.clone()], "ranges begin inside a pack");
    // Again, over a pack that compaction wrote, without a new snapshot; and appends go on.
    let mut again = appends[3..9].to_vec();
    again[0].pack = two;
    let wide = over(&again);
    store.compact(&compaction(&appends[0], vec![wide.clone()], None)).expect("compacts");
    let next = a.next(2, 7);
    commit_ok(&mut *store, std::slice::from_ref(&next));
    if fixture.persists() {
        drop(store);
        store = fixture.open();
    }
    assert_eq!(load_all(&mut *store, &a.document).packs, vec![one, wide.clone(), next.pack.clone()]);
    let opened = store.open(&a.document, usize::MAX).expect("opens");
    assert_eq!(opened.packs, vec![wide, next.pack], "the pack that reaches beyond the snapshot comes whole");
    assert!(opened.snapshot.is_some());
    assert_eq!(load_all(&mut *store, &b.document).record, Some(b.record()), "others are untouched");
    assert!(store.delete(&a.document).expect("deletes"));
    assert_eq!(store.open(&a.document, usize::MAX).expect("opens").snapshot, None, "it goes with its document");
}

pub(super) fn only_whole_ranges_are_replaced(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let mut a = Writer::new("a", 1);
    let appends: Vec<_> = (0..5).map(|_| a.next(3, 20)).collect();
    let fits = |packs| compaction(&appends[0], packs, None);
    refused(&mut *store, &fits(vec![over(&appends[..2])]));
    commit_ok(&mut *store, &appends);
    let good = over(&appends[1..3]);
    let (before, after) = (over(&appends[..1]), over(&appends[3..4]));
    let wrong = |change: fn(&mut StoredPack)| {
        let mut pack = good.clone();
        change(&mut pack);
        pack
    };
    let begins_inside = wrong(|p| (p.first, p.count) = (p.first.plus(1), p.count - 1));
    let bad = [
        vec![],
        vec![begins_inside],
        vec![wrong(|p| p.count -= 1)],
        vec![wrong(|p| p.count += 100)],
        vec![wrong(|p| p.digest = Digest([7; 8]))],
        vec![wrong(|p| p.outside = None)],
        vec![before, after],
    ];
    for packs in bad {
        refused(&mut *store, &fits(packs));
    }
    let mut other = fits(vec![good.clone()]);
    other.incarnation.0[0] ^= 1;
    refused(&mut *store, &other);
    store.compact(&fits(vec![good.clone()])).expect("the range alone fits");
    assert!(store.delete(&a.document).expect("deletes"));
    refused(&mut *store, &fits(vec![good]));
}

pub(super) fn a_failed_compaction_changes_nothing(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let mut a = Writer::new("a", 1);
    let appends: Vec<_> = (0..4).map(|_| a.next(1, 4)).collect();
    commit_ok(&mut *store, &appends);
    let before = load_all(&mut *store, &a.document);
    if !fixture.break_writes(true) {
        return;
    }
    let mut large = over(&appends);
    large.bytes = Bytes::from(vec![3; 200_000]);
    let step = compaction(&appends[0], vec![large.clone()], Some(snapshot(&large)));
    let error = store.compact(&step).expect_err("writes are broken");
    assert!(error.is_retryable(), "{error}");
    assert_eq!(load_all(&mut *store, &a.document), before);
    assert!(fixture.break_writes(false));
    store.compact(&step).expect("compacts");
    assert_eq!(load_all(&mut *store, &a.document).packs, vec![large]);
}
