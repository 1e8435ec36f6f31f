//! What is stored: never written over after a failed load, and known again when it was swapped or made anew.

use std::path::Path;

use rejoin_tests::raw::{self, Raw};
use rejoin_tests::server::Server;
use rusqlite::Connection;
use sync_client::{OutboxState, RejectCode, State};
use sync_core::id::Cursor;
use sync_core::protocol::{ClientMessage, Mode, Opened, ServerMessage};

use crate::support::{client, in_time, keys, put, server, until};

/// All rows of the server's store, as text.
fn rows(data: &Path) -> Vec<String> {
    let store = Connection::open(data.join("store.sqlite")).expect("opens");
    let mut all = Vec::new();
    for table in ["document", "pack"] {
        let mut statement = store.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).expect("reads");
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| (0..columns).map(|i| row.get::<_, rusqlite::types::Value>(i)).collect();
        let found: Vec<Vec<_>> = statement.query_map([], row).expect("reads").map(|r| r.expect("a row")).collect();
        all.extend(found.iter().map(|row| format!("{table} {row:?}")));
    }
    all
}

fn damage(data: &Path, sql: &str) {
    let store = Connection::open(data.join("store.sqlite")).expect("opens");
    assert!(store.execute(sql, []).expect("writes") > 0);
}

/// Seen in servers that keep a document in memory and store it whole: a load that fails gives an empty document, which the next edit writes
/// over the stored one (TanStack/db #1659: "ready, empty and silent").
#[tokio::test(flavor = "multi_thread")]
async fn failure_7_a_load_error_writes_nothing() {
    in_time(async {
        let mut server = server(&[]).await;
        let (a, b) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let ann = client(server.address(), a.path()).await;
        let document = ann.document("damaged").await.expect("opens");
        document.acknowledged(put(&document, "old", 1)).await.expect("answered");
        ann.close().await.expect("closes");
        drop(document);
        server.terminate().await.expect("it stops");
        damage(&server.data(), "UPDATE pack SET checksum = checksum + 1");
        let before = rows(&server.data());
        server.restart().await.expect("it starts all the same");

        let bob = client(server.address(), b.path()).await;
        let document = bob.document("damaged").await.expect("opens");
        let edit = put(&document, "new", 2);
        document.saved(edit).await.expect("saved");
        // A document that is well goes through, so that bob has been answered about the other as well.
        let well = bob.document("well").await.expect("opens");
        well.acknowledged(put(&well, "k", 1)).await.expect("answered");
        while !server.log().expect("it has a log").contains("quarantined") {
            tokio::task::yield_now().await;
        }
        assert_eq!((document.status().pending, keys(&document)), (1, vec!["new".to_owned()]));
        server.terminate().await.expect("it stops");
        let after: Vec<_> = rows(&server.data()).into_iter().filter(|row| before.contains(row)).collect();
        assert_eq!(after, before, "what can't be read is not written over");

        damage(
            &server.data(),
            "UPDATE pack SET checksum = checksum - 1 WHERE document = (SELECT id FROM document WHERE name = 'damaged')",
        );
        server.restart().await.expect("it starts again");
        document.acknowledged(edit).await.expect("answered");
        until(&document, |d| keys(d) == ["new", "old"]).await;
    })
    .await;
}

/// Seen wherever a document is known by its name alone: one that was deleted and made again is merged with old copies, twice everything.
#[tokio::test(flavor = "multi_thread")]
async fn failure_8_a_document_that_was_made_again_is_not_merged_with_an_old_copy() {
    in_time(async {
        let server = server(&[]).await;
        let (a, b) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let (ann, bob) = (client(server.address(), a.path()).await, client(server.address(), b.path()).await);
        let old = ann.document("again").await.expect("opens");
        old.acknowledged(put(&old, "old", 1)).await.expect("answered");
        ann.go_offline().expect("it is open");
        put(&old, "pending", 2);
        let (status, _) = server.http("DELETE", "/v1/documents/again").await.expect("it answers");
        assert_eq!(status, 204);
        let new = bob.document("again").await.expect("opens");
        new.acknowledged(put(&new, "new", 3)).await.expect("answered");

        ann.go_online().expect("it is open");
        until(&old, |d| keys(d) == ["new"]).await;
        let outbox = old.outbox();
        let deleted = |state: &OutboxState| matches!(state, OutboxState::Rejected { code: RejectCode::Deleted, .. });
        assert!(outbox.len() == 1 && deleted(&outbox[0].state), "what was pending is shown: {outbox:?}");
        let later = put(&old, "later", 4);
        old.acknowledged(later).await.expect("answered");
        until(&new, |d| keys(d) == ["later", "new"]).await;
        assert_eq!(names(&server, "again").await, ["later", "new"]);
    })
    .await;
}

async fn names(server: &Server, document: &str) -> Vec<String> {
    server.document(document).await.expect("it is there").as_object().expect("a map").keys().cloned().collect()
}

/// Where a client stands that holds all of a document's log.
async fn cursor(server: &Server, document: &str) -> Cursor {
    let mut raw = Raw::greeted(server.address()).await.expect("upgrades");
    raw.say(&raw::open(1, document)).await.expect("it is taken");
    let welcome = raw.until(|m| if let ServerMessage::Welcome(w) = m { Some(w) } else { None }).await.expect("greeted");
    let opened = raw.until(|m| if let ServerMessage::Opened(o) = m { Some(o) } else { None }).await.expect("opened");
    let Opened { incarnation, head, digest, .. } = opened;
    Cursor { store_id: welcome.store_id, incarnation, seq: head, digest }
}

/// How the server answers one who stands there.
async fn mode(server: &Server, document: &str, cursor: Cursor) -> Mode {
    let mut raw = Raw::greeted(server.address()).await.expect("upgrades");
    let ClientMessage::Open(mut open) = raw::open(1, document) else { panic!("an open") };
    open.cursor = Some(cursor);
    raw.say(&ClientMessage::Open(open)).await.expect("it is taken");
    raw.until(|m| if let ServerMessage::Opened(o) = m { Some(o.mode) } else { None }).await.expect("opened")
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).expect("makes a folder");
    for entry in std::fs::read_dir(from).expect("reads") {
        let entry = entry.expect("reads");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copies");
    }
}

/// Seen wherever a position in a log is a bare number: after a restore from an old copy that has grown since, a client goes on from a
/// position that means another thing, and both sides are silently apart.
#[tokio::test(flavor = "multi_thread")]
async fn failure_8_a_store_swapped_for_an_old_copy_that_has_grown_since_is_noticed() {
    in_time(async {
        let mut server = server(&[]).await;
        let dirs = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
        let aside = tempfile::tempdir().expect("a folder");
        let ann = client(server.address(), dirs[0].path()).await;
        let document = ann.document("swapped").await.expect("opens");
        document.acknowledged(put(&document, "both", 0)).await.expect("answered");
        server.terminate().await.expect("it stops");
        copy(&server.data(), aside.path());
        server.restart().await.expect("it starts again");
        for n in 0..3 {
            document.acknowledged(put(&document, &format!("ann {n}"), n)).await.expect("answered");
        }
        ann.go_offline().expect("it is open");
        put(&document, "ann pending", 4);
        let cursor = cursor(&server, "swapped").await;
        server.terminate().await.expect("it stops");
        copy(aside.path(), &server.data());
        server.restart().await.expect("it starts again");

        // The old copy grows past ann's position with what she has never seen.
        let bob = client(server.address(), dirs[1].path()).await;
        let other = bob.document("swapped").await.expect("opens");
        until(&other, |d| keys(d) == ["both"]).await;
        for n in 0..6 {
            other.acknowledged(put(&other, &format!("bob {n}"), n)).await.expect("answered");
        }
        assert_eq!(
            mode(&server, "swapped", cursor).await,
            Mode::Reconcile,
            "the position is there, and means another thing"
        );
        ann.go_online().expect("it is open");
        let all = 1 + 3 + 1 + 6;
        until(&document, |d| keys(d).len() == all && d.status().state == State::Synced).await;
        until(&other, |d| keys(d).len() == all).await;
        assert_eq!(names(&server, "swapped").await.len(), all, "each side's edits are there");
        let changes = |d: &sync_client::Document| d.read(|d| d.get_changes(&[]).len()).expect("it is loaded");
        assert_eq!((changes(&document), changes(&other)), (all, all), "and none twice");
    })
    .await;
}
