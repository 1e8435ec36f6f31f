//! Answers and marks: of two links either one, none or another can be had on the characters in dispute, and what an answer puts back has its marks.

use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::{Transactable, Transaction};
use automerge::{AutomergeError, ObjId, ObjType, Prop, ROOT, ReadDoc, ScalarValue};
use sync_core::conflict::{ConflictKind, PathPart, Value};
use sync_core::replica::{DocumentId, Listed};
use sync_core::settlement::{Answer, AnswerError, ListedState, Seen};

use crate::answering::{Edit, Two, nothing, says, scalar};
use crate::net::Net;

/// What is at a way from the root, of which all steps are there.
fn at(tx: &Transaction<'_>, way: &[Prop]) -> ObjId {
    way.iter().fold(ROOT, |object, step| tx.get(&object, step.clone()).expect("readable").expect("it is there").1)
}

fn text() -> Vec<Prop> {
    vec!["text".into()]
}

/// The marks of a text, the same on both sides, and its characters.
fn marks(two: &mut Two, way: &[Prop]) -> (String, Vec<String>) {
    let [a, b] = [0, 1].map(|client| {
        let read = |tx: &mut Transaction<'_>| {
            let text = at(tx, way);
            let told = |mark: Mark| match &mark.value {
                ScalarValue::Str(to) => format!("{} {to} {}-{}", mark.name, mark.start, mark.end),
                _ => format!("{} {}-{}", mark.name, mark.start, mark.end),
            };
            Ok((tx.text(&text)?, tx.marks(&text)?.into_iter().map(told).collect::<Vec<_>>()))
        };
        two.net.change(client, two.ids[client], read)
    });
    assert_eq!(a, b);
    a
}

fn links(two: &mut Two) -> Vec<String> {
    marks(two, &text()).1
}

fn link(to: &'static str, from: usize, until: usize) -> impl Fn(&mut Transaction<'_>) -> Result<(), AutomergeError> {
    move |tx| mark(tx, &text(), "link", to, from, until, ExpandMark::None)
}

fn mark(
    tx: &mut Transaction<'_>,
    way: &[Prop],
    name: &str,
    value: impl Into<ScalarValue>,
    from: usize,
    until: usize,
    expand: ExpandMark,
) -> Result<(), AutomergeError> {
    let text = at(tx, way);
    tx.mark(&text, Mark::new(name.into(), value, from, until), expand)
}

fn write(tx: &mut Transaction<'_>, way: &[Prop], at_index: usize, word: &str) -> Result<(), AutomergeError> {
    let text = at(tx, way);
    tx.splice_text(&text, at_index, 0, word)
}

fn read_this(tx: &mut Transaction<'_>) -> Result<(), AutomergeError> {
    let text = tx.put_object(ROOT, "text", ObjType::Text)?;
    tx.splice_text(&text, 0, 0, "read this and that")
}

fn sides(listed: &Listed) -> Vec<(Option<Value>, bool)> {
    listed.conflict.candidates.iter().map(|side| (side.value.clone(), side.shown)).collect()
}

#[test]
fn of_two_links_either_one_none_or_another_is_had_where_they_meet_and_nowhere_else() {
    let begin: Edit<'_> = &|tx| read_this(tx).and_then(|()| link("old", 0, 18)(tx));
    let mut two = Two::apart(begin, &link("a", 5, 13), &link("b", 10, 18));
    let before = two.only(0);
    let [shown, hidden] = sides(&before).try_into().expect("two sides");
    assert_eq!((before.conflict.kind, before.conflict.base.clone()), (ConflictKind::Mark, scalar("old")));
    assert_eq!(before.conflict.path, [PathPart::Key("text".into()), PathPart::Index(10)]);
    let marking = before.conflict.marking.clone().expect("it is of marks");
    assert_eq!((marking.name.as_str(), marking.words.as_str(), marking.over.len()), ("link", "and", 1));
    assert_eq!((marking.over[0].0, marking.over[0].1), (10, 13));
    let all = |here: Option<&str>| {
        let around = [("old", 0, 5), ("a", 5, 10), ("b", 13, 18)].map(|(to, from, until)| (Some(to), from, until));
        let mut all = around.to_vec();
        all.insert(2, (here, 10, 13));
        let mut out: Vec<(&str, usize, usize)> = Vec::new();
        for (to, from, until) in all.into_iter().filter_map(|(to, from, until)| Some((to?, from, until))) {
            match out.last_mut().filter(|last| last.0 == to && last.2 == from) {
                Some(last) => last.2 = until,
                None => out.push((to, from, until)),
            }
        }
        out.into_iter().map(|(to, from, until)| format!("link {to} {from}-{until}")).collect::<Vec<_>>()
    };
    let word = |value: &Option<Value>| match value {
        Some(Value::Scalar(ScalarValue::Str(to))) => to.to_string(),
        other => panic!("{other:?}"),
    };
    let (first, second) = (word(&shown.0), word(&hidden.0));
    assert_eq!(links(&mut two), all(Some(&first)));
    let changes = two.net.server_changes("doc");
    two.settle(says(hidden.0.clone()));
    assert_eq!(two.net.server_changes("doc"), changes + 2, "the map of answers, and one change");
    assert_eq!((links(&mut two), two.only(1).answer), (all(Some(&second)), hidden.0.clone()));
    two.undo();
    assert_eq!(sides(&two.only(1)), [(shown.0.clone(), false), (hidden.0.clone(), true)], "what it wrote stays");
    assert_eq!((two.only(1).conflict.base, two.only(1).conflict.id), (scalar("old"), before.conflict.id));
    two.settle(|_| Answer::Value(None));
    assert_eq!((links(&mut two), two.only(1).answer), (all(None), None));
    two.undo();
    two.settle(|_| Answer::Value(scalar("mine")));
    assert_eq!((links(&mut two), two.only(1).answer), (all(Some("mine")), scalar("mine")));
    two.undo();
    two.settle(says(shown.0.clone()));
    assert_eq!((links(&mut two), two.only(1).answer), (all(Some(&first)), shown.0.clone()));
    assert_eq!(two.net.server_changes("doc"), changes + 8, "each is one change");
    // Somebody formats again: what stood open would be passed, and an answer stands.
    two.undo();
    two.edit(1, &link("later", 0, 18));
    assert_eq!(two.only(0).state(), ListedState::Superseded);
    assert!(sides(&two.only(0)).iter().all(|(_, shown)| !shown));
}

#[test]
fn of_two_links_what_shows_anyway_is_picked_without_writing_it_again() {
    let mut two = Two::apart(&read_this, &link("a", 5, 13), &link("b", 5, 13));
    let shown = two.only(0).conflict.candidates[0].value.clone();
    two.settle(says(shown.clone()));
    assert_eq!((two.only(1).answer, two.only(1).conflict.base), (shown, None));
    two.undo();
    assert!(sides(&two.only(0))[0].1);
}

#[test]
fn an_answer_leaves_alone_what_somebody_has_formatted_since_and_spreads_as_its_side_does() {
    let colour = |tx: &mut Transaction<'_>, value: &str, from, until, expand| {
        mark(tx, &text(), "colour", value, from, until, expand)
    };
    let red: Edit<'_> = &|tx| {
        // More edits win.
        colour(tx, "white", 0, 1, ExpandMark::None)?;
        colour(tx, "red", 10, 18, ExpandMark::None)
    };
    let mut two = Two::apart(&read_this, &|tx| colour(tx, "blue", 5, 13, ExpandMark::After), red);
    assert_eq!(sides(&two.only(0)), [(scalar("red"), true), (scalar("blue"), false)]);
    two.edit(0, &|tx| colour(tx, "green", 10, 11, ExpandMark::None));
    assert_eq!(two.only(1).conflict.path.last(), Some(&PathPart::Index(11)));
    two.settle(says(scalar("blue")));
    two.edit(1, &|tx| write(tx, &text(), 13, "!"));
    let told = [("white", 0, 1), ("blue", 5, 10), ("green", 10, 11), ("blue", 11, 14), ("red", 14, 19)];
    assert_eq!(links(&mut two), told.map(|(to, from, until)| format!("colour {to} {from}-{until}")));
}

/// Both answer, the first with one side and the second with the other or the same one; how many conflicts are open then, everywhere.
fn at_once(two: &mut Two, first: &Option<Value>, second: &Option<Value>) -> usize {
    two.online(false);
    for (client, answer) in [(0, first), (1, second)] {
        let answer = says(answer.clone())(&two.only(client));
        two.give(client, &answer);
    }
    two.online(true);
    let [a, b] = [0, 1].map(|client| {
        let listed = two.net.listed(client, two.ids[client]);
        listed.iter().filter(|one| one.is_open()).map(|one| one.conflict.id).collect::<Vec<_>>()
    });
    assert_eq!(a, b);
    a.len()
}

/// Two have linked the same words; an answer was given and taken back, so that both answers of two write a mark.
fn answered_before() -> (Two, Option<Value>, Option<Value>) {
    let mut two = Two::apart(&read_this, &link("a", 5, 13), &link("b", 5, 13));
    let [(shown, _), (hidden, _)] = sides(&two.only(0)).try_into().expect("two sides");
    two.settle(says(hidden.clone()));
    two.undo();
    (two, shown, hidden)
}

#[test]
fn two_opposite_answers_about_a_link_are_open_again_and_the_next_one_settles_all() {
    let (mut two, shown, hidden) = answered_before();
    assert_eq!(at_once(&mut two, &shown, &hidden), 1);
    let listed = two.net.listed(0, two.ids[0]);
    let one = listed.iter().find(|one| one.is_open()).expect("it is open");
    let seen = Seen::from(one);
    two.net.resolve(0, two.ids[0], &seen, &Answer::Value(scalar("both"))).expect("answered");
    two.net.settle();
    assert_eq!(links(&mut two), ["link both 5-13"]);
    for client in [0, 1] {
        let listed = two.net.listed(client, two.ids[client]);
        assert!(listed.iter().all(|one| one.state() == ListedState::Settled), "{listed:#?}");
    }
}

#[test]
fn two_who_give_the_same_answer_about_a_link_agree_and_it_is_taken_back_once() {
    let (mut two, _, hidden) = answered_before();
    assert_eq!(at_once(&mut two, &hidden, &hidden), 0);
    assert_eq!(two.only(0).answer, hidden);
    two.undo();
    two.settle(|_| Answer::Value(None));
    assert_eq!(links(&mut two), Vec::<String>::new());
}

/// Three have linked words of one text, none of them with a network.
fn apart(links: [(&'static str, usize, usize); 3]) -> (Net, [DocumentId; 3]) {
    let mut net = Net::new(3);
    let ids = [0, 1, 2].map(|client| net.open(client, "doc"));
    net.change(0, ids[0], read_this);
    net.settle();
    (0..3).for_each(|client| net.set_online(client, false));
    for (client, (to, from, until)) in links.into_iter().enumerate() {
        net.change(client, ids[client], link(to, from, until));
    }
    (net, ids)
}

/// The same, and then they have heard of each other.
fn three(links: [(&'static str, usize, usize); 3]) -> (Net, [DocumentId; 3]) {
    let (mut net, ids) = apart(links);
    (0..3).for_each(|client| net.set_online(client, true));
    net.settle();
    (net, ids)
}

/// What all of them list.
fn all(net: &mut Net, ids: [DocumentId; 3]) -> Vec<Listed> {
    let [first, others @ ..] = [0, 1, 2].map(|client| net.listed(client, ids[client]));
    let told = |listed: &[Listed]| -> Vec<_> {
        listed.iter().map(|one| (one.conflict.id, one.conflict.version, one.state(), sides(one))).collect()
    };
    others.iter().for_each(|other| assert_eq!(told(other), told(&first)));
    first
}

#[test]
fn of_three_links_on_the_same_words_any_is_picked_once_and_for_all() {
    let (mut net, ids) = three([("a", 5, 13), ("b", 5, 13), ("c", 5, 13)]);
    let said = |net: &mut Net| {
        let shown = |tx: &mut Transaction<'_>| tx.marks(at(tx, &text()));
        let marks = net.change(2, ids[2], shown);
        marks.iter().map(|mark| (mark.value.to_string(), mark.start, mark.end)).collect::<Vec<_>>()
    };
    let [listed] = all(&mut net, ids).try_into().expect("one conflict");
    assert_eq!((listed.state(), listed.conflict.candidates.len()), (ListedState::Open, 3));
    for (number, side) in listed.conflict.candidates.iter().enumerate().rev() {
        let [now] = all(&mut net, ids).try_into().expect("one conflict");
        net.resolve(number, ids[number], &Seen::from(&now), &Answer::Pick(side.change)).expect("answered");
        net.settle();
        let [settled] = all(&mut net, ids).try_into().expect("one conflict");
        assert_eq!((settled.state(), &settled.answer), (ListedState::Settled, &side.value));
        let Some(Value::Scalar(value)) = &side.value else { panic!("{side:?}") };
        assert_eq!(said(&mut net), [(value.to_string(), 5, 13)]);
        net.reopen(number, ids[number], listed.conflict.id).expect("taken back");
        net.settle();
        let [open] = all(&mut net, ids).try_into().expect("one conflict");
        assert_eq!((open.state(), open.conflict.candidates.len()), (ListedState::Open, 3));
    }
}

#[test]
fn of_three_links_an_answer_where_all_meet_leaves_open_where_two_do() {
    let (mut net, ids) = three([("a", 0, 10), ("b", 5, 15), ("c", 5, 18)]);
    let listed = all(&mut net, ids);
    let open = |listed: &[Listed]| listed.iter().filter(|one| one.is_open()).count();
    assert_eq!((listed.len(), open(&listed)), (2, 2));
    let one = listed.iter().find(|one| one.conflict.candidates.len() == 3).expect("all three");
    let last = one.conflict.candidates[2].change;
    net.resolve(0, ids[0], &Seen::from(one), &Answer::Pick(last)).expect("answered");
    net.settle();
    let then = all(&mut net, ids);
    assert_eq!((then.len(), open(&then)), (2, 1));
    let left = then.iter().find(|one| one.is_open()).expect("one");
    let over = &left.conflict.marking.as_ref().expect("it is of marks").over;
    assert_eq!((left.conflict.candidates.len(), over.len(), over[0].0, over[0].1), (2, 1, 10, 15));
}

#[test]
fn a_third_link_that_comes_after_an_answer_about_two_opens_one_with_three_sides() {
    let (mut net, ids) = apart(["a", "b", "c"].map(|to| (to, 5, 13)));
    (0..2).for_each(|client| net.set_online(client, true));
    net.settle();
    let [two] = net.listed(0, ids[0]).try_into().expect("one conflict");
    let shown = Answer::Pick(two.conflict.candidates[0].change);
    net.resolve(0, ids[0], &Seen::from(&two), &shown).expect("answered");
    net.set_online(2, true);
    net.settle();
    let [three] = all(&mut net, ids).try_into().expect("one conflict");
    assert_eq!((three.state(), three.conflict.candidates.len()), (ListedState::Open, 3));
    let gone = net.resolve(0, ids[0], &Seen::from(&two), &shown);
    assert_eq!(gone, Err(AnswerError::Gone(two.conflict.id).into()), "it was another one");
}

/// A text in which a word is bold, which spreads, and another a link, which does not; and the way to it.
fn note(tx: &mut Transaction<'_>) -> Result<(), AutomergeError> {
    let note = tx.put_object(ROOT, "note", ObjType::Map)?;
    let list = tx.put_object(&note, "parts", ObjType::List)?;
    tx.insert(&list, 0, "plain")?;
    let text = tx.insert_object(&list, 1, ObjType::Text)?;
    tx.splice_text(&text, 0, 0, "bold and link")?;
    tx.mark(&text, Mark::new("bold".into(), true, 0, 4), ExpandMark::After)?;
    tx.mark(&text, Mark::new("link".into(), "x", 9, 13), ExpandMark::None)
}

fn part() -> Vec<Prop> {
    vec!["note".into(), "parts".into(), 1.into()]
}

fn told(says: &str, marks: &[&str]) -> (String, Vec<String>) {
    (says.into(), marks.iter().map(|mark| (*mark).to_owned()).collect())
}

#[test]
fn what_is_put_back_has_its_marks_which_spread_as_they_did() {
    for deletes in [&["note"][..], &["note", "parts"]] {
        let delete: Edit<'_> = &|tx| match deletes {
            [key] => tx.delete(ROOT, *key),
            _ => {
                let note = at(tx, &part()[..1]);
                tx.delete(&note, "parts")
            }
        };
        let mut two = Two::apart(&note, delete, &|tx| write(tx, &part(), 13, "s"));
        let changes = two.net.server_changes("doc");
        let content = two.only(0).conflict.candidates[1].value.clone();
        two.settle(says(content));
        assert_eq!(two.net.server_changes("doc"), changes + 2, "the map of answers, and one change");
        assert_eq!(marks(&mut two, &part()), told("bold and links", &["bold 0-4", "link x 9-13"]));
        two.edit(1, &|tx| write(tx, &part(), 13, "ed").and_then(|()| write(tx, &part(), 4, "er")));
        assert_eq!(marks(&mut two, &part()), told("bolder and linkeds", &["bold 0-6", "link x 11-15"]));
    }
}

#[test]
fn an_element_that_is_put_back_has_its_marks_and_what_is_given_by_hand_none() {
    let delete: Edit<'_> = &|tx| {
        let list = at(tx, &part()[..2]);
        tx.delete(&list, 1)
    };
    let mut two = Two::apart(&note, delete, &|tx| write(tx, &part(), 0, "very "));
    let content = two.only(0).conflict.candidates[1].value.clone();
    two.settle(says(content));
    assert_eq!(marks(&mut two, &part()), told("very bold and link", &["bold 5-9", "link x 14-18"]));
    let mut two = Two::apart(&note, delete, &|tx| write(tx, &part(), 0, "very "));
    two.settle(|_| Answer::Value(Some(Value::Text("very bold and link".into()))));
    assert_eq!(marks(&mut two, &part()), told("very bold and link", &[]));
}

/// Makes a text of its own, of which the first characters are marked, and what is written behind them would be too.
fn marked(says: &'static str, name: &'static str) -> impl Fn(&mut Transaction<'_>) -> Result<(), AutomergeError> {
    move |tx| {
        let text = tx.put_object(ROOT, "text", ObjType::Text)?;
        tx.splice_text(&text, 0, 0, says)?;
        if name.is_empty() {
            return Ok(());
        }
        tx.mark(&text, Mark::new(name.into(), true, 0, says.len()), ExpandMark::After)
    }
}

#[test]
fn of_two_texts_the_hidden_one_is_had_as_it_was_alone_or_behind_the_other() {
    for (first, second) in [("bold", "em"), ("bold", ""), ("", "em"), ("bold", "bold")] {
        let mut two = Two::apart(&nothing, &marked("ann ", first), &marked("bo ", second));
        let sides: Vec<_> = two.only(0).conflict.candidates.iter().map(|side| side.value.clone()).collect();
        let [Some(Value::Text(shown)), Some(Value::Text(hidden))] = &sides[..] else { panic!("{sides:?}") };
        let name = |says: &str| if says == "ann " { first } else { second };
        let over = |says: &str, from: usize| {
            let name = Some(name(says)).filter(|name| !name.is_empty());
            name.map(|name| format!("{name} {from}-{}", from + says.len()))
        };
        two.settle(|_| Answer::Both);
        let mut all: Vec<_> = over(shown, 0).into_iter().chain(over(hidden, shown.len())).collect();
        if first == second {
            all = vec!["bold 0-7".into()];
        }
        all.sort();
        assert_eq!(marks(&mut two, &text()), (format!("{shown}{hidden}"), all), "{first} and {second}");
        two.undo();
        two.settle(says(Some(Value::Text(hidden.clone()))));
        assert_eq!(marks(&mut two, &text()), (hidden.clone(), over(hidden, 0).into_iter().collect()));
        // It goes on as its end did.
        two.edit(0, &|tx| write(tx, &text(), hidden.len(), "?"));
        let grown = over(hidden, 0).map(|_| format!("{} 0-{}", name(hidden), hidden.len() + 1));
        assert_eq!(marks(&mut two, &text()).1, grown.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn texts_deep_in_what_is_merged_have_their_marks() {
    let made = |says: &'static str, key: &'static str| {
        move |tx: &mut Transaction<'_>| {
            let map = tx.put_object(ROOT, "map", ObjType::Map)?;
            let list = tx.put_object(&map, "list", ObjType::List)?;
            for (at, made) in [(0, &list), (1, &list)] {
                let text = tx.insert_object(made, at, ObjType::Text)?;
                tx.splice_text(&text, 0, 0, says)?;
                tx.mark(&text, Mark::new("bold".into(), true, 0, at + 1), ExpandMark::None)?;
            }
            let text = tx.put_object(&map, key, ObjType::Text)?;
            tx.splice_text(&text, 0, 0, says)?;
            tx.mark(&text, Mark::new("link".into(), says, 1, 2), ExpandMark::None)
        }
    };
    let mut two = Two::apart(&nothing, &made("ann", "a"), &made("bob", "b"));
    two.settle(|_| Answer::Both);
    let first = marks(&mut two, &["map".into(), "list".into(), 0.into()]).0;
    let second = if first == "ann" { "bob" } else { "ann" };
    for (index, (says, bold)) in
        [(&*first, "bold 0-1"), (&*first, "bold 0-2"), (second, "bold 0-1"), (second, "bold 0-2")]
            .into_iter()
            .enumerate()
    {
        assert_eq!(marks(&mut two, &["map".into(), "list".into(), index.into()]), told(says, &[bold]));
    }
    for (key, says, link) in [("a", "ann", "link ann 1-2"), ("b", "bob", "link bob 1-2")] {
        assert_eq!(marks(&mut two, &["map".into(), key.into()]), told(says, &[link]));
    }
}
