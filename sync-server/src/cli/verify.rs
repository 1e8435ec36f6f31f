//! `verify`: reads everything and names what is wrong.

use std::path::Path;

use sync_core::id::DocumentName;
use sync_core::storage::StoreError;

use super::Failure;
use crate::store::{ReadStore as _, SqliteReader};
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
        match walk::read(&mut store, &document, true, |_, pack| changes += pack.len() as u64) {
            Ok(Some(_)) => match snapshot_is_unread(&mut store, &document) {
                Ok(false) => documents += 1,
                Ok(true) => complain(format!("{document}: the snapshot's row makes no sense; `compact` makes it anew")),
                Err(e) => complain(format!("{document}: {e}")),
            },
            Ok(None) => {}
            Err(e) => complain(format!("{document}: {e}")),
        }
    }
    if wrong > 0 {
        return Err(Failure::data(format!("{wrong} wrong; {documents} documents are well")));
    }
    println!("all well: {documents} documents, {changes} changes");
    Ok(())
}

/// Whether a document has a snapshot that its reader passes over.
fn snapshot_is_unread(store: &mut SqliteReader, document: &DocumentName) -> Result<bool, StoreError> {
    Ok(store.has_snapshot(document)? && store.open(document, 0)?.snapshot.is_none())
}
