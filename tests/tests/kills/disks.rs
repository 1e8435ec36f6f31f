//! Disks that fail under real processes: writes that fail from some size on, and tails that are torn off after a kill.
//!
//! A write fails where a limit on the size of files is reached (`ulimit -f`): SQLite then gets an error at that very write, other than that of a full disk.
//! Bits that flip are not tried.

use std::path::Path;

use rejoin_tests::editor::Editor;
use rejoin_tests::serving::Serving;

use crate::{Sum, editor, newcomer_sees, server, shown, verified};

/// A store that holds next to nothing has less than so many blocks, of half a kibibyte each, in its largest file.
const FIRST_BLOCKS: u64 = 100;

/// How far the limit is moved from one round to the next: odd, so that it falls into every part of a page and of the log's frames.
const STEP_BLOCKS: u64 = 37;

const ROUNDS: u64 = 8;

/// Words that run a program whose files can't grow beyond so many blocks.
fn limited(blocks: u64) -> [String; 4] {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    ["sh".into(), "-c".into(), script, "sh".into()]
}

/// About a tenth of the room that is left: so that the limit is reached within a round.
fn filler(n: usize) -> String {
    format!("{n}-{}", "x".repeat(3_000))
}

/// Cuts bytes off the end of the write-ahead log in a folder. Whether there was one.
fn tear(dir: &Path, bytes: u64) -> bool {
    let files = std::fs::read_dir(dir).expect("the folder is there").map(|entry| entry.expect("it can be read").path());
    let mut torn = false;
    for log in files.filter(|path| path.to_string_lossy().ends_with("-wal")) {
        let file = std::fs::OpenOptions::new().write(true).open(&log).expect("it can be written");
        let length = file.metadata().expect("it has a length").len();
        file.set_len(length.saturating_sub(bytes)).expect("it can be cut");
        torn |= length > 0;
    }
    torn
}

#[test]
fn a_server_whose_writes_fail_at_any_size_loses_nothing_that_it_acknowledged() {
    for round in 0..ROUNDS {
        let (data, store) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let words = limited(FIRST_BLOCKS + round * STEP_BLOCKS);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut limited = Serving::new(&words, ([127, 0, 0, 1], 0).into(), data.path(), &[]);
        limited.start();
        let mut ann = editor(&limited, store.path());
        ann.start();
        // Until the server refuses one: ann then has it, and says so.
        let refused = (0..200).find(|n| {
            ann.edit(&filler(*n));
            ann.wait("saving", |ledger| ledger.saved.len() == n + 1);
            !limited_took(&ann, *n)
        });
        let refused = refused.expect("the limit is reached");
        assert!(ann.status().1 > 0);
        limited.kill();
        let acknowledged = ann.ledger().acknowledged.clone();
        ann.tell("offline");
        let mut healed = Serving::new(&[], limited.address(), data.path(), &[]);
        healed.start();
        let seen = newcomer_sees(&healed, &acknowledged);
        assert!(acknowledged.iter().all(|token| seen.contains(token)), "round {round}: an acknowledged edit is gone");
        ann.tell("online");
        ann.all_acknowledged();
        let sum = Sum::of([&ann]);
        assert!(sum.acknowledged.len() > refused);
        sum.holds(&newcomer_sees(&healed, &sum.promised()), "the server with room again");
        assert!(healed.terminate().success());
        verified(data.path());
    }
}

/// Whether the server has taken the edit, or has made ann say that it does not take more for now.
fn limited_took(ann: &Editor, n: usize) -> bool {
    let token = filler(n);
    ann.wait_for(REFUSED_AFTER, |ledger| ledger.acknowledged.contains(&token))
}

/// A server that writes well acknowledges sooner than this, and one that can't never does.
const REFUSED_AFTER: std::time::Duration = std::time::Duration::from_secs(3);

#[test]
fn a_client_whose_writes_fail_at_any_size_says_so_and_keeps_what_it_had_saved() {
    for round in 0..ROUNDS {
        let (data, store) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let server = server(data.path());
        let words = limited(FIRST_BLOCKS + round * STEP_BLOCKS);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut ann = Editor::new(env!("CARGO_BIN_EXE_editor"), &words, &server.url(), store.path());
        ann.start();
        ann.tell("offline");
        let failed =
            |ledger: &rejoin_tests::editor::Ledger| ledger.said.iter().any(|line| line.starts_with("storage-failed"));
        let told = (0..400).find(|n| {
            ann.edit(&filler(*n));
            ann.wait("an answer", |ledger| ledger.saved.len() == n + 1 || failed(ledger));
            failed(&ann.ledger())
        });
        assert!(told.is_some(), "the limit is reached");
        // Its own edits are shown all the same, and counted.
        assert!(ann.status().1 > 0);
        assert_eq!(shown(&mut ann).len(), ann.ledger().written.len());
        ann.kill();
        let saved = ann.ledger().saved.clone();
        let mut again = editor(&server, store.path());
        again.start();
        again.edit("again");
        again.all_acknowledged();
        let sum = Sum::of([&ann, &again]);
        assert!(saved.is_subset(&sum.saved));
        sum.holds(&newcomer_sees(&server, &sum.promised()), "the server");
    }
}

#[test]
fn a_server_whose_log_was_torn_by_a_crash_gets_back_from_its_clients_what_it_lost() {
    let (data, stores) =
        (tempfile::tempdir().expect("a folder"), [(); 2].map(|()| tempfile::tempdir().expect("a folder")));
    let mut server = server(data.path());
    let mut editors = stores.each_ref().map(|store| editor(&server, store.path()));
    editors.iter_mut().for_each(Editor::start);
    let mut torn = 0;
    for (round, bytes) in [1, 100, 4_096, 4_120, 20_000, u64::MAX].into_iter().enumerate() {
        for n in 0..5 {
            for (who, editor) in editors.iter_mut().enumerate() {
                editor.edit(&format!("{who}-{round}-{n}"));
            }
        }
        editors.iter().for_each(Editor::all_acknowledged);
        server.kill();
        torn += usize::from(tear(data.path(), bytes));
        server.start();
        for (who, editor) in editors.iter_mut().enumerate() {
            editor.edit(&format!("{who}-{round}-after"));
        }
        editors.iter().for_each(Editor::all_acknowledged);
        let sum = Sum::of(&editors);
        sum.holds(&newcomer_sees(&server, &sum.promised()), "the server");
    }
    assert!(torn >= 5, "{torn} logs were there to be torn");
    assert!(server.terminate().success());
    verified(data.path());
}

#[test]
fn a_client_whose_store_was_torn_by_a_crash_goes_on_without_harm_to_others() {
    let (data, stores) =
        (tempfile::tempdir().expect("a folder"), [(); 2].map(|()| tempfile::tempdir().expect("a folder")));
    let server = server(data.path());
    let [mut ann, mut bob] = stores.each_ref().map(|store| editor(&server, store.path()));
    ann.start();
    bob.start();
    let mut torn = 0;
    for (round, bytes) in [1, 100, 4_096, 4_120, 20_000, u64::MAX].into_iter().enumerate() {
        for n in 0..5 {
            ann.edit(&format!("ann-{round}-{n}"));
            bob.edit(&format!("bob-{round}-{n}"));
        }
        ann.all_acknowledged();
        bob.all_acknowledged();
        ann.kill();
        torn += usize::from(tear(stores[0].path(), bytes));
        ann.start();
        ann.edit(&format!("ann-{round}-after"));
        ann.all_acknowledged();
        let sum = Sum::of([&ann, &bob]);
        sum.holds(&newcomer_sees(&server, &sum.promised()), "the server");
    }
    assert!(torn >= 5, "{torn} logs were there to be torn");
    let sum = Sum::of([&ann, &bob]);
    sum.holds(&shown(&mut bob), "bob");
}
