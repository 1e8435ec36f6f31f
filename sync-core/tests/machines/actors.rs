//! Under which actors the tabs of a device write: who knows of them, and what happens where two tabs write under one.

use automerge::{ROOT, transaction::Transactable};
use sync_core::replica::Input;

use crate::tabs::{all_show, tabs as several};

/// A follower whose edit the leader had to write again takes another actor. The others counted what it wrote then as somebody else's.
#[test]
fn what_a_tab_writes_under_an_actor_that_it_takes_later_is_the_devices_own() {
    let (mut net, mut tabs, mut documents) = several(3);
    net.set_online(tabs[0], false);
    net.change(tabs[0], documents[0], |tx| tx.put(ROOT, "long", "0123456789 and more"));
    net.settle();
    net.change(tabs[1], documents[1], |tx| tx.put(ROOT, "short", 1));
    net.settle();
    let first = net.writers(tabs[1], documents[1])[1].clone();
    net.server.value_bytes_max(10);
    net.restart_server();
    net.set_online(tabs[0], true);
    net.settle();
    net.set_online(tabs[0], false);
    net.change(tabs[1], documents[1], |tx| tx.put(ROOT, "later", 1));
    net.settle();
    let later = net.writers(tabs[1], documents[1]).pop().expect("it waits");
    assert_ne!(later, first, "it has taken another actor");
    tabs.push(net.tab(1, 3));
    documents.push(net.open(tabs[3], "doc"));
    net.settle();
    for (tab, document) in tabs.iter().zip(&documents) {
        assert!(net.replica(*tab).is_own(*document, &later), "tab {tab}");
    }
    tabs.iter().for_each(|tab| net.crash_tab(*tab));
    let alone = net.tab(1, 7);
    let document = net.open(alone, "doc");
    assert!(
        [first, later].iter().all(|actor| net.replica(alone).is_own(document, actor)),
        "the store tells later ones"
    );
}

/// What a tab writes before it has read what is kept under its new number has an author that no row of the document names. Tabs that have read
/// theirs before learn of it by being told, and by nothing else.
#[test]
fn the_other_tabs_are_told_of_an_actor_that_a_tab_takes_later() {
    let (mut net, tabs, documents) = several(3);
    net.change(tabs[1], documents[1], |tx| tx.put(ROOT, "first", 1));
    net.settle();
    net.seat_soon(tabs[1], 5);
    net.change(tabs[1], documents[1], |tx| tx.put(ROOT, "moved", 1));
    let moved = net.writers(tabs[1], documents[1]).pop().expect("it waits");
    net.settle();
    all_show(&net, &tabs, &documents, r#"{"first":1,"moved":1}"#);
    for (tab, document) in tabs.iter().zip(&documents) {
        assert!(net.replica(*tab).is_own(*document, &moved), "tab {tab}");
    }
}

/// The lock on a tab's number was taken from it and given to another page, and it wrote on for a moment: two changes of one number.
#[test]
fn tabs_that_have_written_under_one_number_part_and_lose_no_edit() {
    for leads in [false, true] {
        let (mut net, mut tabs, mut documents) = several(2);
        net.change(tabs[1], documents[1], |tx| tx.put(ROOT, "before", 1));
        net.settle();
        tabs.push(net.tab(1, 1));
        documents.push(net.open(tabs[2], "doc"));
        net.settle();
        net.freeze(tabs[0]);
        for (tab, key) in [(1, "mine"), (2, "theirs")] {
            net.change(tabs[tab], documents[tab], |tx| tx.put(ROOT, key, 1));
            net.change(tabs[tab], documents[tab], |tx| tx.put(ROOT, format!("{key} too"), 1));
        }
        let writers: Vec<_> = (1..3).map(|tab| net.writers(tabs[tab], documents[tab])[0].clone()).collect();
        assert_eq!(writers[0], writers[1], "both write under one actor");
        net.seat(tabs[1], 2);
        if leads {
            net.lead(tabs[1], 2);
        }
        net.wake(tabs[0]);
        if leads {
            net.feed(tabs[0], Input::Deposed);
        }
        net.settle();
        for (tab, document) in tabs.iter().zip(&documents) {
            net.change(*tab, *document, |tx| tx.put(ROOT, format!("{tab}"), 1));
            net.settle();
        }
        let value = r#"{"2":1,"3":1,"4":1,"before":1,"mine too":1,"mine":1,"theirs too":1,"theirs":1}"#;
        all_show(&net, &tabs, &documents, value);
        assert!(tabs.iter().zip(&documents).all(|(tab, document)| net.status(*tab, *document).rejected == 0));
        assert_eq!(net.server_changes("doc"), 8);
    }
}
