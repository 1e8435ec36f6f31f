//! What answers do in the document: at the place and nowhere else, again after they were taken back, and once though two give them.

use automerge::transaction::{Transactable, Transaction};
use automerge::{AutomergeError, ObjType, ROOT, ReadDoc, ScalarValue};
use sync_core::conflict::{ConflictKind, Value};
use sync_core::id::{ActorId, ChangeHash};
use sync_core::replica::{DocumentId, Listed};
use sync_core::settlement::{Answer, AnswerError, ListedState, Seen};

use crate::net::Net;

pub(crate) type Edit<'a> = &'a dyn Fn(&mut Transaction<'_>) -> Result<(), AutomergeError>;

pub(crate) struct Two {
    pub(crate) net: Net,
    pub(crate) ids: [DocumentId; 2],
}

impl Two {
    /// Both have what `begin` made, and then each makes an edit without knowing of the other's.
    pub(crate) fn apart(begin: Edit<'_>, first: Edit<'_>, second: Edit<'_>) -> Self {
        let mut net = Net::new(2);
        let ids = [net.open(0, "doc"), net.open(1, "doc")];
        net.change(0, ids[0], begin);
        net.settle();
        let mut two = Self { net, ids };
        two.apart_again(first, second);
        two
    }

    pub(crate) fn apart_again(&mut self, first: Edit<'_>, second: Edit<'_>) {
        self.online(false);
        self.net.change(0, self.ids[0], first);
        self.net.change(1, self.ids[1], second);
        self.online(true);
    }

    pub(crate) fn online(&mut self, online: bool) {
        (0..2).for_each(|client| self.net.set_online(client, online));
        self.net.settle();
    }

    pub(crate) fn edit(&mut self, client: usize, edit: Edit<'_>) {
        self.net.change(client, self.ids[client], edit);
        self.net.settle();
    }

    /// What both show, without answers.
    fn value(&mut self) -> String {
        let [a, b] = [0, 1].map(|client| {
            // A counter shows its number, and a text its words.
            let value = self.net.value(client, self.ids[client]).replace("Counter: ", "");
            let value = value.replace("Text { value: ", "").replace(", marks: {} }", "");
            let value: serde_json::Value = serde_json::from_str(&value).unwrap_or_else(|e| panic!("{e}: {value}"));
            let serde_json::Value::Object(mut entries) = value else { panic!("{value}") };
            entries.remove("$settled");
            serde_json::Value::Object(entries).to_string()
        });
        assert_eq!(a, b);
        a
    }

    pub(crate) fn only(&mut self, client: usize) -> Listed {
        let mut listed = self.net.listed(client, self.ids[client]);
        assert_eq!(listed.len(), 1, "{listed:#?}");
        listed.remove(0)
    }

    pub(crate) fn give(&mut self, client: usize, answer: &Answer) {
        let seen = Seen::from(&self.only(client));
        self.net.resolve(client, self.ids[client], &seen, answer).expect("answered");
    }

    /// The first gives an answer, which both see.
    fn answer(&mut self, answer: impl FnOnce(&Listed) -> Answer) -> String {
        self.settle(answer);
        self.value()
    }

    pub(crate) fn settle(&mut self, answer: impl FnOnce(&Listed) -> Answer) {
        let answer = answer(&self.only(0));
        self.give(0, &answer);
        self.net.settle();
        assert_eq!(self.only(1).state(), ListedState::Settled);
    }

    pub(crate) fn undo(&mut self) {
        let id = self.only(0).conflict.id;
        self.net.reopen(0, self.ids[0], id).expect("taken back");
        let again = self.net.reopen(0, self.ids[0], id);
        assert_eq!(again, Err(AnswerError::NotSettled(id).into()), "it is open");
        self.net.settle();
        assert_eq!(self.only(1).state(), ListedState::Open);
    }
}

/// Picks the side that says this; `None` for the one that wants nothing there.
pub(crate) fn says(value: Option<Value>) -> impl FnOnce(&Listed) -> Answer {
    move |listed| {
        let side = listed.conflict.candidates.iter().find(|side| side.value == value);
        Answer::Pick(side.unwrap_or_else(|| panic!("{value:?}: {listed:#?}")).change)
    }
}

pub(crate) fn scalar(value: impl Into<ScalarValue>) -> Option<Value> {
    Some(Value::Scalar(value.into()))
}

fn list(tx: &mut Transaction<'_>, items: &[&str]) -> Result<(), AutomergeError> {
    let list = tx.put_object(ROOT, "list", ObjType::List)?;
    items.iter().enumerate().try_for_each(|(at, item)| tx.insert(&list, at, *item))
}

fn in_list(
    tx: &mut Transaction<'_>,
    edit: impl FnOnce(&mut Transaction<'_>, automerge::ObjId) -> Result<(), AutomergeError>,
) -> Result<(), AutomergeError> {
    let (_, list) = tx.get(ROOT, "list")?.expect("it is there");
    edit(tx, list)
}

fn first(tx: &Transaction<'_>, list: &automerge::ObjId) -> Result<automerge::ObjId, AutomergeError> {
    Ok(tx.get(list, 0)?.expect("it is there").1)
}

pub(crate) fn nothing(_: &mut Transaction<'_>) -> Result<(), AutomergeError> {
    Ok(())
}

#[test]
fn an_answer_about_an_element_that_is_gone_leaves_its_neighbour_alone() {
    let put = |value: &'static str| move |tx: &mut Transaction<'_>| in_list(tx, |tx, list| tx.put(&list, 1, value));
    let mut two = Two::apart(&|tx| list(tx, &["a", "b", "c"]), &put("x"), &put("y"));
    assert_eq!(two.answer(|_| Answer::Value(None)), r#"{"list":["a","c"]}"#);
    two.undo();
    assert_eq!(two.value(), r#"{"list":["a","c"]}"#);
    assert_eq!(two.answer(says(scalar("x"))), r#"{"list":["a","x","c"]}"#);
    two.undo();
    assert_eq!(two.answer(|_| Answer::Both), r#"{"list":["a","y","x","c"]}"#);
    two.undo();
    assert_eq!(two.answer(|_| Answer::Value(None)), r#"{"list":["a","c"]}"#);
}

#[test]
fn a_removal_taken_back_can_be_answered_the_other_way() {
    let begin: Edit<'_> = &|tx| tx.put(ROOT, "milk", "2 litres");
    let mut two = Two::apart(begin, &|tx| tx.delete(ROOT, "milk"), &|tx| tx.put(ROOT, "milk", "3 litres"));
    assert_eq!(two.answer(says(None)), "{}");
    two.undo();
    assert_eq!(two.answer(says(scalar("3 litres"))), r#"{"milk":"3 litres"}"#);
    two.undo();
    assert_eq!(two.answer(says(None)), "{}");
}

/// Makes an object that holds a count.
fn plums(count: i64) -> impl Fn(&mut Transaction<'_>) -> Result<(), AutomergeError> {
    move |tx| {
        let plums = tx.put_object(ROOT, "plums", ObjType::Map)?;
        tx.put(&plums, "count", count)
    }
}

#[test]
fn of_two_objects_the_hidden_one_is_picked_and_that_is_taken_back() {
    let mut two = Two::apart(&nothing, &plums(3), &plums(5));
    let sides: Vec<_> = two.only(0).conflict.candidates.iter().map(|side| side.value.clone()).collect();
    let [shown, hidden] = &sides[..] else { panic!("{sides:?}") };
    let counts = [shown, hidden].map(|side| match side {
        Some(Value::Map(entries)) => entries["count"].clone(),
        other => panic!("{other:?}"),
    });
    let text =
        |at: usize| format!(r#"{{"plums":{{"count":{}}}}}"#, if counts[at] == Value::Scalar(3.into()) { 3 } else { 5 });
    assert_eq!(two.answer(says(hidden.clone())), text(1));
    two.undo();
    let again: Vec<_> = two.only(1).conflict.candidates.iter().map(|side| side.value.clone()).collect();
    assert_eq!(again, sides, "they are told as they were");
    assert_eq!(two.answer(says(shown.clone())), text(0));
}

/// An answer that makes all sides agree is followed by others: the sides are told as they were before the first.
#[test]
fn sides_are_told_as_they_were_before_the_first_of_many_answers() {
    let mut two = Two::apart(&nothing, &plums(3), &plums(5));
    let before = sides(&two.only(0));
    for side in [1, 0, 1, 1, 0] {
        two.answer(says(Some(before[side].clone())));
        two.undo();
        assert_eq!(sides(&two.only(1)), before);
    }
}

/// The sides with who says so, and whether that is the second client.
fn said(two: &mut Two) -> Vec<(Option<Value>, ActorId, ChangeHash, i64, bool)> {
    let sides = two.only(1).conflict.candidates;
    sides.into_iter().map(|side| (side.value, side.actor, side.change, side.time, side.mine)).collect()
}

/// Answers that put a side there, and the other one, are taken back. The sides are told as before, and by the same people: whoever had put the
/// object back was taken for who had deleted it.
#[track_caller]
fn sides_stay(two: &mut Two) {
    let before = said(two);
    assert_eq!(before.len(), 2);
    for _ in 0..2 {
        for side in [1, 0] {
            for client in [1, 0] {
                let answer = says(before[side].0.clone())(&two.only(client));
                two.give(client, &answer);
                two.net.settle();
                assert_eq!(said(two), before, "answered");
                two.undo();
                assert_eq!(said(two), before, "taken back");
            }
        }
    }
}

fn count(tx: &mut Transaction<'_>) -> Result<(), AutomergeError> {
    let (_, plums) = tx.get(ROOT, "plums")?.expect("it is there");
    tx.put(&plums, "count", 5)
}

#[test]
fn who_deleted_an_object_is_told_also_after_it_was_put_back_and_taken_away_again() {
    let mut two = Two::apart(&plums(3), &|tx| tx.delete(ROOT, "plums"), &count);
    let sides = said(&mut two);
    assert_eq!(sides[0].0, None);
    assert_eq!(two.answer(says(sides[1].0.clone())), r#"{"plums":{"count":5}}"#);
    two.undo();
    assert_eq!(two.answer(says(None)), "{}");
    two.undo();
    sides_stay(&mut two);
    // By who has answered, too.
    let mut two = Two::apart(&plums(3), &count, &|tx| tx.delete(ROOT, "plums"));
    sides_stay(&mut two);
}

#[test]
fn who_put_a_value_over_an_object_or_a_counter_is_told_also_after_answers() {
    let mut two = Two::apart(&plums(3), &|tx| tx.put(ROOT, "plums", "none"), &count);
    assert_eq!(said(&mut two)[0].0, scalar("none"));
    sides_stay(&mut two);
    let counter = |number: i64| move |tx: &mut Transaction<'_>| tx.put(ROOT, "n", ScalarValue::counter(number));
    let mut two = Two::apart(&counter(10), &counter(100), &|tx| tx.increment(ROOT, "n", 5));
    sides_stay(&mut two);
}

#[test]
fn who_deleted_what_was_put_over_an_object_is_told_also_after_answers() {
    let mut two = Two::apart(&plums(3), &|tx| tx.put(ROOT, "plums", "none"), &count);
    two.edit(0, &|tx| tx.delete(ROOT, "plums"));
    assert_eq!(said(&mut two)[0].0, None);
    sides_stay(&mut two);
}

#[test]
fn objects_that_say_the_same_are_no_conflict() {
    let made: Edit<'_> = &|tx| tx.put_object(ROOT, "plums", ObjType::Map).and_then(|plums| tx.put(&plums, "count", 3));
    let mut two = Two::apart(&nothing, made, made);
    for client in 0..2 {
        assert!(two.net.listed(client, two.ids[client]).is_empty());
    }
}

/// A counter of 5 to which the first adds 3, while the second puts `anew` there.
fn counted(anew: impl Into<ScalarValue> + Clone) -> Two {
    Two::apart(
        &|tx| tx.put(ROOT, "sold", ScalarValue::counter(5)),
        &|tx| tx.increment(ROOT, "sold", 3),
        // Later than the step, so that it is the one that shows.
        &|tx| tx.put(ROOT, "sold", 1).and_then(|()| tx.put(ROOT, "sold", anew.clone())),
    )
}

#[test]
fn the_same_answer_of_two_at_once_to_a_counter_is_disputed_and_can_be_put_right() {
    for (answer, right) in [(Answer::Both, 3), (Answer::Value(scalar(ScalarValue::counter(8))), 8)] {
        let mut two = counted(ScalarValue::counter(0));
        two.online(false);
        (0..2).for_each(|client| two.give(client, &answer));
        two.online(true);
        assert_eq!(two.value(), format!(r#"{{"sold":{}}}"#, 2 * right));
        for client in 0..2 {
            assert_eq!(two.only(client).state(), ListedState::Open, "it does not say what anybody wanted");
        }
        assert_eq!(two.answer(|_| answer), format!(r#"{{"sold":{right}}}"#));
        two.undo();
        assert_eq!(two.answer(|_| Answer::Both), r#"{"sold":3}"#);
        two.undo();
        assert_eq!(two.answer(says(scalar(ScalarValue::counter(0)))), r#"{"sold":0}"#);
    }
}

#[test]
fn steps_of_a_counter_over_which_something_else_was_put_can_be_kept() {
    for anew in [ScalarValue::Str("none".into()), ScalarValue::Null, ScalarValue::Int(7)] {
        let mut two = counted(anew.clone());
        let seen = two.only(0);
        assert_eq!(seen.conflict.kind, ConflictKind::CounterOverwrite);
        let refused = two.net.resolve(0, two.ids[0], &Seen::from(&seen), &Answer::Both);
        assert!(refused.is_err(), "{anew:?} and a counter");
        assert_eq!(two.answer(says(scalar(ScalarValue::counter(8)))), r#"{"sold":8}"#);
    }
}

#[test]
fn an_element_that_two_put_back_stands_there_once_it_is_answered_again() {
    let mut two = Two::apart(
        &|tx| {
            let list = tx.put_object(ROOT, "list", ObjType::List)?;
            let note = tx.insert_object(&list, 0, ObjType::Map)?;
            tx.put(&note, "title", "milk")?;
            tx.insert(&list, 1, "last")
        },
        &|tx| in_list(tx, |tx, list| tx.delete(&list, 0)),
        &|tx| in_list(tx, |tx, list| first(tx, &list).and_then(|note| tx.put(note, "title", "bread"))),
    );
    let kept = two.only(0).conflict.candidates[1].change;
    let (once, twice) =
        (r#"{"list":[{"title":"bread"},"last"]}"#, r#"{"list":[{"title":"bread"},{"title":"bread"},"last"]}"#);
    two.online(false);
    (0..2).for_each(|client| two.give(client, &Answer::Pick(kept)));
    two.online(true);
    assert_eq!(two.value(), twice);
    assert_eq!(two.only(0).state(), ListedState::Open);
    assert_eq!(two.answer(|_| Answer::Pick(kept)), once);
    two.undo();
    two.edit(1, &|tx| in_list(tx, |tx, list| first(tx, &list).and_then(|note| tx.put(note, "done", true))));
    assert_eq!(two.answer(|_| Answer::Pick(kept)), once, "the one that is there is it");
    two.undo();
    assert_eq!(two.answer(says(None)), r#"{"list":["last"]}"#);
}

#[test]
fn what_was_merged_once_is_not_merged_again() {
    let made = |items: &'static [&'static str]| move |tx: &mut Transaction<'_>| list(tx, items);
    let mut two = Two::apart(&nothing, &made(&["a"]), &made(&["b"]));
    let merged = two.answer(|_| Answer::Both);
    two.undo();
    assert_eq!(two.answer(|_| Answer::Both), merged);
}

/// What the side that shows says, and what the hidden one does.
fn sides(listed: &Listed) -> [Value; 2] {
    let mut sides = listed.conflict.candidates.iter().map(|side| side.value.clone().expect("it is there"));
    [(); 2].map(|()| sides.next().expect("there are two"))
}

/// Two give an answer without knowing of each other, and one of them gives another when they have met.
fn twice_and_then(two: &mut Two, answer: &Answer, then: &Answer) -> [String; 2] {
    two.online(false);
    (0..2).for_each(|client| two.give(client, answer));
    two.online(true);
    let met = two.value();
    for client in 0..2 {
        assert_eq!(two.only(client).state(), ListedState::Open, "{answer:?} does not say what anybody wanted: {met}");
    }
    [met, two.answer(|_| then.clone())]
}

#[test]
fn the_same_answer_of_two_at_once_to_texts_is_disputed_and_stands_there_once_after_the_next() {
    let made = |words: &'static str| {
        move |tx: &mut Transaction<'_>| {
            let note = tx.put_object(ROOT, "note", ObjType::Text)?;
            tx.splice_text(&note, 0, 0, words)
        }
    };
    let note = |words: &str| format!(r#"{{"note":"{words}"}}"#);
    let begin = || Two::apart(&nothing, &made("milk. "), &made("bread. "));
    let mut two = begin();
    let [Value::Text(shown), Value::Text(hidden)] = sides(&two.only(0)) else { panic!("two texts") };
    let changes: Vec<_> = two.only(0).conflict.candidates.iter().map(|side| side.change).collect();
    let (both, first) = (note(&format!("{shown}{hidden}")), Answer::Pick(changes[0]));
    let [met, then] = twice_and_then(&mut two, &Answer::Both, &Answer::Both);
    assert_eq!((met, &then), (note(&format!("{shown}{hidden}{hidden}")), &both));
    two.undo();
    assert_eq!(two.answer(|_| Answer::Both), both);
    two.undo();
    assert_eq!(two.answer(|_| first.clone()), note(&shown));
    let merged = Answer::Value(Some(Value::Text(format!("{shown}and {hidden}"))));
    for (answer, right) in [(merged, format!("{shown}and {hidden}")), (Answer::Pick(changes[1]), hidden.clone())] {
        let [met, then] = twice_and_then(&mut begin(), &answer, &answer);
        assert_ne!(met, note(&right), "it stands there twice");
        assert_eq!(then, note(&right));
        let [_, then] = twice_and_then(&mut begin(), &answer, &first);
        assert_eq!(then, note(&shown), "the side that was shown");
    }
}

#[test]
fn the_same_answer_of_two_at_once_to_lists_is_disputed_and_stands_there_once_after_the_next() {
    let made = |items: &'static [&'static str]| move |tx: &mut Transaction<'_>| list(tx, items);
    let begin = || Two::apart(&nothing, &made(&["a"]), &made(&["b"]));
    let [Value::List(shown), Value::List(hidden)] = sides(&begin().only(0)) else { panic!("two lists") };
    let text = |items: &[&Value]| {
        let items = items.iter().map(|item| match item {
            Value::Scalar(ScalarValue::Str(item)) => format!("{:?}", item.as_str()),
            other => panic!("{other:?}"),
        });
        format!(r#"{{"list":[{}]}}"#, items.collect::<Vec<_>>().join(","))
    };
    let (a, b) = (&shown[0], &hidden[0]);
    let [met, then] = twice_and_then(&mut begin(), &Answer::Both, &Answer::Both);
    assert_eq!([met, then], [text(&[a, b, b]), text(&[a, b])]);
    let other = scalar("c").expect("a value");
    let value = Answer::Value(Some(Value::List(vec![b.clone(), other.clone()])));
    let [met, then] = twice_and_then(&mut begin(), &value, &value);
    assert_eq!([met, then], [text(&[b, &other, b, &other]), text(&[b, &other])]);
    let [_, then] = twice_and_then(&mut begin(), &value, &Answer::Value(Some(Value::List(shown.clone()))));
    assert_eq!(then, text(&[a]));
}

/// Of a text of which only some is taken away, or a map, nothing stands there twice: equal answers are one.
#[test]
fn the_same_answer_of_two_at_once_that_adds_nothing_twice_is_one() {
    let made = |count: i64| {
        move |tx: &mut Transaction<'_>| {
            let plums = tx.put_object(ROOT, "plums", ObjType::Map)?;
            tx.put(&plums, "count", count)?;
            let note = tx.put_object(&plums, "note", ObjType::Text)?;
            tx.splice_text(&note, 0, 0, "sweet and ripe")
        }
    };
    let mut two = Two::apart(&nothing, &made(3), &made(5));
    let plums = [("count".to_owned(), Value::Scalar(7.into())), ("note".to_owned(), Value::Text("sweet".into()))];
    let answer = Answer::Value(Some(Value::Map(plums.into())));
    two.online(false);
    (0..2).for_each(|client| two.give(client, &answer));
    two.online(true);
    assert_eq!(two.value(), r#"{"plums":{"count":7,"note":"sweet"}}"#);
    for client in 0..2 {
        assert_eq!(two.only(client).state(), ListedState::Settled);
    }
}

/// Somebody who did not know that the element was deleted has put something there since an answer put a copy where it stood.
#[test]
fn an_answer_about_an_element_that_came_back_is_put_there_and_takes_the_copy_away() {
    let put = |value: &'static str| move |tx: &mut Transaction<'_>| in_list(tx, |tx, list| tx.put(&list, 1, value));
    let mut two = Two::apart(&|tx| list(tx, &["a", "b", "c"]), &put("x"), &put("y"));
    let conflict = two.only(0).conflict;
    two.online(false);
    two.net.change(0, two.ids[0], |tx| in_list(tx, |tx, list| tx.delete(&list, 1)));
    let pick = |side: usize| Answer::Pick(conflict.candidates[side].change);
    two.give(0, &pick(1));
    two.net.change(1, two.ids[1], put("z"));
    two.online(true);
    let listed = two.net.listed(0, two.ids[0]);
    let old = listed.iter().find(|one| one.conflict.id == conflict.id).expect("it is listed").conflict.clone();
    assert!(!old.spot.is_gone);
    two.net.reopen(0, two.ids[0], old.id).expect("taken back");
    two.net.resolve(0, two.ids[0], &Seen::from(&old), &pick(0)).expect("answered");
    two.net.settle();
    let picked = if conflict.candidates[0].value == scalar("x") { "x" } else { "y" };
    assert_eq!(two.value(), format!(r#"{{"list":["a","{picked}","c"]}}"#));
}
