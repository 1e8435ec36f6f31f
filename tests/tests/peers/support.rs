//! Real clients of a real server, and waiting for what they show.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rejoin_tests::server::Server;
use sync_client::automerge::transaction::Transactable as _;
use sync_client::automerge::{ROOT, ReadDoc as _};
use sync_client::{ChangeId, Client, ClientConfig, Document};

/// Longest time a test may take; it would otherwise wait for ever for what does not come.
const IN_TIME: Duration = Duration::from_secs(120);

/// Runs a test that waits for what a client says.
pub(crate) async fn in_time(test: impl Future<Output = ()>) {
    tokio::time::timeout(IN_TIME, test).await.expect("it takes seconds");
}

/// A server on a folder of its own.
pub(crate) async fn server(arguments: &[&str]) -> Server {
    Server::start_with(None, &[0], arguments).await.expect("the server starts")
}

/// A client with its store in a folder.
pub(crate) async fn client(server: SocketAddr, dir: &Path) -> Client {
    Client::open(ClientConfig::new(format!("ws://{server}/sync"), dir)).await.expect("opens")
}

/// A client that makes no connection by itself.
pub(crate) async fn offline(server: SocketAddr, dir: &Path) -> Client {
    Client::open(ClientConfig::new(format!("ws://{server}/sync"), dir).offline()).await.expect("opens")
}

/// Puts a number under a root key.
pub(crate) fn put(document: &Document, key: &str, value: i64) -> ChangeId {
    document.change(|tx| tx.put(ROOT, key, value)).expect("made").1
}

/// The root's keys, in order.
pub(crate) fn keys(document: &Document) -> Vec<String> {
    document.read(|d| d.keys(ROOT).collect()).unwrap_or_default()
}

/// Waits until a document is as it should be.
pub(crate) async fn until(document: &Document, mut reached: impl FnMut(&Document) -> bool) {
    let mut events = document.subscribe();
    while !reached(document) {
        assert!(events.next().await.is_some(), "the client was closed");
    }
}
