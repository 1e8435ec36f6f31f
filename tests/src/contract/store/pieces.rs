//! The part of the contract about snapshots for newcomers: kept whole, read piece by piece, gone with their document.

use bytes::Bytes;
use sync_core::id::{Digest, Incarnation, LogSeq};
use sync_core::limits::PIECE_BYTES;
use sync_core::storage::{Append, DocumentSnapshot, Pieces, SnapshotAt, StoreError};

use super::{Fixture, Writer, commit_ok};

/// A snapshot behind an append, of pieces that this number tells apart.
fn snapshot(behind: &Append, views: u32, total: u8, fill: u8) -> DocumentSnapshot {
    let pieces = (0..total).map(|n| Bytes::from(vec![fill + n; 100])).collect();
    let (document, incarnation) = (behind.document.clone(), behind.incarnation);
    DocumentSnapshot { document, incarnation, seq: behind.pack.last(), digest: behind.pack.digest, views, pieces }
}

fn at(snapshot: &DocumentSnapshot) -> SnapshotAt {
    let DocumentSnapshot { incarnation, seq, digest, views, .. } = *snapshot;
    SnapshotAt { incarnation, seq, digest, views, total: snapshot.pieces.len() as u32 }
}

/// All pieces from one on.
fn from(snapshot: &DocumentSnapshot, first: u32) -> Pieces {
    let pieces = (0..).zip(snapshot.pieces.clone()).skip(first as usize).collect();
    Pieces { at: Some(at(snapshot)), pieces }
}

pub(super) fn a_snapshot_comes_back_piece_by_piece(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let (mut a, mut b) = (Writer::new("a", 1), Writer::new("b", 2));
    let appends: Vec<_> = (0..3).map(|_| a.next(2, 20)).collect();
    commit_ok(&mut *store, &appends);
    commit_ok(&mut *store, &[b.next(1, 4)]);
    assert_eq!(store.pieces(&a.document, 0, usize::MAX).expect("reads"), Pieces::default());
    let first = snapshot(&appends[1], 1, 4, 10);
    store.keep_snapshot(&first).expect("it fits");
    assert_eq!(store.pieces(&a.document, 0, usize::MAX).expect("reads"), from(&first, 0));
    assert_eq!(store.pieces(&a.document, 2, usize::MAX).expect("reads"), from(&first, 2));
    let one = store.pieces(&a.document, 1, 0).expect("reads");
    assert_eq!((one.at, one.pieces), (Some(at(&first)), vec![(1, first.pieces[1].clone())]), "at least one");
    assert_eq!(store.pieces(&a.document, 0, 250).expect("reads").pieces.len(), 2, "up to the bound");
    let beyond = store.pieces(&a.document, 4, usize::MAX).expect("reads");
    assert!(beyond.pieces.is_empty(), "there are four");
    assert_eq!(store.pieces(&b.document, 0, usize::MAX).expect("reads"), Pieces::default());
    // A newer one takes its place, however many pieces it has.
    let second = snapshot(&appends[2], 0, 2, 30);
    store.keep_snapshot(&second).expect("it fits");
    if fixture.persists() {
        drop(store);
        store = fixture.open();
    }
    assert_eq!(store.pieces(&a.document, 0, usize::MAX).expect("reads"), from(&second, 0));
    assert!(store.delete(&a.document).expect("deletes"));
    assert_eq!(
        store.pieces(&a.document, 0, usize::MAX).expect("reads"),
        Pieces::default(),
        "it goes with its document"
    );
}

pub(super) fn only_what_stands_in_the_log_is_kept(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let mut a = Writer::new("a", 1);
    let appends: Vec<_> = (0..3).map(|_| a.next(2, 20)).collect();
    commit_ok(&mut *store, &appends);
    let kept = snapshot(&appends[0], 0, 2, 10);
    store.keep_snapshot(&kept).expect("it fits");
    let good = snapshot(&appends[1], 1, 3, 20);
    let with = |change: fn(&mut DocumentSnapshot)| {
        let mut other = good.clone();
        change(&mut other);
        other
    };
    let refused = [
        with(|s| s.incarnation = Incarnation([9; 8])),
        with(|s| s.digest = Digest([9; 8])),
        with(|s| s.seq = LogSeq(3)),
        with(|s| s.seq = LogSeq(60)),
        with(|s| s.document = Writer::new("nobody's", 1).document),
        with(|s| s.views = 3),
        with(|s| s.pieces.clear()),
        with(|s| s.pieces[1] = Bytes::new()),
        with(|s| s.pieces[1] = Bytes::from(vec![0; PIECE_BYTES + 1])),
    ];
    for (index, snapshot) in refused.iter().enumerate() {
        let error = store.keep_snapshot(snapshot).expect_err("it does not fit");
        assert!(matches!(error, StoreError::HeadMoved { .. }), "{index}: {error}");
        assert_eq!(store.pieces(&a.document, 0, usize::MAX).expect("reads"), from(&kept, 0), "{index}");
    }
    store.keep_snapshot(&good).expect("it fits");
}

pub(super) fn a_failed_write_leaves_the_snapshot_before(fixture: &mut dyn Fixture) {
    let mut store = fixture.open();
    let mut a = Writer::new("a", 1);
    let append = a.next(2, 20);
    commit_ok(&mut *store, std::slice::from_ref(&append));
    let kept = snapshot(&append, 1, 3, 10);
    store.keep_snapshot(&kept).expect("it fits");
    if !fixture.break_writes(true) {
        return;
    }
    // Large, so that a file that may not grow has no room for it.
    let mut large = snapshot(&append, 0, 40, 20);
    large.pieces.iter_mut().for_each(|piece| *piece = Bytes::from(vec![7; PIECE_BYTES]));
    let error = store.keep_snapshot(&large).expect_err("writes fail");
    assert!(error.is_retryable(), "{error}");
    assert_eq!(store.pieces(&a.document, 0, usize::MAX).expect("reads"), from(&kept, 0));
    fixture.break_writes(false);
    store.keep_snapshot(&large).expect("writes work again");
    assert_eq!(store.pieces(&a.document, 0, usize::MAX).expect("reads"), from(&large, 0));
}
