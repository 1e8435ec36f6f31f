//! Several tabs on one store: one leads, the others follow it.

use std::time::Duration;

use automerge::{ROOT, transaction::Transactable};
use sync_core::conflict::Value;
use sync_core::document::InitValue;
use sync_core::replica::tabs::{ASK_AFTER, ASKS_MAX};
use sync_core::replica::{DocumentId, Input, State, TabId};

use crate::net::Net;

/// Client 0 is somebody else; the tabs follow it, the first of them leads.
pub(crate) fn tabs(count: u32) -> (Net, Vec<usize>, Vec<DocumentId>) {
    let mut net = Net::new(2);
    let tabs: Vec<_> = (0..count).map(|tab| net.tab(1, tab)).collect();
    net.lead(tabs[0], 1);
    let documents = tabs.iter().map(|tab| net.open(*tab, "doc")).collect();
    (net, tabs, documents)
}

/// All tabs show this value, and nothing waits in any.
pub(crate) fn all_show(net: &Net, tabs: &[usize], documents: &[DocumentId], value: &str) {
    for (tab, document) in tabs.iter().zip(documents) {
        assert_eq!(net.value(*tab, *document), value, "tab {tab}");
        let status = net.status(*tab, *document);
        assert_eq!((status.state, status.pending, status.unsaved), (State::Synced, 0, 0), "tab {tab}");
    }
}

#[test]
fn tabs_share_one_connection_and_see_each_other() {
    let (mut net, tabs, documents) = tabs(3);
    let other = net.open(0, "doc");
    let before = net.sessions();
    for (number, (tab, document)) in tabs.iter().zip(&documents).enumerate() {
        net.change(*tab, *document, |tx| tx.put(ROOT, format!("{number}"), number as i64));
    }
    net.change(0, other, |tx| tx.put(ROOT, "other", 1));
    net.settle();
    all_show(&net, &tabs, &documents, r#"{"0":0,"1":1,"2":2,"other":1}"#);
    assert_eq!(net.value(0, other), net.value(tabs[0], documents[0]));
    assert_eq!(net.sessions(), before, "the tabs have made no further connection");
    assert_eq!(net.server_changes("doc"), 4);
}

/// Those that came before a tab, and those that came after it. Somebody else's work is not.
#[test]
fn what_any_tab_writes_is_the_devices_own() {
    let (mut net, tabs, documents) = tabs(3);
    let other = net.open(0, "doc");
    net.set_online(0, false);
    net.change(0, other, |tx| tx.put(ROOT, "k", "other"));
    net.set_online(tabs[0], false);
    net.change(tabs[1], documents[1], |tx| tx.put(ROOT, "k", "ours"));
    net.settle_for(1);
    net.set_online(0, true);
    net.set_online(tabs[0], true);
    net.settle();
    for (tab, document) in tabs.iter().zip(&documents) {
        let conflicts = net.replica(*tab).conflicts(*document).expect("it is loaded");
        let [conflict] = &conflicts[..] else { panic!("tab {tab}: {conflicts:?}") };
        let mine: Vec<_> = conflict.candidates.iter().map(|side| (side.value.clone(), side.mine)).collect();
        let of = |text: &str| Some(Value::Scalar(text.into()));
        for side in [(of("ours"), true), (of("other"), false)] {
            assert!(mine.contains(&side), "tab {tab}: {mine:?}");
        }
        for side in &conflict.candidates {
            assert_eq!(net.replica(*tab).is_own(*document, &side.actor), side.mine, "tab {tab}");
        }
    }
}

#[test]
fn an_edit_of_a_follower_is_in_the_store_before_anybody_hears_of_it() {
    let (mut net, tabs, documents) = tabs(2);
    net.fill_client(tabs[1], true);
    net.change(tabs[1], documents[1], |tx| tx.put(ROOT, "a", 1));
    net.settle_for(0);
    assert_eq!(net.value(tabs[1], documents[1]), r#"{"a":1}"#, "its own edit it sees at once");
    assert_eq!(net.value(tabs[0], documents[0]), "{}");
    net.fill_client(tabs[1], false);
    net.settle();
    all_show(&net, &tabs, &documents, r#"{"a":1}"#);
}

/// The follower edits offline and nobody hears of it; the leader crashes, and then the follower. The next one finds the edit in the store.
#[test]
fn what_followers_have_saved_reaches_the_server_whoever_crashes() {
    let (mut net, tabs, documents) = tabs(3);
    net.set_online(tabs[0], false);
    net.settle();
    net.change(tabs[2], documents[2], |tx| tx.put(ROOT, "heard", 1));
    net.settle();
    assert_eq!(net.status(tabs[2], documents[2]).state, State::Offline);
    net.deaf = true;
    net.change(tabs[1], documents[1], |tx| tx.put(ROOT, "unheard", 2));
    net.settle();
    net.crash_tab(tabs[0]);
    net.crash_tab(tabs[1]);
    net.deaf = false;
    net.lead(tabs[2], 2);
    net.set_online(tabs[2], true);
    net.settle();
    all_show(&net, &tabs[2..], &documents[2..], r#"{"heard":1,"unheard":2}"#);
    assert_eq!(net.server_changes("doc"), 2);
}

/// A follower dies when its edit is in the store, before it has told the leader. The leader hears that it is gone.
#[test]
fn what_a_follower_could_tell_nobody_is_sent_once_it_is_gone() {
    let (mut net, tabs, documents) = tabs(3);
    net.change(tabs[0], documents[0], |tx| tx.put(ROOT, "told", 1));
    net.settle();
    net.deaf = true;
    net.change(tabs[1], documents[1], |tx| tx.put(ROOT, "untold", 2));
    net.settle_for(0);
    net.crash_tab(tabs[1]);
    net.deaf = false;
    net.settle();
    assert_eq!(net.server_changes("doc"), 1, "nobody knows of it");
    net.feed(tabs[0], Input::Gone(TabId(1)));
    let others = ([tabs[0], tabs[2]], [documents[0], documents[2]]);
    all_show(&net, &others.0, &others.1, r#"{"told":1,"untold":2}"#);
    assert_eq!(net.server_changes("doc"), 2);
}

/// A driver keeps rows of its own among those of the outbox: what it says of an edit is in the store when the edit is, and not before, also
/// where the tab that made it ceases to lead meanwhile.
#[test]
fn a_row_of_the_drivers_own_comes_with_the_change_that_it_is_set_with() {
    let (mut net, tabs, documents) = tabs(2);
    let key = b"own".to_vec();
    net.fill_client(tabs[0], true);
    net.change_beside(tabs[0], documents[0], (key.clone(), b"done".to_vec()), &mut |tx| tx.put(ROOT, "a", 1));
    net.settle_for(0);
    assert_eq!(net.own_row(tabs[0], &key), None);
    net.lead(tabs[1], 2);
    net.feed(tabs[0], Input::Deposed);
    net.fill_client(tabs[0], false);
    net.settle();
    assert_eq!(net.own_row(tabs[0], &key), Some(b"done".to_vec()));
    all_show(&net, &tabs, &documents, r#"{"a":1}"#);
}

#[test]
fn a_follower_that_takes_over_goes_on_where_the_leader_was() {
    let (mut net, mut tabs, mut documents) = tabs(3);
    let other = net.open(0, "doc");
    for round in 0..3 {
        for (tab, document) in tabs.iter().zip(&documents) {
            net.change(*tab, *document, |tx| tx.put(ROOT, format!("{round} {tab}"), 1));
            net.settle_for(0);
        }
        net.change(0, other, |tx| tx.put(ROOT, format!("other {round}"), 1));
        net.settle();
        net.crash_tab(tabs.remove(0));
        documents.remove(0);
        // A new tab under the number of the one that has gone writes on as it did.
        tabs.push(net.tab(1, round));
        documents.push(net.open(*tabs.last().expect("three tabs"), "doc"));
        net.lead(tabs[0], u64::from(round) + 2);
        net.settle();
    }
    let value = net.value(0, other);
    all_show(&net, &tabs, &documents, &value);
    assert_eq!(net.server_changes("doc"), 12);
}

#[test]
fn tabs_that_make_the_same_root_key_write_it_once() {
    let (mut net, tabs, documents) = tabs(3);
    for (tab, document) in tabs.iter().zip(&documents) {
        net.init(*tab, *document, "list", InitValue::List);
    }
    net.settle();
    all_show(&net, &tabs, &documents, r#"{"list":[]}"#);
    net.crash_tab(tabs[0]);
    net.lead(tabs[1], 2);
    all_show(&net, &tabs[1..], &documents[1..], r#"{"list":[]}"#);
    assert_eq!(net.server_changes("doc"), 1);
}

/// A follower has written on top of a change while the leader learned that the server will not have it. Both are to be seen, and what
/// can stand without the other is written again.
#[test]
fn an_edit_on_top_of_a_refused_one_is_not_lost() {
    let (mut net, tabs, documents) = tabs(2);
    net.set_online(tabs[0], false);
    net.server.value_bytes_max(10);
    net.restart_server();
    net.change(tabs[1], documents[1], |tx| tx.put(ROOT, "long", "0123456789 and more"));
    net.settle();
    net.deaf = true;
    net.change(tabs[1], documents[1], |tx| tx.put(ROOT, "short", 1));
    net.set_online(tabs[0], true);
    net.settle();
    net.deaf = false;
    net.change(tabs[1], documents[1], |tx| tx.put(ROOT, "later", 1));
    net.settle();
    for (tab, document) in tabs.iter().zip(&documents) {
        assert_eq!(net.value(*tab, *document), "{}", "tab {tab}");
        assert_eq!(net.status(*tab, *document).rejected, 3, "tab {tab}");
    }
    net.server.value_bytes_max(1_000);
    net.restart_server();
    assert_eq!(net.retry_rejected(tabs[1], documents[1]), [true; 3]);
    net.settle();
    all_show(&net, &tabs, &documents, r#"{"later":1,"long":"0123456789 and more","short":1}"#);
}

#[test]
fn a_server_restored_from_a_backup_gets_back_what_followers_wrote_meanwhile() {
    let (mut net, tabs, documents) = tabs(2);
    let image = net.server_image();
    net.change(tabs[0], documents[0], |tx| tx.put(ROOT, "first", 1));
    net.settle();
    // The leader does not hear of this edit before it has put all that the server lacks back into the outbox.
    net.deaf = true;
    net.change(tabs[1], documents[1], |tx| tx.put(ROOT, "second", 1));
    net.restore_server(image);
    net.settle();
    net.crash_tab(tabs[1]);
    net.deaf = false;
    net.crash_tab(tabs[0]);
    let next = net.tab(1, 0);
    net.lead(next, 2);
    let document = net.open(next, "doc");
    net.settle();
    all_show(&net, &[next], &[document], r#"{"first":1,"second":1}"#);
    assert_eq!(net.server_changes("doc"), 2);
}

/// Two tabs and a client of another device. The tab that leads has received a change and written another on top, and could store neither.
fn leader_on_a_full_disk() -> (Net, Vec<usize>, Vec<DocumentId>) {
    let (mut net, tabs, documents) = tabs(2);
    let other = net.open(0, "doc");
    net.fill_client(tabs[0], true);
    net.change(0, other, |tx| tx.put(ROOT, "received", 1));
    net.settle_for(0);
    net.change(tabs[0], documents[0], |tx| tx.put(ROOT, "written", 1));
    (net, tabs, documents)
}

#[test]
fn a_leader_that_was_deposed_follows_and_loses_no_edit() {
    let (mut net, tabs, documents) = leader_on_a_full_disk();
    net.lead(tabs[1], 2);
    net.fill_client(tabs[0], false);
    net.feed(tabs[0], Input::Deposed);
    net.settle();
    all_show(&net, &tabs, &documents, r#"{"received":1,"written":1}"#);
    assert_eq!(net.server_changes("doc"), 2);
}

/// What failed was the leader's to write. Nobody tries it again here, so that no later success would end the trouble.
#[test]
fn a_leader_deposed_while_its_disk_was_full_is_in_sync_again() {
    let (mut net, tabs, documents) = tabs(2);
    let other = net.open(0, "doc");
    net.fill_client(tabs[0], true);
    net.change(0, other, |tx| tx.put(ROOT, "received", 1));
    net.settle_for(0);
    assert_eq!(net.status(tabs[0], documents[0]).state, State::StorageFull);
    net.lead(tabs[1], 2);
    net.fill_client(tabs[0], false);
    net.feed(tabs[0], Input::Deposed);
    net.settle();
    all_show(&net, &tabs, &documents, r#"{"received":1}"#);
}

#[test]
fn a_document_that_a_follower_alone_has_open_is_kept_in_sync_and_let_go_with_it() {
    let (mut net, tabs, _) = tabs(2);
    let (other, theirs) = (net.open(0, "theirs"), net.open(tabs[1], "theirs"));
    net.change(0, other, |tx| tx.put(ROOT, "a", 1));
    net.settle();
    assert_eq!(net.value(tabs[1], theirs), r#"{"a":1}"#);
    net.close(tabs[1], theirs);
    net.settle();
    net.change(0, other, |tx| tx.put(ROOT, "b", 1));
    net.settle();
    let again = net.open(tabs[1], "theirs");
    net.settle();
    assert_eq!(net.value(tabs[1], again), r#"{"a":1,"b":1}"#);
}

#[test]
fn a_tab_without_a_document_knows_whether_the_leader_is_connected() {
    let mut net = Net::new(2);
    let (leader, follower) = (net.tab(1, 0), net.tab(1, 1));
    net.lead(leader, 1);
    assert!(net.is_online(leader) && net.is_online(follower));
    net.set_online(follower, false);
    net.settle();
    assert!(!net.is_online(leader) && !net.is_online(follower));
}

/// Longest time that a leader's silence is borne, without what followers wait beside for each other.
const PATIENCE: Duration = ASK_AFTER.saturating_mul(1 + ASKS_MAX);

#[test]
fn nobody_takes_over_from_a_leader_that_answers() {
    let (mut net, tabs, _) = tabs(3);
    net.settle_for(600);
    assert!(tabs.iter().all(|tab| net.took_over(*tab) == 0));
}

#[test]
fn a_leader_that_says_nothing_is_passed_over_and_follows_when_it_goes_on() {
    let (mut net, tabs, documents) = tabs(3);
    let other = net.open(0, "doc");
    net.fill_client(tabs[0], true);
    net.change(tabs[0], documents[0], |tx| tx.put(ROOT, "unsaved", 1));
    net.freeze(tabs[0]);
    net.allow_take_over(2);
    net.change(tabs[1], documents[1], |tx| tx.put(ROOT, "meanwhile", 1));
    net.settle_for(PATIENCE.as_secs() - 1);
    assert_eq!((net.took_over(tabs[1]), net.took_over(tabs[2])), (0, 0), "it may only be slow");
    net.settle_for(2);
    assert_eq!((net.took_over(tabs[1]), net.took_over(tabs[2])), (1, 0), "one takes over, not all");
    net.settle();
    assert_eq!(net.value(0, other), r#"{"meanwhile":1}"#);
    net.fill_client(tabs[0], false);
    // It goes on as the leader that it believes to be, and then hears of its lock.
    net.change(0, other, |tx| tx.put(ROOT, "other", 1));
    net.wake(tabs[0]);
    net.feed(tabs[0], Input::Deposed);
    net.settle();
    all_show(&net, &tabs, &documents, r#"{"meanwhile":1,"other":1,"unsaved":1}"#);
    assert_eq!(net.server_changes("doc"), 3);
}

/// Its own clock says that the leader has been silent for an hour. What the leader answered lies in its queue.
#[test]
fn a_follower_that_was_frozen_does_not_rob_a_leader_that_is_there() {
    let (mut net, tabs, documents) = tabs(2);
    net.settle_for(ASK_AFTER.as_secs() + 1);
    net.freeze(tabs[1]);
    net.settle_for(3_600);
    net.change(tabs[0], documents[0], |tx| tx.put(ROOT, "a", 1));
    net.wake(tabs[1]);
    net.settle();
    assert_eq!(net.took_over(tabs[1]), 0);
    all_show(&net, &tabs, &documents, r#"{"a":1}"#);
}

#[test]
fn a_tab_that_finds_a_leader_stuck_takes_over_too() {
    let (mut net, tabs, _) = tabs(1);
    net.freeze(tabs[0]);
    let late = net.tab(1, 1);
    net.settle_for(PATIENCE.as_secs());
    assert!(net.took_over(late) > 0);
    net.lead(late, 2);
    let document = net.open(late, "doc");
    net.change(late, document, |tx| tx.put(ROOT, "a", 1));
    net.settle();
    all_show(&net, &[late], &[document], r#"{"a":1}"#);
}

/// Seed 38 of tabs. The leader learned that the document was deleted, and ended before it had told the other tabs. The next one found that in
/// the store, and a tab whose copy was from before brought all of the deleted document to it, and so to the server.
#[test]
fn no_tab_brings_back_a_deleted_document_though_its_leader_had_no_time_to_tell() {
    let (mut net, tabs, documents) = tabs(3);
    net.change(tabs[0], documents[0], |tx| tx.put(ROOT, "a", 1));
    net.settle();
    net.deaf = true;
    net.delete("doc");
    net.settle();
    net.crash_tab(tabs[0]);
    net.deaf = false;
    net.lead(tabs[1], 2);
    net.settle();
    all_show(&net, &tabs[1..], &documents[1..], "{}");
    assert_eq!(net.server_changes("doc"), 0);
}

/// The same with a change that was discarded: who still has it must not bring it back.
#[test]
fn no_tab_brings_back_a_discarded_change_though_its_leader_had_no_time_to_tell() {
    let (mut net, tabs, documents) = tabs(3);
    net.set_online(tabs[0], false);
    net.change(tabs[0], documents[0], |tx| tx.put(ROOT, "a", 1));
    net.settle();
    net.deaf = true;
    net.discard_unsent(tabs[0], documents[0]);
    net.settle();
    net.crash_tab(tabs[0]);
    net.deaf = false;
    net.lead(tabs[1], 2);
    net.set_online(tabs[1], true);
    net.settle();
    all_show(&net, &tabs[1..], &documents[1..], "{}");
    assert_eq!(net.server_changes("doc"), 0);
}

/// What a leader has received and could not write goes to the store with its edits on top, once another one leads. That one had found meanwhile
/// that the document was deleted: nothing of it may come back, and the edit is to be seen.
#[test]
fn what_a_deposed_leader_had_received_of_a_deleted_document_does_not_come_back() {
    let (mut net, tabs, documents) = leader_on_a_full_disk();
    net.freeze(tabs[0]);
    net.lead(tabs[1], 2);
    net.settle();
    assert_eq!(net.value(tabs[1], documents[1]), r#"{"received":1}"#);
    net.delete("doc");
    net.settle();
    net.wake(tabs[0]);
    net.feed(tabs[0], Input::Deposed);
    net.fill_client(tabs[0], false);
    net.settle();
    assert_eq!(net.server_changes("doc"), 0);
    for (tab, document) in tabs.iter().zip(&documents) {
        assert_eq!(net.value(*tab, *document), "{}", "tab {tab}");
        assert_eq!(net.status(*tab, *document).rejected, 1, "tab {tab}");
    }
}

/// Seed 234 of tabs. A server restored from a backup had the leader put all that it lacked back into the outbox; before that was written another
/// tab led. The old leader waited for ever for what nobody wrote any more, reading its store again and again.
#[test]
fn a_leader_deposed_while_it_gives_back_what_a_server_has_lost_reads_its_store_once() {
    let (mut net, tabs, documents) = tabs(2);
    let image = net.server_image();
    net.change(tabs[0], documents[0], |tx| tx.put(ROOT, "first", 1));
    net.settle();
    net.fill_client(tabs[0], true);
    net.restore_server(image);
    net.settle_for(1);
    net.lead(tabs[1], 2);
    net.fill_client(tabs[0], false);
    net.feed(tabs[0], Input::Deposed);
    net.settle();
    all_show(&net, &tabs, &documents, r#"{"first":1}"#);
    assert_eq!(net.server_changes("doc"), 1);
}

/// The leader wrote a follower's edit again without the refused one below it, and ended before it had told of that. Whoever reads the edit from
/// the store must know it for what it was: the follower took its edit, which was nowhere to be found, for acknowledged.
#[test]
fn an_edit_written_again_by_a_leader_that_ended_is_acknowledged_when_it_is_in_the_log() {
    let (mut net, tabs, documents) = tabs(3);
    net.set_online(tabs[0], false);
    net.change(tabs[0], documents[0], |tx| tx.put(ROOT, "long", "0123456789 and more"));
    net.settle();
    net.change(tabs[1], documents[1], |tx| tx.put(ROOT, "short", 1));
    net.settle();
    let wrote = net.writers(tabs[1], documents[1]);
    net.server.value_bytes_max(10);
    net.restart_server();
    net.deaf = true;
    net.set_online(tabs[0], true);
    net.server.full = true;
    net.settle_for(1);
    assert_eq!(net.status(tabs[0], documents[0]).rejected, 1);
    net.crash_tab(tabs[0]);
    net.deaf = false;
    net.lead(tabs[2], 2);
    net.set_online(tabs[2], true);
    net.settle_for(1);
    let short = net.saved_up_to(tabs[1], documents[1]);
    assert!(net.acknowledged_up_to(tabs[1], documents[1]) < short, "no log has it");
    net.change(tabs[1], documents[1], |tx| tx.put(ROOT, "later", 1));
    net.settle_for(1);
    let writers = net.writers(tabs[1], documents[1]);
    assert!(writers.iter().all(|actor| *actor != wrote[1]), "it writes nothing again under a number that it has used");
    net.server.full = false;
    net.settle();
    assert!(net.acknowledged_up_to(tabs[1], documents[1]) > short);
    for (tab, document) in tabs[1..].iter().zip(&documents[1..]) {
        assert_eq!(net.value(*tab, *document), r#"{"later":1,"short":1}"#, "tab {tab}");
    }
    assert_eq!(net.server_changes("doc"), 2);
}
