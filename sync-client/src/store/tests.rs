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

    let mut next = schema::migrations();
    next.push(M::up("CREATE TABLE extra (key BLOB PRIMARY KEY NOT NULL) WITHOUT ROWID, STRICT;"));
    let found = schema::migrations().len() as u32;
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

/// Changes a database by hand, behind the back of the store.
fn tamper(dir: &TempDir, sql: &str) {
    let connection = Connection::open(dir.path().join(DATABASE_FILE)).expect("opens");
    connection.execute_batch(sql).expect("is done");
}

fn refused(dir: &TempDir) -> String {
    match SqliteStore::open(dir.path()) {
        Err(StoreError::Corrupt(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn rows_that_were_not_written_so_are_noticed() {
    for (sql, why) in [
        ("UPDATE outbox SET value = x'00' WHERE key = x'6b01'", "a row of outbox does not fit its checksum"),
        ("UPDATE outbox SET key = x'6b09' WHERE key = x'6b01'", "a row of outbox does not fit its checksum"),
        ("INSERT INTO chunk SELECT * FROM outbox", "a row of chunk does not fit its checksum"),
        ("DELETE FROM outbox WHERE key = x'6b02'", "outbox has 2 rows of 3, or others than were written"),
        ("DELETE FROM total WHERE name = 'meta'", "nothing says what rows meta has"),
    ] {
        let dir = folder();
        let mut store = SqliteStore::open(dir.path()).expect("opens");
        for n in 1..=3 {
            store.commit(&[put(&[b'k', n], b"value")]).expect("commits");
        }
        drop(store);
        tamper(&dir, sql);
        assert_eq!(refused(&dir), why, "{sql}");
    }
}

#[test]
fn a_row_damaged_while_the_store_is_open_is_not_given() {
    let dir = folder();
    let mut store = SqliteStore::open(dir.path()).expect("opens");
    store.commit(&[put(b"k", b"value"), put(b"l", b"value")]).expect("commits");
    tamper(&dir, "UPDATE outbox SET value = x'00' WHERE key = x'6b'");
    assert!(matches!(store.read(Table::Outbox, b""), Err(StoreError::Corrupt(_))));
    assert_eq!(store.read(Table::Outbox, b"l").expect("another row").len(), 1);
}

#[test]
fn every_way_to_write_keeps_the_sums() {
    let dir = folder();
    let mut store = SqliteStore::open(dir.path()).expect("opens");
    let delete = |key: &[u8]| Write::Delete { table: Table::Outbox, key: key.to_vec() };
    let prefix = |prefix: &[u8]| Write::DeletePrefix { table: Table::Outbox, prefix: prefix.to_vec() };
    for writes in [
        vec![put(b"a", b"1"), put(b"b", b"2"), put(b"b\x01", b"3"), put(b"\xff", b"4")],
        vec![put(b"a", b"other"), put(b"a", b"again")],
        vec![delete(b"a"), delete(b"nothing")],
        vec![prefix(b"b"), prefix(b"\xff"), put(b"c", b"5")],
    ] {
        store.commit(&writes).expect("commits");
        drop(store);
        store = SqliteStore::open(dir.path()).expect("opens again");
    }
    assert_eq!(store.read(Table::Outbox, b"").expect("reads"), vec![(b"c".to_vec(), b"5".to_vec())]);
}

#[test]
fn a_store_without_checksums_gets_them() {
    let dir = folder();
    let old = schema::migrations().into_iter().take(1).collect::<Vec<_>>();
    let mut connection = Connection::open(dir.path().join(DATABASE_FILE)).expect("opens");
    rusqlite_migration::Migrations::from_slice(&old).to_latest(&mut connection).expect("makes the first format");
    connection.execute_batch("INSERT INTO outbox VALUES (x'6b01', x'01'), (x'6b02', x'02')").expect("writes");
    drop(connection);
    let mut store = SqliteStore::open(dir.path()).expect("upgrades");
    assert_eq!(store.read(Table::Outbox, b"k").expect("reads").len(), 2);
    drop(store);
    tamper(&dir, "UPDATE outbox SET value = x'03' WHERE key = x'6b02'");
    assert_eq!(refused(&dir), "a row of outbox does not fit its checksum");
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
