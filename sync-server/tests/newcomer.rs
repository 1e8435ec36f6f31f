//! A newcomer to a long document: a snapshot that a process of its own has made, in place of the log.

mod common;

use std::time::Instant;

use automerge::transaction::Transactable as _;
use automerge::{ActorId, AutoCommit, ROOT};
use common::{Client, PATIENCE, Process, run, text};
use sync_core::change::Change;
use sync_core::id::{DocumentHandle, LogSeq};
use sync_core::pack;
use sync_core::protocol::{ServerMessage, accepts};
use sync_core::saved::Saved;
use sync_core::table::ChangeTable;
use sync_core::view::View;

/// So many that a view is made as well.
const CHANGES: usize = 9_000;

/// What came before the log did.
struct Handed {
    view: Vec<u8>,
    saved: Vec<u8>,
    seq: LogSeq,
    frames: usize,
}

fn history() -> Vec<Change> {
    let mut document = AutoCommit::new().with_actor(ActorId::from([1; 16]));
    for n in 0..CHANGES {
        document.put(ROOT, "n", n as i64).expect("puts");
        document.commit();
    }
    document.get_changes(&[]).into_iter().map(|c| Change::from_automerge(c).expect("fits")).collect()
}

/// Opens the document with nothing held, and takes what stands in for the log, if anything does.
async fn open(server: &Process, accepted: u32) -> (Client, Option<Handed>) {
    let mut client = Client::connect(server.address).await;
    client.hello_accepting(accepted).await;
    client.open_as(DocumentHandle(1), "doc").await;
    let mut handed = Handed { view: Vec::new(), saved: Vec::new(), seq: LogSeq(0), frames: 0 };
    let whole = client
        .until(|message| match message {
            ServerMessage::Snapshot(piece) => {
                let into = if piece.index < piece.views { &mut handed.view } else { &mut handed.saved };
                into.extend_from_slice(&piece.bytes.0);
                (handed.seq, handed.frames) = (piece.seq, handed.frames + 1);
                (piece.index + 1 == piece.total).then_some(true)
            }
            ServerMessage::Changes(changes) => {
                assert_eq!(changes.first, LogSeq(1));
                Some(false)
            }
            _ => None,
        })
        .await;
    (client, whole.then_some(handed))
}

fn until_made(server: &Process) {
    let made = |body: &str| {
        body.lines().any(|l| l.starts_with("rejoin_newcomer_snapshot_seconds_count") && !l.ends_with(" 0"))
    };
    let start = Instant::now();
    while !made(&server.get("/metrics").1) {
        assert!(start.elapsed() < PATIENCE, "no snapshot was made");
        std::thread::yield_now();
    }
}

fn check(handed: &Handed, changes: &[Change]) {
    assert_eq!(handed.seq, LogSeq(CHANGES as u64));
    let saved = Saved::decode(&handed.saved).expect("a saved document");
    let (_, table) = saved.open().expect("it loads");
    assert_eq!(table.len(), CHANGES);
    assert!(changes.iter().all(|change| table.contains(&change.hash())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_gets_view_and_document_before_and_after_a_kill() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = dir.path().to_str().expect("a plain path");
    let mut server = Process::start(dir.path(), &[]);
    let (mut writer, _) = Client::open(server.address, "doc").await;
    let changes = history();
    writer.push(1, &changes).await;
    assert_eq!(writer.ack().await.count as usize, CHANGES);
    until_made(&server);
    let (mut reader, handed) = open(&server, accepts::SNAPSHOTS | accepts::VIEWS).await;
    let handed = handed.expect("a snapshot");
    check(&handed, &changes);
    let Ok(View::Map(root)) = View::decode(&handed.view) else { panic!("a view of a map") };
    assert_eq!(root["n"], View::Scalar((CHANGES as i64 - 1).into()));
    // What is written later follows on it.
    let mut document = AutoCommit::new().with_actor(ActorId::from([2; 16]));
    document.put(ROOT, "later", 1).expect("puts");
    let later = Change::from_automerge(document.get_last_local_change().expect("made").clone()).expect("fits");
    writer.push(2, std::slice::from_ref(&later)).await;
    let live = reader.changes().await;
    assert_eq!(live.first, LogSeq(CHANGES as u64 + 1));
    // Without views, without snapshots, and after a kill.
    let (_, without_view) = open(&server, accepts::SNAPSHOTS).await;
    let without_view = without_view.expect("a snapshot");
    assert!(without_view.view.is_empty() && without_view.frames < handed.frames);
    check(&without_view, &changes);
    assert!(open(&server, 0).await.1.is_none(), "packs for whoever takes nothing else");
    server.kill();
    let output = run(&["verify", "--data", data]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&run(&["stats", "--data", data]).stdout).contains("for newcomers    1"));
    let mut server = Process::start(dir.path(), &[]);
    let (_, again) = open(&server, accepts::SNAPSHOTS | accepts::VIEWS).await;
    check(&again.expect("it is in the store"), &changes);
    // It goes with its document.
    assert_eq!(server.http("DELETE", "/v1/documents/doc", "").0, 204);
    assert_eq!(server.terminate().code(), Some(0));
    assert!(text(&run(&["stats", "--data", data]).stdout).contains("for newcomers    0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_is_named_by_verify_and_made_again_by_nobody_before_it_is_due() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = dir.path().to_str().expect("a plain path");
    let mut server = Process::start(dir.path(), &[]);
    let (mut writer, _) = Client::open(server.address, "doc").await;
    let changes = history();
    writer.push(1, &changes).await;
    writer.ack().await;
    until_made(&server);
    assert_eq!(server.terminate().code(), Some(0));
    let store = rusqlite::Connection::open(dir.path().join("store.sqlite")).expect("opens");
    store.execute("UPDATE piece SET bytes = zeroblob(length(bytes)) WHERE number = 1", []).expect("writes");
    drop(store);
    let output = run(&["verify", "--data", data]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("the snapshot for newcomers has rows that make no sense"));
    let server = Process::start(dir.path(), &[]);
    let (mut client, handed) = {
        let mut client = Client::connect(server.address).await;
        client.hello_accepting(accepts::SNAPSHOTS).await;
        client.open_as(DocumentHandle(1), "doc").await;
        let first = client.changes().await;
        (client, first)
    };
    assert_eq!(handed.first, LogSeq(1), "the log has everything");
    let mut held = 0;
    let mut table = ChangeTable::new();
    let mut next = Some(handed);
    while held < CHANGES {
        let range = match next.take() {
            Some(range) => range,
            None => client.changes().await,
        };
        let bytes = range.pack.expect("a pack").0;
        for change in pack::decode(&bytes, &table, &sync_core::limits::PackLimits::stored()).expect("a pack").changes {
            table.insert(&change).expect("in order");
            held += 1;
        }
    }
    assert!(changes.iter().all(|change| table.contains(&change.hash())));
}
