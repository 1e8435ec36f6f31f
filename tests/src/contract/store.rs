//! The contract of a server's store.

mod compaction;
mod pieces;

use std::collections::BTreeMap;

use bytes::Bytes;
use sync_core::id::{Digest, DocumentName, Incarnation, LogSeq};
use sync_core::log::digest_start;
use sync_core::storage::{Append, DocumentRecord, Durability, Loaded, Store, StoreError, StoredPack};

/// A place for one store, empty at first.
pub trait Fixture {
    /// Opens the store; what was opened before has been dropped.
    fn open(&mut self) -> Box<dyn Store>;

    /// Whether what was committed is there when the place is opened again.
    fn persists(&self) -> bool {
        true
    }

    /// Makes writes of the open store fail from now on, or work again. False if this fixture can't.
    fn break_writes(&mut self, broken: bool) -> bool {
        let _ = broken;
        false
    }
}

/// Runs the whole suite, each part in a place of its own. Panics with the part's reason.
pub fn run(make: &mut dyn FnMut() -> Box<dyn Fixture>) {
    let parts: [fn(&mut dyn Fixture); 19] = [
        unknown_document_is_nothing,
        appends_come_back_in_order,
        append_needs_the_exact_head,
        append_needs_the_digest_and_the_incarnation,
        an_inner_error_concerns_one_append,
        one_commit_may_extend_what_it_began,
        ranges_begin_inside_a_pack,
        reads_are_bounded_and_page,
        deletion_leaves_a_tombstone,
        a_deleted_document_can_be_made_again,
        documents_are_listed_in_pages,
        everything_is_there_after_reopening,
        a_failed_commit_keeps_nothing,
        compaction::packs_take_the_place_of_others,
        compaction::only_whole_ranges_are_replaced,
        compaction::a_failed_compaction_changes_nothing,
        pieces::a_snapshot_comes_back_piece_by_piece,
        pieces::only_what_stands_in_the_log_is_kept,
        pieces::a_failed_write_leaves_the_snapshot_before,
    ];
    for part in parts {
        part(make().as_mut());
    }
}

/// A writer's idea of a log, whose appends follow each other.
struct Writer {
    document: DocumentName,
    incarnation: Incarnation,
    head: LogSeq,
    digest: Digest,
}

impl Writer {
    fn new(document: &str, incarnation: u8) -> Self {
        let incarnation = Incarnation([incarnation; 8]);
        let document = name(document);
        Self { document, incarnation, head: LogSeq(0), digest: digest_start(incarnation) }
    }

    /// The next append of `count` changes in a pack of `len` bytes.
    fn next(&mut self, count: u32, len: usize) -> Append {
        let first = self.head.plus(1);
        let digest_before = self.digest;
        // Any bytes serve as a digest: a store compares them and makes none.
        let mut digest = digest_before.0;
        digest[0] = digest[0].wrapping_add(1);
        digest[1] ^= count as u8;
        let bytes = Bytes::from((0..len).map(|i| (i as u64 + first.0) as u8).collect::<Vec<_>>());
        let pack = StoredPack { first, count, digest: Digest(digest), bytes, outside: None };
        self.head = pack.last();
        self.digest = pack.digest;
        Append { document: self.document.clone(), incarnation: self.incarnation, digest_before, pack }
    }

    fn record(&self) -> DocumentRecord {
        DocumentRecord {
            incarnation: Some(self.incarnation),
            head: self.head,
            digest: self.digest,
            deleted: Vec::new(),
        }
    }
}

fn name(name: &str) -> DocumentName {
    DocumentName::parse(name).expect("a valid name")
}

fn load_all(store: &mut dyn Store, document: &DocumentName) -> Loaded {
    store.load(document, LogSeq(0), usize::MAX).expect("loads")
}

fn commit_ok(store: &mut dyn Store, appends: &[Append]) {
    let results = store.commit(appends).expect("commits");
    assert_eq!(results.len(), appends.len(), "one result an append");
    for result in results {
        assert!(matches!(result, Ok(Durability::Durable | Durability::Stored)), "append refused: {result:?}");
    }
}

/// Commits one append that must be refused with `HeadMoved`, and checks that it left no trace.
fn refused(store: &mut dyn Store, append: &Append, head: LogSeq) {
    let before = load_all(store, &append.document);
    let results = store.commit(std::slice::from_ref(append)).expect("an inner error only");
    assert_eq!(results, vec![Err(StoreError::HeadMoved { head })], "for {append:?}");
    assert_eq!(load_all(store, &append.document), before, "a refused append left something");
}

fn unknown_document_is_nothing(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    assert_eq!(load_all(&mut *store, &name("a")), Loaded::default());
    assert_eq!(store.documents(None, 10).expect("lists"), Vec::new());
    assert!(!store.delete(&name("a")).expect("deletes"), "nothing was there to delete");
    assert_eq!(load_all(&mut *store, &name("a")).record, None, "deleting nothing leaves no tombstone");
    assert_eq!(store.commit(&[]).expect("an empty commit"), Vec::new());
}

fn appends_come_back_in_order(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let (mut a, mut b) = (Writer::new("a", 1), Writer::new("a/b", 2));
    let appends = [a.next(3, 10), b.next(1, 5), a.next(1, 20), a.next(70_000, 300_000), b.next(2, 1)];
    commit_ok(&mut *store, &appends[..2]);
    commit_ok(&mut *store, &appends[2..]);
    for writer in [&a, &b] {
        let loaded = load_all(&mut *store, &writer.document);
        assert_eq!(loaded.record, Some(writer.record()));
        let want: Vec<_> = appends.iter().filter(|x| x.document == writer.document).map(|x| x.pack.clone()).collect();
        assert_eq!(loaded.packs, want, "packs of {}", writer.document);
    }
    assert_eq!(load_all(&mut *store, &name("a/b/c")).record, None, "names are whole");
}

fn append_needs_the_exact_head(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let mut a = Writer::new("a", 1);
    let mut late = Writer::new("a", 1);
    let _ = late.next(1, 1);
    refused(&mut *store, &late.next(1, 1), LogSeq(0));
    let (one, two, three) = (a.next(2, 4), a.next(1, 4), a.next(1, 4));
    commit_ok(&mut *store, std::slice::from_ref(&one));
    refused(&mut *store, &one, LogSeq(2));
    refused(&mut *store, &three, LogSeq(2));
    // The right digest does not help at another position.
    for first in [1, 2, 4] {
        let mut moved = two.clone();
        moved.pack.first = LogSeq(first);
        refused(&mut *store, &moved, LogSeq(2));
    }
    let mut empty = two.clone();
    empty.pack.count = 0;
    let results = store.commit(&[empty]).expect("an inner error only");
    assert!(results[0].is_err(), "a pack without changes was taken");
    commit_ok(&mut *store, &[two, three]);
    assert_eq!(load_all(&mut *store, &a.document).record, Some(a.record()));
}

fn append_needs_the_digest_and_the_incarnation(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let mut a = Writer::new("a", 1);
    let first = a.next(1, 4);
    let mut wrong = first.clone();
    wrong.digest_before = digest_start(Incarnation([2; 8]));
    refused(&mut *store, &wrong, LogSeq(0));
    commit_ok(&mut *store, &[first]);
    let next = a.next(1, 4);
    let mut wrong = next.clone();
    wrong.digest_before.0[7] ^= 1;
    refused(&mut *store, &wrong, LogSeq(1));
    let mut wrong = next.clone();
    wrong.incarnation = Incarnation([9; 8]);
    refused(&mut *store, &wrong, LogSeq(1));
    // Another incarnation can't begin while this one lives.
    refused(&mut *store, &Writer::new("a", 3).next(1, 4), LogSeq(1));
    commit_ok(&mut *store, &[next]);
}

fn an_inner_error_concerns_one_append(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let (mut a, mut b, mut c) = (Writer::new("a", 1), Writer::new("b", 2), Writer::new("c", 3));
    let _ = b.next(1, 1);
    let results = store.commit(&[a.next(1, 4), b.next(1, 4), c.next(2, 4)]).expect("commits");
    assert!(results[0].is_ok() && results[2].is_ok(), "the others are kept: {results:?}");
    assert_eq!(results[1], Err(StoreError::HeadMoved { head: LogSeq(0) }));
    assert_eq!(load_all(&mut *store, &a.document).record, Some(a.record()));
    assert_eq!(load_all(&mut *store, &b.document).record, None);
    assert_eq!(load_all(&mut *store, &c.document).record, Some(c.record()));
}

fn one_commit_may_extend_what_it_began(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let mut a = Writer::new("a", 1);
    let (one, two) = (a.next(1, 4), a.next(2, 4));
    let results = store.commit(&[one.clone(), one.clone(), two.clone()]).expect("commits");
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    assert_eq!(results[1], Err(StoreError::HeadMoved { head: LogSeq(1) }), "the second writer of one position loses");
    assert_eq!(load_all(&mut *store, &a.document).packs, vec![one.pack, two.pack]);
}

fn ranges_begin_inside_a_pack(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let mut a = Writer::new("a", 1);
    let appends = [a.next(3, 4), a.next(1, 4), a.next(4, 4)];
    commit_ok(&mut *store, &appends);
    for after in 0..10 {
        let loaded = store.load(&a.document, LogSeq(after), usize::MAX).expect("loads");
        let reach = |x: &&Append| x.pack.last() > LogSeq(after);
        let want: Vec<_> = appends.iter().filter(reach).map(|x| x.pack.clone()).collect();
        assert_eq!(loaded.packs, want, "after {after}");
        assert_eq!(loaded.record, Some(a.record()), "the record comes with every range");
    }
}

fn reads_are_bounded_and_page(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let mut a = Writer::new("a", 1);
    let appends: Vec<_> = (0..20).map(|i| a.next(1 + i % 3, 100)).collect();
    commit_ok(&mut *store, &appends);
    for bytes_max in [0, 1, 99, 100, 250, 1_000, 100_000] {
        let (mut after, mut packs) = (LogSeq(0), Vec::new());
        loop {
            let page = store.load(&a.document, after, bytes_max).expect("loads").packs;
            let Some(last) = page.last() else { break };
            after = last.last();
            let bytes: usize = page.iter().map(|p| p.bytes.len()).sum();
            assert!(page.len() == 1 || bytes < bytes_max + 100, "{bytes} bytes where {bytes_max} were asked for");
            assert!(page.len() > 1 || bytes_max <= 200 || after == a.head, "pages are filled");
            packs.extend(page);
        }
        assert_eq!(packs, appends.iter().map(|x| x.pack.clone()).collect::<Vec<_>>(), "pages of {bytes_max}");
    }
}

fn deletion_leaves_a_tombstone(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let (mut a, mut b) = (Writer::new("a", 1), Writer::new("a/b", 2));
    commit_ok(&mut *store, &[a.next(2, 4), b.next(1, 4)]);
    assert!(store.delete(&a.document).expect("deletes"));
    let loaded = load_all(&mut *store, &a.document);
    let record = loaded.record.expect("a tombstone stays");
    assert_eq!((record.incarnation, record.head), (None, LogSeq(0)));
    assert_eq!(record.deleted, vec![a.incarnation]);
    assert_eq!(loaded.packs, Vec::new());
    assert!(!store.delete(&a.document).expect("deletes"), "it was deleted already");
    assert_eq!(load_all(&mut *store, &a.document).record.expect("stays").deleted.len(), 1);
    refused(&mut *store, &a.next(1, 4), LogSeq(0));
    refused(&mut *store, &Writer::new("a", 1).next(1, 4), LogSeq(0));
    assert_eq!(load_all(&mut *store, &b.document).record, Some(b.record()), "others are untouched");
}

fn a_deleted_document_can_be_made_again(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let mut deleted = Vec::new();
    for round in 1..4 {
        let mut a = Writer::new("a", round);
        let append = a.next(2, usize::from(round));
        commit_ok(&mut *store, std::slice::from_ref(&append));
        let loaded = load_all(&mut *store, &a.document);
        assert_eq!(loaded.packs, vec![append.pack], "nothing of an older incarnation");
        assert_eq!(loaded.record, Some(DocumentRecord { deleted: deleted.clone(), ..a.record() }));
        assert!(store.delete(&a.document).expect("deletes"));
        deleted.push(a.incarnation);
    }
    assert_eq!(load_all(&mut *store, &name("a")).record.expect("stays").deleted, deleted, "oldest first");
}

fn documents_are_listed_in_pages(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let mut want = BTreeMap::new();
    for (i, document) in ["b", "a", "ä", "a/b", "a-b", "B", "c"].into_iter().enumerate() {
        let mut writer = Writer::new(document, i as u8 + 1);
        commit_ok(&mut *store, &[writer.next(1 + i as u32, 4)]);
        want.insert(writer.document.clone(), writer.record());
    }
    assert!(store.delete(&name("c")).expect("deletes"));
    want.remove(&name("c"));
    let want: Vec<_> = want.into_iter().collect();
    assert_eq!(store.documents(None, 100).expect("lists"), want, "live documents by the bytes of their names");
    for page_max in [1, 2, 6] {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = store.documents(after.as_ref(), page_max).expect("lists");
            assert!(page.len() <= page_max);
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            all.extend(page);
        }
        assert_eq!(all, want, "pages of {page_max}");
    }
    assert_eq!(store.documents(None, 0).expect("lists"), Vec::new());
    let between = store.documents(Some(&name("a0")), 1).expect("lists");
    assert_eq!(between[0].0, name("b"), "after a name that does not exist");
}

fn everything_is_there_after_reopening(fixture: &mut dyn Fixture) {
    if !fixture.persists() {
        return;
    }
    let mut store = fixture.open();
    let store_id = store.store_id();
    let (mut a, mut gone) = (Writer::new("a", 1), Writer::new("gone", 2));
    let one = a.next(3, 1_000);
    commit_ok(&mut *store, &[one.clone(), gone.next(1, 4)]);
    assert!(store.delete(&gone.document).expect("deletes"));
    drop(store);
    let mut store = fixture.open();
    assert_eq!(store.store_id(), store_id, "the identity is made once");
    assert_eq!(
        load_all(&mut *store, &a.document),
        Loaded { record: Some(a.record()), snapshot: None, packs: vec![one.pack.clone()] }
    );
    assert_eq!(load_all(&mut *store, &gone.document).record.expect("stays").deleted, vec![gone.incarnation]);
    refused(&mut *store, &gone.next(1, 4), LogSeq(0));
    let two = a.next(1, 4);
    commit_ok(&mut *store, std::slice::from_ref(&two));
    drop(store);
    let mut store = fixture.open();
    assert_eq!(load_all(&mut *store, &a.document).packs, vec![one.pack, two.pack]);
    drop(store);
}

fn a_failed_commit_keeps_nothing(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let (mut a, mut b) = (Writer::new("a", 1), Writer::new("b", 2));
    let first = a.next(1, 4);
    commit_ok(&mut *store, std::slice::from_ref(&first));
    let record = a.record();
    if !fixture.break_writes(true) {
        return;
    }
    // Large, so that a store with a bound on its size notices too.
    let appends = [a.next(1, 200_000), b.next(1, 200_000)];
    let error = store.commit(&appends).expect_err("writes are broken");
    assert!(error.is_retryable(), "{error}");
    store.delete(&a.document).expect_err("writes are broken");
    let loaded = load_all(&mut *store, &a.document);
    assert_eq!(
        loaded,
        Loaded { record: Some(record.clone()), snapshot: None, packs: vec![first.pack.clone()] },
        "reads go on"
    );
    assert_eq!(load_all(&mut *store, &b.document).record, None, "a part of a failed commit was kept");
    assert!(fixture.break_writes(false));
    if fixture.persists() {
        drop(store);
        store = fixture.open();
        assert_eq!(
            load_all(&mut *store, &a.document),
            Loaded { record: Some(record), snapshot: None, packs: vec![first.pack] }
        );
    }
    commit_ok(&mut *store, &appends);
    assert_eq!(load_all(&mut *store, &a.document).record, Some(a.record()));
    assert_eq!(load_all(&mut *store, &b.document).record, Some(b.record()));
}
