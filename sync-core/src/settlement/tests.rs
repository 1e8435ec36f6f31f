//! What entries and answers are held to, without a replica.

use super::*;

#[test]
fn of_two_formats_only_the_one_that_shows_is_an_answer_and_no_character_is_replaced() {
    let side = |change: u8, shown: bool| crate::conflict::Candidate {
        value: Some(Value::Scalar(true.into())),
        actor: crate::id::ActorId::from([change]),
        author: None,
        time: 0,
        change: ChangeHash([change; 32]),
        shown,
        mine: false,
        object: None,
    };
    let conflict = Conflict {
        id: ConflictId([0; 16]),
        version: 2,
        path: vec![PathPart::Key("text".into()), PathPart::Index(3)],
        kind: ConflictKind::Mark,
        base: None,
        candidates: vec![side(1, true), side(2, false)],
        state: ConflictState::Open,
    };
    let answered = |answer: Answer| plan(&conflict, &Seen::from(&conflict), &answer, None, &[]).is_ok();
    assert!(answered(Answer::Pick(ChangeHash([1; 32]))));
    assert!(!answered(Answer::Pick(ChangeHash([2; 32]))));
    assert!(!answered(Answer::Value(None)));
    assert!(!answered(Answer::Both));
    let before = Seen { version: 1, ..Seen::from(&conflict) };
    assert!(plan(&conflict, &before, &Answer::Pick(ChangeHash([1; 32])), None, &[]).is_err());
}

#[test]
fn an_entry_is_read_as_it_was_written_and_nothing_else_is() {
    let entry = Entry {
        version: 3,
        policy: "human@1".into(),
        note: Some("counted again\nby hand".into()),
        is_reopened: false,
        counted: -2,
        answer: "both".into(),
    };
    assert_eq!(entry.encode(), "1 3 settled -2 both human@1\ncounted again\nby hand");
    let reopened = Entry { note: None, is_reopened: true, ..entry.clone() };
    for entry in [entry, reopened] {
        assert_eq!(Entry::decode(&entry.encode()), Some(entry));
    }
    for bad in ["", "1", "2 3 settled 0 both human@1", "1 x settled 0 both human@1", "1 3 settled 0 both"] {
        assert_eq!(Entry::decode(bad), None, "{bad}");
    }
}
