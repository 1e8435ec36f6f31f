//! What is pending: counted the same in every process, and pushed no longer once it is refused for good.

use rejoin_tests::proxy::Proxy;
use sync_client::State;
use sync_client::automerge::ROOT;
use sync_client::automerge::transaction::Transactable as _;

use crate::process::Notes;
use crate::support::{client, in_time, put, server, until};
use crate::writer;

/// What `status` says of changes that the server does not have.
fn pending(notes: &mut Notes) -> String {
    let line = notes.ask("status", " not yet on the server");
    line.split(", ").find(|part| part.ends_with("not yet on the server")).expect("it was waited for").to_owned()
}

/// Seen in automerge-repo (#264, #202, #443), Hocuspocus and evolu (#310): nobody says how much is not on the server, or a reload forgets it.
#[tokio::test(flavor = "multi_thread")]
async fn failure_6_the_pending_count_survives_close_reopen_kill_and_a_second_process() {
    let server = server(&[]).await;
    let dir = tempfile::tempdir().expect("a folder");
    let offline = || Notes::start("ann", dir.path(), server.address(), &["--offline"]);
    let mut notes = offline();
    for text in ["buy milk", "call home", "water the plants"] {
        notes.ask(&format!("add {text}"), "added, and saved");
    }
    let count = pending(&mut notes);
    // The list itself, and the notes.
    assert_eq!(count, "4 changes not yet on the server");
    assert!(notes.quit().contains(&count), "closing says it");

    let mut notes = offline();
    assert_eq!(pending(&mut notes), count, "after reopening");
    let (status, said) = Notes::refused("ann", dir.path(), server.address());
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("in use by another process"), "{said}");
    assert_eq!(pending(&mut notes), count, "a second process changes nothing");
    notes.kill();

    let mut notes = Notes::start("ann", dir.path(), server.address(), &["--offline"]);
    assert_eq!(pending(&mut notes), count, "after a kill");
    notes.type_line("online");
    notes.ask("wait", "synced");
    assert!(notes.ask("status", "last in sync").starts_with("synced"));
    assert!(server.document("notes/shared").await.expect("it is there").to_string().contains("water the plants"));
}

/// Bytes of the change that is refused, which do not deflate: whoever pushes it is seen on the line.
const REFUSED_BYTES: u64 = 50_000;

/// Seen in PowerSync (powersync.dart#307) and partykit (#162): uploads that are refused are tried again for ever, and hold up all behind them.
#[tokio::test(flavor = "multi_thread")]
async fn failure_9_a_refusal_for_good_stops_the_retries_also_after_a_reconnect() {
    in_time(async {
        let server = server(&["--heartbeat-s", "1"]).await;
        writer::fill_heads(server.address(), "full").await;
        let proxy = Proxy::start(server.address()).await.expect("a proxy");
        let dir = tempfile::tempdir().expect("a folder");
        let client = client(proxy.address(), dir.path()).await;
        client.go_offline().expect("it is open");
        let document = client.document("full").await.expect("opens");
        let noise = writer::noise(1, REFUSED_BYTES as usize);
        document.change(|tx| tx.put(ROOT, "mine", noise)).expect("made");
        client.go_online().expect("it is open");
        until(&document, |d| d.status().rejected == 1 && d.status().state == State::Rejected).await;
        assert!(proxy.counts().up_bytes > REFUSED_BYTES);
        // Some heartbeats, and a new connection: what the server hears is small.
        let before = proxy.counts();
        while proxy.counts().since(&before).round_trips < 3 {
            tokio::task::yield_now().await;
        }
        proxy.cut();
        // What is behind it goes through: one more document on the new connection.
        let other = client.document("other").await.expect("opens");
        other.acknowledged(put(&other, "k", 1)).await.expect("answered");
        until(&other, |d| d.status().state == State::Synced).await;
        assert_eq!(document.status().rejected, 1);
        let up = proxy.counts().since(&before).up_bytes;
        assert!(up < REFUSED_BYTES / 2, "{up} bytes went up after the refusal");
        // Only the application tries again.
        let refused = document.outbox()[0].change;
        let before = proxy.counts();
        assert!(document.retry(refused).expect("made"));
        until(&document, |d| d.status().pending == 0).await;
        assert!(proxy.counts().since(&before).up_bytes > REFUSED_BYTES);
    })
    .await;
}
