//! `compact` and `stats`.

use std::path::Path;

use sync_core::compact::{self, Alone, Options as Compaction, Report};
use sync_core::id::DocumentName;
use sync_core::newcomer;
use sync_core::storage::Store as _;
use tokio::sync::watch;

use super::Failure;
use crate::compactor::maker::Maker;
use crate::store::{Options, SqliteReader, SqliteStore, Totals};

pub(super) fn compact(data: &Path) -> Result<(), Failure> {
    let before = totals(data)?;
    let mut store = SqliteStore::open(data, Options::default()).map_err(|e| Failure::store(data, e))?;
    let names = store.reader().and_then(|mut reader| reader.names()).map_err(Failure::data)?;
    let (mut documents, mut packs, mut wrong) = (0u64, (0, 0), 0u64);
    for document in names.iter().filter_map(|name| DocumentName::parse(name).ok()) {
        // One pack is as few as there can be; beside it stands at most the one that the snapshot begins behind.
        let options = Compaction { packs_min: 2, ..Compaction::default() };
        match compact::compact(&document, &options, &mut Alone { store: &mut store, document: &document }) {
            Ok(None) => {}
            Ok(Some(Report { packs_before, packs_after, .. })) => {
                documents += 1;
                packs = (packs.0 + packs_before, packs.1 + packs_after);
            }
            Err(e) => {
                wrong += 1;
                println!("{document}: {e}");
            }
        }
    }
    println!("compacted {documents} documents: {} packs became {}", packs.0, packs.1);
    wrong += hand_out(data, &mut store)?;
    store.vacuum().map_err(Failure::data)?;
    let id = store.store_id();
    let after = totals(data)?;
    store.close();
    println!("moved the write-ahead log into the database and rewrote it without free pages");
    println!("store {id}: {} bytes before, {} bytes after", before.file_bytes, after.file_bytes);
    if wrong > 0 {
        return Err(Failure::data(format!(
            "{wrong} documents can't be compacted, or have no snapshot, and stay as they are"
        )));
    }
    Ok(())
}

/// Makes the snapshots for newcomers that are due, each in a process of its own. How many can't be made.
fn hand_out(data: &Path, store: &mut SqliteStore) -> Result<u64, Failure> {
    let making = newcomer::Options::default();
    let all = store.reader().and_then(|mut reader| reader.long(making.changes_min)).map_err(Failure::data)?;
    let maker = Maker { program: std::env::current_exe().map_err(Failure::data)?, data: data.to_owned() };
    let (_go_on, stop) = watch::channel(false);
    let (mut made, mut wrong) = (0u64, 0u64);
    for (document, head, kept) in all {
        if !newcomer::is_due(head, kept, true, &making) {
            continue;
        }
        let done = maker.make(&document, &stop).map_err(|e| e.to_string());
        let snapshot =
            done.and_then(|made| made.map(|s| store.keep_snapshot(&s)).transpose().map_err(|e| e.to_string()));
        match snapshot {
            Ok(kept) => made += u64::from(kept.is_some()),
            Err(e) => {
                wrong += 1;
                println!("{document}: no snapshot for newcomers: {e}");
            }
        }
    }
    println!("made {made} snapshots for newcomers");
    Ok(wrong)
}

pub(super) fn stats(data: &Path) -> Result<(), Failure> {
    let found = totals(data)?;
    println!("documents        {}", found.documents);
    println!("deleted          {}", found.deleted);
    println!("changes          {}", found.changes);
    println!("packs            {}", found.packs);
    println!("of which compact {}", found.segments);
    println!("pack bytes       {}", found.pack_bytes);
    println!("snapshots        {}", found.snapshots);
    println!("snapshot bytes   {}", found.snapshot_bytes);
    println!("for newcomers    {}", found.newcomer_snapshots);
    println!("newcomer bytes   {}", found.newcomer_bytes);
    println!("database bytes   {}", found.file_bytes);
    println!("of which free    {}", found.free_bytes);
    Ok(())
}

fn totals(data: &Path) -> Result<Totals, Failure> {
    let mut reader = SqliteReader::open(data).map_err(|e| Failure::store(data, e))?;
    reader.totals().map_err(Failure::data)
}
