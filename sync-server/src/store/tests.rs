//! What only the SQLite store has: locking, formats, damage, a full disk. Its behaviour as a store is in the contract suite.

use std::fs;

use bytes::Bytes;
use rusqlite::Connection;
use rusqlite_migration::M;
use sync_core::id::{Digest, DocumentName, Incarnation, LogSeq};
use sync_core::log::digest_start;
use sync_core::storage::{Append, Durability, Store, StoreError, StoredPack};
use tempfile::TempDir;

use super::*;

const ONE: Incarnation = Incarnation([1; 8]);

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn open(dir: &TempDir) -> SqliteStore {
    SqliteStore::open(dir.path(), Options::default()).expect("opens")
}

fn name(s: &str) -> DocumentName {
    DocumentName::parse(s).expect("a name")
}

fn digest(seq: u64) -> Digest {
    if seq == 0 { digest_start(ONE) } else { Digest([seq as u8; 8]) }
}

fn append(document: &str, first: u64, count: u32, bytes: usize) -> Append {
    let last = first + u64::from(count) - 1;
    let pack = StoredPack {
        first: LogSeq(first),
        count,
        digest: digest(last),
        bytes: Bytes::from(vec![7; bytes]),
        outside: None,
    };
    Append { document: name(document), incarnation: ONE, digest_before: digest(first - 1), pack }
}

fn commit_one(store: &mut SqliteStore, append: Append) -> Result<Durability, StoreError> {
    store.commit(&[append]).map(|mut r| r.remove(0)).and_then(|r| r)
}

fn connection(dir: &TempDir) -> Connection {
    Connection::open(dir.path().join(DATABASE_FILE)).expect("opens")
}

#[test]
fn packs_come_back_after_reopening_from_any_position() {
    let dir = folder();
    let mut store = open(&dir);
    let id = store.store_id();
    let appends = [append("a", 1, 3, 10), append("a", 4, 2, 10), append("b", 1, 1, 10), append("a", 6, 1, 10)];
    let done = store.commit(&appends).expect("commits");
    assert_eq!(done, vec![Ok(Durability::Durable); 4]);
    drop(store);
    let mut store = open(&dir);
    assert_eq!(store.store_id(), id);
    let firsts = |store: &mut SqliteStore, after, max| {
        let loaded = store.load(&name("a"), LogSeq(after), max).expect("loads");
        assert_eq!(loaded.record.expect("has a record").head, LogSeq(6));
        loaded.packs.iter().map(|p| p.first.0).collect::<Vec<_>>()
    };
    assert_eq!(firsts(&mut store, 0, 1000), [1, 4, 6]);
    assert_eq!(firsts(&mut store, 0, 20), [1, 4]);
    assert_eq!(firsts(&mut store, 0, 0), [1]);
    assert_eq!(firsts(&mut store, 2, 1000), [1, 4, 6]);
    assert_eq!(firsts(&mut store, 3, 1000), [4, 6]);
    assert_eq!(firsts(&mut store, 6, 1000), [0; 0]);
    assert_eq!(firsts(&mut store, 9, 1000), [0; 0]);
}

#[test]
fn an_append_elsewhere_than_at_the_head_is_refused_alone() {
    let dir = folder();
    let mut store = open(&dir);
    commit_one(&mut store, append("a", 1, 2, 1)).expect("commits");
    let mut other = append("a", 3, 1, 1);
    other.digest_before = digest(9);
    let mut swapped = append("a", 3, 1, 1);
    swapped.incarnation = Incarnation([2; 8]);
    let all = [append("a", 2, 1, 1), append("a", 4, 1, 1), other, swapped, append("b", 2, 1, 1), append("a", 3, 1, 1)];
    let done = store.commit(&all).expect("commits");
    let moved = |head| Err(StoreError::HeadMoved { head: LogSeq(head) });
    assert_eq!(done, [moved(2), moved(2), moved(2), moved(2), moved(0), Ok(Durability::Durable)]);
}

#[test]
fn a_deleted_document_leaves_a_tombstone_that_refuses_its_return() {
    let dir = folder();
    let mut store = open(&dir);
    commit_one(&mut store, append("a", 1, 2, 1)).expect("commits");
    assert_eq!(store.delete(&name("a")), Ok(true));
    assert_eq!(store.delete(&name("a")), Ok(false));
    assert_eq!(store.delete(&name("never")), Ok(false));
    let record = store.load(&name("a"), LogSeq(0), 9).expect("loads").record.expect("has a record");
    assert_eq!((record.incarnation, record.deleted.as_slice()), (None, &[ONE][..]));
    assert_eq!(store.documents(None, 9), Ok(vec![]));
    assert!(matches!(commit_one(&mut store, append("a", 1, 1, 1)), Err(StoreError::HeadMoved { .. })));
    let mut fresh = append("a", 1, 1, 1);
    fresh.incarnation = Incarnation([2; 8]);
    fresh.digest_before = digest_start(fresh.incarnation);
    commit_one(&mut store, fresh).expect("a new incarnation begins");
}

#[test]
fn a_second_opener_is_told_that_the_store_is_taken_but_may_read() {
    let dir = folder();
    let mut first = open(&dir);
    commit_one(&mut first, append("a", 1, 1, 1)).expect("commits");
    assert_eq!(SqliteStore::open(dir.path(), Options::default()).expect_err("taken"), StoreError::Locked);
    let mut reader = SqliteReader::open(dir.path()).expect("reads beside the writer");
    commit_one(&mut first, append("a", 2, 1, 1)).expect("commits");
    assert_eq!(reader.load(&name("a"), LogSeq(0), 9).expect("loads").packs.len(), 2);
    drop(first);
    open(&dir);
}

#[test]
fn a_full_store_keeps_what_it_has_and_takes_more_once_there_is_room() {
    let dir = folder();
    let mut store = open(&dir);
    commit_one(&mut store, append("a", 1, 1, 10)).expect("commits");
    store.set_bytes_max(1).expect("sets a bound");
    let both = [append("a", 2, 1, 10), append("b", 1, 1, 100_000)];
    assert_eq!(store.commit(&both), Err(StoreError::Full));
    assert_eq!(store.probe(), Err(StoreError::Full));
    let loaded = store.load(&name("a"), LogSeq(0), 99).expect("reads go on");
    assert_eq!(loaded.record.expect("has a record").head, LogSeq(1), "nothing of a failed commit is kept");
    store.set_bytes_max(1 << 30).expect("lifts the bound");
    store.probe().expect("takes writes");
    assert_eq!(store.commit(&both).expect("there is room").len(), 2);
}

#[test]
fn a_store_that_cannot_be_written_says_so_and_can_be_read() {
    let dir = folder();
    let mut store = open(&dir);
    commit_one(&mut store, append("a", 1, 1, 10)).expect("commits");
    store.connection_for_test().pragma_update(None, "query_only", true).expect("forbids writing");
    assert_eq!(store.commit(&[append("a", 2, 1, 10)]), Err(StoreError::ReadOnly));
    assert_eq!(store.load(&name("a"), LogSeq(0), 99).expect("reads go on").packs.len(), 1);
}

#[test]
fn a_damaged_row_is_its_documents_trouble_alone() {
    let dir = folder();
    let mut store = open(&dir);
    store.commit(&[append("bad", 1, 1, 50), append("good", 1, 1, 50)]).expect("commits");
    let damage = |sql: &str| {
        let bad = "(SELECT id FROM document WHERE name = 'bad')";
        let touched = connection(&dir).execute(&sql.replace("BAD", bad), []).expect("writes");
        assert_eq!(touched, 1);
    };
    damage("UPDATE pack SET bytes = zeroblob(50) WHERE document = BAD");
    assert!(matches!(store.load(&name("bad"), LogSeq(0), 9), Err(StoreError::Corrupt(_))));
    store.load(&name("good"), LogSeq(0), 9).expect("loads");
    damage("UPDATE document SET digest = x'00' WHERE id = BAD");
    let done = store.commit(&[append("bad", 2, 1, 1), append("good", 2, 1, 1)]).expect("commits the other");
    assert!(matches!(done[0], Err(StoreError::Corrupt(_))));
    assert_eq!(done[1], Ok(Durability::Durable));
    assert_eq!(store.documents(None, 9).expect("lists").len(), 1);
}

#[test]
fn an_older_store_is_copied_aside_and_upgraded_and_then_too_new_for_the_old_version() {
    let dir = folder();
    let mut store = open(&dir);
    commit_one(&mut store, append("a", 1, 1, 1)).expect("commits");
    drop(store);
    let mut next = schema::MIGRATIONS.to_vec();
    next.push(M::up("CREATE TABLE extra (key BLOB PRIMARY KEY NOT NULL) WITHOUT ROWID, STRICT;"));
    let found = schema::MIGRATIONS.len() as u32;
    let mut upgraded = SqliteStore::open_with(dir.path(), Options::default(), &next).expect("upgrades");
    assert_eq!(upgraded.load(&name("a"), LogSeq(0), 9).expect("loads").packs.len(), 1);
    drop(upgraded);
    let copy = Connection::open(schema::copy_path(&dir.path().join(DATABASE_FILE), found)).expect("the copy opens");
    let version: u32 = copy.pragma_query_value(None, "user_version", |row| row.get(0)).expect("has a version");
    let rows: u32 = copy.query_row("SELECT count(*) FROM pack", [], |row| row.get(0)).expect("has the rows");
    assert_eq!((version, rows), (found, 1));
    let newer = StoreError::Newer { found: found + 1, known: found };
    assert_eq!(SqliteStore::open(dir.path(), Options::default()).expect_err("too new"), newer);
    assert_eq!(SqliteReader::open(dir.path()).expect_err("too new"), newer);
}

#[test]
fn a_file_of_another_kind_is_refused_and_left_as_it_is() {
    let dir = folder();
    let path = dir.path().join(DATABASE_FILE);
    fs::write(&path, "these are no tables, but notes of somebody who will want them back").expect("writes");
    let before = fs::read(&path).expect("reads");
    let refused = SqliteStore::open(dir.path(), Options::default()).expect_err("no database");
    assert!(matches!(refused, StoreError::Corrupt(_)));
    assert_eq!(fs::read(&path).expect("reads"), before);
}

/// What a power cut leaves of commits that were not synced: a sector of an early one is lost, later ones are there. Copied as a kill leaves it.
fn torn(dir: &TempDir) -> TempDir {
    let copy = folder();
    for entry in fs::read_dir(dir.path()).expect("a folder") {
        let entry = entry.expect("an entry");
        let mut bytes = fs::read(entry.path()).expect("reads");
        match entry.file_name().to_string_lossy() {
            name if name.ends_with("-shm") => continue,
            name if name.ends_with("-wal") => bytes[200..712].fill(0xa5),
            _ => {}
        }
        fs::write(copy.path().join(entry.file_name()), bytes).expect("writes");
    }
    copy
}

fn is_damaged<T>(opened: Result<T, StoreError>) -> bool {
    matches!(opened, Err(StoreError::Corrupt(why)) if why.contains("is damaged at frame"))
}

/// The commands that read a store took every log for one of synced commits, and refused what the server opens.
#[test]
fn a_log_is_judged_by_how_its_commits_were_written() {
    for durability in [Durability::Stored, Durability::Durable] {
        let dir = folder();
        drop(open(&dir));
        let mut store = SqliteStore::open(dir.path(), Options { durability, ..Options::default() }).expect("opens");
        for first in 1..=3 {
            commit_one(&mut store, append("a", first, 1, 100)).expect("commits");
        }
        let damage = durability == Durability::Durable;
        assert_eq!(is_damaged(SqliteReader::open(torn(&dir).path())), damage, "{durability:?}");
        let torn = torn(&dir);
        assert_eq!(is_damaged(SqliteStore::open(torn.path(), Options::default())), damage, "{durability:?}");
    }
}

#[test]
fn a_store_that_becomes_durable_is_judged_as_such_from_then_on() {
    let dir = folder();
    let stored = Options { durability: Durability::Stored, ..Options::default() };
    commit_one(&mut SqliteStore::open(dir.path(), stored).expect("opens"), append("a", 1, 1, 100)).expect("commits");
    let mut store = open(&dir);
    for first in 2..=4 {
        commit_one(&mut store, append("a", first, 1, 100)).expect("commits");
    }
    assert!(is_damaged(SqliteReader::open(torn(&dir).path())));
}

/// What cargo's configuration names; that commits use `fdatasync` SQLite tells nobody.
#[test]
fn sqlite_is_built_with_our_flags() {
    let dir = folder();
    let sql = "SELECT count(*) FROM pragma_compile_options WHERE compile_options = 'DEFAULT_MEMSTATUS=0'";
    let count = open(&dir).connection_for_test().query_row(sql, [], |row| row.get::<_, i64>(0));
    assert_eq!(count, Ok(1), "LIBSQLITE3_FLAGS of .cargo/config.toml");
}
