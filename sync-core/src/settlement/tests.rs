//! What entries and answers are held to, without a replica.

use std::collections::BTreeMap;

use automerge::marks::ExpandMark;
use automerge::transaction::Transactable as _;

use super::*;
use crate::conflict::Marking;

/// No changes, of which everything is known.
#[derive(Default)]
struct Nothing {
    index: ConflictIndex,
    table: ChangeTable,
    ops: OpIndex,
}

impl Nothing {
    fn known<'a>(&'a self, document: &'a Automerge) -> Known<'a> {
        Known { document, index: &self.index, table: &self.table, ops: &self.ops }
    }
}

/// A side by the author of this number.
fn side(number: u8, value: impl Into<ScalarValue>, shown: bool) -> Candidate {
    Candidate {
        value: Some(Value::Scalar(value.into())),
        actor: crate::id::ActorId::from([number]),
        author: None,
        time: 0,
        change: ChangeHash([number; 32]),
        shown,
        mine: false,
        object: None,
    }
}

fn open(kind: ConflictKind, path: Vec<PathPart>, base: Option<Value>, candidates: Vec<Candidate>) -> Conflict {
    let (hidden, state) = (Default::default(), ConflictState::Open);
    Conflict {
        id: ConflictId([0; 16]),
        version: 2,
        path,
        kind,
        base,
        candidates,
        steps: Default::default(),
        hidden,
        agreeing: Default::default(),
        state,
        spot: Default::default(),
        marking: None,
        agrees: false,
    }
}

#[test]
fn an_answer_that_the_server_refused_disputes_none_that_stands() {
    let path = vec![PathPart::Key(ROOT_KEY.into()), PathPart::Key(ConflictId([7; 16]).to_string())];
    let of = |kind| disputes(&[open(kind, path.clone(), None, vec![side(1, true, true), side(2, false, false)])]);
    assert_eq!(of(ConflictKind::Register), [ConflictId([7; 16])]);
    assert_eq!(of(ConflictKind::Rejected), []);
}

#[test]
fn a_mark_is_given_any_plain_value_over_the_characters_in_dispute_that_nobody_has_formatted_since() {
    let path = vec![PathPart::Key("text".into()), PathPart::Index(3)];
    let sides = vec![side(1, true, true), side(2, "x", false)];
    let by = |number: u8| ChangeHash([number; 32]);
    let (expand, words) = (vec![ExpandMark::None, ExpandMark::Both], "text".into());
    let over = vec![(1, 3, by(9)), (3, 5, by(1)), (5, 7, by(1)), (8, 9, by(1))];
    let marking = Marking { name: "link".into(), over, place: 1, words, shows: None, expand };
    let mut conflict = open(ConflictKind::Mark, path, None, sides);
    conflict.marking = Some(Box::new(marking));
    let effect = |conflict: &Conflict, answer: Answer| {
        let seen = Seen::from(conflict);
        plan(Nothing::default().known(&Automerge::new()), conflict, &seen, &answer, None, &[]).map(|plan| plan.effect)
    };
    let formats = |conflict: &Conflict, answer: Answer| match effect(conflict, answer) {
        Ok(Effect::Format { over, value, expand }) => (over, value, expand),
        other => panic!("{other:?}"),
    };
    let (left, null) = (vec![(3, 7), (8, 9)], ScalarValue::Null);
    let picked = formats(&conflict, Answer::Pick(by(2)));
    assert_eq!(picked, (left.clone(), "x".into(), ExpandMark::Both), "it spreads as its side does");
    assert_eq!(formats(&conflict, Answer::Value(None)), (left.clone(), null.clone(), ExpandMark::None));
    assert_eq!(formats(&conflict, Answer::Value(Some(Value::Scalar(7.into())))).1, ScalarValue::Int(7));
    assert!(effect(&conflict, Answer::Value(Some(Value::Text("x".into())))).is_err());
    assert!(effect(&conflict, Answer::Both).is_err());
    // What shows stays where nobody has formatted since.
    assert_eq!(formats(&conflict, Answer::Pick(by(1))).0, left);
    conflict.marking.as_mut().expect("it has one").over.remove(0);
    assert!(matches!(effect(&conflict, Answer::Pick(by(1))), Ok(Effect::Nothing)));
    // Where somebody has everywhere, an answer is over all of it.
    conflict.marking.as_mut().expect("it has one").over = vec![(1, 3, by(9))];
    assert_eq!(formats(&conflict, Answer::Pick(by(1))).0, [(1, 3)]);
    let before = Seen { version: 1, ..Seen::from(&conflict) };
    let nothing = Nothing::default();
    let old = plan(nothing.known(&Automerge::new()), &conflict, &before, &Answer::Value(None), None, &[]);
    assert!(matches!(old, Err(AnswerError::Changed(_))));
}

#[test]
fn a_refusal_says_which_sides_came_and_which_went() {
    let sides = |sides: [u8; 2]| sides.map(|number| side(number, i64::from(number), number == 1)).to_vec();
    let path = vec![PathPart::Key("a".into())];
    let was = Seen { version: 1, ..Seen::from(&open(ConflictKind::Register, path.clone(), None, sides([1, 2]))) };
    let now = open(ConflictKind::Register, path, None, sides([1, 3]));
    let refused = plan(Nothing::default().known(&Automerge::new()), &now, &was, &Answer::Both, None, &[])
        .expect_err("it has other sides");
    assert!(
        refused.to_string().contains("between 1 (01010101) and 2 (02020202), and it is between 1 (01010101) and 3"),
        "{refused}"
    );
    let AnswerError::Changed(changed) = refused else { panic!("{refused}") };
    let numbers = |sides: Vec<&Candidate>| sides.iter().map(|side| side.change.0[0]).collect::<Vec<_>>();
    assert_eq!((numbers(changed.came().collect()), numbers(changed.went().collect())), (vec![3], vec![2]));
}

#[test]
fn an_entry_is_read_as_it_was_written_and_nothing_else_is() {
    let entry = Entry {
        version: 3,
        policy: "human@1".into(),
        note: Some("counted again\nby hand".into()),
        is_reopened: false,
        done: [("7@0a".into(), -2), ("9@0b".into(), 0)].into(),
        first: None,
        taken: Some("7@0a".into()),
        answer: "both".into(),
        knew: [(crate::id::ActorId::from([10, 0]), 7), (crate::id::ActorId::from([11]), 1)].into(),
    };
    assert_eq!(entry.encode(), "2 3 settled 7@0a-2,9@0b both 0a00:7,0b:1 - 7@0a human@1\ncounted again\nby hand");
    let done = [(String::new(), -2)].into();
    let before = Entry { knew: BTreeMap::new(), taken: None, done, ..entry.clone() };
    assert_eq!(Entry::decode("1 3 settled -2 both human@1\ncounted again\nby hand"), Some(before.clone()));
    let reopened = Entry { note: None, is_reopened: true, ..entry.clone() };
    for entry in [entry, before, reopened] {
        assert_eq!(Entry::decode(&entry.encode()), Some(entry));
    }
    for bad in [
        "",
        "1",
        "2 3 settled - both - - human@1",
        "2 3 settled - both 0a:1, - - human@1",
        "2 3 settled - both 0a - - human@1",
        "2 3 settled - both 0a:x - - human@1",
        "2 3 settled - both 0g:1 - - human@1",
        "2 3 settled 7@0a+x both - - - human@1",
        "3 3 settled - both - - - human@1",
        "1 x settled 0 both human@1",
        "1 3 settled 0 both",
    ] {
        assert_eq!(Entry::decode(bad), None, "{bad}");
    }
}

#[test]
fn answers_that_say_different_things_are_not_written_alike() {
    let list = |items: &[&str]| Value::List(items.iter().map(|item| Value::Scalar((*item).into())).collect());
    let entry = |key: &str, value: Value| Value::Map([(key.to_owned(), value)].into());
    let values = [
        None,
        Some(Value::Scalar(ScalarValue::Null)),
        Some(Value::Scalar(1i64.into())),
        Some(Value::Scalar(1u64.into())),
        Some(Value::Scalar(1f64.into())),
        Some(Value::Scalar(ScalarValue::counter(1))),
        Some(Value::Scalar(ScalarValue::Timestamp(1))),
        Some(Value::Scalar(true.into())),
        Some(Value::Scalar("ab".into())),
        Some(Value::Scalar(ScalarValue::Bytes(b"ab".to_vec()))),
        Some(Value::Text("ab".into())),
        Some(list(&["ab"])),
        Some(list(&["a", "b"])),
        Some(Value::List(vec![list(&["a"]), list(&["b"])])),
        Some(entry("a", Value::Scalar("b".into()))),
        Some(entry("ab", Value::Scalar("".into()))),
    ];
    let written: std::collections::BTreeSet<_> = values.iter().map(|v| print::fingerprint(v.as_ref())).collect();
    assert_eq!(written.len(), values.len());
    assert!(written.iter().all(|print| print.len() == 16 && !print.contains(' ')), "it is one word of an entry");
    assert_eq!(print::fingerprint(values[9].as_ref()), print::fingerprint(values[9].clone().as_ref()));
    let path = vec![PathPart::Key("k".into())];
    let conflict = open(ConflictKind::Register, path, None, vec![side(1, 1, true), side(2, 2, false)]);
    let planned = |value: &Option<Value>| {
        let answer = Answer::Value(value.clone());
        plan(Nothing::default().known(&Automerge::new()), &conflict, &Seen::from(&conflict), &answer, None, &[])
            .expect("it can be answered so")
            .answer
    };
    assert_eq!(values.iter().map(planned).collect::<std::collections::BTreeSet<_>>().len(), values.len());
}

#[test]
fn steps_beyond_what_a_counter_holds_are_refused() {
    let counter = ScalarValue::counter;
    let of = |steps: [i64; 2]| {
        let sides =
            vec![side(1, counter(0), true), side(2, counter(steps[0]), false), side(3, counter(steps[1]), false)];
        let (path, base) = (vec![PathPart::Key("count".into())], Value::Scalar(counter(0)));
        open(ConflictKind::CounterOverwrite, path, Some(base), sides)
    };
    let mut document = Automerge::new();
    document.transact(|tx| tx.put(ROOT, "count", counter(0))).expect("an edit");
    let both = |conflict: &Conflict| {
        plan(Nothing::default().known(&document), conflict, &Seen::from(conflict), &Answer::Both, None, &[]).map(|_| ())
    };
    assert_eq!(both(&of([5, -2])), Ok(()));
    assert_eq!(both(&of([i64::MAX, 1])), Err(TOO_FAR));
}

#[test]
fn a_bounded_list_tells_open_conflicts_first_and_of_the_others_that_they_are_there() {
    let one = |value: &str, state: ConflictState| {
        let mut conflict =
            open(ConflictKind::Register, vec![PathPart::Key("k".into())], None, vec![side(1, value, true)]);
        conflict.state = state;
        Listed { conflict, settled: None, settled_by: None, answer: None, keeps_both: false }
    };
    let (open, superseded) = (ConflictState::Open, ConflictState::Superseded);
    let long = "x".repeat(100);
    let listed = [one(&long, superseded), one(&long, open), one("y", superseded), one("z", superseded)];
    let told = telling(&listed, 200, 3);
    assert_eq!(told, [Telling::WithoutValues, Telling::Whole, Telling::Whole, Telling::Counted]);
    assert_eq!(telling(&listed, usize::MAX, usize::MAX), [Telling::Whole; 4]);
    let cut = listed[0].without_values();
    assert_eq!(
        (cut.conflict.candidates[0].value.as_ref(), cut.conflict.candidates[0].change),
        (None, ChangeHash([1; 32]))
    );
    assert_eq!((cut.conflict.version, cut.state()), (listed[0].conflict.version, ListedState::Superseded));
}
