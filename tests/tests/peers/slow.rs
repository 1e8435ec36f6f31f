//! Edits that come while a store is busy writing.

use std::sync::{Arc, Condvar, Mutex};

use sync_client::{Client, ClientConfig, SqliteStore, StoreError};
use sync_core::storage::{LocalStore, Row, Table, Write};

use crate::support::{client, in_time, keys, put, server};

/// Edits made while the store stands still.
const EDITS: i64 = 20;

/// Seen in y-sweet: an edit that arrives while a snapshot is written is lost.
#[tokio::test(flavor = "multi_thread")]
async fn failure_3_an_edit_made_while_the_servers_store_is_busy_survives() {
    in_time(async {
        let mut server = server(&[]).await;
        let dir = tempfile::tempdir().expect("a folder");
        let client = client(server.address(), dir.path()).await;
        let document = client.document("slow").await.expect("opens");
        let first = put(&document, "first", 0);
        document.acknowledged(first).await.expect("answered");
        // A commit waits for whoever else writes.
        let store = rusqlite::Connection::open(server.data().join("store.sqlite")).expect("opens");
        store.execute_batch("BEGIN IMMEDIATE").expect("begins");
        let mut last = first;
        for n in 0..EDITS {
            last = put(&document, &format!("k{n}"), n);
            document.saved(last).await.expect("saved on this device");
        }
        assert!(document.status().pending > 0, "nothing is acknowledged that can't be stored");
        store.execute_batch("COMMIT").expect("ends");
        document.acknowledged(last).await.expect("answered");
        server.kill().await.expect("it ran");
        server.restart().await.expect("it starts again");
        let there = server.document("slow").await.expect("it was stored");
        for n in 0..EDITS {
            assert_eq!(there[format!("k{n}")], n, "{there}");
        }
    })
    .await;
}

/// Whether commits may go on, and how many stand still.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<(bool, usize)>, Condvar)>);

impl Gate {
    fn hold(&self, held: bool) {
        self.0.0.lock().expect("no one panics").0 = held;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let mut state = self.0.0.lock().expect("no one panics");
        state.1 += 1;
        self.0.1.notify_all();
        let mut state = self.0.1.wait_while(state, |(held, _)| *held).expect("no one panics");
        state.1 -= 1;
    }

    /// Waits until a commit stands still.
    fn wait(&self) {
        let state = self.0.0.lock().expect("no one panics");
        drop(self.0.1.wait_while(state, |(_, waiting)| *waiting == 0).expect("no one panics"));
    }
}

/// A local store whose commits can be held up.
struct GatedStore {
    store: SqliteStore,
    gate: Gate,
}

impl LocalStore for GatedStore {
    fn read(&mut self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        self.store.read(table, prefix)
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        self.gate.pass();
        self.store.commit(writes)
    }
}

/// The same on this side: what is edited while the local store writes is in the next write.
#[tokio::test(flavor = "multi_thread")]
async fn failure_3_an_edit_made_while_the_local_store_is_busy_survives() {
    in_time(async {
        let server = server(&[]).await;
        let dir = tempfile::tempdir().expect("a folder");
        let gate = Gate::default();
        let store = GatedStore { store: SqliteStore::open(dir.path()).expect("opens"), gate: gate.clone() };
        let config = ClientConfig::new(format!("ws://{}/sync", server.address()), dir.path()).offline();
        let client = Client::with_store(config, Box::new(store)).await.expect("opens");
        let document = client.document("slow").await.expect("opens");
        document.saved(put(&document, "first", 0)).await.expect("saved");
        gate.hold(true);
        let mut last = put(&document, "second", 0);
        let waiting = gate.clone();
        tokio::task::spawn_blocking(move || waiting.wait()).await.expect("a commit stands still");
        for n in 0..EDITS {
            last = put(&document, &format!("k{n}"), n);
        }
        assert!(document.status().unsaved > 1, "{:?}", document.status());
        gate.hold(false);
        document.saved(last).await.expect("saved");
        client.close().await.expect("closes");
        drop((document, client));
        let client = self::client(server.address(), dir.path()).await;
        let document = client.document("slow").await.expect("opens");
        assert_eq!(keys(&document).len(), EDITS as usize + 2);
    })
    .await;
}
