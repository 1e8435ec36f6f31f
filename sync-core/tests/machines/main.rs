//! Client and server machines against each other, with perfect links and stores in memory.

mod actors;
mod answering;
mod authors;
mod clocks;
mod compaction;
mod deletion;
mod followers;
mod link;
mod marking;
mod net;
mod newcomer;
mod pace;
mod ranges;
mod room;
mod settling;
mod shrinking;
mod tabs;

use automerge::{ROOT, ReadDoc, transaction::Transactable};
use net::Net;
use sync_core::document::InitValue;
use sync_core::replica::State;

#[test]
fn two_clients_exchange_edits_made_offline_and_live() {
    let mut net = Net::new(2);
    let (a, b) = (net.open(0, "doc"), net.open(1, "doc"));
    net.change(0, a, |tx| tx.put(ROOT, "a", 1));
    net.settle();
    assert_eq!(net.value(1, b), r#"{"a":1}"#);
    net.set_online(0, false);
    net.change(0, a, |tx| tx.put(ROOT, "offline", 2));
    net.change(1, b, |tx| tx.put(ROOT, "b", 3));
    net.settle();
    assert_eq!(net.status(0, a).state, State::Offline);
    assert_eq!(net.status(0, a).pending, 1);
    net.set_online(0, true);
    net.settle();
    assert_eq!(net.value(0, a), r#"{"a":1,"b":3,"offline":2}"#);
    assert_eq!(net.value(1, b), net.value(0, a));
    for (client, doc) in [(0, a), (1, b)] {
        assert_eq!(net.status(client, doc).state, State::Synced);
        assert_eq!(net.outbox(client, doc), 0);
    }
}

#[test]
fn a_client_comes_back_from_its_store_with_its_outbox() {
    let mut net = Net::new(1);
    let a = net.open(0, "doc");
    net.change(0, a, |tx| tx.put(ROOT, "acked", 1));
    net.settle();
    net.set_online(0, false);
    net.change(0, a, |tx| tx.put(ROOT, "pending", 2));
    net.settle();
    net.restart_client(0, false);
    let a = net.open(0, "doc");
    net.settle();
    assert_eq!(net.value(0, a), r#"{"acked":1,"pending":2}"#);
    assert_eq!(net.outbox(0, a), 1);
    net.set_online(0, true);
    net.settle();
    assert_eq!(net.outbox(0, a), 0);
}

#[test]
fn a_server_that_lost_its_store_is_healed_by_a_client() {
    let mut net = Net::new(2);
    let (a, b) = (net.open(0, "doc"), net.open(1, "doc"));
    for n in 0..5 {
        net.change(0, a, |tx| tx.put(ROOT, format!("a{n}"), n));
        net.change(1, b, |tx| tx.put(ROOT, format!("b{n}"), n));
        net.settle();
    }
    let value = net.value(0, a);
    net.lose_server_store();
    net.settle();
    assert_eq!(net.server_changes("doc"), 10);
    net.change(1, b, |tx| tx.put(ROOT, "after", 1));
    net.settle();
    assert_ne!(net.value(0, a), value);
    assert_eq!(net.value(0, a), net.value(1, b));
    assert_eq!(net.outbox(0, a) + net.outbox(1, b), 0);
}

#[test]
fn a_restarted_server_resumes_where_it_was() {
    let mut net = Net::new(2);
    let (a, b) = (net.open(0, "doc"), net.open(1, "doc"));
    net.change(0, a, |tx| tx.put(ROOT, "x", 1));
    net.settle();
    net.restart_server();
    net.change(1, b, |tx| tx.put(ROOT, "y", 2));
    net.settle();
    assert_eq!(net.value(0, a), r#"{"x":1,"y":2}"#);
    assert_eq!(net.server_changes("doc"), 2);
}

#[test]
fn a_cloned_store_is_noticed_and_nothing_is_lost() {
    let mut net = Net::new(2);
    let a = net.open(0, "doc");
    net.change(0, a, |tx| tx.put(ROOT, "first", 1));
    net.settle();
    net.set_online(0, false);
    net.clone_client(0, 1);
    let b = net.open(1, "doc");
    net.settle();
    net.change(0, a, |tx| tx.put(ROOT, "by a", 1));
    net.change(1, b, |tx| tx.put(ROOT, "by b", 1));
    net.change(1, b, |tx| tx.put(ROOT, "by b again", 1));
    net.set_online(0, true);
    net.settle();
    net.set_online(1, true);
    net.settle();
    assert_eq!(net.value(0, a), r#"{"by a":1,"by b again":1,"by b":1,"first":1}"#);
    assert_eq!(net.value(1, b), net.value(0, a));
    assert_eq!(net.outbox(0, a) + net.outbox(1, b), 0);
}

/// Seed 266. The server was restored to before both branches of a cloned store. The copy came first, so that the log has another second
/// change of their actor; the original's own stood on a change that the log lacked. Both had counted as held, by seq alone: the copy in
/// memory no longer closed under its deps was loaded again and again.
#[test]
fn a_restored_log_with_the_other_branch_of_a_clone_is_healed() {
    let mut net = Net::new(3);
    let (a, c) = (net.open(0, "doc"), net.open(2, "doc"));
    net.change(0, a, |tx| tx.put(ROOT, "first", 1));
    net.settle();
    let image = net.server_image();
    net.clone_client(0, 1);
    let b = net.open(1, "doc");
    net.change(2, c, |tx| tx.put(ROOT, "by c", 1));
    net.settle();
    net.change(0, a, |tx| tx.put(ROOT, "by a, on c", 1));
    net.settle();
    net.set_online(0, false);
    net.set_online(2, false);
    net.restore_server(image);
    net.change(1, b, |tx| tx.put(ROOT, "by b", 1));
    net.set_online(1, true);
    net.settle();
    net.set_online(0, true);
    net.settle();
    net.set_online(2, true);
    net.settle();
    assert_eq!(net.value(0, a), r#"{"by a, on c":1,"by b":1,"by c":1,"first":1}"#);
    assert_eq!(net.value(1, b), net.value(0, a));
    assert_eq!(net.value(2, c), net.value(0, a));
    assert_eq!(net.outbox(0, a) + net.outbox(1, b) + net.outbox(2, c), 0);
}

#[test]
fn a_refused_change_stays_visible_and_later_edits_go_on() {
    let mut net = Net::new(2);
    net.server.value_bytes_max(100);
    let (a, b) = (net.open(0, "doc"), net.open(1, "doc"));
    net.settle();
    net.set_online(0, false);
    net.change(0, a, |tx| tx.put(ROOT, "before", 1));
    net.change(0, a, |tx| tx.put(ROOT, "big", "x".repeat(1000)));
    net.change(0, a, |tx| tx.put(ROOT, "after", 2));
    net.set_online(0, true);
    net.settle();
    assert_eq!(net.value(0, a), r#"{"after":2,"before":1}"#);
    assert_eq!(net.value(1, b), net.value(0, a));
    assert_eq!(net.status(0, a).rejected, 1);
    assert_eq!(net.status(0, a).state, State::Rejected);
    net.restart_client(0, true);
    let a = net.open(0, "doc");
    net.settle();
    assert_eq!(net.status(0, a).rejected, 1);
    net.discard_rejected(0, a);
    net.settle();
    assert_eq!(net.status(0, a).state, State::Synced);
}

#[test]
fn root_keys_created_on_both_sides_are_one() {
    let mut net = Net::new(2);
    let (a, b) = (net.open(0, "doc"), net.open(1, "doc"));
    net.settle();
    for (client, doc, word) in [(0, a, "hello"), (1, b, "world")] {
        net.set_online(client, false);
        net.init(client, doc, "list", InitValue::List);
        net.change(client, doc, |tx| {
            let (_, list) = tx.get(ROOT, "list")?.expect("initialised");
            tx.insert(list, 0, word)
        });
    }
    net.set_online(0, true);
    net.set_online(1, true);
    net.settle();
    assert_eq!(net.value(0, a), net.value(1, b));
    assert!(net.value(0, a).contains("hello") && net.value(0, a).contains("world"));
}

#[test]
fn a_full_disk_on_the_server_refuses_and_recovers() {
    let mut net = Net::new(2);
    let (a, b) = (net.open(0, "doc"), net.open(1, "doc"));
    net.settle();
    net.server.full = true;
    net.change(0, a, |tx| tx.put(ROOT, "x", 1));
    net.settle_for(3);
    assert_eq!(net.outbox(0, a), 1);
    assert_eq!(net.value(1, b), "{}");
    net.server.full = false;
    net.settle_for(10);
    assert_eq!(net.value(1, b), r#"{"x":1}"#);
    assert_eq!(net.outbox(0, a), 0);
}

/// A reader that hears something all the time and says nothing was taken for gone by the server after two heartbeats.
#[test]
fn a_reader_of_a_busy_document_stays_connected() {
    let mut net = Net::new(2);
    let (a, b) = (net.open(0, "doc"), net.open(1, "doc"));
    let sessions = net.sessions();
    for n in 0..200 {
        net.change(0, a, |tx| tx.put(ROOT, "n", n));
        net.settle_for(1);
    }
    assert_eq!(net.value(1, b), net.value(0, a));
    assert_eq!(net.sessions(), sessions);
}

/// What a client can't keep it does not fetch: with a full disk it stops receiving at its bound, keeps its own edits, and goes on later.
#[test]
fn a_full_disk_on_a_client_bounds_what_it_receives() {
    let mut net = Net::new(2);
    net.restart_bounded(1, 20_000);
    let (a, b) = (net.open(0, "doc"), net.open(1, "doc"));
    net.fill_client(1, true);
    let mut rng = sync_core::rng::Rng::from_number(7);
    for n in 0..100 {
        let noise: String = (0..60).map(|_| format!("{:016x}", rng.u64())).collect();
        net.change(0, a, |tx| tx.put(ROOT, format!("k{n}"), noise));
        net.settle_for(1);
    }
    net.change(1, b, |tx| tx.put(ROOT, "mine", 1));
    net.settle_for(5);
    assert_eq!(net.status(1, b).state, State::StorageFull);
    let received = net.value(1, b).len();
    assert!((10_000..40_000).contains(&received), "{received} bytes with a bound of 20,000");
    net.fill_client(1, false);
    net.settle();
    assert_eq!(net.value(1, b), net.value(0, a));
    assert_eq!(net.status(1, b).state, State::Synced);
}

#[test]
fn a_long_history_reaches_a_newcomer() {
    let mut net = Net::new(2);
    let a = net.open(0, "doc");
    for n in 0..3_000 {
        net.change(0, a, |tx| tx.put(ROOT, format!("k{n}"), "v".repeat(100)));
    }
    net.settle();
    let b = net.open(1, "doc");
    net.settle();
    assert_eq!(net.value(1, b), net.value(0, a));
    net.restart_client(1, true);
    let b = net.open(1, "doc");
    net.settle();
    assert_eq!(net.value(1, b), net.value(0, a));
}

/// Each is as much as a server takes apart at once; together they were refused, however few their bytes.
#[test]
fn large_edits_made_offline_are_taken() {
    let mut net = Net::new(2);
    let (a, b) = (net.open(0, "doc"), net.open(1, "doc"));
    net.settle();
    net.set_online(0, false);
    for _ in 0..2 {
        net.change(0, a, |tx| {
            (0..101_000).try_for_each(|_| tx.put_object(ROOT, "k", automerge::ObjType::Map).map(drop))
        });
    }
    net.set_online(0, true);
    net.settle();
    assert_eq!((net.outbox(0, a), net.server_changes("doc")), (0, 2));
    assert_eq!(net.value(1, b), net.value(0, a));
}
