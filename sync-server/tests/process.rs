//! The program as whoever starts it sees it: exit codes, clear lines, signals.

mod common;

use std::collections::BTreeSet;
use std::time::Instant;

use common::{Process, command, run, text};
use rusqlite::Connection;
use sync_server::server::STOP_WITHIN;

#[test]
fn it_says_where_it_listens_and_where_its_data_is_and_stops_when_told() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut server = Process::start(dir.path(), &[]);
    assert!(server.line.starts_with("listening on http://127.0.0.1:"), "{}", server.line);
    assert!(server.line.contains(dir.path().to_str().expect("a plain path")), "{}", server.line);
    assert_eq!(server.get("/healthz").0, 200);
    assert_eq!(server.get("/readyz").0, 200);
    assert_eq!(server.get("/nowhere").0, 404);
    let start = Instant::now();
    assert_eq!(server.terminate().code(), Some(0));
    assert!(start.elapsed() < STOP_WITHIN);
}

/// Operators' names for what is measured. Of some it was not known that they exist until something had gone wrong.
#[test]
fn every_metric_that_the_docs_name_is_there_from_the_start_and_no_other() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let server = Process::start(dir.path(), &[]);
    let (_, shown) = server.get("/metrics");
    let names = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        words.filter(|word| word.starts_with("rejoin_")).map(str::to_owned).collect()
    };
    let docs = names(include_str!("../../docs/operations.md"));
    let of_kind = |kind: &str| -> Vec<&str> {
        shown.lines().filter_map(|line| line.strip_prefix(kind)?.split(' ').next()).collect::<Vec<_>>()
    };
    assert_eq!(of_kind("# TYPE ").into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), docs);
    assert_eq!(of_kind("# HELP ").len(), docs.len(), "each says what it is");
    let samples = |name: &str| shown.lines().any(|l| l.starts_with(name) && l.ends_with(" 0"));
    assert!(docs.iter().all(|name| samples(name)), "{shown}");
    for label in ["code=\"1013\"", "code=\"4400\"", "kind=\"full\"", "kind=\"io\""] {
        assert!(shown.contains(label), "{label}: {shown}");
    }
}

#[test]
fn a_taken_port_and_a_locked_folder_are_said_in_one_line_with_code_2() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let other = tempfile::tempdir().expect("a temporary folder");
    let server = Process::start(dir.path(), &[]);
    let (data, other) = (dir.path().to_str().expect("plain"), other.path().to_str().expect("plain"));
    let port = server.address.to_string();
    let check = |args: &[&str], word: &str| {
        let output = run(args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(word), "{said}");
    };
    check(&["serve", "--listen", &port, "--data", other], &port);
    check(&["serve", "--listen", "127.0.0.1:0", "--data", data], "in use");
    check(&["compact", "--data", data], "in use");
}

#[test]
fn it_refuses_to_be_reachable_by_anybody_unless_told_so() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = dir.path().to_str().expect("plain");
    let output = run(&["serve", "--listen", "0.0.0.0:0", "--data", data]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--allow-anonymous"), "{}", text(&output.stderr));
}

#[test]
fn a_store_of_a_newer_version_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = dir.path().to_str().expect("plain");
    Process::start(dir.path(), &[]).terminate();
    let store = Connection::open(dir.path().join("store.sqlite")).expect("opens");
    store.pragma_update(None, "user_version", 99).expect("writes");
    drop(store);
    let output = run(&["serve", "--listen", "127.0.0.1:0", "--data", data]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("use the newer version"), "{}", text(&output.stderr));
    assert_eq!(run(&["stats", "--data", data]).status.code(), Some(2));
}

/// It was passed over, and the server logged as if nothing had been said.
#[test]
fn a_wrong_log_filter_is_named() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data", dir.path().to_str().expect("plain")];
    let output = command(&serve).env("REJOIN_LOG", "sync_server=loud").output().expect("runs");
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("REJOIN_LOG") && said.contains("loud"), "{said}");
}

#[test]
fn lists_in_the_environment_are_written_as_in_the_file() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data", dir.path().to_str().expect("plain")];
    for (key, list, wrong) in [
        ("REJOIN_READ_ONLY", r#"["archive/**", "a//b"]"#, "a//b"),
        ("REJOIN_ALLOW_HOST", r#"["sync.example", "http://x"]"#, "http://x"),
        ("REJOIN_ALLOW_ORIGIN", "https://app.example", "expected a sequence"),
    ] {
        let output = command(&serve).env(key, list).output().expect("runs");
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(wrong), "{}", text(&output.stderr));
    }
}

#[test]
fn a_wrong_setting_is_named() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("rejoin.toml");
    std::fs::write(&path, "listten = \"127.0.0.1:0\"").expect("writes");
    let output = run(&["serve", "--config", path.to_str().expect("plain")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("listten"), "{}", text(&output.stderr));
}
