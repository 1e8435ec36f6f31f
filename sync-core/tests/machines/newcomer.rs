//! Newcomers: a document snapshot in place of a long log, whatever is under way on both sides.

use std::collections::BTreeSet;

use automerge::{ROOT, ReadDoc, transaction::Transactable};
use bytes::Bytes;
use sync_core::compact::Options;
use sync_core::document::InitValue;
use sync_core::id::{DocumentName, LogSeq};
use sync_core::newcomer;
use sync_core::replica::{DocumentId, Event, State};
use sync_core::storage::{Store as _, StoredPack};
use sync_core::view::View;

use crate::net::Net;
use crate::net::newcomers::small;

/// Client 0 has written 60 changes, half of them as two authors; there is a snapshot after 40, and the log has 20 more.
pub(crate) fn long(clients: usize) -> (Net, DocumentId, LogSeq) {
    let mut net = Net::new(clients);
    let a = net.open(0, "doc");
    net.init(0, a, "list", InitValue::List);
    for n in 0..39 {
        net.change(0, a, |tx| tx.put(ROOT, format!("k{}", n % 7), n));
        net.settle_for(1);
    }
    let seq = net.keep_snapshot("doc").seq;
    for n in 40..60 {
        net.change(0, a, |tx| tx.put(ROOT, format!("k{}", n % 7), n));
    }
    net.settle();
    (net, a, seq)
}

#[test]
fn a_pack_ends_where_the_snapshot_does_however_often_the_log_is_compacted() {
    let (mut net, a, seq) = long(1);
    let ends = |net: &mut Net| {
        let document = DocumentName::parse("doc").expect("a name");
        let packs = net.server.store.load(&document, LogSeq(0), usize::MAX).expect("loads").packs;
        packs.iter().map(StoredPack::last).collect::<Vec<_>>()
    };
    let options = Options { packs_min: 2, keep_changes: 1, ..Options::default() };
    for n in 0..3 {
        assert!(net.compact("doc", &options), "round {n}");
        let ends = ends(&mut net);
        assert!(ends.contains(&seq) && ends.len() <= 4, "round {n}: {ends:?}");
        for k in 0..5 {
            net.change(0, a, |tx| tx.put(ROOT, "k", n * 5 + k));
            net.settle();
        }
    }
}

#[test]
fn a_document_at_rest_is_due_for_a_snapshot_sooner() {
    let options = newcomer::Options::default();
    let due = |head, rests| newcomer::is_due(LogSeq(head), Some(LogSeq(100_000)), rests, &options);
    assert!(!due(102_000, true) && due(104_000, true));
    assert!(!due(149_000, false) && due(150_000, false));
    assert!(!newcomer::is_due(LogSeq(1_500), Some(LogSeq(1_000)), true, &options), "little has come");
}

#[test]
fn a_view_comes_with_few_changes_too_where_it_is_small_beside_the_document() {
    let mut net = Net::new(1);
    let options = newcomer::Options { view_changes_min: u64::MAX, ..small() };
    for (name, key) in [("written over", None), ("grown", Some("k"))] {
        let a = net.open(0, name);
        for n in 0..60 {
            let key = key.map_or_else(|| "title".to_owned(), |key| format!("{key}{n}"));
            net.change(0, a, |tx| tx.put(ROOT, key, format!("{n} {}", n * n * 7_919)));
        }
        net.settle();
    }
    assert_eq!(net.make_snapshot("written over", &options).views, 1);
    assert_eq!(net.make_snapshot("grown", &options).views, 0, "it is most of the document");
    let one_piece = newcomer::Options { piece_bytes: 1 << 16, ..options };
    assert_eq!(net.make_snapshot("written over", &one_piece).views, 0, "all of it comes at once");
}

#[test]
fn a_newcomer_reads_the_view_then_has_all_and_keeps_it() {
    let (mut net, a, seq) = long(2);
    assert_eq!(seq, LogSeq(40));
    (net.server.pieces_said, net.server.ranges_said, net.server.opens) = (0, 0, 0);
    let b = net.open(1, "doc");
    let events = net.events(1);
    assert_eq!(net.value(1, b), net.value(0, a));
    assert_eq!(net.status(1, b).state, State::Synced);
    let shown = events.iter().position(|e| matches!(e, Event::View { .. })).expect("a view is shown");
    let Event::View { view, .. } = &events[shown] else { panic!("a view") };
    let Ok(View::Map(root)) = View::decode(view) else { panic!("the root is a map") };
    assert_eq!(root["k3"], View::Scalar(38.into()), "as it was when the snapshot was made");
    let last = |e: &&Event| matches!(e, Event::Progress { done, total, .. } if done == total);
    assert!(events[shown..].iter().any(|e| last(&e)), "progress comes to its end");
    assert_eq!(net.server.opens, 1, "one opening");
    assert!(net.server.pieces_said > 2 && net.server.ranges_said <= 20, "{}", net.server.ranges_said);
    // From its own store, offline, then with edits on both sides.
    net.restart_client(1, false);
    let b = net.open(1, "doc");
    assert_eq!(net.value(1, b), net.value(0, a));
    net.change(1, b, |tx| {
        let (_, list) = tx.get(ROOT, "list")?.expect("it is there");
        tx.insert(list, 0, "by b")
    });
    net.change(0, a, |tx| tx.put(ROOT, "by a", 1));
    net.set_online(1, true);
    net.settle();
    assert_eq!(net.value(1, b), net.value(0, a));
    assert!(net.value(0, a).contains("by b") && net.value(1, b).contains("by a"));
    assert_eq!(net.outbox(1, b), 0);
}

#[test]
fn what_a_newcomer_wrote_before_stays_on_top() {
    let (mut net, a, _) = long(2);
    net.set_online(1, false);
    let b = net.open(1, "doc");
    net.init(1, b, "list", InitValue::List);
    net.change(1, b, |tx| {
        let (_, list) = tx.get(ROOT, "list")?.expect("initialised");
        tx.insert(list, 0, "before")
    });
    net.settle();
    net.set_online(1, true);
    net.settle();
    assert_eq!(net.value(1, b), net.value(0, a));
    assert!(net.value(0, a).contains("before"));
    assert_eq!((net.outbox(1, b), net.status(1, b).state), (0, State::Synced));
    net.restart_client(1, true);
    let b = net.open(1, "doc");
    net.settle();
    assert_eq!(net.value(1, b), net.value(0, a));
}

#[test]
fn a_transfer_that_was_cut_goes_on_where_it_was() {
    let mut partly = 0;
    for cut in 0..40 {
        let (mut net, a, _) = long(2);
        let b = net.begin_to_open(1, "doc");
        net.some_steps(cut);
        net.set_online(1, false);
        net.settle();
        let came = |e: &Event| if let Event::Progress { done, total, .. } = e { Some((*done, *total)) } else { None };
        let (done, total) = net.events(1).iter().filter_map(came).next_back().unwrap_or((0, 0));
        net.server.pieces_said = 0;
        net.set_online(1, true);
        net.settle();
        assert_eq!(net.value(1, b), net.value(0, a), "cut after {cut} steps");
        assert_eq!(net.status(1, b).state, State::Synced);
        if 0 < done && done < total {
            assert_eq!(net.server.pieces_said as u32, total - done, "cut after {done} pieces of {total}");
            partly += 1;
        }
    }
    assert!(partly >= 5, "{partly} cuts in the middle");
}

#[test]
fn a_newcomer_goes_over_to_a_newer_snapshot() {
    let (mut net, a, _) = long(2);
    net.set_online(1, false);
    let b = net.open(1, "doc");
    net.set_online(1, true);
    net.some_steps(14);
    net.set_online(1, false);
    net.settle();
    let seq = net.keep_snapshot("doc").seq;
    assert_eq!(seq, LogSeq(60));
    net.server.ranges_said = 0;
    net.set_online(1, true);
    net.settle();
    assert_eq!(net.value(1, b), net.value(0, a));
    assert_eq!(net.server.ranges_said, 0, "the snapshot has all");
}

#[test]
fn who_takes_no_snapshots_gets_the_log() {
    let (mut net, a, _) = long(2);
    net.restart_without_snapshots(1);
    net.server.pieces_said = 0;
    let b = net.open(1, "doc");
    assert_eq!(net.value(1, b), net.value(0, a));
    assert_eq!(net.server.pieces_said, 0);
}

#[test]
fn a_damaged_snapshot_is_left_for_the_log() {
    let (mut net, a, _) = long(1);
    let whole = net.make_snapshot("doc", &crate::net::newcomers::small());
    let pieces = whole.pieces.len();
    for damaged in [whole.views as usize, pieces / 2 + 1, pieces - 1] {
        let (mut net, _, _) = long(2);
        let mut snapshot = net.make_snapshot("doc", &crate::net::newcomers::small());
        let mut piece = snapshot.pieces[damaged].to_vec();
        piece[0] ^= 1;
        snapshot.pieces[damaged] = Bytes::from(piece);
        net.keep_damaged(&snapshot);
        let b = net.open(1, "doc");
        assert_eq!(net.value(1, b), net.value(0, a), "piece {damaged} of {pieces}");
        assert_eq!(net.status(1, b).state, State::Synced);
        net.change(1, b, |tx| tx.put(ROOT, "after", 1));
        net.settle();
        assert_eq!(net.outbox(1, b), 0);
    }
}

#[test]
fn a_deleted_document_has_no_snapshot_and_many_joiners_share_one() {
    let (mut net, a, _) = long(4);
    let ids: Vec<_> = (1..4).map(|client| (client, net.begin_to_open(client, "doc"))).collect();
    net.settle();
    for (client, id) in ids {
        assert_eq!(net.value(client, id), net.value(0, a));
    }
    net.delete("doc");
    net.settle();
    net.change(0, a, |tx| tx.put(ROOT, "anew", 1));
    net.settle();
    net.server.pieces_said = 0;
    net.restart_client(3, true);
    let d = net.open(3, "doc");
    net.settle();
    assert_eq!(net.value(3, d), net.value(0, a));
    assert_eq!(net.server.pieces_said, 0);
}

#[test]
fn a_long_history_is_kept_as_one_document() {
    let mut net = Net::new(2);
    let a = net.open(0, "doc");
    for n in 0..4_100 {
        net.change(0, a, |tx| tx.put(ROOT, format!("k{}", n % 50), n));
    }
    net.settle();
    let value = net.value(0, a);
    let before = net.chunks(0);
    for _ in 0..2 {
        net.restart_client(0, false);
        let a = net.open(0, "doc");
        assert_eq!(net.value(0, a), value);
    }
    let after = net.chunks(0);
    // The first byte of a row is its format: 1 a pack, 3 a piece.
    let formats = |rows: &[sync_core::storage::Row]| rows.iter().map(|(_, value)| value[0]).collect::<BTreeSet<u8>>();
    assert_eq!((formats(&before), formats(&after)), (BTreeSet::from([1]), BTreeSet::from([3])));
    let a = net.open(0, "doc");
    net.change(0, a, |tx| tx.put(ROOT, "after", 1));
    net.set_online(0, true);
    net.settle();
    let b = net.open(1, "doc");
    assert_eq!(net.value(1, b), net.value(0, a));
    net.restart_client(0, false);
    let a = net.open(0, "doc");
    assert_eq!(net.value(0, a), net.value(1, b));
    // What the log lacks is told from the saved document as well.
    net.lose_server_store();
    net.set_online(0, true);
    net.settle();
    assert_eq!(net.server_changes("doc"), 4_101);
}
