//! What only the SQLite store has: locking, formats, a full disk. Its behaviour as a store is in the contract suite.

use rusqlite_migration::M;
use tempfile::TempDir;

use super::*;

fn put(key: &[u8], value: &[u8]) -> Write {
    Write::Put { table: Table::Outbox, key: key.to_vec(), value: value.to_vec() }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn rows_survive_reopening() {
    let dir = folder();
    let mut store = SqliteStore::open(dir.path()).expect("opens");
    store.commit(&[put(b"a\0\x01", b"one"), put(b"a\0\x02", b"two"), put(b"ab", b"other")]).expect("commits");
    store.commit(&[Write::Delete { table: Table::Outbox, key: b"a\0\x01".to_vec() }]).expect("commits");
    drop(store);
    let mut store = SqliteStore::open(dir.path()).expect("opens again");
    let rows = store.read(Table::Outbox, b"a\0").expect("reads");
    assert_eq!(rows, vec![(b"a\0\x02".to_vec(), b"two".to_vec())]);
    assert_eq!(store.read(Table::Chunk, b"").expect("reads"), vec![]);
}

#[test]
fn a_prefix_of_the_highest_bytes_ends_with_the_table() {
    let dir = folder();
    let mut store = SqliteStore::open(dir.path()).expect("opens");
    store.commit(&[put(b"\xfe", b"x"), put(b"\xff", b"y"), put(b"\xff\xff\x01", b"z")]).expect("commits");
    let keys = |store: &mut SqliteStore, prefix: &[u8]| {
        store.read(Table::Outbox, prefix).expect("reads").into_iter().map(|(k, _)| k).collect::<Vec<_>>()
    };
    assert_eq!(keys(&mut store, b"\xff"), vec![b"\xff".to_vec(), b"\xff\xff\x01".to_vec()]);
    assert_eq!(keys(&mut store, b"\xff\xff"), vec![b"\xff\xff\x01".to_vec()]);
    store.commit(&[Write::DeletePrefix { table: Table::Outbox, prefix: b"\xff".to_vec() }]).expect("commits");
    assert_eq!(keys(&mut store, b""), vec![b"\xfe".to_vec()]);
}

#[test]
fn a_second_opener_is_told_that_the_store_is_taken() {
    let dir = folder();
    let first = SqliteStore::open(dir.path()).expect("opens");
    assert_eq!(SqliteStore::open(dir.path()).expect_err("taken"), StoreError::Locked);
    drop(first);
    SqliteStore::open(dir.path()).expect("free again");
}

#[test]
fn a_full_store_keeps_what_it_has_and_takes_more_once_there_is_room() {
    let dir = folder();
    let mut store = SqliteStore::open(dir.path()).expect("opens");
    store.commit(&[put(b"kept", b"value")]).expect("commits");
    store.set_bytes_max(1).expect("sets a bound");
    let large = vec![7; 100_000];
    let refused = store.commit(&[put(b"small", b"value"), put(b"large", &large)]).expect_err("no room");
    assert_eq!(refused, StoreError::Full);
    assert_eq!(store.read(Table::Outbox, b"").expect("reads").len(), 1, "nothing of a failed commit is kept");
    store.set_bytes_max(1 << 30).expect("lifts the bound");
    store.commit(&[put(b"large", &large)]).expect("there is room");
}

#[test]
fn an_older_store_is_copied_aside_and_upgraded_and_then_too_new_for_the_old_version() {
    let dir = folder();
    let mut store = SqliteStore::open(dir.path()).expect("opens");
    store.commit(&[put(b"k", b"v")]).expect("commits");
    let path = store.path().to_owned();
    drop(store);

    let mut next = schema::MIGRATIONS.to_vec();
    next.push(M::up("CREATE TABLE extra (key BLOB PRIMARY KEY NOT NULL) WITHOUT ROWID, STRICT;"));
    let found = schema::MIGRATIONS.len() as u32;
    let mut upgraded = SqliteStore::open_with(dir.path(), &next).expect("upgrades");
    assert_eq!(upgraded.read(Table::Outbox, b"").expect("reads").len(), 1);
    drop(upgraded);
    let copy = Connection::open(schema::copy_path(&path, found)).expect("the copy opens");
    let version: u32 = copy.pragma_query_value(None, "user_version", |row| row.get(0)).expect("has a version");
    let rows: u32 = copy.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0)).expect("has the rows");
    assert_eq!((version, rows), (found, 1));

    let refused = SqliteStore::open(dir.path()).expect_err("too new");
    assert_eq!(refused, StoreError::Newer { found: found + 1, known: found });
}

#[test]
fn a_file_of_another_kind_is_refused_and_left_as_it_is() {
    let dir = folder();
    let path = dir.path().join(DATABASE_FILE);
    fs::write(&path, "these are no tables, but notes of somebody who will want them back").expect("writes");
    let before = fs::read(&path).expect("reads");
    assert!(matches!(SqliteStore::open(dir.path()).expect_err("no database"), StoreError::Corrupt(_)));
    assert_eq!(fs::read(&path).expect("reads"), before);

    let other = folder();
    let foreign = Connection::open(other.path().join(DATABASE_FILE)).expect("opens");
    foreign.execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1);").expect("writes");
    drop(foreign);
    assert!(matches!(SqliteStore::open(other.path()).expect_err("not ours"), StoreError::Corrupt(_)));
}

#[test]
fn errors_say_whether_to_retry() {
    let code = |c| from_sqlite(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(c), None));
    assert_eq!(code(rusqlite::ffi::SQLITE_FULL), StoreError::Full);
    assert_eq!(code(rusqlite::ffi::SQLITE_READONLY), StoreError::ReadOnly);
    assert!(matches!(code(rusqlite::ffi::SQLITE_IOERR_FSYNC), StoreError::Io(_)));
    assert!(matches!(code(rusqlite::ffi::SQLITE_BUSY), StoreError::Io(_)));
    assert!(matches!(code(rusqlite::ffi::SQLITE_CORRUPT), StoreError::Corrupt(_)));
    assert!(matches!(code(rusqlite::ffi::SQLITE_NOTADB), StoreError::Corrupt(_)));
    assert!(code(rusqlite::ffi::SQLITE_FULL).is_retryable());
}
