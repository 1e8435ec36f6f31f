//! Bits that flip on disk: what was acknowledged or saved is there, or a typed error says that the file is damaged. Never an older state.

mod client;
mod server;

use std::fs;
use std::path::Path;

use tempfile::TempDir;

/// Copies the files of a store as a kill leaves them: the store is still open, and its log not yet part of the database.
fn as_killed(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().expect("a temporary folder");
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        // SQLite makes its index of the log anew.
        if !entry.file_name().to_string_lossy().ends_with("-shm") {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copies");
        }
    }
    copy
}

/// Flips one bit in each of the places of a file, one at a time, and hands each damaged copy of the store to `check`. Gives how many there were.
fn flip(store: &Path, file: &str, places: impl Fn(usize) -> Vec<usize>, mut check: impl FnMut(&Path, &str)) -> usize {
    let whole = fs::read(store.join(file)).expect("a file of the store");
    let places = places(whole.len());
    for (turn, place) in places.iter().enumerate() {
        let damaged = as_killed(store);
        let mut bytes = whole.clone();
        bytes[*place] ^= 1 << (turn % 8);
        fs::write(damaged.path().join(file), bytes).expect("writes");
        check(damaged.path(), &format!("{file}: byte {place} of {}, bit {}", whole.len(), turn % 8));
    }
    places.len()
}

/// Flips bits in the log of a store as a kill leaves it: with none flipped nothing is noticed, and each of them is.
fn check_log<S>(dir: TempDir, store: S, database: &str, noticed: impl Fn(&Path, &str) -> bool) {
    assert!(!noticed(as_killed(dir.path()).path(), "nothing flipped"));
    let killed = as_killed(dir.path());
    drop(store);
    let mut unnoticed = Vec::new();
    let flips = flip(killed.path(), &format!("{database}-wal"), spread(80, 397), |folder, what| {
        if !noticed(folder, what) {
            unnoticed.push(what.to_owned());
        }
    });
    println!("{flips} flips, all noticed");
    assert!(unnoticed.is_empty(), "{} of {flips}: {unnoticed:?}", unnoticed.len());
}

/// Places spread over a file, with all of its head, where the most hangs on each byte.
fn spread(head: usize, step: usize) -> impl Fn(usize) -> Vec<usize> {
    move |length| (0..head.min(length)).chain((head..length).step_by(step)).collect()
}
