//! `compact` and `stats`.

use std::path::Path;

use sync_core::storage::Store as _;

use super::Failure;
use crate::store::{Options, SqliteReader, SqliteStore, Totals};

pub(super) fn compact(data: &Path) -> Result<(), Failure> {
    let before = totals(data)?;
    let mut store = SqliteStore::open(data, Options::default()).map_err(|e| Failure::store(data, e))?;
    store.compact().map_err(Failure::data)?;
    let id = store.store_id();
    drop(store);
    let after = totals(data)?;
    println!("moved the write-ahead log into the database and rewrote it without free pages");
    println!("store {id}: {} bytes before, {} bytes after", before.file_bytes, after.file_bytes);
    Ok(())
}

pub(super) fn stats(data: &Path) -> Result<(), Failure> {
    let found = totals(data)?;
    println!("documents        {}", found.documents);
    println!("deleted          {}", found.deleted);
    println!("changes          {}", found.changes);
    println!("packs            {}", found.packs);
    println!("pack bytes       {}", found.pack_bytes);
    println!("database bytes   {}", found.file_bytes);
    println!("of which free    {}", found.free_bytes);
    Ok(())
}

fn totals(data: &Path) -> Result<Totals, Failure> {
    let mut reader = SqliteReader::open(data).map_err(|e| Failure::store(data, e))?;
    reader.totals().map_err(Failure::data)
}
