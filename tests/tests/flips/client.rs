//! The client's store.

use std::path::Path;

use sync_client::SqliteStore;
use sync_core::storage::{LocalStore as _, Row, StoreError, Table, Write};
use tempfile::TempDir;

const DATABASE: &str = "client.db";
const COMMITS: u8 = 12;

/// A store that was written to a dozen times, and what it holds.
fn store() -> (TempDir, SqliteStore, Vec<Vec<Row>>) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut store = SqliteStore::open(dir.path()).expect("opens");
    for round in 0..COMMITS {
        let row = |table| Write::Put { table, key: vec![b'k', round], value: vec![round ^ 0x5a; 200] };
        store.commit(&Table::ALL.map(row)).expect("commits");
    }
    let held = read(&mut store).expect("reads");
    (dir, store, held)
}

fn read(store: &mut SqliteStore) -> Result<Vec<Vec<Row>>, StoreError> {
    Table::ALL.into_iter().map(|table| store.read(table, b"")).collect()
}

/// Whether the damage was noticed. What is given must be all that was saved.
fn noticed(folder: &Path, held: &[Vec<Row>], what: &str) -> bool {
    match SqliteStore::open(folder).and_then(|mut store| read(&mut store)) {
        Ok(rows) => {
            assert_eq!(rows, held, "{what}: rows are in another state");
            goes_on(folder, held, what);
        }
        Err(StoreError::Locked) => panic!("{what}: locked"),
        Err(_) => return true,
    }
    false
}

/// What opens is written to, and nothing of it goes by that; or it is noticed at the latest then.
fn goes_on(folder: &Path, held: &[Vec<Row>], what: &str) {
    let row = |table| Write::Put { table, key: b"more".to_vec(), value: vec![7; 5_000] };
    let written = SqliteStore::open(folder).and_then(|mut store| store.commit(&Table::ALL.map(row)));
    let read = written.and_then(|()| SqliteStore::open(folder)).and_then(|mut store| read(&mut store));
    let Ok(rows) = read else { return };
    for (rows, held) in rows.iter().zip(held) {
        assert_eq!(&rows[..held.len()], held, "{what}: rows went when others came");
        assert_eq!(rows.len(), held.len() + 1, "{what}");
    }
}

#[test]
fn a_bit_of_the_clients_database_flips() {
    let (dir, mut store, _) = store();
    // Room that was used and is free: what is written next goes there.
    let long = |table| Write::Put { table, key: b"long".to_vec(), value: vec![9; 20_000] };
    store.commit(&Table::ALL.map(long)).expect("commits");
    let gone = |table| Write::Delete { table, key: b"long".to_vec() };
    store.commit(&Table::ALL.map(gone)).expect("commits");
    let held = read(&mut store).expect("reads");
    drop(store);
    let mut seen = 0;
    let flips = super::flip(dir.path(), DATABASE, super::spread(100, 199), |folder, what| {
        seen += usize::from(noticed(folder, &held, what));
    });
    println!("{seen} of {flips} flips noticed, the others changed nothing");
    assert!(seen > flips / 10, "{seen} of {flips}");
}

#[test]
fn a_bit_of_the_clients_log_flips_after_a_kill() {
    let (dir, store, held) = store();
    super::check_log(dir, store, DATABASE, |folder, what| noticed(folder, &held, what));
}
