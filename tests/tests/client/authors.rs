//! Changes that name their author, as a program meets them: `prefer` goes by it, and so do lists on every device.

use automerge::ROOT;
use automerge::transaction::Transactable as _;
use sync_client::conflict::Value;
use sync_client::resolver::{BuiltIn, Policy, Stands};
use sync_client::{Answer, AuthorError, Client, ClientConfig, ConflictFilter, Document, Listed, ListedState};

use crate::server::Server;

const NAME: &str = "orders/7";

/// Waits until the document lists one conflict of a state with the last that Bob wrote, and gives it: what a device sends one after the other
/// may come so.
async fn until(document: &Document, state: ListedState) -> Listed {
    let mut events = document.subscribe();
    loop {
        let filter = ConflictFilter { state: Some(state), ..ConflictFilter::default() };
        let listed = document.conflicts_where(&filter).expect("loaded").pop();
        if let Some(listed) = listed.filter(|one| sides(one).iter().any(|side| side.2 == text("shipped"))) {
            return listed;
        }
        events.next().await.expect("it is open");
    }
}

/// Each side's author, whether it is this device's, and what it says.
fn sides(listed: &Listed) -> Vec<(String, bool, Option<Value>)> {
    let sides = listed.conflict.candidates.iter();
    let author = |author: &Option<Vec<u8>>| String::from_utf8(author.clone().unwrap_or_default()).expect("text");
    let mut sides: Vec<_> = sides.map(|side| (author(&side.author), side.mine, side.value.clone())).collect();
    sides.sort_by(|one, other| one.0.cmp(&other.0));
    sides
}

fn text(value: &str) -> Option<Value> {
    Some(Value::Scalar(value.into()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_prefers_an_author_whom_every_device_is_told_also_after_a_restart() {
    crate::in_time(async {
        let server = Server::start().await;
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let open = async |folder: &tempfile::TempDir, author: &str| {
            let config = ClientConfig::new(format!("ws://{}/sync", server.address()), folder.path());
            let client = Client::open(config.author(author).expect("a name")).await.expect("it opens");
            let document = client.document(NAME).await.expect("opens");
            (client, document)
        };
        let (ann, ours) = open(&folders[0], "Ann").await;
        let (bob, theirs) = open(&folders[1], "Bob").await;
        ann.go_offline().expect("it is open");
        bob.go_offline().expect("it is open");
        // What Ann wrote first loses, by automerge's counters and by the clocks.
        ours.change(|tx| tx.put(ROOT, "status", "paid")).expect("edited");
        for status in ["packed", "shipped"] {
            theirs.change(|tx| tx.put(ROOT, "status", status)).expect("edited");
        }
        ann.go_online().expect("it is open");
        bob.go_online().expect("it is open");
        let listed = until(&ours, ListedState::Open).await;
        assert_eq!(sides(&listed), [("Ann".into(), true, text("paid")), ("Bob".into(), false, text("shipped"))]);
        until(&theirs, ListedState::Open).await;
        for document in [&ours, &theirs] {
            for (author, answer) in [("Ann", text("paid")), ("Bob", text("shipped")), ("Cleo", None)] {
                let policy = Policy::new("status", BuiltIn::Prefer(author.into())).expect("it can match");
                document.set_policies([policy]).expect("it is open");
                let ruling = document.ruled_conflicts().expect("loaded").remove(0).ruling.expect("it is open");
                assert_eq!(ruling.answer, answer.map(Stands::Value), "{author}");
            }
            document.set_policies([]).expect("it is open");
        }
        let pick = Answer::Pick(listed.conflict.candidates[0].change);
        let edit = theirs.resolve(&listed.conflict, &pick, None).expect("it is open");
        theirs.acknowledged(edit).await.expect("answered");
        until(&ours, ListedState::Settled).await;
        drop((ours, theirs));
        ann.close().await.expect("closes");
        drop(ann);
        let (ann, ours) = open(&folders[0], "Ann").await;
        let settled = until(&ours, ListedState::Settled).await;
        assert_eq!(sides(&settled), sides(&listed));
        let by = settled.settled_by.expect("it is settled");
        assert_eq!(by.author.as_deref(), Some(&b"Bob"[..]));
        assert!(by.time >= settled.conflict.candidates.iter().map(|side| side.time).max().expect("sides"));
        drop(ours);
        for client in [ann, bob] {
            client.close().await.expect("closes");
        }
    })
    .await;
}

#[test]
fn an_author_that_is_none_is_refused() {
    let config = || ClientConfig::new("ws://127.0.0.1:1", "x");
    assert_eq!(config().author("").err(), Some(AuthorError::Empty));
    assert_eq!(config().author(&"a".repeat(257)).err(), Some(AuthorError::TooLong));
    assert!(config().author(&"a".repeat(256)).is_ok());
}
