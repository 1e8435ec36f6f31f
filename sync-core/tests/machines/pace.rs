//! Clients that are told to wait: refused for going too fast, or asked to be quiet. All of them come through on their own.

use automerge::{ROOT, transaction::Transactable};
use sync_core::protocol::{ServerMessage, Throttle};
use sync_core::replica::State;
use sync_core::session::Rate;

use crate::net::Net;

const LAX: Rate = Rate { burst: 1, per_s: 0 };
const TIGHT: Rate = Rate { burst: 3, per_s: 2 };
const MANY: usize = 20;

#[test]
fn a_client_that_opens_too_many_documents_at_once_has_all_of_them_open_in_the_end() {
    let mut net = Net::new(1);
    net.server.rates = Some((TIGHT, LAX));
    net.set_online(0, false);
    let names: Vec<_> = (0..MANY).map(|n| format!("doc/{n}")).collect();
    let ids: Vec<_> = names.iter().map(|name| net.open_soon(0, name)).collect();
    for id in &ids {
        net.change(0, *id, |tx| tx.put(ROOT, "k", 1));
    }
    net.set_online(0, true);
    net.settle_for(1);
    let early = names.iter().filter(|name| net.server_changes(name) > 0).count();
    assert!(early < MANY, "nobody was told to wait");
    net.settle_for(180);
    for (name, id) in names.iter().zip(&ids) {
        assert_eq!((net.server_changes(name), net.status(0, *id).state), (1, State::Synced), "{name}");
    }
    assert_eq!(net.sessions(), 2, "the connection was kept");
}

#[test]
fn a_client_that_pushes_too_fast_is_through_with_all_of_it_in_the_end() {
    let mut net = Net::new(1);
    net.server.rates = Some((LAX, TIGHT));
    net.restart_client(0, true);
    let names: Vec<_> = (0..MANY).map(|n| format!("doc/{n}")).collect();
    let ids: Vec<_> = names.iter().map(|name| net.open(0, name)).collect();
    for round in 0..3 {
        for id in &ids {
            net.change(0, *id, |tx| tx.put(ROOT, "k", round));
        }
    }
    net.settle_for(1);
    let early: usize = names.iter().map(|name| net.server_changes(name)).sum();
    assert!(early < 3 * MANY, "nobody was told to wait");
    net.settle_for(180);
    for (name, id) in names.iter().zip(&ids) {
        assert_eq!((net.server_changes(name), net.outbox(0, *id)), (3, 0), "{name}");
    }
    assert_eq!(net.sessions(), 2, "the connection was kept");
}

#[test]
fn a_refused_opening_is_not_tried_before_its_time() {
    let mut net = Net::new(1);
    net.server.retry_after_ms = 20_000;
    net.server.unreadable = true;
    let a = net.open_soon(0, "a");
    net.change(0, a, |tx| tx.put(ROOT, "k", 1));
    net.settle_for(1);
    net.server.unreadable = false;
    net.settle_for(15);
    assert_eq!((net.server.opens, net.server_changes("a")), (1, 0), "it was asked for again");
    net.settle_for(10);
    assert_eq!((net.server.opens, net.server_changes("a")), (2, 1));
}

fn quiet_for(ms: u32) -> ServerMessage {
    ServerMessage::Throttle(Throttle { for_ms: ms })
}

/// Edits made while the server wanted to hear nothing were pushed only when something else happened on the connection.
#[test]
fn a_client_asked_to_be_quiet_says_nothing_and_then_all_of_it() {
    let mut net = Net::new(1);
    let (a, b) = (net.open(0, "a"), net.open(0, "b"));
    net.change(0, a, |tx| tx.put(ROOT, "k", 1));
    net.settle();
    net.tell(0, &quiet_for(10_000));
    net.settle_for(1);
    net.change(0, a, |tx| tx.put(ROOT, "k", 2));
    net.close(0, b);
    net.settle_for(1);
    let later = net.open_soon(0, "later");
    net.settle_for(1);
    net.change(0, later, |tx| tx.put(ROOT, "k", 3));
    net.settle_for(5);
    assert_eq!((net.server_changes("a"), net.server_changes("later")), (1, 0), "something was said");
    net.settle_for(5);
    assert_eq!((net.server_changes("a"), net.server_changes("later")), (2, 1));
    let b = net.open(0, "b");
    net.settle_for(1);
    assert_eq!(net.status(0, b).state, State::Synced, "its end was said, so that it can be opened again");
    assert_eq!(net.sessions(), 1, "the connection was kept");
}

#[test]
fn nobody_is_quiet_for_ever() {
    let mut net = Net::new(1);
    let a = net.open(0, "a");
    net.settle();
    net.tell(0, &quiet_for(u32::MAX));
    net.settle_for(0);
    net.change(0, a, |tx| tx.put(ROOT, "k", 1));
    net.settle_for(61);
    assert_eq!(net.server_changes("a"), 1);
}

/// The answer to a reconcile is not lost with the quiet that fell between question and answer.
#[test]
fn a_server_that_lost_its_store_is_healed_after_it_wanted_to_hear_nothing() {
    let mut net = Net::new(1);
    let a = net.open(0, "a");
    net.change(0, a, |tx| tx.put(ROOT, "k", 1));
    net.settle();
    net.set_online(0, false);
    net.lose_server_store();
    net.set_online(0, true);
    net.tell(0, &quiet_for(3_000));
    net.settle_for(2);
    assert_eq!(net.server_changes("a"), 0, "something was said");
    net.settle_for(30);
    assert_eq!((net.server_changes("a"), net.status(0, a).state), (1, State::Synced));
}
