//! Tabs on one store: who leads, what they say to each other, and how one goes.

use wasm_bindgen_test::wasm_bindgen_test;

use crate::device::{Device, carry, same, two_tabs, word};

#[wasm_bindgen_test]
fn tabs_show_each_other_s_edits_and_only_the_one_that_leads_connects() {
    let store = std::rc::Rc::default();
    let mut follower = Device::on(&store, Some(1), 2);
    assert!(!follower.wants().contains("connect"), "nobody leads yet");
    follower.replica.handle_lead(0.0, 1.0);
    follower.drain();
    assert!(follower.wants().contains("connect"));

    let (mut tabs, document) = two_tabs("tabs");
    tabs[1].edit(document, "[['put', [], 'from', 'the follower']]");
    carry(&mut tabs);
    tabs[0].edit(document, "[['put', [], 'and', 'the leader']]");
    carry(&mut tabs);
    for tab in &tabs {
        tab.replica.outbox(document).iter().for_each(|entry| same(word(&entry, "state"), "saved"));
        assert!(tab.replica.outbox(document).length() == 2 && !tab.replica.is_online());
        same(tab.shown(document), r#"{"and":"the leader","from":"the follower"}"#);
    }
}

#[wasm_bindgen_test]
fn a_tab_that_was_deposed_follows_with_what_it_wrote() {
    let (mut tabs, document) = two_tabs("deposed");
    tabs[0].change(document, "[['put', [], 'n', 1]]").expect("it is done");
    tabs[1].replica.handle_lead(0.0, 2.0);
    tabs[0].replica.handle_deposed(0.0);
    carry(&mut tabs);
    tabs[0].edit(document, "[['put', [], 'm', 2]]");
    carry(&mut tabs);
    for tab in &tabs {
        same(tab.shown(document), r#"{"m":2,"n":1}"#);
    }
}

#[wasm_bindgen_test]
fn a_tab_goes_on_under_another_number_and_another_actor() {
    let (mut tabs, document) = two_tabs("seats");
    tabs[1].edit(document, "[['put', [], 'n', 1]]");
    carry(&mut tabs);
    tabs[1].replica.handle_seat(0.0, 2);
    tabs[1].tab = Some(2);
    carry(&mut tabs);
    tabs[1].edit(document, "[['put', [], 'n', 2]]");
    carry(&mut tabs);
    same(tabs[0].shown(document), r#"{"n":2}"#);
    let history = tabs[0].replica.history(document);
    let writers: Vec<String> = history.iter().map(|version| word(&version, "actor")).collect();
    assert!(writers.len() == 2 && writers[0] != writers[1]);
}

#[wasm_bindgen_test]
fn a_tab_that_ends_says_so_and_nonsense_is_heard_out() {
    let (mut tabs, document) = two_tabs("ends");
    tabs[1].replica.leave_tabs();
    tabs[1].drain();
    same(tabs[1].wants(), "tell");
    tabs[0].replica.handle_told(0.0, 1, vec![0xff; 9]);
    tabs[0].replica.handle_told(0.0, 9, Vec::new());
    tabs[0].edit(document, "[['put', [], 'n', 1]]");
    same(tabs[0].shown(document), r#"{"n":1}"#);
}
