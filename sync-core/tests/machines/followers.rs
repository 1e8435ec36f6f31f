//! Tabs that follow one that leads, while a document's history is on its way: what they show, and when they say that they are in sync.

use automerge::{ROOT, transaction::Transactable};
use sync_core::clock::VectorClock;
use sync_core::id::LogSeq;
use sync_core::replica::tabs::messages::{Lead, Standing, TabMessage};
use sync_core::replica::{DocumentId, Event, Input, State, TabId};
use sync_core::view::View;

use crate::net::Net;
use crate::newcomer::long;
use crate::tabs::all_show;

/// Client 0 has written the document. Of the tabs of another store the second one has opened it, and all connections end when the first one,
/// which leads, was shown the view.
fn newcomers(count: u32) -> (Net, DocumentId, LogSeq, Vec<usize>, DocumentId) {
    let (mut net, written, seq) = long(2);
    let tabs: Vec<_> = (0..count).map(|tab| net.tab(1, tab)).collect();
    net.lead(tabs[0], 1);
    let open = net.begin_to_open(tabs[1], "doc");
    until_shown(&mut net, tabs[0], seq);
    net.set_online(tabs[0], false);
    net.settle();
    (net, written, seq, tabs, open)
}

/// How often a tab was shown the view since it was asked last.
fn shown(net: &mut Net, tab: usize, seq: LogSeq) -> usize {
    let view = |event: Event| if let Event::View { view, seq, .. } = event { Some((view, seq)) } else { None };
    let views: Vec<_> = net.events(tab).into_iter().filter_map(view).collect();
    for (view, at) in &views {
        assert_eq!(*at, seq, "tab {tab}");
        assert!(matches!(View::decode(view), Ok(View::Map(root)) if root.contains_key("k3")));
    }
    views.len()
}

/// Goes on step by step until a tab is shown the view.
fn until_shown(net: &mut Net, tab: usize, seq: LogSeq) {
    let is_shown = (0..1_000).any(|_| {
        net.some_steps(1);
        shown(net, tab, seq) > 0
    });
    assert!(is_shown, "tab {tab}");
}

fn holds(net: &mut Net, tab: usize, id: DocumentId) -> (Option<LogSeq>, VectorClock) {
    net.replica(tab).holds(id).unwrap_or_default()
}

/// They showed nothing before they had all of the history, and said that they were in sync before they had any.
#[test]
fn tabs_that_follow_a_newcomer_are_shown_the_view_too_and_are_in_sync_once_they_have_all() {
    let (mut net, written, seq, tabs, first) = newcomers(3);
    assert_eq!(shown(&mut net, tabs[1], seq), 1);
    let late = net.open(tabs[2], "doc");
    assert_eq!([1, 2].map(|n| shown(&mut net, tabs[n], seq)), [0, 1], "each is shown it once");
    for (tab, id) in [(tabs[1], first), (tabs[2], late)] {
        assert!(holds(&mut net, tab, id).0 <= Some(LogSeq(0)), "tab {tab} is shown what it does not hold");
    }
    let (_, whole) = holds(&mut net, 0, written);
    // It has the history long before it may tell it, since it can't store it.
    net.fill_client(tabs[0], true);
    net.set_online(tabs[0], true);
    let mut waited = false;
    for _ in 0..1_000 {
        net.some_steps(1);
        for (tab, id) in [(tabs[1], first), (tabs[2], late)] {
            let (position, clock) = holds(&mut net, tab, id);
            let is_synced = net.status(tab, id).state == State::Synced;
            assert!(clock == whole || !is_synced && position < Some(LogSeq(60)), "tab {tab} has not all");
            waited |= net.status(tabs[0], id).state == State::StorageFull && position < Some(LogSeq(60));
        }
    }
    assert!(waited);
    net.fill_client(tabs[0], false);
    net.settle();
    for (tab, id) in [(tabs[1], first), (tabs[2], late)] {
        assert_eq!(net.value(tab, id), net.value(0, written));
        assert_eq!(net.status(tab, id).state, State::Synced);
        assert_eq!(holds(&mut net, tab, id), (Some(LogSeq(60)), whole.clone()), "offline too");
    }
    net.change(0, written, |tx| tx.put(ROOT, "more", 1));
    net.settle();
    assert_eq!([(tabs[1], first), (tabs[2], late)].map(|(tab, id)| holds(&mut net, tab, id).0), [Some(LogSeq(61)); 2]);
}

#[test]
fn a_tab_that_ends_while_the_view_is_shown_leaves_others_that_get_the_history_all_the_same() {
    for gone in [0, 1] {
        let (mut net, written, seq, mut tabs, first) = newcomers(3);
        let late = net.open(tabs[2], "doc");
        net.crash_tab(tabs.remove(gone));
        if gone == 0 {
            net.lead(tabs[0], 2);
        }
        net.set_online(tabs[0], true);
        net.settle();
        let documents = if gone == 0 { [first, late] } else { [net.open(tabs[0], "doc"), late] };
        let value = net.value(0, written);
        all_show(&net, &tabs, &documents, &value);
        assert_eq!(shown(&mut net, tabs[1], seq), 2 - gone, "who leads next begins anew");
        for (tab, id) in tabs.iter().zip(&documents) {
            assert_eq!(holds(&mut net, *tab, *id).0, Some(LogSeq(60)), "tab {tab}");
        }
    }
}

#[test]
fn a_tab_that_opens_what_it_has_open_for_others_is_shown_the_view_as_well() {
    let (mut net, written, seq, tabs, theirs) = newcomers(2);
    let own = net.open(tabs[0], "doc");
    assert_eq!(shown(&mut net, tabs[0], seq), 1);
    net.set_online(tabs[0], true);
    net.settle();
    let value = net.value(0, written);
    all_show(&net, &tabs, &[own, theirs], &value);
}

/// With the word of the one before it was in sync as soon as the next one was connected, which had not opened the document yet.
#[test]
fn a_tab_does_not_take_the_last_leaders_word_for_the_next_ones() {
    let mut net = Net::new(2);
    let tabs: Vec<_> = (0..3).map(|tab| net.tab(1, tab)).collect();
    net.lead(tabs[0], 1);
    let (written, id) = (net.open(0, "doc"), net.open(tabs[2], "doc"));
    assert_eq!(net.status(tabs[2], id).state, State::Synced);
    net.freeze(tabs[2]);
    net.crash_tab(tabs[0]);
    net.lead(tabs[1], 2);
    net.change(0, written, |tx| tx.put(ROOT, "a", 1));
    net.settle_for(0);
    net.wake(tabs[2]);
    let mut said = vec![State::Synced];
    for _ in 0..1_000 {
        net.some_steps(1);
        let state = net.status(tabs[2], id).state;
        if said.last() != Some(&state) {
            said.push(state);
            assert!(state != State::Synced || net.value(tabs[2], id) == net.value(0, written), "{said:?}");
        }
    }
    assert_eq!((said.len() > 1, said.last()), (true, Some(&State::Synced)), "{said:?}");
}

#[test]
fn a_leader_of_a_version_that_says_no_position_is_understood_and_no_more_believed() {
    let (mut net, written, _) = long(2);
    let (_, acked) = holds(&mut net, 0, written);
    let tab = net.tab(1, 1);
    let id = net.open(tab, "doc");
    let says = |net: &mut Net, message: TabMessage| net.feed(tab, Input::Told(TabId(0), message.encode()));
    says(&mut net, TabMessage::Lead(Lead { epoch: 1, wanted: true, online: true }));
    for (acked, state) in [(acked, State::Syncing), (VectorClock::new(), State::Synced)] {
        let (document, current, refused) = ("doc".into(), true, false);
        let standing = Standing { document, acked, current, refused, seq: None, view: None };
        says(&mut net, TabMessage::Standing(standing));
        assert_eq!((net.status(tab, id).state, holds(&mut net, tab, id).0), (state, None));
    }
}
