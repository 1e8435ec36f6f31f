//! A server that compacts, as a process of its own, and clients that come back to what it has compacted.

mod common;

use std::time::Instant;

use automerge::transaction::Transactable as _;
use automerge::{ActorId, AutoCommit, ROOT};
use common::{Client, PATIENCE, Process, run, text};
use sync_core::change::Change;
use sync_core::clock::VectorClock;
use sync_core::id::{BatchId, ChangeHash, Cursor, DocumentHandle, LogSeq};
use sync_core::limits::PackLimits;
use sync_core::log::Log;
use sync_core::pack;
use sync_core::protocol::{Blob, ClientMessage, Mode, Open, Opened, Push, ServerMessage};
use sync_core::scope::Access;
use sync_core::table::ChangeTable;

const CHANGES: usize = 300;

/// A history by one author, in the order it was made.
fn history() -> Vec<Change> {
    let mut document = AutoCommit::new().with_actor(ActorId::from([1; 16]));
    for n in 0..CHANGES {
        document.put(ROOT, "n", n as i64).expect("puts");
        document.commit();
    }
    document.get_changes(&[]).into_iter().map(|c| Change::from_automerge(c).expect("fits")).collect()
}

async fn push(client: &mut Client, held: &ChangeTable, change: &Change) {
    let pack = pack::encode(std::slice::from_ref(change), 0, held).expect("packs");
    let push = Push { handle: DocumentHandle(1), batch: BatchId(u64::from(change.seq())), pack: Blob(pack) };
    client.send(ClientMessage::Push(push)).await;
    assert_eq!(client.ack().await.count, 1);
}

fn table(changes: &[Change]) -> ChangeTable {
    let mut table = ChangeTable::new();
    for change in changes {
        table.insert(change).expect("in order");
    }
    table
}

/// Opens with what a client says of itself, and takes in all that follows, until it holds so many changes.
async fn come_back(
    server: &Process,
    held: &[Change],
    cursor: Option<Cursor>,
    clock: Option<VectorClock>,
    want: usize,
) -> (Client, Opened, Vec<ChangeHash>) {
    let mut client = Client::connect(server.address).await;
    client.hello().await;
    let (handle, document, access) = (DocumentHandle(1), "doc".into(), Access::Write);
    let open = Open { handle, document, access, cursor, acked: None, clock, snapshot: None, packs: None };
    client.send(ClientMessage::Open(open)).await;
    let opened = client.until(|m| if let ServerMessage::Opened(o) = m { Some(o) } else { None }).await;
    let mut table = table(held);
    let mut hashes: Vec<ChangeHash> = held.iter().map(Change::hash).collect();
    while hashes.len() < want {
        let changes = client.changes().await;
        let pack = changes.pack.expect("something is missing");
        for change in pack::decode(&pack.0, &table, &PackLimits::default()).expect("a pack").changes {
            table.insert(&change).expect("in order");
            hashes.push(change.hash());
        }
    }
    (client, opened, hashes)
}

/// A server whose document of so many commits was compacted, started anew.
async fn compacted(data: &std::path::Path, changes: &[Change]) -> Process {
    let config = data.join("rejoin.toml");
    std::fs::write(&config, "compact_after = 64\ncompact_keep = 16\n").expect("writes");
    let more = ["--config", config.to_str().expect("a plain path")];
    let folder = data.join("data");
    let server = Process::start(&folder, &more);
    let (mut client, _) = Client::open(server.address, "doc").await;
    let mut held = ChangeTable::new();
    for change in changes {
        push(&mut client, &held, change).await;
        held.insert(change).expect("in order");
    }
    let done =
        |body: &str| body.lines().any(|l| l.starts_with("rejoin_compaction_seconds_count") && !l.ends_with(" 0"));
    let start = Instant::now();
    while !done(&server.get("/metrics").1) {
        assert!(start.elapsed() < PATIENCE, "nothing was compacted");
        std::thread::yield_now();
    }
    drop(client);
    let mut server = server;
    assert_eq!(server.terminate().code(), Some(0));
    let output = run(&["compact", "--data", folder.to_str().expect("a plain path")]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for beside in ["store.sqlite-wal", "store.sqlite-shm"] {
        assert!(!folder.join(beside).exists(), "{beside} is left");
    }
    Process::start(&folder, &more)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_older_than_compaction_resyncs_fully_never_synced_with_nothing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let changes = history();
    let server = compacted(dir.path(), &changes).await;
    let want: Vec<ChangeHash> = changes.iter().map(Change::hash).collect();
    let (_newcomer, opened, hashes) = come_back(&server, &[], None, None, CHANGES).await;
    assert_eq!((opened.mode, opened.head, hashes), (Mode::New, LogSeq(CHANGES as u64), want.clone()));
    let mut log = Log::new(opened.incarnation);
    for change in &changes {
        log.append(change).expect("in order");
    }
    let (_asker, welcome) = {
        let mut client = Client::connect(server.address).await;
        client.hello().await;
        let welcome = client.until(|m| if let ServerMessage::Welcome(w) = m { Some(w) } else { None }).await;
        (client, welcome)
    };
    for at in [1usize, 100, 250, 299] {
        let seq = LogSeq(at as u64);
        let digest = log.digest_at(seq).expect("in the log");
        let cursor = Cursor { store_id: welcome.store_id, incarnation: opened.incarnation, seq, digest };
        let held = &changes[..at];
        let (_, back, hashes) = come_back(&server, held, Some(cursor), None, CHANGES).await;
        assert_eq!((back.mode, &hashes), (Mode::Resume, &want), "a cursor at {at}");
        // A cursor of the wrong digest there is not believed.
        let mut wrong = cursor;
        wrong.digest.0[0] ^= 1;
        let (_, back, hashes) = come_back(&server, held, Some(wrong), Some(table(held).clock()), CHANGES).await;
        assert_eq!((back.mode, &hashes), (Mode::Reconcile, &want), "a wrong cursor at {at}");
        let (_, back, hashes) = come_back(&server, held, None, Some(table(held).clock()), CHANGES).await;
        assert_eq!((back.mode, &hashes), (Mode::Reconcile, &want), "a clock at {at}");
    }
    // An edit made offline on a state that was compacted since.
    let mut offline = AutoCommit::new().with_actor(ActorId::from([2; 16]));
    offline.apply_changes(changes[..100].iter().map(|c| c.automerge().clone())).expect("applies");
    offline.put(ROOT, "late", true).expect("puts");
    let late = offline.get_last_local_change().expect("made").clone();
    let late = Change::from_automerge(late).expect("fits");
    let (mut client, ..) = come_back(&server, &changes, None, Some(log.clock()), CHANGES).await;
    push(&mut client, log.table(), &late).await;
    push_again(&mut client, &changes).await;
    let (status, body) = server.get("/v1/documents/doc");
    assert!(status == 200 && body.contains("\"late\":true") && body.contains("\"n\":299"), "{status} {body}");
}

/// It was told nowhere; and a deletion that failed left the server ready.
#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_that_fails_is_counted_and_a_deletion_that_fails_makes_the_server_unready() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (folder, config) = (dir.path().join("data"), dir.path().join("rejoin.toml"));
    let mut server = Process::start(&folder, &[]);
    let (mut client, _) = Client::open(server.address, "doc").await;
    let mut held = ChangeTable::new();
    for change in &history()[..64] {
        push(&mut client, &held, change).await;
        held.insert(change).expect("in order");
    }
    drop(client);
    assert_eq!(server.terminate().code(), Some(0));
    // Somebody else writes, and does not end.
    let other = rusqlite::Connection::open(folder.join("store.sqlite")).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("is free");
    std::fs::write(&config, "compact_after = 16\n").expect("writes");
    let server = Process::start(&folder, &["--config", config.to_str().expect("a plain path")]);
    let start = Instant::now();
    while !server.get("/metrics").1.contains("rejoin_compaction_failures_total 1") {
        assert!(start.elapsed() < PATIENCE, "no failure is counted");
        std::thread::yield_now();
    }
    assert_eq!(server.get("/readyz").0, 200, "pushes are taken");
    assert_eq!(server.http("DELETE", "/v1/documents/doc", "").0, 503);
    assert!(server.until_ready_is(503).contains("store-failed"));
    drop(other);
    server.until_ready_is(200);
    assert_eq!(server.http("DELETE", "/v1/documents/doc", "").0, 204);
}

/// What the log holds already is acknowledged as held, however long ago it was compacted.
async fn push_again(client: &mut Client, changes: &[Change]) {
    let pack = pack::encode(&changes[..50], 0, &ChangeTable::new()).expect("packs");
    client.send(ClientMessage::Push(Push { handle: DocumentHandle(1), batch: BatchId(9_000), pack: Blob(pack) })).await;
    let ack = client.ack().await;
    assert_eq!((ack.count, ack.held), (0, Some((0..50).collect())));
}
