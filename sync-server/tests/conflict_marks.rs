//! Conflicts of marks, listed and answered by the command line and over HTTP, with a server as a process of its own: either side, none or another
//! one is what the document has over the words in dispute, and nowhere else.

mod common;

use std::path::Path;

use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::Transactable as _;
use automerge::{ActorId, AutoCommit, ObjType, ROOT, ReadDoc as _};
use common::{Client, Process, run, text};
use serde_json::{Value, json};
use sync_core::change::Change;

const DOCUMENT: &str = "notes/7";
const ROUTE: &str = "/v1/documents/notes%2F7/conflicts";

/// Links that people have put over words of one text, from where until where, without knowing of each other's.
fn history(links: &[(&str, usize, usize)]) -> Vec<Change> {
    let mut first = AutoCommit::new().with_actor(ActorId::from([1; 16]));
    let body = first.put_object(ROOT, "body", ObjType::Text).expect("puts");
    first.splice_text(&body, 0, 0, "read this and that").expect("writes");
    first.commit();
    let mut people: Vec<AutoCommit> =
        (2..).zip(links).map(|(actor, _)| first.fork().with_actor(ActorId::from([actor; 16]))).collect();
    for (person, (to, from, until)) in people.iter_mut().zip(links) {
        person.mark(&body, Mark::new("link".into(), *to, *from, *until), ExpandMark::None).expect("marks");
        first.merge(person).expect("merges");
    }
    first.get_changes(&[]).into_iter().map(|change| Change::from_automerge(change).expect("fits")).collect()
}

async fn stored(data: &Path, links: &[(&str, usize, usize)]) -> Process {
    let server = Process::start(data, &[]);
    let (mut client, _) = Client::open(server.address, DOCUMENT).await;
    client.push(1, &history(links)).await;
    assert_eq!(client.ack().await.count as usize, 1 + links.len());
    server
}

fn plain(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// How a command about conflicts ends, what it tells, and what it complains of.
fn command(data: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let output = run(&[&["conflicts", "--data", plain(data)], args].concat());
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn says(data: &Path, args: &[&str]) -> String {
    let (code, told, complains) = command(data, args);
    assert_eq!(code, Some(0), "{args:?}: {complains}");
    told
}

/// The links that the stored document has.
fn links(data: &Path) -> Vec<(String, usize, usize)> {
    let out = data.join("saved");
    let saved = run(&["export", "--data", plain(data), "--document", DOCUMENT, "--out", plain(&out)]);
    assert!(saved.status.success(), "{}", text(&saved.stderr));
    let document = AutoCommit::load(&std::fs::read(&out).expect("readable")).expect("loads");
    std::fs::remove_file(&out).expect("it is there");
    let (_, body) = document.get(ROOT, "body").expect("readable").expect("it is there");
    let marks = document.marks(&body).expect("readable").into_iter();
    marks.map(|mark| (mark.value.to_string().replace('"', ""), mark.start, mark.end)).collect()
}

/// Those of `all` that say something.
fn only(all: &[(Option<&str>, usize, usize)]) -> Vec<(String, usize, usize)> {
    all.iter().filter_map(|(to, from, until)| Some(((*to)?.to_owned(), *from, *until))).collect()
}

fn told(server: &Process) -> Vec<Value> {
    let (status, body) = server.get(ROUTE);
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    body["conflicts"].as_array().expect("a list").clone()
}

fn values(conflict: &Value) -> Vec<&str> {
    let sides = conflict["candidates"].as_array().expect("a list");
    sides.iter().map(|side| side["value"].as_str().expect("a text")).collect()
}

#[tokio::test]
async fn of_two_links_the_command_line_has_either_none_or_another_over_the_words_in_dispute() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    let mut server = stored(data, &[("a", 5, 13), ("b", 10, 18)]).await;
    assert!(server.terminate().success());
    let line = says(data, &["ls", DOCUMENT]);
    let id = line.split("  ").nth(1).expect("an id").to_owned();
    assert_eq!(line, format!("{DOCUMENT}  {id}  open  mark  body/10  \"b\" | \"a\"\n"));
    let shown = says(data, &["show", DOCUMENT, &id]);
    assert!(shown.contains("mark     link on \"and\"\n") && shown.contains("side 1   \"a\"\n"), "{shown}");
    let around = |here| only(&[(Some("a"), 5, 10), (here, 10, 13), (Some("b"), 13, 18)]);
    let (a, b) = (only(&[(Some("a"), 5, 13), (Some("b"), 13, 18)]), only(&[(Some("a"), 5, 10), (Some("b"), 10, 18)]));
    assert_eq!(links(data), b);
    for (answer, answered, there) in [
        (&["--pick", "1"][..], "\"a\"", a),
        (&["--remove"], "nothing", around(None)),
        (&["--value", "\"c\""], "\"c\"", around(Some("c"))),
        (&["--pick", "0"], "\"b\"", b),
    ] {
        says(data, &[&["resolve", DOCUMENT, &id], answer].concat());
        assert_eq!(links(data), there, "{answer:?}");
        assert!(says(data, &["ls", "--state", "settled"]).contains(&id));
        let shown = says(data, &["show", DOCUMENT, &id]);
        assert!(shown.contains(&format!("answer   {answered}, by human@1\n")), "{answer:?}: {shown}");
        says(data, &["reopen", DOCUMENT, &id]);
        assert!(says(data, &["ls", "--state", "open"]).contains(&id));
        assert_eq!(links(data), there, "what it wrote stays");
    }
    let refused = |args: &[&str], code: i32, word: &str| {
        let (ended, told, complains) = command(data, &[&["resolve", DOCUMENT, &id], args].concat());
        assert_eq!((ended, told.as_str(), complains.contains(word)), (Some(code), "", true), "{args:?}: {complains}");
    };
    refused(&["--keep-both"], 1, "both");
    refused(&["--value", r#"{"to":"c"}"#], 1, "plain value");
    refused(&["--value", r#"["c"]"#], 1, "plain value");
    refused(&["--pick", "2"], 2, "no side 2");
    refused(&["--pick", "0", "--version", "1"], 1, "changed");
    assert!(says(data, &["ls", "--state", "open"]).contains(&id), "nothing of that was written");
    let verified = run(&["verify", "--data", plain(data)]);
    assert_eq!(
        text(&verified.stdout),
        "all well: 1 documents, 12 changes\n",
        "three, the map, four answers taken back"
    );
}

#[tokio::test]
async fn of_three_links_any_none_or_another_is_had_over_http_and_what_fits_nothing_is_refused_with_a_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    let mut server = stored(data, &[("a", 5, 13), ("b", 5, 13), ("c", 5, 13)]).await;
    let [conflict] = told(&server).try_into().expect("one conflict");
    assert_eq!((&conflict["kind"], &conflict["mark"]), (&json!("mark"), &json!({"name": "link", "words": "this and"})));
    assert_eq!((values(&conflict), &conflict["path"]), (vec!["c", "b", "a"], &json!(["body", 5])));
    assert_eq!((conflict.get("base"), conflict.get("keepsBoth")), (None, None));
    let (id, version) = (conflict["id"].as_str().expect("an id"), conflict["version"].as_u64().expect("a number"));
    let here = format!("{ROUTE}/{id}");
    let third = &conflict["candidates"][2]["change"];
    for (said, answered) in [
        (json!({"pick": 1}), Some("b")),
        (json!({"pick": third}), Some("a")),
        (json!({"remove": true}), None),
        (json!({"value": "d"}), Some("d")),
        (json!({"pick": 0}), Some("c")),
    ] {
        let mut body = said.clone();
        body["version"] = version.into();
        let (status, stored) = server.post(&here, &body.to_string());
        assert_eq!((status, &stored["id"]), (200, &json!(id)), "{said}: {stored}");
        let [settled] = told(&server).try_into().expect("one conflict");
        assert_eq!((&settled["id"], &settled["state"]), (&json!(id), &json!("settled")), "{said}");
        assert_eq!(settled.get("answer"), answered.map(Value::from).as_ref(), "{said}");
        assert!(server.terminate().success());
        assert_eq!(links(data), only(&[(answered, 5, 13)]), "{said}");
        server = Process::start(data, &[]);
        assert_eq!(told(&server), [settled], "the same after a restart");
        assert_eq!(server.post(&format!("{here}/reopen"), "{}").0, 200);
        let [open] = told(&server).try_into().expect("one conflict");
        assert_eq!((values(&open), &open["state"]), (values(&conflict), &json!("open")), "{said}");
    }
    let refused = |path: &str, said: Value, status: u16, code: &str| {
        let (found, answer) = server.post(path, &said.to_string());
        assert_eq!((found, &answer["error"]["code"]), (status, &json!(code)), "{said}: {answer}");
    };
    refused(&here, json!({"pick": 3, "version": version}), 422, "unfit");
    refused(&here, json!({"pick": "0".repeat(64), "version": version}), 422, "unfit");
    refused(&here, json!({"keep": "both", "version": version}), 422, "unfit");
    refused(&here, json!({"value": {"to": "d"}, "version": version}), 422, "unfit");
    refused(&here, json!({"value": ["d"], "version": version}), 422, "unfit");
    refused(&here, json!({"pick": 0, "version": version + 1}), 409, "conflict-changed");
    refused(&here, json!({"pick": 0, "remove": true, "version": version}), 400, "bad-answer");
    refused(&format!("{ROUTE}/{}", "0".repeat(32)), json!({"pick": 0, "version": version}), 404, "conflict-gone");
    refused(&format!("{here}/reopen"), json!({}), 409, "not-settled");
    assert_eq!(told(&server)[0]["state"], "open", "nothing of that was written");
}
