//! Answers to conflicts of which something is left out later: they stand, whoever got the changes in whichever order, until something new comes.

use automerge::transaction::{Transactable, Transaction};
use automerge::{AutomergeError, ObjId, ObjType, ROOT, ScalarValue};
use sync_core::conflict::ConflictKind;
use sync_core::replica::{DocumentId, Listed};
use sync_core::settlement::{Answer, Seen};

use crate::net::Net;

/// Three people, of whom the first is away and its next edit has a higher counter than those of the others, and a place for one who
/// comes later.
struct People {
    net: Net,
    ids: Vec<DocumentId>,
}

impl People {
    /// The first has made something before that all have.
    fn parted<R>(begin: impl FnOnce(&mut Transaction<'_>) -> Result<R, AutomergeError>) -> (Self, R) {
        let mut net = Net::new(5);
        let ids: Vec<_> = (0..4).map(|client| net.open(client, "doc")).collect();
        let made = net.change(0, ids[0], begin);
        net.settle();
        net.set_online(0, false);
        net.set_online(3, false);
        for number in 0..20 {
            net.change(0, ids[0], |tx| tx.put(ROOT, "far", number));
        }
        (Self { net, ids }, made)
    }

    fn edit<R>(&mut self, client: usize, edit: impl FnOnce(&mut Transaction<'_>) -> Result<R, AutomergeError>) -> R {
        let made = self.net.change(client, self.ids[client], edit);
        self.net.settle();
        made
    }

    fn online(&mut self, client: usize, online: bool) {
        self.net.set_online(client, online);
        self.net.settle();
    }

    /// The one conflict of a kind.
    fn only(&mut self, client: usize, kind: ConflictKind) -> Listed {
        let mut listed = self.net.listed(client, self.ids[client]);
        listed.retain(|one| one.conflict.kind == kind);
        assert_eq!(listed.len(), 1, "{listed:#?}");
        listed.remove(0)
    }

    /// The first answers it, and all know that.
    fn answer(&mut self, kind: ConflictKind, answer: impl FnOnce(&Listed) -> Answer) -> Listed {
        let seen = self.only(0, kind);
        assert!(seen.is_open());
        self.net.resolve(0, self.ids[0], &Seen::from(&seen), &answer(&seen)).expect("answered");
        self.net.settle();
        assert!(self.only(1, kind).settled.is_some());
        seen
    }

    /// What everybody who is online sees of it, and somebody who has come only now.
    fn all_see(&mut self, kind: ConflictKind, settled: bool) -> Listed {
        if self.ids.len() == 4 {
            let late = self.net.open(4, "doc");
            self.ids.push(late);
        }
        self.net.settle();
        let seen: Vec<_> = [0, 1, 2, 4].into_iter().map(|client| self.only(client, kind)).collect();
        for one in &seen {
            assert_eq!(one.settled.is_some(), settled, "{one:#?}");
            assert_eq!(
                (one.conflict.version, &one.conflict.hidden),
                (seen[0].conflict.version, &seen[0].conflict.hidden)
            );
        }
        seen.into_iter().next().expect("there are some")
    }
}

fn shown(listed: &Listed) -> Answer {
    Answer::Pick(listed.conflict.candidates[0].change)
}

fn map(tx: &mut Transaction<'_>) -> Result<ObjId, AutomergeError> {
    tx.put_object(ROOT, "note", ObjType::Map)
}

/// Somebody deletes the same note, who knew of a part of the work that an earlier deletion hides: that part was meant to go.
#[test]
fn a_deletion_by_who_knew_some_of_the_work_opens_nothing_and_new_work_does() {
    let (mut people, note) = People::parted(map);
    people.edit(1, |tx| tx.put(&note, "first", 1));
    people.online(2, false);
    people.edit(1, |tx| tx.put(&note, "second", 2));
    people.edit(0, |tx| tx.delete(ROOT, "note"));
    people.edit(2, |tx| tx.delete(ROOT, "note"));
    people.online(0, true);
    let before = people.answer(ConflictKind::DeleteUpdate, shown);
    people.online(2, true);
    let after = people.all_see(ConflictKind::DeleteUpdate, true);
    assert_eq!(before.conflict.id, after.conflict.id);
    assert!(before.conflict.version >> 32 > after.conflict.version >> 32, "one edit less is hidden");
    people.edit(3, |tx| tx.put(&note, "third", 3));
    people.online(3, true);
    assert_eq!(people.all_see(ConflictKind::DeleteUpdate, false).conflict.id, before.conflict.id);
}

#[test]
fn a_counter_put_again_by_who_knew_some_of_the_steps_opens_nothing() {
    let put = |to: i64| move |tx: &mut Transaction<'_>| tx.put(ROOT, "stock", ScalarValue::counter(to));
    let (mut people, _) = People::parted(put(10));
    people.edit(1, |tx| tx.increment(ROOT, "stock", 5));
    people.online(2, false);
    people.edit(1, |tx| tx.increment(ROOT, "stock", 7));
    people.edit(0, put(100));
    people.edit(2, put(50));
    people.online(0, true);
    people.answer(ConflictKind::CounterOverwrite, shown);
    people.online(2, true);
    people.all_see(ConflictKind::CounterOverwrite, true);
    people.edit(3, |tx| tx.increment(ROOT, "stock", 1));
    people.online(3, true);
    people.all_see(ConflictKind::CounterOverwrite, false);
}

/// What lies in an object that does not show is a part of its side: more of it is something new.
#[test]
fn work_in_an_object_that_lost_opens_its_conflict_again() {
    let (mut people, ()) = People::parted(|_| Ok(()));
    let theirs = people.edit(1, map);
    people.edit(1, |tx| tx.put(&theirs, "street", "Long Lane"));
    people.online(2, false);
    people.edit(0, |tx| tx.put_object(ROOT, "note", ObjType::Map).and_then(|made| tx.put(&made, "name", "Ann")));
    people.online(0, true);
    people.answer(ConflictKind::Container, |_| Answer::Both);
    assert_eq!(people.net.value(1, people.ids[1]).matches("Long Lane").count(), 1);
    people.online(2, true);
    people.all_see(ConflictKind::Container, true);
    people.online(2, false);
    people.edit(1, |tx| tx.put(ROOT, "elsewhere", 1));
    people.online(2, true);
    people.all_see(ConflictKind::Container, true);
    // Whoever holds the other object by its id can still write in it.
    people.edit(2, |tx| tx.put(&theirs, "city", "Leeds"));
    people.all_see(ConflictKind::Container, false);
}

#[test]
fn a_value_that_says_what_shows_opens_nothing() {
    let (mut people, _) = People::parted(|tx| tx.put(ROOT, "milk", 2));
    people.online(2, false);
    people.edit(1, |tx| tx.delete(ROOT, "milk"));
    people.edit(0, |tx| tx.put(ROOT, "milk", 3));
    people.edit(2, |tx| tx.put(ROOT, "milk", 3));
    people.online(0, true);
    let before = people.answer(ConflictKind::DeleteUpdate, shown);
    people.online(2, true);
    let after = people.all_see(ConflictKind::DeleteUpdate, true);
    assert_eq!((before.conflict.id, before.conflict.version), (after.conflict.id, after.conflict.version));
}

/// An answer may be an edit in the object that shows. One that said what it said does so no longer: whoever answered knew of that.
#[test]
fn an_answer_in_an_object_that_shows_opens_nothing_for_one_that_said_the_same() {
    let (mut people, ()) = People::parted(|_| Ok(()));
    let says = |city: &'static str| {
        move |tx: &mut Transaction<'_>| {
            let made = map(tx)?;
            tx.put(&made, "city", city).map(|()| made)
        }
    };
    people.online(2, false);
    let theirs = people.edit(1, says("York"));
    people.edit(2, says("Leeds"));
    people.edit(0, says("York"));
    people.online(2, true);
    people.online(0, true);
    let before = people.only(0, ConflictKind::Container);
    let said: Vec<bool> = before.conflict.candidates.iter().map(|side| side.shown).collect();
    assert_eq!(said, [true, false], "two say the same");
    people.answer(ConflictKind::Container, |listed| Answer::Pick(listed.conflict.candidates[1].change));
    assert!(people.net.value(1, people.ids[1]).contains("Leeds"));
    let after = people.all_see(ConflictKind::Container, true);
    assert_eq!(after.conflict.id, before.conflict.id);
    assert_ne!(after.conflict.version, before.conflict.version, "another one is hidden");
    people.edit(2, |tx| tx.put(&theirs, "street", "Long Lane"));
    people.all_see(ConflictKind::Container, false);
}
