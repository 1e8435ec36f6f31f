//! Kills at named moments: each of them was once seen to lose something somewhere.

use std::time::Duration;

use rejoin_tests::proxy::{Lane, Proxy, Weather};

use crate::{Sum, editor, newcomer_sees, server, shown, verified};

#[test]
fn a_server_killed_right_after_any_acknowledgement_still_has_what_it_acknowledged() {
    let (data, store) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut server = server(data.path());
    let mut ann = editor(&server, store.path());
    ann.start();
    for round in 0..15 {
        let token = format!("round-{round}");
        ann.edit(&token);
        ann.wait("acknowledgement", |ledger| ledger.acknowledged.contains(&token));
        server.kill();
        // Nobody but the server's disk can say so: ann, who could heal it, is not asked.
        ann.tell("offline");
        server.start();
        let sum = Sum::of([&ann]);
        sum.holds(&newcomer_sees(&server, &sum.promised()), "the restarted server");
        ann.tell("online");
    }
    server.kill();
    verified(data.path());
}

#[test]
fn a_client_killed_between_save_and_send_sends_after_its_return() {
    let (data, store) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let server = server(data.path());
    let mut ann = editor(&server, store.path());
    ann.start();
    ann.tell("offline");
    for n in 0..20 {
        ann.edit(&format!("unsent-{n}"));
    }
    ann.wait("saving", |ledger| ledger.saved.len() == 20);
    let (_, pending) = ann.status();
    ann.kill();
    let lost = ann.ledger().acknowledged.clone();
    assert!(lost.is_empty(), "it was offline: {lost:?}");
    ann.start();
    assert!(ann.status().1 <= pending);
    // A later edit is acknowledged behind the earlier ones.
    ann.edit("after");
    ann.wait("acknowledgement", |ledger| ledger.acknowledged.contains("after"));
    let sum = Sum::of([&ann]);
    sum.holds(&newcomer_sees(&server, &sum.promised()), "the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_killed_between_send_and_acknowledgement_neither_loses_nor_doubles() {
    let (data, store) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let server = server(data.path());
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    let mut ann = editor(&server, store.path());
    ann.serve_from(&format!("ws://{}/sync", proxy.address()));
    ann.start();
    ann.edit("first");
    ann.all_acknowledged();
    for round in 0..5 {
        // The server hears everything, and its answers vanish.
        proxy.set(Weather { down: Lane { swallow: true, ..Lane::default() }, ..Weather::default() });
        let token = format!("unanswered-{round}");
        ann.edit(&token);
        ann.wait("saving", |ledger| ledger.saved.contains(&token));
        // Once another sees it, the server has it.
        assert!(newcomer_sees(&server, &Sum::of([&ann]).promised()).contains(&token));
        assert!(!ann.ledger().acknowledged.contains(&token));
        ann.kill();
        proxy.set(Weather::default());
        ann.start();
        ann.edit(&format!("after-{round}"));
        ann.wait("acknowledgement", |ledger| ledger.acknowledged.contains(&format!("after-{round}")));
        ann.tell("offline");
        ann.tell("online");
        let sum = Sum::of([&ann]);
        sum.holds(&newcomer_sees(&server, &sum.promised()), "the server");
    }
}

#[test]
fn a_client_killed_right_after_an_edit_has_it_whole_or_not_at_all() {
    let (data, store) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let server = server(data.path());
    let mut ann = editor(&server, store.path());
    for round in 0..15 {
        ann.start();
        for n in 0..5 {
            ann.edit(&format!("round-{round}-{n}"));
        }
        // Later in each round: sometimes before anything was saved, sometimes in the middle, sometimes after.
        let so_many = round % 6;
        ann.wait("saving", |ledger| {
            ledger.saved.iter().filter(|t| t.starts_with(&format!("round-{round}-"))).count() >= so_many
        });
        ann.kill();
    }
    ann.start();
    ann.edit("last");
    ann.wait("acknowledgement", |ledger| ledger.acknowledged.contains("last"));
    let sum = Sum::of([&ann]);
    sum.holds(&shown(&mut ann), "ann");
    sum.holds(&newcomer_sees(&server, &sum.promised()), "the server");
}

#[test]
fn a_server_killed_while_it_starts_or_stops_has_everything() {
    let (data, store) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut server = server(data.path());
    let mut ann = editor(&server, store.path());
    ann.start();
    for round in 0..10 {
        for n in 0..10 {
            ann.edit(&format!("round-{round}-{n}"));
        }
        if round % 2 == 0 {
            server.signal("TERM");
        }
        // The moment is what is tried here: nothing waits for it.
        std::thread::sleep(Duration::from_millis(round * 3));
        server.kill();
        server.spawn();
        std::thread::sleep(Duration::from_millis(round * 5));
        server.kill();
        server.start();
    }
    ann.all_acknowledged();
    let sum = Sum::of([&ann]);
    sum.holds(&newcomer_sees(&server, &sum.promised()), "the server");
    assert!(server.terminate().success());
    verified(data.path());
}
