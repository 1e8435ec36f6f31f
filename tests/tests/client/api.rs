//! The client as a program uses it, with and without a server.

use std::net::SocketAddr;
use std::path::Path;

use automerge::transaction::Transactable as _;
use automerge::{ObjId, ObjType, ROOT, ReadDoc as _};
use sync_client::{Client, ClientConfig, ClientEvent, Closed, Document, DocumentEvent, InitValue, State};

use crate::pair::Pair;
use crate::server::Server;

/// A client of `server` with its store in `dir`.
pub(crate) async fn client(server: SocketAddr, dir: &Path) -> Client {
    Client::open(ClientConfig::new(format!("ws://{server}/sync"), dir)).await.expect("the client opens")
}

/// The text under the root key `text`.
pub(crate) fn text_of(document: &Document) -> String {
    document
        .read(|d| match d.get(ROOT, "text").expect("the root is a map") {
            Some((_, text)) => d.text(&text).expect("it is a text"),
            None => String::new(),
        })
        .expect("it is loaded")
}

/// Writes `what` at the end of the text.
pub(crate) fn write(document: &Document, what: &str) -> sync_client::ChangeId {
    let edit = document.change(|tx| {
        let (_, text) = tx.get(ROOT, "text")?.expect("it was made by init");
        tx.splice_text(&text, tx.length(&text), 0, what)
    });
    edit.expect("the edit is made").1
}

/// Waits for an event of a document.
async fn until(document: &Document, mut reached: impl FnMut(&Document) -> bool) {
    let mut events = document.subscribe();
    while !reached(document) {
        assert!(events.next().await.is_some(), "the client was closed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_that_edited_apart_agree() {
    crate::in_time(async {
        let pair = Pair::open("shared").await;
        let [left, right] = &pair.documents;
        let written = |document: &Document, what| {
            document.init("text", InitValue::Text).expect("made");
            let edit = write(document, what);
            assert_eq!(document.status().state, State::Offline);
            edit
        };
        let edits = pair.apart(|left| written(left, "left "), |right| written(right, "right "));
        left.acknowledged(edits.0).await.expect("answered");
        right.acknowledged(edits.1).await.expect("answered");
        let all = "left right ".len();
        until(left, |d| text_of(d).len() == all).await;
        until(right, |d| text_of(d).len() == all).await;
        assert_eq!(text_of(left), text_of(right));
        until(left, |d| d.status().state == State::Synced).await;
        assert_eq!((left.status().pending, left.status().unsaved, left.outbox().len()), (0, 0, 0));
        assert!(left.status().since_sync.is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_whose_handles_are_gone_is_closed_and_opens_again() {
    crate::in_time(async {
        let server = Server::start().await;
        let dir = tempfile::tempdir().expect("a folder");
        let client = client(server.address(), dir.path()).await;
        for round in 0..3 {
            let document = client.document("again").await.expect("opens");
            let other = client.document("again").await.expect("opens twice");
            document.init("text", InitValue::Text).expect("made");
            let edit = write(&document, "x");
            other.saved(edit).await.expect("saved");
            assert_eq!(text_of(&other).len(), round + 1);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_subscriber_is_told_that_it_lagged_and_holds_nobody_up() {
    crate::in_time(async {
        let server = Server::start().await;
        let dir = tempfile::tempdir().expect("a folder");
        let client = client(server.address(), dir.path()).await;
        let document = client.document("busy").await.expect("opens");
        let mut events = document.subscribe();
        let list = document.change(|tx| tx.put_object(ROOT, "list", ObjType::List)).expect("made").0;
        let push = |list: &ObjId, n: u64| document.change(|tx| tx.insert(list, 0, n)).expect("made").1;
        let mut last = None;
        for n in 0..600 {
            last = Some(push(&list, n));
        }
        document.saved(last.expect("there were edits")).await.expect("saved");
        assert_eq!(events.next().await, Some(DocumentEvent::Lagged));
        assert_eq!(document.read(|d| d.length(&list)), Ok(600));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_client_refuses_edits_and_ends_subscriptions() {
    crate::in_time(async {
        let server = Server::start().await;
        let dir = tempfile::tempdir().expect("a folder");
        let client = client(server.address(), dir.path()).await;
        let document = client.document("ends").await.expect("opens");
        let (mut events, mut client_events) = (document.subscribe(), client.subscribe());
        client.close().await.expect("everything is saved");
        client.close().await.expect("closing twice does nothing");
        while events.next().await.is_some() {}
        while let Some(event) = client_events.next().await {
            assert!(matches!(event, ClientEvent::Connected | ClientEvent::Disconnected { .. }), "{event:?}");
        }
        assert!(document.change(|tx| tx.put(ROOT, "late", 1)).is_err());
        assert_eq!(client.go_online(), Err(Closed));
        assert!(client.document("other").await.is_err());
        assert_eq!(document.subscribe().next().await, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_reported_and_editing_goes_on() {
    crate::in_time(async {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("it has one");
        let dir = tempfile::tempdir().expect("a folder");
        let config = ClientConfig::new(format!("ws://{nobody}/sync"), dir.path()).offline();
        let client = Client::open(config).await.expect("opens");
        let mut events = client.subscribe();
        client.go_online().expect("it is open");
        assert!(matches!(events.next().await, Some(ClientEvent::Disconnected { connected: false, .. })));
        let document = client.document("alone").await.expect("opens");
        let ((), edit) = document.change(|tx| tx.put(ROOT, "k", 1)).expect("made");
        document.saved(edit).await.expect("saved");
        assert_eq!(document.status().state, State::Offline);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_reopened_while_it_is_still_being_saved_holds_every_edit() {
    crate::in_time(async {
        let server = Server::start().await;
        let dir = tempfile::tempdir().expect("a folder");
        let config = ClientConfig::new(format!("ws://{}/sync", server.address()), dir.path()).offline();
        let client = Client::open(config).await.expect("opens");
        let mut written = 0;
        for _ in 0..5 {
            let document = client.document("reopened").await.expect("opens");
            document.init("text", InitValue::Text).expect("made");
            assert_eq!(text_of(&document).len(), written);
            for _ in 0..50 {
                write(&document, "x");
                written += 1;
            }
        }
        client.close().await.expect("everything is saved, closed documents too");
        drop(client);
        let client = self::client(server.address(), dir.path()).await;
        let document = client.document("reopened").await.expect("opens");
        assert_eq!(text_of(&document).len(), written);
        until(&document, |d| d.status().state == State::Synced).await;
        assert_eq!(server.log_length("reopened"), written as u64 + 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_edits_nothing_is_saved_as_soon_as_what_came_before() {
    crate::in_time(async {
        let server = Server::start().await;
        let dir = tempfile::tempdir().expect("a folder");
        let client = client(server.address(), dir.path()).await;
        let (one, two) = (client.document("one").await.expect("opens"), client.document("two").await.expect("opens"));
        one.change(|tx| tx.put(ROOT, "k", 1)).expect("made");
        let ((), nothing) = two.change(|_| Ok(())).expect("made");
        two.saved(nothing).await.expect("there is nothing to save");
        two.acknowledged(nothing).await.expect("there is nothing to send");
        let ((), last) = two.change(|tx| tx.put(ROOT, "k", 1)).expect("made");
        let ((), nothing) = two.change(|_| Ok(())).expect("made");
        assert_eq!(nothing, last);
        two.acknowledged(nothing).await.expect("answered");
    })
    .await;
}
