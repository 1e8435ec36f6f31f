//! One story for each kind of conflict.

use std::collections::BTreeSet;

use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::{Transactable, Transaction};
use automerge::{ActorId, Automerge, AutomergeError, ObjId, ObjType, ROOT, ReadDoc as _, ScalarValue, TextEncoding};
use sync_core::conflict::{Conflict, ConflictKind, ConflictState, PathPart, Value};
use sync_core::document::{InitValue, init_change};

use super::history::People;

fn text(value: &str) -> Value {
    Value::Scalar(ScalarValue::Str(value.into()))
}

fn counter(value: i64) -> Value {
    Value::Scalar(ScalarValue::counter(value))
}

fn key(name: &str) -> PathPart {
    PathPart::Key(name.into())
}

fn map(people: &People) -> ObjId {
    people.documents[0].get(ROOT, "map").expect("readable").expect("it is there").1
}

/// The one conflict, of this kind.
fn only(people: &mut People, kind: ConflictKind) -> Conflict {
    people.meet();
    let mut conflicts = people.conflicts();
    assert_eq!(conflicts.iter().map(|c| c.kind).collect::<Vec<_>>(), [kind], "{conflicts:#?}");
    conflicts.remove(0)
}

fn values(conflict: &Conflict) -> Vec<Option<Value>> {
    conflict.candidates.iter().map(|candidate| candidate.value.clone()).collect()
}

#[test]
fn two_values_at_one_key() {
    let mut people = People::new(2);
    people.edit(0, |tx| tx.put(ROOT, "title", "draft"));
    people.meet();
    people.edit(0, |tx| tx.put(ROOT, "title", "ann's"));
    people.edit(1, |tx| tx.put(ROOT, "title", "bob's"));
    let conflict = only(&mut people, ConflictKind::Register);
    assert_eq!(values(&conflict), [Some(text("bob's")), Some(text("ann's"))]);
    assert_eq!((conflict.base, conflict.path), (Some(text("draft")), vec![key("title")]));
    assert_eq!(conflict.state, ConflictState::Open);
    assert_eq!(
        conflict.candidates.iter().map(|c| (c.shown, c.time)).collect::<Vec<_>>(),
        [(true, 3_000), (false, 2_000)]
    );
}

#[test]
fn the_same_value_twice_is_no_conflict_and_a_later_write_passes_one_over() {
    let mut people = People::new(2);
    people.edit(0, |tx| tx.put(ROOT, "done", true));
    people.edit(1, |tx| tx.put(ROOT, "done", true));
    people.meet();
    assert_eq!(people.conflicts(), []);
    people.edit(0, |tx| tx.put(ROOT, "done", "no"));
    people.edit(1, |tx| tx.put(ROOT, "done", "yes"));
    let open = only(&mut people, ConflictKind::Register);
    people.edit(0, |tx| tx.put(ROOT, "done", "perhaps"));
    let passed = only(&mut people, ConflictKind::Register);
    assert_eq!((passed.id, passed.state), (open.id, ConflictState::Superseded));
}

#[test]
fn a_key_deleted_here_and_written_there() {
    let mut people = People::new(2);
    people.edit(0, |tx| tx.put(ROOT, "milk", "2 litres"));
    people.meet();
    people.edit(0, |tx| tx.delete(ROOT, "milk"));
    people.edit(1, |tx| tx.put(ROOT, "milk", "3 litres"));
    let conflict = only(&mut people, ConflictKind::DeleteUpdate);
    assert_eq!(values(&conflict), [Some(text("3 litres")), None]);
    assert_eq!(conflict.base, Some(text("2 litres")));
}

#[test]
fn an_object_deleted_here_and_worked_in_there_is_one_conflict_that_grows() {
    let mut people = People::new(3);
    let map = map(&people);
    let note = people.edit(0, |tx| {
        let note = tx.put_object(&map, "note", ObjType::Map)?;
        tx.put(&note, "title", "Milk")?;
        tx.put_object(&note, "body", ObjType::Text).map(|body| (note, body))
    });
    people.meet();
    people.edit(0, |tx| tx.delete(&map, "note"));
    people.edit(1, |tx| tx.splice_text(&note.1, 0, 0, "two litres"));
    let first = only(&mut people, ConflictKind::DeleteUpdate);
    assert_eq!(first.path, [key("map"), key("note")]);
    let [shown, hidden] = &first.candidates[..] else { panic!("{first:#?}") };
    assert_eq!((&shown.value, shown.shown, hidden.shown), (&None, true, false));
    let Some(Value::Map(content)) = &hidden.value else { panic!("{first:#?}") };
    assert_eq!(content["body"], Value::Text("two litres".into()));
    let Some(Value::Map(before)) = &first.base else { panic!("{first:#?}") };
    assert_eq!((&before["title"], &before["body"]), (&text("Milk"), &Value::Text(String::new())));
    assert_eq!(people.documents[0].get(&map, "note").expect("readable"), None);
    // Somebody who has not heard of the deletion goes on, and somebody who has as well.
    let mut late = People::new(3);
    late.documents.clone_from(&people.documents);
    late.edit(2, |tx| tx.splice_text(&note.1, 0, 0, "at least "));
    let kinds: Vec<_> = late.conflicts().iter().map(|c| (c.kind, c.id == first.id)).collect();
    assert!(kinds.contains(&(ConflictKind::DeleteUpdate, true)), "{kinds:?}");
    late.meet();
    let kinds: Vec<_> = late.conflicts().iter().map(|c| c.kind).collect();
    assert!(kinds.contains(&ConflictKind::EditInDeleted), "{kinds:?}");
}

#[test]
fn two_who_make_one_object() {
    let mut people = People::new(2);
    for (who, name) in [(0, "ann"), (1, "bob")] {
        people.edit(who, |tx| {
            let made = tx.put_object(ROOT, "address", ObjType::Map)?;
            tx.put(&made, name, "street")
        });
    }
    let conflict = only(&mut people, ConflictKind::Container);
    let of = |name: &str| Some(Value::Map([(name.to_owned(), text("street"))].into()));
    assert_eq!(values(&conflict), [of("bob"), of("ann")]);
}

#[test]
fn steps_of_a_counter_that_was_overwritten() {
    let mut people = People::new(2);
    people.edit(0, |tx| tx.put(ROOT, "stock", ScalarValue::counter(10)));
    people.meet();
    people.edit(0, |tx| tx.increment(ROOT, "stock", 5));
    people.edit(1, |tx| tx.put(ROOT, "stock", ScalarValue::counter(100)));
    let conflict = only(&mut people, ConflictKind::CounterOverwrite);
    assert_eq!(values(&conflict), [Some(counter(100)), Some(counter(15))]);
    assert_eq!(conflict.base, Some(counter(10)));
}

#[test]
fn a_value_beside_a_counter_that_was_stepped() {
    let mut people = People::new(2);
    // So that the counter shows.
    people.edit(0, |tx| tx.put(ROOT, "other", 1));
    people.edit(0, |tx| tx.put(ROOT, "stock", ScalarValue::counter(10)));
    people.edit(1, |tx| tx.put(ROOT, "stock", "many"));
    people.meet();
    // automerge takes the step for an end of what stands beside the counter.
    people.edit(0, |tx| tx.increment(ROOT, "stock", 5));
    people.meet();
    let conflict = only(&mut people, ConflictKind::Register);
    assert_eq!(values(&conflict), [Some(counter(15)), Some(text("many"))]);
    for value in ["few", "none"] {
        people.edit(1, |tx| tx.put(ROOT, "stock", value));
        people.meet();
        let all = people.conflicts();
        let states: Vec<_> = all.iter().map(|other| (other.id == conflict.id, other.state)).collect();
        assert_eq!(states, [(true, ConflictState::Superseded)], "{all:#?}");
    }
}

/// Ann's counter and Bob's value stand at `stock`, the value above; Ann steps the counter, which puts the value out of sight. `meanwhile` Cy,
/// who knows of the counter alone, does something there.
fn a_step_and(meanwhile: impl FnOnce(&mut Transaction<'_>) -> Result<(), AutomergeError>) -> People {
    let mut people = People::new(3);
    people.edit(0, |tx| tx.put(ROOT, "stock", ScalarValue::counter(10)));
    people.merge(2, 0);
    people.edit(1, |tx| (0..9).try_for_each(|number| tx.put(ROOT, "other", number)));
    people.edit(1, |tx| tx.put(ROOT, "stock", "many"));
    people.merge(0, 1);
    people.edit(0, |tx| tx.increment(ROOT, "stock", 5));
    people.edit(2, meanwhile);
    people.meet();
    people
}

#[test]
fn a_value_beside_a_counter_that_was_stepped_and_deleted() {
    let people = a_step_and(|tx| tx.delete(ROOT, "stock"));
    let shown =
        |people: &People| people.documents[0].get(ROOT, "stock").expect("readable").map(|(value, _)| value.to_string());
    assert_eq!(shown(&people), None);
    let conflicts = people.conflicts();
    let mut sides: Vec<_> = conflicts.iter().map(|one| (one.kind, one.state, values(one))).collect();
    sides.sort_by_key(|(.., values)| format!("{values:?}"));
    let of = |hidden: Value| (ConflictKind::DeleteUpdate, ConflictState::Open, vec![None, Some(hidden)]);
    assert_eq!(sides, [of(counter(15)), of(text("many"))]);
    for conflict in &conflicts {
        let told: Vec<_> = conflict.candidates.iter().map(|side| (side.shown, side.actor.to_bytes()[0])).collect();
        let by = if values(conflict)[1] == Some(counter(15)) { 1 } else { 2 };
        assert_eq!(told, [(true, 3), (false, by)], "{conflict:#?}");
    }
}

#[test]
fn a_value_beside_a_counter_that_was_stepped_and_deleted_is_passed_over_by_who_writes_there() {
    let mut people = a_step_and(|tx| tx.delete(ROOT, "stock"));
    let open: BTreeSet<_> = people.conflicts().iter().map(|one| one.id).collect();
    for value in ["few", "none"] {
        people.edit(1, |tx| tx.put(ROOT, "stock", value));
        people.meet();
        let all = people.conflicts();
        assert_eq!(all.iter().map(|one| one.id).collect::<BTreeSet<_>>(), open, "{all:#?}");
        assert!(all.iter().all(|one| one.state == ConflictState::Superseded), "{all:#?}");
    }
}

#[test]
fn conflicts_in_what_was_put_over_a_counter_that_was_stepped_beside_a_value() {
    let mut people = a_step_and(|tx| tx.put_object(ROOT, "stock", ObjType::Map).map(|_| ()));
    // Bob's value stands higher, and is out of sight all the same.
    let (shown, made) = people.documents[0].get(ROOT, "stock").expect("readable").expect("it is there");
    assert!(shown.is_object(), "{shown:?}");
    people.edit(0, |tx| tx.put(&made, "unit", "box"));
    people.edit(1, |tx| tx.put(&made, "unit", "crate"));
    people.meet();
    let conflicts = people.conflicts();
    let inside = conflicts
        .iter()
        .find(|one| one.path == [key("stock"), key("unit")])
        .unwrap_or_else(|| panic!("{conflicts:#?}"));
    assert_eq!(values(inside), [Some(text("crate")), Some(text("box"))]);
    let beside =
        conflicts.iter().find(|one| one.kind == ConflictKind::Container).unwrap_or_else(|| panic!("{conflicts:#?}"));
    let unit = Some(Value::Map([("unit".to_owned(), text("crate"))].into()));
    assert_eq!(values(beside), [unit, Some(text("many"))]);
}

#[test]
fn an_element_deleted_here_and_written_there() {
    let mut people = People::new(2);
    let list = people.documents[0].get(ROOT, "list").expect("readable").expect("it is there").1;
    people.edit(0, |tx| (0..3).try_for_each(|at| tx.insert(&list, at, format!("item {at}"))));
    people.meet();
    people.edit(0, |tx| tx.delete(&list, 1));
    people.edit(1, |tx| tx.put(&list, 1, "other"));
    let conflict = only(&mut people, ConflictKind::DeleteUpdate);
    assert_eq!(values(&conflict), [Some(text("other")), None]);
    assert_eq!((conflict.path, conflict.base), (vec![key("list"), PathPart::Index(1)], Some(text("item 1"))));
}

#[test]
fn two_links_on_the_same_words() {
    let mut people = People::new(2);
    let body = people.documents[0].get(ROOT, "text").expect("readable").expect("it is there").1;
    people.edit(0, |tx| tx.splice_text(&body, 0, 0, "read this and that"));
    people.meet();
    let link = |to: &str, from: usize, until: usize| Mark::new("link".into(), to, from, until);
    people.edit(0, |tx| tx.mark(&body, link("a.example", 5, 13), ExpandMark::None));
    people.edit(1, |tx| tx.mark(&body, link("b.example", 10, 18), ExpandMark::None));
    let conflict = only(&mut people, ConflictKind::Mark);
    assert_eq!(values(&conflict), [Some(text("b.example")), Some(text("a.example"))]);
    assert_eq!(conflict.path, [key("text"), PathPart::Index(10)], "where they meet");
    // Side by side they are none.
    people.edit(0, |tx| tx.mark(&body, link("c.example", 0, 2), ExpandMark::None));
    people.edit(1, |tx| tx.mark(&body, link("d.example", 2, 4), ExpandMark::None));
    only(&mut people, ConflictKind::Mark);
}

/// Ann and Bob have linked words of one text without knowing of each other; what is listed of it, by what each side says and whether it is open.
fn links(people: &mut People) -> Vec<(Vec<Option<Value>>, ConflictState)> {
    people.meet();
    let mut told: Vec<_> = people.conflicts().iter().map(|one| (values(one), one.state)).collect();
    told.sort_by_key(|told| format!("{told:?}"));
    told
}

fn link(
    body: &ObjId,
    to: Option<&str>,
    from: usize,
    until: usize,
) -> impl FnOnce(&mut Transaction<'_>) -> Result<(), AutomergeError> {
    let value = to.map_or(ScalarValue::Null, |to| ScalarValue::Str(to.into()));
    let (body, mark) = (body.clone(), Mark::new("link".into(), value, from, until));
    move |tx| tx.mark(&body, mark, ExpandMark::None)
}

/// The text, with nothing marked, that three people have.
fn read_this() -> (People, ObjId) {
    let mut people = People::new(3);
    let body = people.documents[0].get(ROOT, "text").expect("readable").expect("it is there").1;
    people.edit(0, |tx| tx.splice_text(&body, 0, 0, "read this and that"));
    people.meet();
    (people, body)
}

#[test]
fn a_link_that_its_reader_has_put_another_over_is_no_side_any_more() {
    for later in [Some("c"), None] {
        let (mut people, body) = read_this();
        people.edit(0, link(&body, Some("a"), 5, 13));
        people.edit(1, link(&body, Some("b"), 5, 13));
        let [a, b, c] = [Some("a"), Some("b"), later].map(|to| to.map(text));
        assert_eq!(links(&mut people.clone()), [(vec![b.clone(), a.clone()], ConflictState::Open)]);
        // Cy has only heard of Bob's.
        people.merge(2, 1);
        people.edit(2, link(&body, later, 0, 18));
        assert_eq!(links(&mut people), [(vec![c, a], ConflictState::Open)]);
        let shown = people.documents[0].get_marks(&body, 7, None).expect("readable");
        assert_eq!(shown.iter().next().is_some(), later.is_some(), "the document shows Cy's");
    }
}

#[test]
fn a_link_over_a_part_of_two_leaves_them_open_where_they_are() {
    let (mut people, body) = read_this();
    people.edit(0, link(&body, Some("a"), 5, 13));
    people.edit(1, link(&body, Some("b"), 5, 13));
    people.merge(2, 1);
    people.edit(2, link(&body, Some("c"), 5, 7));
    let [a, b, c] = ["a", "b", "c"].map(|to| Some(text(to)));
    let both = [(vec![b.clone(), a.clone()], ConflictState::Open), (vec![c, a.clone()], ConflictState::Open)];
    assert_eq!(links(&mut people), both);
    // What is done elsewhere in the text closes nothing, though its author knows of all.
    people.edit(0, link(&body, Some("d"), 14, 18));
    assert_eq!(links(&mut people), both);
    people.edit(0, link(&body, Some("e"), 5, 7));
    let passed = [(vec![b.clone(), a.clone()], ConflictState::Open), (both[1].0.clone(), ConflictState::Superseded)];
    assert_eq!(links(&mut people), passed);
    people.edit(1, link(&body, None, 0, 18));
    assert_eq!(links(&mut people), passed.map(|(values, _)| (values, ConflictState::Superseded)));
}

/// Three have linked words of one text, each without knowing of the others.
fn linked(links: [(&str, usize, usize); 3]) -> (People, ObjId) {
    let (mut people, body) = read_this();
    for (who, (to, from, until)) in links.into_iter().enumerate() {
        people.edit(who, link(&body, Some(to), from, until));
    }
    (people, body)
}

#[test]
fn three_who_link_the_same_words_are_sides_of_one_conflict_and_where_two_meet_they_are_of_another() {
    let (mut people, body) = linked([("a", 5, 13), ("b", 5, 13), ("c", 5, 13)]);
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|to| Some(text(to)));
    assert_eq!(links(&mut people.clone()), [(vec![c.clone(), b.clone(), a.clone()], ConflictState::Open)]);
    // Whoever knows two of them answers for these.
    let mut later = people.clone();
    later.merge(0, 1);
    later.edit(0, link(&body, Some("d"), 0, 18));
    let both = [(vec![b.clone(), a.clone()], ConflictState::Superseded), (vec![d, c.clone()], ConflictState::Open)];
    assert_eq!(links(&mut later), both);
    people.meet();
    people.edit(2, link(&body, None, 0, 18));
    assert_eq!(links(&mut people), [(vec![c.clone(), b.clone(), a.clone()], ConflictState::Superseded)]);

    let (mut people, _) = linked([("a", 0, 10), ("b", 5, 15), ("c", 0, 18)]);
    let apart = [vec![c.clone(), a.clone()], vec![c.clone(), b.clone()], vec![c.clone(), b.clone(), a.clone()]];
    let mut told = links(&mut people);
    told.sort_by_key(|(sides, _)| (sides.len(), sides[1] != a));
    assert_eq!(told, apart.map(|sides| (sides, ConflictState::Open)));
    let over = |conflict: &sync_core::conflict::Conflict| {
        let over = &conflict.marking.as_ref().expect("it is of marks").over;
        over.iter().map(|(from, until, _)| (*from, *until)).collect::<Vec<_>>()
    };
    let mut places: Vec<_> = people.conflicts().iter().map(over).collect();
    places.sort();
    assert_eq!(places, [[(0, 5)], [(5, 10)], [(10, 15)]], "each where its sides meet, and nowhere else");
}

#[test]
fn of_three_links_two_that_say_the_same_are_one_side() {
    let (mut people, _) = linked([("a", 5, 13), ("a", 5, 13), ("c", 5, 13)]);
    let [a, c] = ["a", "c"].map(|to| Some(text(to)));
    assert_eq!(links(&mut people), [(vec![c, a], ConflictState::Open)]);
}

/// Where the document is kept that tests in browsers open: no page lets anybody do that.
const LATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packages/client/test/support/edit-in-deleted.hex");

#[test]
fn what_is_written_in_an_object_by_somebody_who_has_its_deletion() {
    let mut document = Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint);
    for (key, value) in [("stock", InitValue::Map), ("orders", InitValue::List), ("log", InitValue::List)] {
        let change = init_change(key, value).expect("a change");
        document.apply_changes([change.into_automerge()]).expect("it applies");
    }
    let stock = document.get(ROOT, "stock").expect("readable").expect("it is there").1;
    let mut people = People { documents: vec![document.with_actor(ActorId::from([1; 16]))], time: 0 };
    let pears = people.edit(0, |tx| {
        let pears = tx.put_object(&stock, "pears", ObjType::Map)?;
        tx.put(&pears, "name", "Pears")?;
        tx.put(&pears, "quantity", 6)?;
        Ok(pears)
    });
    people.edit(0, |tx| tx.delete(&stock, "pears"));
    people.documents[0].set_actor(ActorId::from([2; 16]));
    people.edit(0, |tx| tx.put(&pears, "quantity", 9));
    let conflict = only(&mut people, ConflictKind::EditInDeleted);
    let [None, Some(Value::Map(hidden))] = &values(&conflict)[..] else { panic!("{conflict:#?}") };
    assert_eq!(hidden["quantity"], Value::Scalar(9.into()));
    let saved = format!("{}\n", hex::encode(people.documents[0].save()));
    if std::env::var_os("REJOIN_KEEP_DOCUMENT").is_some() {
        std::fs::write(LATE, &saved).expect("writes");
    }
    assert_eq!(std::fs::read_to_string(LATE).expect("it is kept"), saved, "REJOIN_KEEP_DOCUMENT=1 writes it");
}
