//! `verify`: reads everything and names what is wrong.

use std::path::Path;

use bytes::Bytes;
use sync_core::id::DocumentName;
use sync_core::log::Log;
use sync_core::saved::{Saved, SavedError};
use sync_core::storage::StoreError;
use sync_core::view::View;

use super::Failure;
use crate::store::{Held, ReadStore as _, SqliteReader};
use crate::walk;

pub(super) fn run(data: &Path) -> Result<(), Failure> {
    let mut store = SqliteReader::open(data).map_err(|e| Failure::store(data, e))?;
    let mut wrong = 0;
    let mut complain = |line: String| {
        wrong += 1;
        println!("{line}");
    };
    for line in store.integrity().map_err(Failure::data)? {
        complain(format!("database: {line}"));
    }
    for (document, first) in store.orphans().map_err(Failure::data)? {
        complain(format!("database: the pack at {first} belongs to row {document}, which is no document"));
    }
    let (mut documents, mut changes) = (0u64, 0u64);
    for name in store.names().map_err(Failure::data)? {
        let document = match DocumentName::parse(&name) {
            Ok(document) => document,
            Err(e) => {
                complain(format!("{name:?}: {e}"));
                continue;
            }
        };
        // A snapshot that a running server makes meanwhile may stand beyond the log that was read.
        let mut store = Held::new(&mut store).map_err(Failure::data)?;
        match one(&mut store, &document, |more| changes += more) {
            Ok(live) => documents += u64::from(live),
            Err(e) => complain(format!("{document}: {e}")),
        }
    }
    if wrong > 0 {
        return Err(Failure::data(format!("{wrong} wrong; {documents} documents are well")));
    }
    println!("all well: {documents} documents, {changes} changes");
    Ok(())
}

/// Reads all of a document, or says what is wrong with it. Whether it is live.
fn one(store: &mut SqliteReader, document: &DocumentName, mut count: impl FnMut(u64)) -> Result<bool, String> {
    let read = walk::read(store, document, true, |_, pack| count(pack.len() as u64)).map_err(|e| e.to_string())?;
    let Some((_, walk)) = read else { return Ok(false) };
    if snapshot_is_unread(store, document).map_err(|e| e.to_string())? {
        return Err("the snapshot's row makes no sense; `compact` makes it anew".into());
    }
    match for_newcomers(store, document, walk.log()).map_err(|e| e.to_string())? {
        Some(what) => Err(format!("the snapshot for newcomers {what}")),
        None => Ok(true),
    }
}

/// What is wrong with a document's snapshot for newcomers, if it has one.
fn for_newcomers(store: &mut SqliteReader, document: &DocumentName, log: &Log) -> Result<Option<String>, StoreError> {
    let rows = store.piece_rows(document)?;
    if rows == 0 {
        return Ok(None);
    }
    let found = store.pieces(document, 0, usize::MAX)?;
    let Some(at) = found.at.filter(|at| at.total == rows && found.pieces.len() == rows as usize) else {
        return Ok(Some("has rows that make no sense; newcomers get the log".into()));
    };
    let (view, saved) = found.pieces.split_at(at.views as usize);
    let whole = |pieces: &[(u32, Bytes)]| pieces.iter().flat_map(|(_, bytes)| bytes.to_vec()).collect::<Vec<u8>>();
    if at.views > 0
        && let Err(e) = View::decode(&whole(view))
    {
        return Ok(Some(format!("has no view: {e}")));
    }
    let opened = Saved::decode(&whole(saved)).map_err(SavedError::from).and_then(|saved| saved.open());
    let (_, table) = match opened {
        Ok(opened) => opened,
        Err(e) => return Ok(Some(format!("can't be loaded: {e}"))),
    };
    let of_log = log.digest_at(at.seq) == Some(at.digest);
    let held = log.actors_at(at.seq);
    let same = table.entries().eq(held.iter().map(|(actor, entry)| (actor, *entry)));
    Ok((!of_log || !same).then(|| format!("holds other changes than the log up to {}", at.seq)))
}

/// Whether a document has a snapshot that its reader passes over.
fn snapshot_is_unread(store: &mut SqliteReader, document: &DocumentName) -> Result<bool, StoreError> {
    Ok(store.has_snapshot(document)? && store.open(document, 0)?.snapshot.is_none())
}
