//! Ann and Bob: two clients of one server, each on a folder of its own, with one document open on both.

use sync_client::{Client, Document};
use tempfile::TempDir;

use crate::api::client;
use crate::server::Server;

/// Ann's come first.
pub(crate) struct Pair {
    pub(crate) server: Server,
    pub(crate) folders: [TempDir; 2],
    pub(crate) clients: [Client; 2],
    pub(crate) documents: [Document; 2],
}

impl Pair {
    /// Both open the document `name` of a new server.
    pub(crate) async fn open(name: &str) -> Self {
        let server = Server::start().await;
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let [a, b] = &folders;
        let clients = [client(server.address(), a.path()).await, client(server.address(), b.path()).await];
        let [ann, bob] = &clients;
        let documents = [ann.document(name).await.expect("opens"), bob.document(name).await.expect("opens")];
        Self { server, folders, clients, documents }
    }

    /// Both do something without a network, and come back.
    pub(crate) fn apart<R>(&self, first: impl FnOnce(&Document) -> R, second: impl FnOnce(&Document) -> R) -> (R, R) {
        let [left, right] = &self.documents;
        self.clients.iter().for_each(|client| client.go_offline().expect("it is open"));
        let done = (first(left), second(right));
        self.clients.iter().for_each(|client| client.go_online().expect("it is open"));
        done
    }

    pub(crate) async fn close(self) {
        drop(self.documents);
        for client in self.clients {
            client.close().await.expect("closes");
        }
    }
}
