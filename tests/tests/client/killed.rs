//! The notes example killed, reopened, and driven by somebody who mistypes.

use rejoin_tests::proxy::{Lane, Proxy, Weather};

use crate::process::Notes;
use crate::server::Server;

/// What `status` says of changes that the server does not have, without the times.
fn pending(notes: &mut Notes) -> String {
    let line = notes.ask("status", " not yet on the server");
    line.split(", ").find(|part| part.ends_with("not yet on the server")).expect("it was waited for").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_saved_offline_survives_a_kill_and_reaches_the_others() {
    let server = Server::start().await;
    let (ann, bob) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut notes = Notes::start("ann", ann.path(), server.address(), &["--offline"]);
    for text in ["buy milk", "call home", "water the plants"] {
        notes.ask(&format!("add {text}"), "added, and saved");
    }
    notes.ask("edit 1 buy oat milk", "changed, and saved");
    let before = pending(&mut notes);
    notes.kill();
    assert_eq!(server.log_length("notes/shared"), 0);

    let mut notes = Notes::start("ann", ann.path(), server.address(), &["--offline"]);
    assert_eq!(pending(&mut notes), before, "the count of a killed process is that of its successor");
    notes.ask("list", "1. buy oat milk (ann)");
    notes.expect("2. call home (ann)");
    notes.expect("3. water the plants (ann)");
    notes.type_line("online");
    notes.ask("wait", "synced");

    let mut other = Notes::start("bob", bob.path(), server.address(), &[]);
    other.ask("wait", "synced");
    other.ask("list", "1. buy oat milk (ann)");
    other.expect("3. water the plants (ann)");
    other.ask("delete 2", "deleted, and saved");
    notes.expect("- call home (ann)");
    assert!(notes.quit().contains("; 0 changes not yet on the server"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_sending_and_the_answer_neither_loses_nor_doubles() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    let dir = tempfile::tempdir().expect("a folder");
    let mut notes = Notes::start("ann", dir.path(), proxy.address(), &[]);
    notes.ask("add first", "added, and saved");
    notes.ask("wait", "synced");
    let length = server.log_length("notes/shared");

    // The server hears everything and its answers vanish.
    proxy.set(Weather { down: Lane { swallow: true, ..Lane::default() }, ..Weather::default() });
    notes.ask("add second", "added, and saved");
    server.log_grows_beyond("notes/shared", length).await;
    let after = server.log_length("notes/shared");
    assert_eq!(pending(&mut notes), "1 change not yet on the server");
    notes.kill();

    let mut notes = Notes::start("ann", dir.path(), server.address(), &[]);
    notes.ask("wait", "synced");
    notes.ask("list", "1. first (ann)");
    notes.expect("2. second (ann)");
    assert_eq!(server.log_length("notes/shared"), after, "what the server had already was not added again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_told_that_the_store_is_taken() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let mut notes = Notes::start("ann", dir.path(), server.address(), &[]);
    let (status, said) = Notes::refused("ann", dir.path(), server.address());
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("in use by another process"), "{said}");
    notes.ask("add still here", "added, and saved");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_command_gets_a_line_that_helps() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let mut notes = Notes::start("ann", dir.path(), server.address(), &["--offline"]);
    for (line, answer) in [
        ("ad milk", "there is no command ad; type help"),
        ("add", "add what?"),
        ("show", "which note?"),
        ("show 7", "there is no note 7"),
        ("delete x", "which note?"),
        ("edit 1", "which note, and its new text?"),
        ("open a//b", "no empty segment"),
        ("discard 12", "which change?"),
        ("wait x", "wait how many seconds?"),
        ("help", "quit"),
    ] {
        notes.ask(line, answer);
    }
    notes.ask("add still works", "added, and saved");
}
