//! Documents that an operator deletes while copies of them are about.

use automerge::{ROOT, transaction::Transactable};
use sync_core::replica::State;

use crate::net::Net;

/// A client whose subscription a deletion ended opened again by its clock, which says nothing of the incarnation: its copy was taken for
/// one of a server that had lost its store, and brought all of the deleted document back.
#[test]
fn a_copy_opened_by_its_clock_does_not_bring_a_deleted_document_back() {
    let mut net = Net::new(2);
    let (a, b) = (net.open(0, "doc"), net.open(1, "doc"));
    net.change(0, a, |tx| tx.put(ROOT, "old", 1));
    net.settle();
    net.set_online(1, false);
    net.delete("doc");
    net.settle();
    assert_eq!((net.value(0, a).as_str(), net.server_changes("doc")), ("{}", 0));
    net.change(0, a, |tx| tx.put(ROOT, "new", 1));
    net.settle();
    net.set_online(1, true);
    net.settle();
    assert_eq!(net.value(1, b), r#"{"new":1}"#);
    assert_eq!((net.value(0, a), net.status(0, a).state), (net.value(1, b), State::Synced));
}

/// What was not acknowledged when its document was deleted is kept as refused. Tried again, it named what had gone with the document: nothing
/// of it was written, and it was no longer refused either.
#[test]
fn a_change_of_a_deleted_document_that_is_tried_again_is_written_or_stays() {
    let mut net = Net::new(1);
    let a = net.open(0, "doc");
    let list = net.change(0, a, |tx| tx.put_object(ROOT, "list", automerge::ObjType::List));
    net.settle();
    net.set_online(0, false);
    net.change(0, a, |tx| {
        tx.put(ROOT, "kept", 1)?;
        tx.insert(&list, 0, "within what is gone")
    });
    net.change(0, a, |tx| tx.insert(&list, 1, "all of it within what is gone"));
    net.delete("doc");
    net.set_online(0, true);
    net.settle();
    assert_eq!((net.value(0, a).as_str(), net.status(0, a).rejected), ("{}", 2));
    assert_eq!(net.retry_rejected(0, a), [true, false]);
    net.settle();
    assert_eq!((net.value(0, a).as_str(), net.status(0, a).rejected), (r#"{"kept":1}"#, 1));
    assert_eq!(net.server_changes("doc"), 1);
}

/// Seed 50469. An edit that a full disk had not taken yet was refused, and reported as saved at once: the refusal had not reached the disk
/// either, and a crash took both.
#[test]
fn an_edit_that_is_refused_while_the_disk_is_full_is_saved_once_its_refusal_is() {
    let mut net = Net::new(1);
    let a = net.open(0, "doc");
    net.change(0, a, |tx| tx.put(ROOT, "old", 1));
    net.settle();
    net.fill_client(0, true);
    net.change(0, a, |tx| tx.put(ROOT, "unsaved", 1));
    let saved = net.saved_up_to(0, a);
    net.delete("doc");
    net.settle();
    assert_eq!((net.value(0, a).as_str(), net.status(0, a).rejected), ("{}", 1));
    assert_eq!(net.saved_up_to(0, a), saved);
    net.fill_client(0, false);
    net.settle();
    assert!(net.saved_up_to(0, a) > saved);
    net.restart_client(0, true);
    let a = net.open(0, "doc");
    net.settle();
    assert_eq!(net.status(0, a).rejected, 1);
}

/// Seed 50737. The first change of a document could not be written. The room read the log again, called it by another name than it had told
/// those who were there, and as nobody knew the name they had, what was deleted later came back from their copies.
#[test]
fn a_copy_from_before_the_first_write_failed_does_not_bring_a_deleted_document_back() {
    let mut net = Net::new(2);
    let (a, b) = (net.open(0, "doc"), net.open(1, "doc"));
    net.settle();
    net.server.full = true;
    net.change(0, a, |tx| tx.put(ROOT, "old", 1));
    net.settle_for(3);
    net.server.full = false;
    net.settle_for(10);
    assert_eq!((net.value(1, b).as_str(), net.server_changes("doc")), (r#"{"old":1}"#, 1));
    net.set_online(1, false);
    net.delete("doc");
    net.set_online(1, true);
    net.settle();
    assert_eq!((net.value(1, b).as_str(), net.server_changes("doc")), ("{}", 0));
}

/// Seed 60326. A client that had only been told which log it would write to pushed with its `Open`, after that log was deleted: the answer
/// said so, and the push was taken into the new log all the same.
#[test]
fn a_push_that_comes_with_the_open_of_a_deleted_log_is_not_taken() {
    let mut net = Net::new(2);
    let (a, b) = (net.open(0, "doc"), net.open(1, "doc"));
    net.settle();
    net.set_online(1, false);
    net.change(1, b, |tx| tx.put(ROOT, "early", 1));
    net.change(0, a, |tx| tx.put(ROOT, "old", 1));
    net.settle();
    net.delete("doc");
    net.settle();
    net.set_online(1, true);
    net.settle();
    assert_eq!((net.value(1, b).as_str(), net.server_changes("doc")), ("{}", 0));
    assert_eq!(net.status(1, b).rejected, 1);
    net.change(1, b, |tx| tx.put(ROOT, "new", 1));
    net.settle();
    assert_eq!((net.value(0, a).as_str(), net.status(0, a).state), (r#"{"new":1}"#, State::Synced));
    assert_eq!(net.outbox(1, b), 1, "only what was refused");
}
