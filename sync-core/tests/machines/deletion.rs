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
