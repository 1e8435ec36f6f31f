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
        Ok(rows) => assert_eq!(rows, held, "{what}: rows are in another state"),
        Err(StoreError::Locked) => panic!("{what}: locked"),
        Err(_) => return true,
    }
    false
}

#[test]
fn a_bit_of_the_clients_log_flips_after_a_kill() {
    let (dir, store, held) = store();
    super::check_log(dir, store, DATABASE, |folder, what| noticed(folder, &held, what));
}
