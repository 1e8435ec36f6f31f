//! Ranges of a log and who wrote in them: what is said twice, and what comes after the head of an opening.

use automerge::{ROOT, transaction::Transactable};
use sync_core::id::{LogSeq, RoomNumber};
use sync_core::protocol::{Blob, Changes, ServerMessage};

use crate::net::Net;

/// A range that the cursor had passed, by an acknowledgement that came before it, took away the actors learned since: the next pack that named
/// one was not understood, and the document was opened again by its clock.
#[test]
fn a_range_that_is_said_again_takes_no_actors_away() {
    let mut net = Net::new(2);
    let (a, b) = (net.open(0, "doc"), net.open(1, "doc"));
    net.change(1, b, |tx| tx.put(ROOT, "theirs", 1));
    net.settle();
    net.change(0, a, |tx| tx.put(ROOT, "own", 2));
    net.settle();
    let opens = net.server.opens;
    let pack = Some(Blob(net.stored_from_start("doc").remove(0).bytes));
    net.tell(0, &ServerMessage::Changes(Changes { room: RoomNumber(1), first: LogSeq(1), pack, sparse: None }));
    net.settle();
    net.change(1, b, |tx| tx.put(ROOT, "on both", 3));
    net.settle();
    assert_eq!(net.value(0, a), r#"{"on both":3,"own":2,"theirs":1}"#);
    assert_eq!(net.server.opens, opens, "it was opened again");
}

/// What follows the head that an opening named was still packed for the actors named there, so that each newcomer took the number of the one
/// before: when the client came back by its cursor, it did not understand who wrote.
#[test]
fn beyond_the_head_of_its_opening_a_reconciled_client_counts_newcomers_as_the_log_does() {
    let mut net = Net::new(3);
    let a = net.open(0, "doc");
    net.change(0, a, |tx| tx.put(ROOT, "a", 1));
    net.settle();
    let image = net.server_image();
    net.change(0, a, |tx| tx.put(ROOT, "a", 2));
    net.settle();
    net.restore_server(image);
    assert_eq!(net.server_changes("doc"), 2, "the client has healed it");
    let opens = net.server.opens;
    let (b, c) = (net.open(1, "doc"), net.open(2, "doc"));
    for (client, id, key) in [(1, b, "b"), (2, c, "c")] {
        net.change(client, id, |tx| tx.put(ROOT, key, 3));
        net.settle();
    }
    net.set_online(0, false);
    net.settle();
    net.change(1, b, |tx| tx.put(ROOT, "b", 4));
    net.settle();
    net.set_online(0, true);
    net.settle();
    net.change(2, c, |tx| tx.put(ROOT, "c", 5));
    net.settle();
    assert_eq!(net.value(0, a), r#"{"a":2,"b":4,"c":5}"#);
    assert_eq!(net.server.opens, opens + 3, "newcomers open it once, and so does who comes back");
}

/// Seed 410119. A push came again after a crash, and was acknowledged as held already; the range in which it stands was still to come
/// when the server went back to just the position of the cursor. It was taken for the same log, and nobody sent it what it had lost.
#[test]
fn a_log_that_went_back_to_the_cursor_gets_what_was_acknowledged_as_held_beyond_it() {
    let mut net = Net::new(2);
    let a = net.open(0, "doc");
    net.change(0, a, |tx| tx.put(ROOT, "first", 1));
    net.settle();
    let image = net.server_image();
    net.set_online(0, false);
    net.change(0, a, |tx| tx.put(ROOT, "second", 1));
    net.settle();
    // A copy of the store stands for the push whose acknowledgement is lost.
    net.clone_client(0, 1);
    net.open(1, "doc");
    net.set_online(1, true);
    net.settle();
    net.set_online(1, false);
    net.settle();
    assert_eq!(net.server_changes("doc"), 2);
    net.ranges_lost = true;
    net.set_online(0, true);
    net.settle_for(0);
    assert_eq!(net.outbox(0, a), 0, "it is held already");
    net.restart_client(0, true);
    net.open(0, "doc");
    net.ranges_lost = false;
    net.swap_server(image);
    assert_eq!(net.server_changes("doc"), 2);
}
