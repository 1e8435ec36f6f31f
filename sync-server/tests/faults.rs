//! A full disk, damaged rows, and the tools that work on a data folder.

mod common;

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use common::{Client, PATIENCE, Process, change, noise, run, text};
use rusqlite::{Connection, OpenFlags};
use sync_core::protocol::RejectCode;

fn plain(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// A push of this many bytes that can't be stored is refused for now, and `/readyz` says why.
async fn is_full(server: &Process, kept: &str) {
    let (mut client, _) = Client::open(server.address, "full").await;
    client.push(1, &[change(1, &noise(40_000))]).await;
    let reject = client.reject().await;
    assert_eq!(reject.code, RejectCode::Unavailable);
    assert!(reject.retry_after_ms.is_some());
    assert!(server.until_ready_is(503).contains("disk-full"));
    let (_, opened) = Client::open(server.address, kept).await;
    assert_eq!(opened.head.0, 1, "reads go on");
    assert_eq!(server.get(&format!("/v1/documents/{kept}")).0, 200);
}

async fn push(server: &Process, document: &str, content: &str) {
    let (mut client, _) = Client::open(server.address, document).await;
    client.push(1, &[change(1, content)]).await;
    client.ack().await;
}

#[tokio::test]
async fn a_store_that_may_not_grow_refuses_pushes_for_now_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut server = Process::start(dir.path(), &["--store-bytes-max", "49152"]);
    push(&server, "kept", "some").await;
    is_full(&server, "kept").await;
    assert_eq!(server.terminate().code(), Some(0));
    let server = Process::start(dir.path(), &[]);
    push(&server, "full", &noise(40_000)).await;
    assert_eq!(server.get("/v1/documents/kept").0, 200);
}

/// A file system of its own for a test, where the test may make one.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs", plain(dir.path())])
            .output()
            .is_ok_and(|o| o.status.success());
        mounted.then(|| Self(dir))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_pushes_until_there_is_space_again() {
    // Only root may mount; elsewhere the test above says the same of SQLite's own bound.
    let Some(disk) = Tmpfs::mount() else { return };
    let server = Process::start(&disk.0.path().join("data"), &[]);
    push(&server, "kept", "some").await;
    let filler = disk.0.path().join("filler");
    // As much as there is; the last write fails.
    let _ = std::fs::write(&filler, vec![1u8; 2 << 20]);
    is_full(&server, "kept").await;
    std::fs::remove_file(&filler).expect("removes");
    server.until_ready_is(200);
    push(&server, "full", &noise(40_000)).await;
}

fn damage(data: &Path, sql: &str) {
    let store = Connection::open(data.join("store.sqlite")).expect("opens");
    assert!(store.execute(sql, []).expect("writes") > 0);
}

#[tokio::test]
async fn a_damaged_row_is_named_and_other_documents_go_on() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut server = Process::start(dir.path(), &[]);
    push(&server, "good", "well").await;
    push(&server, "bad/one", "soon not").await;
    server.terminate();
    let verify = || run(&["verify", "--data", plain(dir.path())]);
    let output = verify();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("2 documents, 2 changes"), "{}", text(&output.stdout));

    let bad = "(SELECT id FROM document WHERE name = 'bad/one')";
    damage(dir.path(), &format!("UPDATE pack SET bytes = zeroblob(length(bytes)) WHERE document = {bad}"));
    let output = verify();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("bad/one: corrupt: the pack at 1"), "{}", text(&output.stdout));

    let server = Process::start(dir.path(), &[]);
    let mut client = Client::connect(server.address).await;
    client.hello().await;
    let open = sync_core::protocol::Open {
        handle: sync_core::id::DocumentHandle(1),
        document: "bad/one".into(),
        access: sync_core::scope::Access::Write,
        cursor: None,
        acked: None,
        clock: None,
        snapshot: None,
        packs: None,
    };
    client.send(sync_core::protocol::ClientMessage::Open(open)).await;
    assert_eq!(client.reject().await.code, RejectCode::Quarantined);
    let opened = client.open_as(sync_core::id::DocumentHandle(2), "good").await;
    assert_eq!(opened.head.0, 1);
    let (status, body) = server.get("/v1/documents/bad%2Fone");
    assert_eq!(status, 503);
    assert!(body.contains("quarantined") && body.contains("the pack at 1"), "{body}");
    assert_eq!(server.get("/v1/documents/good").0, 200);
}

#[tokio::test]
async fn verify_notices_a_swapped_digest_and_a_missing_pack() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut server = Process::start(dir.path(), &[]);
    push(&server, "a", "one").await;
    push(&server, "b", "two").await;
    server.terminate();
    damage(dir.path(), "UPDATE document SET digest = x'0101010101010101' WHERE name = 'a'");
    damage(dir.path(), "DELETE FROM pack WHERE document = (SELECT id FROM document WHERE name = 'b')");
    let output = run(&["verify", "--data", plain(dir.path())]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("a: corrupt: the head's digest"), "{said}");
    assert!(said.contains("b: corrupt: no pack holds 1"), "{said}");
}

#[tokio::test]
async fn a_store_and_a_document_leave_and_come_back() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (data, whole) = (dir.path().join("data"), dir.path().join("whole"));
    let server = Process::start(&data, &[]);
    push(&server, "gone", "x").await;
    assert_eq!(server.http("DELETE", "/v1/documents/gone", "").0, 204);
    push(&server, "a", "milk").await;
    let ok = |args: &[&str]| {
        let output = run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    // All of these while the server runs.
    ok(&["export", "--data", plain(&data), "--out", plain(&whole)]);
    let saved = dir.path().join("a.automerge");
    ok(&["export", "--data", plain(&data), "--document", "a", "--out", plain(&saved)]);
    let json = dir.path().join("a.json");
    ok(&["export", "--data", plain(&data), "--document", "a", "--format", "json", "--out", plain(&json)]);
    assert!(std::fs::read_to_string(&json).expect("reads").contains("milk"));
    assert!(ok(&["stats", "--data", plain(&data)]).contains("documents        1"));
    drop(server);

    let restored = dir.path().join("restored");
    ok(&["import", "--data", plain(&restored), plain(&whole)]);
    ok(&["import", "--data", plain(&restored), "--document", "b", plain(&saved)]);
    assert!(ok(&["verify", "--data", plain(&restored)]).contains("2 documents, 2 changes"));
    ok(&["compact", "--data", plain(&restored)]);
    let id = |data: &Path| -> Vec<u8> {
        let store = Connection::open(data.join("store.sqlite")).expect("opens");
        store.query_row("SELECT value FROM meta WHERE key = 'store_id'", [], |r| r.get(0)).expect("has an id")
    };
    assert_ne!(id(&data), id(&restored), "a restore is another store");
    let tombstones: Vec<u8> = Connection::open(restored.join("store.sqlite"))
        .and_then(|c| c.query_row("SELECT deleted FROM document WHERE name = 'gone'", [], |r| r.get(0)))
        .expect("the tombstone came along");
    assert_eq!(tombstones.len(), 8);
    let output = run(&["import", "--data", plain(&restored), plain(&whole)]);
    assert_eq!(output.status.code(), Some(2), "a restore goes into a new folder");
    let cut = dir.path().join("cut");
    let bytes = std::fs::read(&whole).expect("reads");
    std::fs::write(&cut, &bytes[..bytes.len() - 10]).expect("writes");
    let output = run(&["import", "--data", plain(&dir.path().join("other")), plain(&cut)]);
    assert_eq!(output.status.code(), Some(1), "half a file is none");
    assert!(text(&output.stderr).contains("cut off"), "{}", text(&output.stderr));
    is_unfinished(&dir.path().join("other"));
}

/// No command takes a folder for a store of which only a part is there.
fn is_unfinished(data: &Path) {
    let data = plain(data);
    for command in ["verify", "stats", "compact", "serve"] {
        let listen: &[&str] = if command == "serve" { &["--listen", "127.0.0.1:0"] } else { &[] };
        let output = run(&[&[command, "--data", data], listen].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {said}");
        assert!(said.contains("did not come to its end"), "{command}: {said}");
    }
}

#[tokio::test]
async fn an_import_that_was_killed_leaves_a_folder_that_nothing_takes_for_a_store() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (data, whole, pipe) = (dir.path().join("data"), dir.path().join("whole"), dir.path().join("pipe"));
    let mut server = Process::start(&data, &[]);
    push(&server, "a", "milk").await;
    push(&server, "b", "bread").await;
    server.terminate();
    assert!(run(&["export", "--data", plain(&data), "--out", plain(&whole)]).status.success());
    let bytes = std::fs::read(&whole).expect("reads");

    assert!(Command::new("mkfifo").arg(&pipe).status().expect("runs").success());
    let restored = dir.path().join("restored");
    let mut import = common::command(&["import", "--data", plain(&restored), plain(&pipe)]).spawn().expect("starts");
    let mut file = std::fs::OpenOptions::new().write(true).open(&pipe).expect("somebody reads");
    // All but its end, which says how much there is.
    file.write_all(&bytes[..bytes.len() - 4]).expect("writes");
    let start = Instant::now();
    let documents = || -> rusqlite::Result<u32> {
        let store = Connection::open_with_flags(restored.join("store.sqlite"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        store.query_row("SELECT count(*) FROM document", [], |row| row.get(0))
    };
    while documents() != Ok(2) {
        assert!(start.elapsed() < PATIENCE, "nothing is imported");
        std::thread::yield_now();
    }
    import.kill().expect("is killed");
    import.wait().expect("ends");
    is_unfinished(&restored);
    let output = run(&["import", "--data", plain(&restored), plain(&whole)]);
    assert!(text(&output.stderr).contains("remove the folder"), "{}", text(&output.stderr));
    std::fs::remove_dir_all(&restored).expect("removes");
    assert!(run(&["import", "--data", plain(&restored), plain(&whole)]).status.success());
    assert!(text(&run(&["verify", "--data", plain(&restored)]).stdout).contains("2 documents, 2 changes"));
}

/// A store as format 1 wrote it: `made/of/parts` in two packs, `plain`, and the tombstone of `gone`.
const STORE_V1: &str = include_str!("golden/store-v1.sql");

#[tokio::test]
async fn a_store_of_the_first_format_still_opens_with_everything_in_it() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = Connection::open(dir.path().join("store.sqlite")).expect("opens");
    store.execute_batch(STORE_V1).expect("is made");
    drop(store);
    let server = Process::start(dir.path(), &[]);
    assert!(server.get("/v1/documents/plain").1.contains("milk"));
    assert!(server.get("/v1/documents/made%2Fof%2Fparts").1.contains("\"size\":5"));
    assert_eq!(server.get("/v1/documents/gone").0, 404);
    let output = run(&["verify", "--data", plain(dir.path())]);
    assert!(text(&output.stdout).contains("2 documents, 3 changes"), "{}", text(&output.stdout));
}
