//! Conflicts as a program meets them: after offline work, alike on both sides, and after a restart.

use automerge::ROOT;
use automerge::transaction::Transactable as _;
use sync_client::conflict::{ConflictKind, ConflictState, PathPart, Value};
use sync_client::{Document, InitValue};

use crate::api::client;
use crate::pair::Pair;

/// Waits until both hold everything.
async fn synced(documents: &[&Document]) {
    for document in documents {
        let (_, edit) = document.change(|_| Ok(())).expect("nothing is edited");
        document.acknowledged(edit).await.expect("it is open");
    }
}

fn text(value: &str) -> Option<Value> {
    Some(Value::Scalar(value.into()))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_that_disagreed_list_the_same_conflicts_also_after_a_restart() {
    crate::in_time(async {
        let name = "orders/7";
        let pair = Pair::open(name).await;
        let [left, right] = &pair.documents;
        left.init("items", InitValue::Map).expect("made");
        left.change(|tx| tx.put(ROOT, "status", "draft")).expect("edited");
        // Listed before anything is there, so that the index is kept up from here on.
        assert_eq!(left.conflicts().expect("loaded"), []);
        synced(&[left]).await;
        let mut events = right.subscribe();
        while right.read(|d| d.get_heads()).expect("loaded") != left.read(|d| d.get_heads()).expect("loaded") {
            events.next().await.expect("it is open");
        }
        pair.apart(
            |left| {
                left.change(|tx| tx.put(ROOT, "status", "paid")).expect("edited");
                left.change(|tx| tx.put(ROOT, "note", "call first")).expect("edited");
            },
            |right| {
                right.change(|tx| tx.put(ROOT, "status", "shipped")).expect("edited");
            },
        );
        let (mut ours, mut theirs) = (left.subscribe(), right.subscribe());
        while left.conflicts().expect("loaded").is_empty() {
            ours.next().await.expect("it is open");
        }
        while right.conflicts().expect("loaded").is_empty() {
            theirs.next().await.expect("it is open");
        }
        let (one, other) = (left.conflicts().expect("loaded"), right.conflicts().expect("loaded"));
        let [conflict] = &one[..] else { panic!("{one:?}") };
        assert_eq!((conflict.kind, conflict.state), (ConflictKind::Register, ConflictState::Open));
        assert_eq!((conflict.path.as_slice(), &conflict.base), (&[PathPart::Key("status".into())][..], &text("draft")));
        let mut values: Vec<_> = conflict.candidates.iter().map(|side| side.value.clone()).collect();
        values.sort_by_key(|value| format!("{value:?}"));
        assert_eq!(values, [text("paid"), text("shipped")]);
        assert_eq!(
            conflict.candidates.iter().map(|side| (side.mine, side.value == text("paid"))).collect::<Vec<_>>(),
            conflict
                .candidates
                .iter()
                .map(|side| (side.value == text("paid"), side.value == text("paid")))
                .collect::<Vec<_>>()
        );
        assert_eq!((other.len(), other[0].id, other[0].version), (1, conflict.id, conflict.version));
        let Pair { server, folders, clients: [ann, bob], documents: [left, _right] } = pair;
        drop(left);
        ann.close().await.expect("closes");
        drop(ann);
        let again = client(server.address(), folders[0].path()).await;
        let reopened = again.document(name).await.expect("opens");
        assert_eq!(reopened.conflicts().expect("loaded"), one);
        again.close().await.expect("closes");
        bob.close().await.expect("closes");
    })
    .await;
}
