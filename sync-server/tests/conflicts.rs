//! Conflicts of a store, listed over HTTP and by the command line, and answered there, with a server as a process of its own.

mod common;

use std::path::Path;
use std::process::Output;

use automerge::transaction::Transactable as _;
use automerge::{ActorId, AutoCommit, ROOT};
use common::{Client, Process, run, text};
use serde_json::{Value, json};
use sync_core::change::Change;

const DOCUMENT: &str = "orders/7";
const ROUTE: &str = "/v1/documents/orders%2F7/conflicts";

/// What two people wrote who did not know of each other: `paid` and `shipped`, after `draft`.
fn history() -> Vec<Change> {
    let mut ann = AutoCommit::new().with_actor(ActorId::from([1; 16]));
    ann.put(ROOT, "status", "draft").expect("puts");
    ann.commit();
    let mut bob = ann.fork().with_actor(ActorId::from([2; 16]));
    ann.put(ROOT, "status", "paid").expect("puts");
    bob.put(ROOT, "status", "shipped").expect("puts");
    ann.merge(&mut bob).expect("merges");
    ann.get_changes(&[]).into_iter().map(|change| Change::from_automerge(change).expect("fits")).collect()
}

async fn stored(data: &Path) -> Process {
    let server = Process::start(data, &[]);
    let (mut client, _) = Client::open(server.address, DOCUMENT).await;
    client.push(1, &history()).await;
    assert_eq!(client.ack().await.count, 3);
    server
}

fn command(data: &Path, args: &[&str]) -> Output {
    let data = data.to_str().expect("a plain path");
    run(&[&["conflicts", "--data", data], args].concat())
}

/// What a command says that succeeds.
fn says(data: &Path, args: &[&str]) -> String {
    let output = command(data, args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// How a command that fails ends, and what it says.
fn fails(data: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = command(data, args);
    assert_eq!(text(&output.stdout), "", "{args:?}");
    (output.status.code(), text(&output.stderr))
}

fn get(server: &Process) -> Value {
    let (status, body) = server.get(ROUTE);
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

#[tokio::test]
async fn a_conflict_is_told_over_http_and_by_the_command_line_and_answered_for_everybody() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    let mut server = stored(data).await;
    let told = get(&server);
    let [conflict] = &told["conflicts"].as_array().expect("a list")[..] else { panic!("{told}") };
    assert_eq!((&told["open"], &told["document"], &conflict["state"]), (&json!(1), &json!(DOCUMENT), &json!("open")));
    assert_eq!((&conflict["kind"], &conflict["path"]), (&json!("register"), &json!(["status"])));
    assert_eq!(conflict["base"], "draft");
    let sides = conflict["candidates"].as_array().expect("a list");
    assert_eq!(sides.iter().map(|side| &side["value"]).collect::<Vec<_>>(), ["shipped", "paid"]);
    assert_eq!(sides.iter().map(|side| &side["shown"]).collect::<Vec<_>>(), [true, false]);
    // The command line reads beside the server, and says the same.
    let id = conflict["id"].as_str().expect("an id");
    let line = says(data, &["ls", DOCUMENT, "--json"]);
    assert_eq!(&serde_json::from_str::<Value>(&line).expect("JSON"), conflict);
    assert_eq!(says(data, &["ls"]), format!("{DOCUMENT}  {id}  open  register  status  \"shipped\" | \"paid\"\n"));
    assert_eq!(says(data, &["ls", "--state", "settled"]), "");
    let shown = says(data, &["show", DOCUMENT, id]);
    assert!(
        shown.contains("before   \"draft\"\nside 0   \"shipped\"\n") && shown.contains("side 1   \"paid\""),
        "{shown}"
    );
    // Nothing is written beside a server that runs.
    let pick = ["resolve", DOCUMENT, id, "--pick", "1", "--note", "the bank says so", "--author", "ops"];
    let (code, said) = fails(data, &pick);
    assert_eq!((code, said.contains("in use")), (Some(2), true), "{said}");
    assert!(server.terminate().success());
    let other = (conflict["version"].as_u64().expect("a number") + 1).to_string();
    let (code, said) = fails(data, &[&pick[..], &["--version", &other]].concat());
    assert_eq!((code, said.contains("between \"shipped\"")), (Some(1), true), "{said}");
    assert!(says(data, &pick).starts_with("orders/7: settled"));
    let verified = run(&["verify", "--data", data.to_str().expect("a plain path")]);
    assert_eq!(text(&verified.stdout), "all well: 1 documents, 5 changes\n");
    let server = Process::start(data, &[]);
    assert_eq!(server.get("/v1/documents/orders%2F7"), (200, r#"{"status":"paid"}"#.into()));
    let told = get(&server);
    let settled = &told["conflicts"][0];
    assert_eq!((&told["open"], &settled["state"], &settled["answer"]), (&json!(0), &json!("settled"), &json!("paid")));
    assert_eq!(settled["settledBy"]["note"], "the bank says so");
    assert_eq!(settled["id"], id);
}

#[tokio::test]
async fn answers_of_one_author_are_by_one_actor_and_what_fits_nothing_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    let mut server = stored(data).await;
    assert_eq!(server.get("/v1/documents/none/conflicts").0, 404);
    assert_eq!(server.get("/v1/documents/a%2F%2Fb/conflicts").0, 400);
    let id = get(&server)["conflicts"][0]["id"].as_str().expect("an id").to_owned();
    assert!(server.terminate().success());
    let refused = |args: &[&str], code: i32, word: &str| {
        let (ended, said) = fails(data, args);
        assert_eq!((ended, said.contains(word)), (Some(code), true), "{args:?}: {said}");
    };
    refused(&["resolve", DOCUMENT, &id], 2, "--pick");
    refused(&["resolve", DOCUMENT, &id, "--pick", "1", "--keep-both"], 2, "cannot be used");
    refused(&["resolve", DOCUMENT, &id, "--pick", "2"], 2, "no side 2");
    refused(&["resolve", DOCUMENT, &id, "--keep-both"], 1, "both");
    refused(&["resolve", DOCUMENT, &"0".repeat(32), "--pick", "0"], 1, "no conflict");
    refused(&["resolve", "none", &id, "--pick", "0"], 1, "no such document");
    refused(&["show", DOCUMENT, "7"], 2, "hexadecimal");
    refused(&["resolve", DOCUMENT, &id, "--value", "lost"], 2, "no JSON");
    let empty = tempfile::tempdir().expect("a folder");
    assert_eq!(fails(empty.path(), &["resolve", DOCUMENT, &id, "--pick", "0"]).0, Some(1));
    assert_eq!(std::fs::read_dir(empty.path()).expect("readable").count(), 0, "no store is made");
    says(data, &["resolve", DOCUMENT, &id, "--value", r#"{"at":["depot",7]}"#]);
    says(data, &["resolve", DOCUMENT, &id, "--value", r#""lost""#, "--note", "after all"]);
    let server = Process::start(data, &[]);
    assert_eq!(server.get("/v1/documents/orders%2F7"), (200, r#"{"status":"lost"}"#.into()));
    let (_, opened) = Client::open(server.address, DOCUMENT).await;
    assert_eq!(opened.head.0, 6, "three changes, the map of answers, and two answers");
    assert_eq!(get(&server)["conflicts"][0]["settledBy"]["note"], "after all");
}
