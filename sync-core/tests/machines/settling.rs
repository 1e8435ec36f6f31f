//! Answers to conflicts: meant for what was looked at and for nothing else, kept out of what applications see and write, and disputed.

use automerge::{ActorId, Automerge, ObjId, ObjType, ROOT, ReadDoc, TextEncoding, transaction::Transactable};
use sync_core::conflict::{ConflictKind, Value};
use sync_core::document::{InitValue, init_change};
use sync_core::replica::{DocumentId, EditError, ResolveError};
use sync_core::settlement::{Answer, AnswerError, ROOT_KEY, Seen};

use crate::net::Net;

fn text(value: &str) -> Option<Value> {
    Some(Value::Scalar(value.into()))
}

/// Two clients that have put `first` and `second` in one place without knowing of each other, and know it now.
fn disagreed(first: &str, second: &str) -> (Net, DocumentId, DocumentId) {
    let mut net = Net::new(2);
    let (a, b) = (net.open(0, "doc"), net.open(1, "doc"));
    net.set_online(0, false);
    net.set_online(1, false);
    net.change(0, a, |tx| tx.put(ROOT, "status", first));
    net.change(1, b, |tx| tx.put(ROOT, "status", second));
    net.set_online(0, true);
    net.set_online(1, true);
    net.settle();
    (net, a, b)
}

#[test]
fn an_answer_to_other_sides_of_the_same_number_is_refused_and_says_what_changed() {
    let mut net = Net::new(2);
    let (a, b) = (net.open(0, "doc"), net.open(1, "doc"));
    net.set_online(0, false);
    for n in 0..5 {
        net.change(0, a, |tx| tx.put(ROOT, "status", n));
    }
    net.change(0, a, |tx| tx.put(ROOT, "status", "paid"));
    net.change(1, b, |tx| tx.put(ROOT, "status", "shipped"));
    net.settle();
    net.set_online(1, false);
    net.set_online(0, true);
    net.settle();
    let seen = Seen::from(&net.listed(0, a)[0].conflict);
    net.change(1, b, |tx| tx.put(ROOT, "status", "lost"));
    net.set_online(1, true);
    net.settle();
    let now = net.listed(0, a)[0].conflict.clone();
    assert_eq!((now.id, now.version >> 32), (seen.id, seen.version >> 32), "as many sides as before");
    let pick = Answer::Pick(seen.candidates[0].change);
    let Err(ResolveError::Answer(AnswerError::Changed(changed))) = net.resolve(0, a, &seen, &pick) else {
        panic!("an answer to other sides is taken");
    };
    let says = |sides: &[sync_core::conflict::Candidate]| sides.iter().map(|s| s.value.clone()).collect::<Vec<_>>();
    assert_eq!(says(&changed.was), [text("paid"), text("shipped")]);
    assert_eq!(says(&changed.now), [text("paid"), text("lost")]);
    assert_eq!(changed.version, now.version);
    let said = AnswerError::Changed(changed).to_string();
    assert!(said.contains("\"shipped\"") && said.contains("\"lost\""), "{said}");
    net.resolve(0, a, &Seen::from(&now), &pick).expect("what was looked at");
    net.settle();
    assert!(net.listed(1, b).iter().all(|listed| listed.settled.is_some()));
}

#[test]
fn an_answer_reaches_everybody_is_taken_back_and_two_opposite_ones_are_a_conflict() {
    let (mut net, a, b) = disagreed("paid", "shipped");
    let conflict = net.listed(0, a)[0].conflict.clone();
    assert_eq!(conflict, {
        let mut theirs = net.listed(1, b)[0].conflict.clone();
        theirs.candidates.iter_mut().for_each(|side| side.mine = !side.mine);
        theirs
    });
    let pick = |value: Option<Value>| {
        let side = conflict.candidates.iter().find(|side| side.value == value).expect("a side");
        Answer::Pick(side.change)
    };
    net.resolve(0, a, &Seen::from(&conflict), &pick(text("paid"))).expect("answered");
    net.settle();
    for (client, id) in [(0, a), (1, b)] {
        let listed = net.listed(client, id);
        assert_eq!((listed.len(), listed[0].is_open(), &listed[0].answer), (1, false, &text("paid")), "{listed:?}");
    }
    net.reopen(1, b, conflict.id).expect("taken back");
    net.settle();
    assert!(net.listed(0, a)[0].is_open());
    net.set_online(0, false);
    net.set_online(1, false);
    net.resolve(0, a, &Seen::from(&conflict), &pick(text("paid"))).expect("answered");
    net.resolve(1, b, &Seen::from(&conflict), &pick(text("shipped"))).expect("answered");
    net.set_online(0, true);
    net.set_online(1, true);
    net.settle();
    let (ours, theirs) = (net.listed(0, a), net.listed(1, b));
    let open = |listed: &[sync_core::replica::Listed]| {
        listed.iter().filter(|listed| listed.is_open()).map(|listed| listed.conflict.id).collect::<Vec<_>>()
    };
    assert_eq!(open(&ours), open(&theirs));
    assert_eq!(open(&ours).len(), 1, "{ours:?}");
}

/// Seed 195 of tabs. Two answers in dispute are open, unless what they put there is open and says so. A refused change of one client's own says
/// nothing of them, and is nobody else's: that client alone took the dispute for superseded.
#[test]
fn a_dispute_is_open_also_where_a_change_of_ones_own_was_refused() {
    let (mut net, a, b) = disagreed("paid", "shipped");
    let conflict = net.listed(0, a)[0].conflict.clone();
    net.set_online(0, false);
    net.set_online(1, false);
    for (client, id) in [(0, a), (1, b)] {
        let pick = Answer::Pick(conflict.candidates[client].change);
        net.resolve(client, id, &Seen::from(&conflict), &pick).expect("answered");
    }
    net.set_online(0, true);
    net.set_online(1, true);
    net.settle();
    net.change(1, b, |tx| tx.put(ROOT, "status", "lost"));
    net.settle();
    net.server.value_bytes_max(100);
    net.restart_server();
    net.change(0, a, |tx| tx.put(ROOT, "status", "x".repeat(200)));
    net.settle();
    assert_eq!(net.status(0, a).rejected, 1);
    let mut states = |client, id| {
        let listed = net.listed(client, id).into_iter().filter(|one| one.conflict.kind != ConflictKind::Rejected);
        listed.map(|one| (one.conflict.id, one.state().name())).collect::<Vec<_>>()
    };
    let (ours, theirs) = (states(0, a), states(1, b));
    assert_eq!(ours, theirs);
    assert!(theirs.contains(&(conflict.id, "open")), "{theirs:?}");
}

#[test]
fn a_value_is_answered_where_a_map_shows() {
    let mut net = Net::new(2);
    let (a, b) = (net.open(0, "doc"), net.open(1, "doc"));
    net.set_online(0, false);
    net.set_online(1, false);
    net.change(0, a, |tx| tx.put(ROOT, "status", 1).and_then(|()| tx.put_object(ROOT, "status", ObjType::Map)));
    net.change(1, b, |tx| tx.put(ROOT, "status", "lost"));
    net.set_online(0, true);
    net.set_online(1, true);
    net.settle();
    let conflict = net.listed(0, a)[0].conflict.clone();
    assert_eq!(conflict.candidates[0].value, Some(Value::Map(Default::default())), "the map shows");
    net.resolve(0, a, &Seen::from(&conflict), &Answer::Pick(conflict.candidates[1].change)).expect("answered");
    net.settle();
    assert_eq!(net.listed(1, b)[0].answer, text("lost"));
}

#[test]
fn an_entry_of_any_version_silences_no_conflict() {
    let (mut net, a, _) = disagreed("paid", "shipped");
    let conflict = net.listed(0, a)[0].conflict.clone();
    // Written by a program that keeps to no rule.
    let mut forged = Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint);
    let init = init_change(ROOT_KEY, InitValue::Map).expect("a change");
    forged.apply_changes([init.into_automerge()]).expect("it applies");
    forged.set_actor(ActorId::from([9; 16]));
    for version in [u64::MAX, u64::from(u32::MAX) << 32, conflict.version + 1] {
        let write = |tx: &mut automerge::transaction::Transaction<'_>| {
            let (_, entries) = tx.get(ROOT, ROOT_KEY)?.expect("it is there");
            tx.put(&entries, conflict.id.to_string(), format!("1 {version} settled 0 both human@1"))
        };
        forged.transact(write).expect("an edit");
        assert_eq!(sync_core::settlement::standing(&forged, &conflict), sync_core::settlement::Standing::Unanswered);
    }
}

#[test]
fn applications_write_nothing_at_the_reserved_key() {
    let (mut net, a, b) = disagreed("paid", "shipped");
    let conflict = net.listed(0, a)[0].conflict.clone();
    let before = net.value(0, a);
    let refused = |done: Result<(), EditError>| assert_eq!(done, Err(EditError::Reserved));
    refused(net.try_change(0, a, |tx| tx.put(ROOT, ROOT_KEY, 1)));
    refused(net.try_change(0, a, |tx| tx.put_object(ROOT, ROOT_KEY, ObjType::Map).map(drop)));
    refused(net.try_init(0, a, ROOT_KEY));
    assert_eq!(net.value(0, a), before);
    net.resolve(0, a, &Seen::from(&conflict), &Answer::Pick(conflict.candidates[0].change)).expect("answered");
    net.settle();
    let entry = conflict.id.to_string();
    let entries = |tx: &automerge::transaction::Transaction<'_>| tx.get(ROOT, ROOT_KEY).map(|e| e.expect("there").1);
    refused(net.try_change(1, b, |tx| entries(tx).and_then(|map| tx.put(&map, entry.as_str(), "gone"))));
    refused(net.try_change(1, b, |tx| entries(tx).and_then(|map| tx.delete(&map, entry.as_str()))));
    refused(net.try_change(1, b, |tx| tx.delete(ROOT, ROOT_KEY)));
    assert!(net.listed(1, b)[0].settled.is_some());
    net.change(1, b, |tx| tx.put(ROOT, "other", 1));
}

#[test]
fn nobody_writes_unseen_in_what_is_deleted() {
    let mut net = Net::new(1);
    let a = net.open(0, "doc");
    let (note, list, row) = net.change(0, a, |tx| {
        let note = tx.put_object(ROOT, "note", ObjType::Map)?;
        let list = tx.put_object(ROOT, "list", ObjType::List)?;
        tx.insert(&list, 0, "first")?;
        let row = tx.insert_object(&list, 1, ObjType::Map)?;
        let inner = tx.put_object(&row, "inner", ObjType::Map)?;
        tx.insert(&list, 2, "last")?;
        Ok((note, list, inner))
    });
    let refused = |net: &mut Net, object: &ObjId| {
        let done = net.try_change(0, a, |tx| tx.put(object, "title", "milk"));
        assert_eq!(done, Err(EditError::InDeleted));
    };
    net.change(0, a, |tx| tx.put(&row, "title", "seen"));
    // In one change it can be written in and then go, or go and be written in.
    net.change(0, a, |tx| tx.put(&note, "title", "seen").and_then(|()| tx.delete(ROOT, "note")));
    net.change(0, a, |tx| tx.delete(&list, 1));
    refused(&mut net, &note);
    refused(&mut net, &row);
    net.change(0, a, |tx| tx.put(ROOT, "note", "a text now"));
    refused(&mut net, &note);
    net.change(0, a, |tx| tx.put_object(ROOT, "made", ObjType::Map).and_then(|made| tx.put(&made, "in", 1)));
    net.settle();
    assert_eq!(net.value(0, a), r#"{"list":["first","last"],"made":{"in":1},"note":"a text now"}"#);
    assert!(net.listed(0, a).is_empty());
}

#[test]
fn of_two_objects_in_one_place_the_hidden_one_can_be_written_in() {
    let mut net = Net::new(2);
    let (a, b) = (net.open(0, "doc"), net.open(1, "doc"));
    net.set_online(0, false);
    net.set_online(1, false);
    let ours = net.change(0, a, |tx| tx.put_object(ROOT, "note", ObjType::Map));
    let theirs = net.change(1, b, |tx| tx.put_object(ROOT, "note", ObjType::Map));
    net.set_online(0, true);
    net.set_online(1, true);
    net.settle();
    for (object, title) in [(ours, "milk"), (theirs, "bread")] {
        net.change(0, a, |tx| tx.put(&object, "title", title));
    }
    assert_eq!(net.listed(0, a)[0].conflict.kind, ConflictKind::Container);
}
