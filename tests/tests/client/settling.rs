//! Conflicts settled by a program: on one device for all, taken back, and disputed.

use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::Transactable as _;
use automerge::{ObjType, ROOT};
use sync_client::conflict::{ConflictId, ConflictKind, PathPart, Value};
use sync_client::{
    Answer, AnswerError, AnswerFailure, ChangeError, ConflictFilter, Document, EditError, InitValue, Listed,
    ListedState,
};

use crate::pair::Pair;

fn text(value: &str) -> Option<Value> {
    Some(Value::Scalar(value.into()))
}

fn key(name: &str) -> PathPart {
    PathPart::Key(name.into())
}

/// Waits until the conflicts that a filter asks for are as many, and gives them.
async fn until(document: &Document, filter: &ConflictFilter, count: usize) -> Vec<Listed> {
    let mut events = document.subscribe();
    loop {
        let listed = document.conflicts_where(filter).expect("loaded");
        if listed.len() == count {
            return listed;
        }
        events.next().await.expect("it is open");
    }
}

fn ids(listed: &[Listed]) -> Vec<ConflictId> {
    listed.iter().map(|listed| listed.conflict.id).collect()
}

/// Whose change said this.
fn pick(listed: &Listed, value: &str) -> Answer {
    let side = listed.conflict.candidates.iter().find(|side| side.value == text(value)).expect("a side");
    Answer::Pick(side.change)
}

/// Two clients that hold the same order.
async fn orders() -> Pair {
    let pair = Pair::open("orders/7").await;
    let [ann, bob] = &pair.documents;
    ann.init("items", InitValue::Map).expect("made");
    ann.change(|tx| tx.put(ROOT, "status", "draft")).expect("edited");
    let mut events = bob.subscribe();
    while bob.value().expect("loaded") != ann.value().expect("loaded") {
        events.next().await.expect("it is open");
    }
    pair
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_on_one_device_settles_both_is_taken_back_and_opposite_ones_are_a_conflict() {
    crate::in_time(async {
        let pair = orders().await;
        let [ann, bob] = &pair.documents;
        let put = |document: &Document, value: &str| {
            document.change(|tx| tx.put(ROOT, "status", value)).expect("edited");
        };
        pair.apart(|ann| put(ann, "paid"), |bob| put(bob, "shipped"));
        let (open, settled) =
            (ConflictFilter::open(), ConflictFilter { state: Some(ListedState::Settled), ..Default::default() });
        let (ours, theirs) = (until(ann, &open, 1).await, until(bob, &open, 1).await);
        assert_eq!(ids(&ours), ids(&theirs));
        let inspected = ann.inspect(&[key("status")]).expect("loaded");
        assert_eq!(inspected.conflict.as_ref(), Some(&ours[0]));
        let hidden = if inspected.value == text("paid") { "shipped" } else { "paid" };
        bob.resolve(&theirs[0], &pick(&theirs[0], hidden), Some("the bank says so")).expect("answered");
        let [here, there] = [&until(ann, &settled, 1).await[0], &until(bob, &settled, 1).await[0]];
        for (document, listed) in [(ann, here), (bob, there)] {
            assert_eq!((listed.conflict.id, &listed.answer), (ours[0].conflict.id, &text(hidden)));
            assert_eq!(listed.settled.as_ref().and_then(|s| s.note.as_deref()), Some("the bank says so"));
            let inspected = document.inspect(&[key("status")]).expect("loaded");
            assert_eq!((inspected.value, inspected.conflict), (text(hidden), None));
            let Value::Map(value) = document.value().expect("loaded") else { panic!("a map") };
            assert_eq!(value.keys().collect::<Vec<_>>(), ["items", "status"], "nothing of the engine's own");
        }
        let id = ours[0].conflict.id;
        ann.reopen(id).expect("taken back");
        let again = |id: ConflictId| match ann.reopen(id) {
            Err(AnswerFailure::Answer(error)) => error,
            other => panic!("{other:?}"),
        };
        assert_eq!(again(id), AnswerError::NotSettled(id), "it is open");
        let none = ConflictId([0; 16]);
        assert_eq!(again(none), AnswerError::Gone(none));
        let (ours, theirs) = (until(ann, &open, 1).await, until(bob, &open, 1).await);
        pair.apart(
            |ann| ann.resolve(&ours[0], &pick(&ours[0], "paid"), None).expect("answered"),
            |bob| bob.resolve(&theirs[0], &pick(&theirs[0], "shipped"), None).expect("answered"),
        );
        // Before they meet each has its own answer, and none is open.
        let disputed = ConflictFilter { kind: Some(ConflictKind::Register), ..ConflictFilter::open() };
        let (ours, theirs) = (until(ann, &disputed, 1).await, until(bob, &disputed, 1).await);
        assert_eq!(ids(&ours), ids(&theirs));
        ann.resolve(&ours[0], &pick(&ours[0], "paid"), None).expect("answered");
        until(ann, &open, 0).await;
        until(bob, &open, 0).await;
        assert_eq!(bob.inspect(&[key("status")]).expect("loaded").value, text("paid"));
        pair.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_what_has_changed_is_refused_and_filters_and_places_tell_what_they_say() {
    crate::in_time(async {
        let pair = orders().await;
        let [ann, bob] = &pair.documents;
        let (note, _) = ann.change(|tx| tx.put_object(ROOT, "note", ObjType::Map)).expect("edited");
        let mut events = bob.subscribe();
        while bob.value().expect("loaded") != ann.value().expect("loaded") {
            events.next().await.expect("it is open");
        }
        pair.apart(
            |ann| ann.change(|tx| tx.delete(ROOT, "note")).expect("edited").1,
            |bob| bob.change(|tx| tx.put(&note, "title", "milk")).expect("edited").1,
        );
        let seen = until(ann, &ConflictFilter::open(), 1).await.remove(0);
        assert_eq!((seen.conflict.kind, &seen.conflict.path[..]), (ConflictKind::DeleteUpdate, &[key("note")][..]));
        // What is deleted already can't be written in by somebody who holds the deletion.
        let refused = ann.change(|tx| tx.put(&note, "title", "bread"));
        assert!(matches!(refused, Err(ChangeError::Edit(EditError::InDeleted))), "{refused:?}");
        let reserved = ann.change(|tx| tx.put_object(ROOT, "$settled", ObjType::Map));
        assert!(matches!(reserved, Err(ChangeError::Edit(EditError::Reserved))), "{reserved:?}");
        let listed = |path: &[PathPart], mine: Option<bool>, kind: Option<ConflictKind>| {
            let filter = ConflictFilter { path: path.to_vec(), mine, kind, state: None };
            ann.conflicts_where(&filter).expect("loaded").len()
        };
        assert_eq!((listed(&[key("note")], Some(true), None), listed(&[key("status")], None, None)), (1, 0));
        assert_eq!((listed(&[], Some(false), None), listed(&[], None, Some(ConflictKind::Register))), (0, 0));
        let within = ann.inspect(&[key("note"), key("title")]).expect("loaded");
        assert_eq!((within.value, within.conflict.map(|listed| listed.conflict.id)), (None, Some(seen.conflict.id)));
        let stale = sync_client::Seen { version: seen.conflict.version + 1, ..(&seen).into() };
        let failure = ann.resolve(stale, &Answer::Value(None), None).expect_err("another version");
        let AnswerFailure::Answer(AnswerError::Changed(changed)) = failure else { panic!("{failure}") };
        assert_eq!((changed.version, changed.now), (seen.conflict.version, seen.conflict.candidates.clone()));
        pair.clients[0].go_offline().expect("it is open");
        let (_, edit) = ann.change(|tx| tx.put(ROOT, "status", "paid")).expect("edited");
        assert!(ann.inspect(&[key("status")]).expect("loaded").pending);
        assert!(ann.inspect(&[]).expect("loaded").pending);
        assert!(!ann.inspect(&[key("items")]).expect("loaded").pending);
        pair.clients[0].go_online().expect("it is open");
        ann.acknowledged(edit).await.expect("it is open");
        assert!(!ann.inspect(&[key("status")]).expect("loaded").pending);
        ann.resolve(&seen, &Answer::Value(None), None).expect("answered");
        assert_eq!(ann.conflicts_where(&ConflictFilter::open()).expect("loaded"), []);
        pair.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_in_which_two_have_linked_the_same_words_tells_their_conflict_as_do_these_words() {
    crate::in_time(async {
        let pair = orders().await;
        let [ann, bob] = &pair.documents;
        let text = ann.change(|tx| {
            let text = tx.put_object(ROOT, "note", ObjType::Text)?;
            tx.splice_text(&text, 0, 0, "read this and that").map(|()| text)
        });
        let (text, _) = text.expect("edited");
        let mut events = bob.subscribe();
        while bob.value().expect("loaded") != ann.value().expect("loaded") {
            events.next().await.expect("it is open");
        }
        let link = |document: &Document, to: &str, from: usize, until: usize| {
            let mark = Mark::new("link".into(), to, from, until);
            document.change(|tx| tx.mark(&text, mark.clone(), ExpandMark::None)).expect("edited");
        };
        pair.apart(|ann| link(ann, "a", 5, 13), |bob| link(bob, "b", 10, 18));
        let listed = until(ann, &ConflictFilter::open(), 1).await.remove(0);
        let at = |path: &[PathPart]| ann.inspect(path).expect("loaded").conflict.map(|found| found.conflict.id);
        let here = Some(listed.conflict.id);
        assert_eq!((at(&[key("note")]), at(&[]), at(&[key("status")])), (here, None, None));
        let characters = [9, 10, 12, 13].map(|index| at(&[key("note"), PathPart::Index(index)]));
        assert_eq!(characters, [None, here, here, None]);
        ann.resolve(&listed, &Answer::Value(None), None).expect("answered");
        assert_eq!(ann.inspect(&[key("note")]).expect("loaded").conflict, None);
        pair.close().await;
    })
    .await;
}
