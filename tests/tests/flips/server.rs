//! The server's store.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use sync_core::id::{Digest, DocumentName, Incarnation, LogSeq};
use sync_core::log::digest_start;
use sync_core::storage::{Append, Loaded, Store as _, StoreError, StoredPack};
use sync_server::store::{DATABASE_FILE, Options, ReadStore as _, SqliteReader, SqliteStore};
use tempfile::TempDir;

const DOCUMENTS: u8 = 5;
const COMMITS: u64 = 8;

fn name(number: u8) -> DocumentName {
    DocumentName::parse(&format!("list/{number}")).expect("a name")
}

/// A store of a few documents that grew in turn, and what it holds.
fn store() -> (TempDir, SqliteStore, BTreeMap<DocumentName, Loaded>) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut store = SqliteStore::open(dir.path(), Options::default()).expect("opens");
    for round in 0..COMMITS {
        let appends: Vec<Append> = (0..DOCUMENTS).map(|number| append(number, round)).collect();
        assert!(store.commit(&appends).expect("commits").iter().all(Result::is_ok));
    }
    let held = (0..DOCUMENTS).map(|number| (name(number), load(&mut store, &name(number)).expect("loads"))).collect();
    (dir, store, held)
}

fn append(document: u8, round: u64) -> Append {
    let incarnation = Incarnation([document + 1; 8]);
    // Any bytes serve as a digest: a store compares them and makes none.
    let digest = |round: u64| if round == 0 { digest_start(incarnation) } else { Digest([round as u8; 8]) };
    let bytes = Bytes::from(vec![document ^ round as u8; 300]);
    let pack = StoredPack { first: LogSeq(2 * round + 1), count: 2, digest: digest(round + 1), bytes, outside: None };
    Append { document: name(document), incarnation, digest_before: digest(round), pack }
}

/// Reads on until the head, as everybody does: a read may give less than there is.
fn whole(mut load: impl FnMut(LogSeq) -> Result<Loaded, StoreError>) -> Result<Loaded, StoreError> {
    let mut whole = load(LogSeq(0))?;
    while let (Some(last), Some(record)) = (whole.packs.last(), &whole.record)
        && last.last() < record.head
    {
        let more = load(last.last())?;
        assert!(!more.packs.is_empty(), "nothing more, and no error");
        whole.packs.extend(more.packs);
    }
    Ok(whole)
}

fn load(store: &mut SqliteStore, document: &DocumentName) -> Result<Loaded, StoreError> {
    whole(|after| store.load(document, after, usize::MAX))
}

/// Whether the damage was noticed. What is given must be all that was acknowledged.
fn noticed(folder: &Path, held: &BTreeMap<DocumentName, Loaded>, what: &str) -> bool {
    let reads = SqliteReader::open(folder).map(|mut reader| {
        held.keys().map(|name| whole(|after| reader.load(name, after, usize::MAX))).collect::<Vec<_>>()
    });
    let mut store = match SqliteStore::open(folder, Options::default()) {
        Ok(store) => store,
        Err(StoreError::Locked) => panic!("{what}: a reader holds the lock"),
        Err(_) => return true,
    };
    let mut noticed = false;
    for ((name, expected), read) in held.iter().zip(reads.expect("what a server opens can be read")) {
        for loaded in [read, load(&mut store, name)] {
            match loaded {
                Ok(loaded) => assert!(loaded == *expected, "{what}: {name} is at {:?}", loaded.record),
                Err(_) => noticed = true,
            }
        }
    }
    noticed
}

#[test]
fn a_bit_of_the_servers_log_flips_after_a_kill() {
    let (dir, store, held) = store();
    super::check_log(dir, store, DATABASE_FILE, |folder, what| noticed(folder, &held, what));
}

#[test]
fn a_bit_of_the_servers_database_flips() {
    let (dir, mut store, held) = store();
    store.vacuum().expect("moves all into the database");
    drop(store);
    let mut seen = 0;
    let flips = super::flip(dir.path(), DATABASE_FILE, super::spread(100, 61), |folder, what| {
        seen += usize::from(noticed(folder, &held, what));
    });
    println!("{seen} of {flips} flips noticed, the others changed nothing");
    assert!(seen > flips / 10, "{seen} of {flips}");
}
