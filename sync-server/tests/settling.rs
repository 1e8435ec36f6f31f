//! Conflicts settled by a server that runs: where somebody asks for it over HTTP or from the command line, and by rules of its own.

mod common;

use std::path::Path;
use std::time::Instant;

use automerge::transaction::Transactable as _;
use automerge::{ActorId, AutoCommit, ObjType, ROOT, ReadDoc as _};
use common::{Client, PATIENCE, Process, run, text};
use serde_json::{Value, json};
use sync_core::change::Change;
use sync_core::protocol::ServerMessage;

const DOCUMENT: &str = "shop/7";
const ROUTE: &str = "/v1/documents/shop%2F7/conflicts";

fn changes(document: &mut AutoCommit) -> Vec<Change> {
    document.get_changes(&[]).into_iter().map(|change| Change::from_automerge(change).expect("fits")).collect()
}

/// A shop in which two people, who did not know of each other, put `ours` and `theirs` at `stock/apples/quantity` after 10, and two
/// statuses after `draft`.
fn shop(ours: i64, theirs: i64) -> (AutoCommit, AutoCommit) {
    let mut ann = AutoCommit::new().with_actor(ActorId::from([1; 16]));
    let stock = ann.put_object(ROOT, "stock", ObjType::Map).expect("puts");
    for kind in ["apples", "pears"] {
        let row = ann.put_object(&stock, kind, ObjType::Map).expect("puts");
        ann.put(&row, "quantity", 10).expect("puts");
    }
    ann.put(ROOT, "status", "draft").expect("puts");
    ann.commit();
    let mut bob = ann.fork().with_actor(ActorId::from([2; 16]));
    for (document, quantity, status) in [(&mut ann, ours, "paid"), (&mut bob, theirs, "shipped")] {
        count(document, "apples", quantity);
        document.put(ROOT, "status", status).expect("puts");
        document.commit();
    }
    (ann, bob)
}

fn count(document: &mut AutoCommit, kind: &str, quantity: i64) {
    let (_, stock) = document.get(ROOT, "stock").expect("a map").expect("there");
    let (_, row) = document.get(&stock, kind).expect("a map").expect("there");
    document.put(&row, "quantity", quantity).expect("puts");
    document.commit();
}

async fn push(server: &Process, batch: u64, changes: &[Change]) {
    let (mut client, _) = Client::open(server.address, DOCUMENT).await;
    client.push(batch, changes).await;
    client.ack().await;
}

async fn stored(data: &Path, more: &[&str]) -> Process {
    let server = Process::start(data, more);
    let (mut ann, mut bob) = shop(7, 12);
    ann.merge(&mut bob).expect("merges");
    push(&server, 1, &changes(&mut ann)).await;
    server
}

fn told(server: &Process) -> Vec<Value> {
    let (status, body) = server.get(ROUTE);
    assert_eq!(status, 200, "{body}");
    let told: Value = serde_json::from_str(&body).expect("JSON");
    told["conflicts"].as_array().expect("a list").clone()
}

/// The conflict whose path ends so.
fn at(told: &[Value], path: Value) -> Value {
    told.iter().find(|conflict| conflict["path"] == path).unwrap_or_else(|| panic!("{path}: {told:?}")).clone()
}

fn quantity(kind: &str) -> Value {
    json!(["stock", kind, "quantity"])
}

/// Asks until the conflict there is settled.
fn settled(server: &Process, path: Value) -> Value {
    let start = Instant::now();
    loop {
        let conflict = at(&told(server), path.clone());
        if conflict["state"] == "settled" {
            return conflict;
        }
        assert!(start.elapsed() < PATIENCE, "{path} stays {conflict}");
        std::thread::yield_now();
    }
}

async fn head(server: &Process) -> u64 {
    Client::open(server.address, DOCUMENT).await.1.head.0
}

fn all_is_well(data: &Path) {
    let verified = run(&["verify", "--data", data.to_str().expect("a plain path")]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
}

#[tokio::test]
async fn an_answer_to_a_running_server_is_seen_by_subscribers_and_survives_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    let mut server = stored(data, &[]).await;
    let conflict = at(&told(&server), json!(["status"]));
    let (id, version) = (conflict["id"].as_str().expect("an id"), &conflict["version"]);
    let (mut watching, opened) = Client::open(server.address, DOCUMENT).await;
    let side = conflict["candidates"].as_array().expect("a list").iter().position(|side| side["value"] == "paid");
    let said = json!({"pick": side, "version": version, "note": "the bank says so", "author": "ops"});
    let (status, answer) = server.post(&format!("{ROUTE}/{id}"), &said.to_string());
    assert_eq!((status, &answer["durable"], &answer["id"]), (200, &json!(true), &json!(id)), "{answer}");
    assert_eq!(answer["seq"], opened.head.0 + 2, "the map of answers, and the answer");
    // Whoever has it open gets the two changes as anybody's.
    let last = watching.until(|message| match message {
        ServerMessage::Changes(changes) if changes.first > opened.head => Some(changes.first),
        _ => None,
    });
    assert_eq!(last.await, opened.head.plus(1));
    server.kill();
    let mut server = Process::start(data, &[]);
    let conflict = at(&told(&server), json!(["status"]));
    assert_eq!((&conflict["state"], &conflict["answer"]), (&json!("settled"), &json!("paid")));
    assert_eq!(conflict["settledBy"]["change"], answer["change"]);
    let (status, _) = server.post(&format!("{ROUTE}/{id}/reopen"), "{}");
    assert_eq!((status, &at(&told(&server), json!(["status"]))["state"]), (200, &json!("open")));
    // The same person again, and another one: each goes on under the number after the last.
    for (author, value) in [("ops", "lost"), ("ann", "found")] {
        let said = json!({"value": value, "version": version, "author": author});
        assert_eq!(server.post(&format!("{ROUTE}/{id}"), &said.to_string()).0, 200);
    }
    assert_eq!(at(&told(&server), json!(["status"]))["answer"], "found");
    assert!(server.terminate().success());
    all_is_well(data);
}

#[tokio::test]
async fn answers_that_come_at_once_are_all_stored() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = stored(folder.path(), &[]).await;
    let conflict = at(&told(&server), json!(["status"]));
    let path = format!("{ROUTE}/{}", conflict["id"].as_str().expect("an id"));
    let before = head(&server).await;
    std::thread::scope(|scope| {
        for n in 0..8 {
            let said = json!({"value": n, "version": conflict["version"]}).to_string();
            let (server, path) = (&server, &path);
            scope.spawn(move || assert_eq!(server.post(path, &said).0, 200));
        }
    });
    assert_eq!(head(&server).await, before + 1 + 8);
    assert!(server.terminate().success());
    all_is_well(folder.path());
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_a_code_and_what_has_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = stored(folder.path(), &["--read-only", "archive/**"]).await;
    let conflict = at(&told(&server), json!(["status"]));
    let (id, version) = (conflict["id"].as_str().expect("an id"), conflict["version"].as_u64().expect("a number"));
    let before = head(&server).await;
    let refused = |path: &str, said: Value, status: u16, code: &str| {
        let (found, answer) = server.post(path, &said.to_string());
        assert_eq!((found, &answer["error"]["code"]), (status, &json!(code)), "{said}: {answer}");
        answer
    };
    let here = format!("{ROUTE}/{id}");
    let changed = refused(&here, json!({"pick": 0, "version": version + 1}), 409, "conflict-changed");
    assert_eq!(changed["error"]["conflict"], conflict, "what it is now");
    refused(&format!("{ROUTE}/{}", "0".repeat(32)), json!({"pick": 0, "version": 1}), 404, "conflict-gone");
    refused(&format!("{ROUTE}/7"), json!({"pick": 0, "version": 1}), 400, "bad-id");
    let open = refused(&format!("{here}/reopen"), json!({}), 409, "not-settled");
    assert_eq!(
        open["error"]["message"],
        format!("the conflict {id} is not settled, so that there is no answer to take back")
    );
    refused(&format!("{ROUTE}/{}/reopen", "0".repeat(32)), json!({}), 404, "conflict-gone");
    refused(&here, json!({"pick": 2, "version": version}), 422, "unfit");
    refused(&here, json!({"keep": "both", "version": version}), 422, "unfit");
    refused(&here, json!({"pick": 0, "value": 1, "version": version}), 400, "bad-answer");
    refused(&here, json!({"version": version}), 400, "bad-answer");
    refused(&here, json!({"pick": 0}), 422, "bad-answer");
    refused(&here, json!({"pick": 0, "version": version, "author": "a".repeat(1 << 20)}), 422, "unfit");
    refused(
        "/v1/documents/archive%2F7/conflicts/00000000000000000000000000000000",
        json!({"pick": 0, "version": 1}),
        403,
        "forbidden",
    );
    refused(
        "/v1/documents/none/conflicts/00000000000000000000000000000000",
        json!({"pick": 0, "version": 1}),
        404,
        "not-found",
    );
    let (status, _) = server.http("POST", &here, "Origin: https://evil.example\r\nContent-Length: 0\r\n");
    assert_eq!(status, 403);
    assert_eq!(head(&server).await, before, "nothing was written");
}

#[tokio::test]
async fn the_command_line_lists_shows_answers_and_reopens_on_a_running_server_and_on_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = stored(folder.path(), &[]).await;
    let url = format!("http://{}", server.address);
    let data = folder.path().to_str().expect("a plain path");
    let says = |source: [&str; 2], args: &[&str]| {
        let output = run(&[&["conflicts"][..], &source, args].concat());
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let fails = |source: [&str; 2], args: &[&str]| {
        let output = run(&[&["conflicts"][..], &source, args].concat());
        (output.status.code(), text(&output.stderr))
    };
    let (there, here) = (["--server", &url], ["--data", data]);
    assert_eq!(says(there, &["ls"]), says(here, &["ls"]));
    assert_eq!(says(there, &["ls"]).lines().count(), 2);
    let conflict = at(&told(&server), json!(["status"]));
    let (id, version) = (conflict["id"].as_str().expect("an id"), conflict["version"].as_u64().expect("a number"));
    assert_eq!(says(there, &["show", DOCUMENT, id]), says(here, &["show", DOCUMENT, id]));
    let resolved = says(there, &["resolve", DOCUMENT, id, "--pick", "1", "--note", "by phone", "--token", "secret"]);
    assert!(resolved.starts_with("shop/7: settled"), "{resolved}");
    let shown = says(there, &["show", DOCUMENT, id]);
    let decided = shown.split_once("by human@1\n").expect(&shown).1;
    let (who, note) = decided.split_once('\n').expect(decided);
    assert!(who.trim_start().starts_with("\"sync-server\", actor ") && who.contains(" ms since 1970"), "{shown}");
    assert!(note.starts_with("note     \"by phone\""), "{shown}");
    assert!(says(there, &["reopen", DOCUMENT, id]).starts_with("shop/7: reopened"));
    assert_eq!(says(there, &["ls", "--state", "open"]).lines().count(), 2);
    let (code, said) = fails(there, &["reopen", DOCUMENT, id]);
    assert_eq!((code, said.contains("is not settled")), (Some(1), true), "{said}");
    let (code, said) = fails(there, &["reopen", DOCUMENT, &"0".repeat(32)]);
    assert_eq!((code, said.contains("no conflict")), (Some(1), true), "{said}");
    let other = (version + 1).to_string();
    let (code, said) = fails(there, &["resolve", DOCUMENT, id, "--remove", "--version", &other]);
    assert_eq!((code, said.contains("has changed since")), (Some(1), true), "{said}");
    assert_eq!(fails(["--server", "ftp://here"], &["ls"]).0, Some(2));
    assert_eq!(fails(here, &["reopen", DOCUMENT, id]).0, Some(2), "the server has the folder");
    says(there, &["resolve", DOCUMENT, id, "--value", "null"]);
    assert!(server.terminate().success());
    assert_eq!(fails(there, &["ls"]).0, Some(1), "nobody listens");
    assert!(says(here, &["reopen", DOCUMENT, id]).starts_with("shop/7: reopened"));
    let (code, said) = fails(here, &["reopen", DOCUMENT, id]);
    assert_eq!((code, said.contains("is not settled")), (Some(1), true), "{said}");
    assert_eq!(says(here, &["ls", "--state", "open"]).lines().count(), 2);
    all_is_well(folder.path());
}

fn config(folder: &Path, rules: &str) -> String {
    let file = folder.join("server.toml");
    std::fs::write(&file, rules).expect("writes");
    file.to_str().expect("a plain path").into()
}

const RULES: &str = r#"
[[settle]]
documents = "shop/*"
path = "status"
policy = "human"

[[settle]]
documents = "shop/**"
path = "stock/*/quantity"
policy = "sumDeltas"
"#;

#[tokio::test]
async fn a_rule_settles_in_one_place_once_and_leaves_people_their_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    // Without rules nothing is settled; a server that was killed before it looked finds it when it starts.
    let mut server = stored(data, &[]).await;
    assert!(told(&server).iter().all(|conflict| conflict["state"] == "open"));
    let before = head(&server).await;
    server.kill();
    let file = config(data, RULES);
    let mut server = Process::start(data, &["--config", &file]);
    let (mut watching, _) = Client::open(server.address, DOCUMENT).await;
    let conflict = settled(&server, quantity("apples"));
    assert_eq!((&conflict["answer"], &conflict["settledBy"]["policy"]), (&json!(9), &json!("sumDeltas@1")));
    assert_eq!(head(&server).await, before + 2, "the map of answers, and one answer");
    assert_eq!(at(&told(&server), json!(["status"]))["state"], "open", "people decide");
    // Subscribers are told.
    watching.until(|message| matches!(&message, ServerMessage::Changes(c) if c.first.0 > before).then_some(())).await;
    // Somebody takes it back: that is for people now, also when the rule looks again.
    let id = conflict["id"].as_str().expect("an id");
    assert_eq!(server.post(&format!("{ROUTE}/{id}/reopen"), "{}").0, 200);
    let (mut ann, mut bob) = shop(7, 12);
    count(&mut ann, "pears", 8);
    count(&mut bob, "pears", 15);
    ann.merge(&mut bob).expect("merges");
    push(&server, 2, &changes(&mut ann)).await;
    assert_eq!(settled(&server, quantity("pears"))["answer"], 13);
    assert_eq!(at(&told(&server), quantity("apples"))["state"], "open");
    assert_eq!(head(&server).await, before + 2 + 1 + 2 + 1, "the reopening, two puts, and one answer");
    // Once all is settled or for people, another start writes nothing.
    assert!(server.terminate().success());
    let mut server = Process::start(data, &["--config", &file]);
    let (mut ann, mut bob) = shop(7, 12);
    ann.merge(&mut bob).expect("merges");
    // One whose application has declared another rule is looked at first, and left to people.
    let mut declaring = ann.fork().with_actor(ActorId::from([3; 16]));
    let answers = declaring.put_object(ROOT, "$settled", ObjType::Map).expect("puts");
    declaring.put(&answers, "rules", "1\nstock/*/quantity\tmax@1").expect("puts");
    // Of three who parted one after another each step counts once: 10, of which one takes 3, then two of what is left 1 and 3, and who
    // saw nothing of that adds 2.
    let (mut ann, mut cleo) = shop(10, 10);
    count(&mut ann, "apples", 7);
    let mut bob = ann.fork().with_actor(ActorId::from([3; 16]));
    for (document, quantity) in [(&mut ann, 6), (&mut bob, 4), (&mut cleo, 12)] {
        count(document, "apples", quantity);
    }
    ann.merge(&mut bob).expect("merges");
    ann.merge(&mut cleo).expect("merges");
    for (name, document) in [("shop/9", &mut declaring), ("shop/8", &mut ann)] {
        let (mut client, _) = Client::open(server.address, name).await;
        client.push(1, &changes(document)).await;
        client.ack().await;
    }
    let start = Instant::now();
    while !server.get("/v1/documents/shop%2F8/conflicts").1.contains("settledBy") {
        assert!(start.elapsed() < PATIENCE, "a document that came later is settled too");
        std::thread::yield_now();
    }
    let summed: Value = serde_json::from_str(&server.get("/v1/documents/shop%2F8").1).expect("JSON");
    assert_eq!(summed["stock"]["apples"]["quantity"], 5, "{summed}");
    assert!(!server.get("/v1/documents/shop%2F9/conflicts").1.contains("settledBy"));
    assert_eq!(head(&server).await, before + 2 + 1 + 2 + 1);
    assert!(server.terminate().success());
    all_is_well(data);
}

#[test]
fn rules_that_are_none_or_can_not_hold_stop_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a plain path");
    let refused = |rule: &str, why: &str| {
        let file = config(folder.path(), &format!("[[settle]]\ndocuments = \"shop/**\"\n{rule}"));
        let output = run(&["serve", "--listen", "127.0.0.1:0", "--data", data, "--config", &file]);
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), said.contains(why)), (Some(2), true), "{said}");
    };
    refused("path = \"stock/*\"\npolicy = \"sumdeltas\"", "there is no rule");
    refused("path = \"stock/app*\"\npolicy = \"max\"", "can't match");
    refused("path = \"stock/*\"\npolicy = \"max\"\ncolour = \"red\"", "colour");
}
