//! A full disk on the client's side: said, survived, and written once there is room.

use automerge::ROOT;
use automerge::transaction::Transactable as _;
use rejoin_tests::tight_store::{BytesMax, TightStore};
use sync_client::{Client, ClientConfig, ClientEvent, CloseError, OpenError, SqliteStore, State, StoreError};

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

/// Letters that look random.
fn noise(length: usize) -> String {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + ((state >> 33) % 90) as u8)
    };
    (0..length).map(|_| next()).collect()
}
