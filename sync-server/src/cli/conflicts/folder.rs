//! Conflicts of a data folder: read beside a server that runs on it, written with the folder locked.
//!
//! An answer is one more change at the end of the log, through the checks that everything imported passes.

use std::path::{Path, PathBuf};

use sync_core::conflict::ConflictId;
use sync_core::desk::{Desk, DeskError, Wish};
use sync_core::id::DocumentName;

use super::super::{Failure, transfer};
use crate::clock::Clock;
use crate::conflicts;
use crate::store::{Options, ReadStore as _, SqliteReader, SqliteStore};
use crate::walk;

/// A data folder.
pub(super) struct Folder {
    data: PathBuf,
    reader: SqliteReader,
}

impl Folder {
    pub(super) fn open(data: &Path) -> Result<Self, Failure> {
        let reader = SqliteReader::open(data).map_err(|e| Failure::store(data, e))?;
        Ok(Self { data: data.to_owned(), reader })
    }

    pub(super) fn names(&mut self) -> Result<Vec<DocumentName>, Failure> {
        let names = self.reader.names().map_err(Failure::data)?;
        Ok(names.iter().filter_map(|name| DocumentName::parse(name).ok()).collect())
    }

    pub(super) fn conflicts(&mut self, document: &DocumentName) -> Result<Vec<serde_json::Value>, Failure> {
        let listed = desk(&mut self.reader, document)?.listed().map_err(|e| at(document, &e))?;
        Ok(listed.iter().map(|listed| conflicts::to_json(document, listed)).collect())
    }

    /// Answers a conflict. Gives the change that does.
    pub(super) fn answer(self, document: &DocumentName, wish: &Wish) -> Result<String, Failure> {
        self.write(document, |desk| desk.answer(Clock::wall(), wish))
    }

    /// Takes an answer back. Gives the change that does.
    pub(super) fn reopen(self, document: &DocumentName, id: ConflictId, author: &str) -> Result<String, Failure> {
        self.write(document, |desk| desk.reopen(Clock::wall(), id, author))
    }

    fn write(
        self,
        document: &DocumentName,
        work: impl FnOnce(&mut Desk) -> Result<(), DeskError>,
    ) -> Result<String, Failure> {
        let Self { data, reader } = self;
        // It has shown that there is a store, so that none is made of another folder.
        drop(reader);
        let mut store = SqliteStore::open(&data, Options::default()).map_err(|e| Failure::store(&data, e))?;
        let mut reader = store.reader().map_err(Failure::data)?;
        let mut desk = desk(&mut reader, document)?;
        work(&mut desk).map_err(|e| at(document, &e))?;
        let (append, change) = desk.for_store().map_err(|e| at(document, &e))?;
        transfer::commit(&mut store, append)?;
        Ok(change.to_string())
    }
}

fn at(document: &DocumentName, what: &impl ToString) -> Failure {
    Failure::data(format!("{document}: {}", what.to_string()))
}

fn desk(reader: &mut SqliteReader, document: &DocumentName) -> Result<Desk, Failure> {
    let mut changes = Vec::new();
    let walked = walk::read(reader, document, true, |_, pack| changes.extend(pack)).map_err(|e| at(document, &e))?;
    let (_, walk) = walked.ok_or_else(|| at(document, &"no such document"))?;
    walk::desk(document, reader.store_id(), changes, walk).map_err(|e| at(document, &e))
}
