//! The scenario that is recorded: everything a client and a server say to each other in the life of a document, and what they keep of it.

use std::path::Path;

use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::Transactable;
use automerge::{ObjType, ROOT, ReadDoc, ScalarValue};
use sync_core::protocol::{ClientMessage, ServerMessage};
use sync_server::store::{Options, SqliteStore};

use super::stage::{Stage, client_store, server_store};
use super::{Formats, Frame, From, Recording, dump};

const DOCUMENT: &str = "notes/recorded";
const CLIENT_DATABASE: &str = "client.db";
const SERVER_DATABASE: &str = "store.sqlite";

/// Plays the scenario and keeps it in a folder.
pub fn record(folder: &Path) -> Recording {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let [writer_at, other_at, server_at] = ["writer", "other", "server"].map(|name| scratch.path().join(name));
    std::fs::create_dir_all(folder).expect("the folder can be made");
    let keep = |name: &str, sql: &str| std::fs::write(folder.join(name), sql).expect("can be written");

    let mut stage = Stage::new(server_store(&server_at), DOCUMENT);
    let other = stage.client(client_store(&other_at), 2);
    let writer = stage.client(client_store(&writer_at), 1);
    meet(&mut stage, writer, other);
    let reader = stage.client(client_store(&scratch.path().join("reader")), 3);
    stage.set_online(reader, true);
    assert_eq!(stage.value(reader), stage.value(other));
    stage.end(reader);
    apart(&mut stage, writer, other);
    keep("client-before.sql", &dump(&writer_at.join(CLIENT_DATABASE)));
    restore_server(&mut stage, &server_at);
    stage.set_online(other, true);
    let reconnection = stage.frames.iter().map(|f| f.connection).max().expect("frames") + 1;
    stage.set_online(writer, true);
    let value_between = stage.value(writer);
    resume(&mut stage, writer, other);
    behind(&mut stage, writer, other);
    let value = stage.value(writer);
    keep("client.sql", &dump(&writer_at.join(CLIENT_DATABASE)));
    keep("server.sql", &dump(&server_at.join(SERVER_DATABASE)));
    let frames = stage.frames.clone();
    stage.set_online(writer, true);
    let value_synced = stage.value(writer);
    stage.end(writer);
    drop(stage);

    let formats = formats(&frames, &writer_at.join(CLIENT_DATABASE), &server_at.join(SERVER_DATABASE));
    let document = DOCUMENT.into();
    let recording = Recording { formats, document, frames, reconnection, value_between, value, value_synced };
    let text = serde_json::to_string_pretty(&recording).expect("JSON") + "\n";
    std::fs::write(folder.join("recording.json"), text).expect("can be written");
    recording
}

/// Both edit, and see each other's edits.
fn meet(stage: &mut Stage, writer: usize, other: usize) {
    stage.set_online(other, true);
    stage.change(other, |tx| {
        let text = tx.put_object(ROOT, "text", ObjType::Text)?;
        tx.splice_text(&text, 0, 0, "groceries")?;
        tx.mark(&text, Mark::new("bold".into(), true, 0, 4), ExpandMark::After)?;
        tx.put_object(ROOT, "list", ObjType::List).map(drop)
    });
    stage.change(other, |tx| tx.put(ROOT, "n", ScalarValue::counter(1)));
    stage.set_online(writer, true);
    stage.change(writer, |tx| {
        let (_, list) = tx.get(ROOT, "list")?.expect("made by the other");
        tx.insert(&list, 0, "milk")?;
        tx.increment(ROOT, "n", 2)
    });
    stage.change(other, |tx| tx.put(ROOT, "seen", ScalarValue::Timestamp(1_795_500_000_000)));
    stage.emit(writer, b"at line 3");
    assert_eq!(stage.value(writer), stage.value(other));
}

/// Both edit on their own; the writer's last edit is one that the server will refuse.
fn apart(stage: &mut Stage, writer: usize, other: usize) {
    stage.set_online(writer, false);
    for word in ["tea", "bread"] {
        stage.change(writer, |tx| {
            let (_, list) = tx.get(ROOT, "list")?.expect("made by the other");
            tx.insert(&list, 0, word)
        });
    }
    stage.change(writer, |tx| tx.put(ROOT, "picture", ScalarValue::Bytes(vec![7; 2_000])));
    stage.change(other, |tx| tx.delete(ROOT, "seen"));
    stage.change(other, |tx| tx.put(ROOT, "by the other", 1.5));
}

/// The server comes back from a backup: cursors into it no longer count.
fn restore_server(stage: &mut Stage, at: &Path) {
    stage.restart(|store| {
        drop(store);
        let mut store = SqliteStore::open(at, Options::default()).expect("opens");
        store.renew_id().expect("a new identity");
        Box::new(store)
    });
}

/// The writer is away for a moment, and its cursor counts.
fn resume(stage: &mut Stage, writer: usize, other: usize) {
    stage.set_online(writer, false);
    stage.change(other, |tx| tx.put(ROOT, "meanwhile", 1));
    stage.set_online(writer, true);
    assert_eq!(stage.value(writer), stage.value(other));
}

/// The writer is acknowledged while it lags behind, is cut off, and edits on.
fn behind(stage: &mut Stage, writer: usize, other: usize) {
    stage.stick(writer);
    for n in 0..12 {
        stage.change(other, |tx| tx.put(ROOT, format!("key {n}"), "x".repeat(60)));
    }
    stage.change(writer, |tx| tx.put(ROOT, "acknowledged beyond", "the cursor"));
    let (replica, document) = stage.replica(writer);
    assert_eq!(replica.status(document).map(|s| (s.pending, s.rejected)), Some((0, 1)));
    assert_ne!(stage.value(writer), stage.value(other), "the writer lags behind");
    stage.set_online(writer, false);
    stage.change(writer, |tx| tx.put(ROOT, "offline", true));
    stage.change(writer, |tx| {
        let (_, text) = tx.get(ROOT, "text")?.expect("made by the other");
        tx.splice_text(&text, 0, 0, "more ")
    });
}

/// The numbers of all formats, read from what was written.
fn formats(frames: &[Frame], client: &Path, server: &Path) -> Formats {
    let (mut wire, mut pack) = (0, 0);
    for frame in frames {
        match frame.from {
            From::Server => {
                for message in ServerMessage::decode_all(&frame.bytes()).expect("the server's own") {
                    if let ServerMessage::Welcome(welcome) = message {
                        wire = welcome.version;
                    }
                }
            }
            From::Client => {
                for message in ClientMessage::decode_all(&frame.bytes()).expect("the client's own") {
                    if let ClientMessage::Push(push) = message {
                        pack = push.pack.0[0] & 0x0f;
                    }
                }
            }
        }
    }
    let number = |path: &Path| {
        let connection = rusqlite::Connection::open(path).expect("opens");
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0)).expect("has one")
    };
    let row: Vec<u8> = rusqlite::Connection::open(client)
        .and_then(|c| c.query_row("SELECT value FROM document", [], |row| row.get(0)))
        .expect("a document");
    Formats { wire, pack, client_row: row[0], client_store: number(client), server_store: number(server) }
}
