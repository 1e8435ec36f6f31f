//! A full disk on the client's side: said, survived, and written once there is room.

use std::path::Path;

use automerge::ROOT;
use automerge::transaction::Transactable as _;
use rejoin_tests::tight_store::{BytesMax, TightStore};
use sync_client::{
    Client, ClientConfig, ClientEvent, CloseError, DocumentError, OpenError, SqliteStore, State, StoreError,
};
use sync_core::storage::{LocalStore as _, Row, Table, Write};

use crate::api::{client, text_of, write};
use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_is_said_loses_nothing_in_memory_and_recovers() {
    crate::in_time(async {
        let server = Server::start().await;
        let dir = tempfile::tempdir().expect("a folder");
        let bytes_max = BytesMax::lifted();
        let store = TightStore { store: SqliteStore::open(dir.path()).expect("opens"), bytes_max: bytes_max.clone() };
        let config = ClientConfig::new(format!("ws://{}/sync", server.address()), dir.path()).offline();
        let tight = Client::with_store(config, Box::new(store)).await.expect("opens");
        let document = tight.document("full").await.expect("opens");
        document.init("text", sync_client::InitValue::Text).expect("made");
        let first = write(&document, "before ");
        document.saved(first).await.expect("saved");

        let mut events = tight.subscribe();
        bytes_max.tighten(true);
        let large = "x".repeat(200_000);
        // Random letters, so that no compression makes it fit.
        let ((), _) = document.change(|tx| tx.put(ROOT, "large", noise(300_000))).expect("made");
        let second = write(&document, &large);
        let failed = loop {
            if let ClientEvent::StorageFailed(error) = events.next().await.expect("the client is open") {
                break error;
            }
        };
        assert_eq!(failed, StoreError::Full);
        assert_eq!(document.status().state, State::StorageFull);
        assert!(document.status().unsaved > 0);
        assert_eq!(text_of(&document).len(), "before ".len() + large.len(), "what is not saved is still there");
        assert!(matches!(tight.close().await, Err(CloseError::Unsaved { unsaved: 1.., error: StoreError::Full })));

        bytes_max.tighten(false);
        document.saved(second).await.expect("it is written once there is room");
        assert_eq!(document.status().unsaved, 0);
        tight.close().await.expect("closes");
        drop((document, tight));

        let again = client(server.address(), dir.path()).await;
        let document = again.document("full").await.expect("opens");
        assert_eq!(text_of(&document).len(), "before ".len() + large.len());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_held_by_another_client_is_refused() {
    crate::in_time(async {
        let server = Server::start().await;
        let dir = tempfile::tempdir().expect("a folder");
        let first = client(server.address(), dir.path()).await;
        let config = ClientConfig::new("ws://127.0.0.1:9/sync", dir.path());
        let refused = Client::open(config.clone()).await.expect_err("taken");
        assert!(matches!(refused, OpenError::Store(StoreError::Locked)), "{refused}");
        first.close().await.expect("closes");
        Client::open(config).await.expect("free again");
    })
    .await;
}

/// Writes the rows of a table that begin with `prefix` anew, as a newer version that has the same database would have them; gives them.
fn of_a_newer_version(dir: &Path, table: Table, prefix: &[u8]) -> Vec<Row> {
    let mut store = SqliteStore::open(dir).expect("opens");
    let rows = store.read(table, prefix).expect("reads");
    let newer = |(key, mut value): Row| {
        value[0] = NEWER;
        (key, value)
    };
    let rows: Vec<Row> = rows.into_iter().map(newer).collect();
    assert!(!rows.is_empty());
    let put = |(key, value): &Row| Write::Put { table, key: key.clone(), value: value.clone() };
    store.commit(&rows.iter().map(put).collect::<Vec<_>>()).expect("commits");
    rows
}

/// No version will have had so many formats.
const NEWER: u8 = 200;

/// What they are then told as.
const NEWER_FOUND: StoreError = StoreError::Newer { found: NEWER as u32, known: 3 };

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_newer_version_refuse_their_document_as_such_and_are_left_as_they_are() {
    crate::in_time(async {
        let server = Server::start().await;
        let dir = tempfile::tempdir().expect("a folder");
        let config = || ClientConfig::new(format!("ws://{}/sync", server.address()), dir.path()).offline();
        let now = Client::open(config()).await.expect("opens");
        for name in ["newer", "other"] {
            let document = now.document(name).await.expect("opens");
            document.init("text", sync_client::InitValue::Text).expect("made");
            let edit = write(&document, name);
            document.saved(edit).await.expect("saved");
        }
        now.close().await.expect("closes");
        drop(now);
        let rows = of_a_newer_version(dir.path(), Table::Outbox, b"newer\0");

        let now = Client::open(config()).await.expect("opens");
        let refused = now.document("newer").await.expect_err("it can't be read");
        assert_eq!(refused, DocumentError::Store(NEWER_FOUND));
        assert!(refused.to_string().contains("newer version"), "{refused}");
        let other = now.document("other").await.expect("opens");
        assert_eq!(text_of(&other), "other");
        now.close().await.expect("closes");
        drop((now, other));
        let mut store = SqliteStore::open(dir.path()).expect("opens");
        assert_eq!(store.read(Table::Outbox, b"newer\0"), Ok(rows), "nothing is lost");
        drop(store);

        // Who this client is stands in a row too.
        let rows = of_a_newer_version(dir.path(), Table::Meta, b"identity");
        let refused = Client::open(config()).await.expect_err("nobody writes under an actor that can't be read");
        let OpenError::Store(refused) = refused else { panic!("{refused}") };
        assert_eq!(refused, NEWER_FOUND);
        // The thread that had it ends by itself.
        let mut store = loop {
            match SqliteStore::open(dir.path()) {
                Err(StoreError::Locked) => tokio::task::yield_now().await,
                opened => break opened.expect("opens"),
            }
        };
        assert_eq!(store.read(Table::Meta, b"identity"), Ok(rows), "nothing is lost");
    })
    .await;
}

/// Letters that look random.
fn noise(length: usize) -> String {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + ((state >> 33) % 90) as u8)
    };
    (0..length).map(|_| next()).collect()
}
