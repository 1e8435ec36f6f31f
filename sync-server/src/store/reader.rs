//! Reading a store beside its writer, in this process or another: SQLite's WAL lets both go on.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use sync_core::id::{DocumentName, LogSeq, StoreId};
use sync_core::storage::{DocumentRecord, Loaded, Pieces, StoreError};

use super::error::from_sqlite;
use super::folder::{self, DATABASE_FILE, Folder};
use super::sqlite::audit;
use super::{ReadStore, piece, row, schema};

/// How long a read waits for a writer that replaces the whole file, as compaction does.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What a store holds in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Live documents.
    pub documents: u64,
    /// Documents of which only a tombstone is left.
    pub deleted: u64,
    /// Changes of live documents.
    pub changes: u64,
    /// Rows that hold packs.
    pub packs: u64,
    /// Of those, rows that compaction wrote.
    pub segments: u64,
    /// Bytes of all packs.
    pub pack_bytes: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Bytes of all snapshots.
    pub snapshot_bytes: u64,
    /// Documents with a snapshot for newcomers.
    pub newcomer_snapshots: u64,
    /// Bytes of all of those.
    pub newcomer_bytes: u64,
    /// Bytes of the database file, without its write-ahead log.
    pub file_bytes: u64,
    /// Of those, bytes that hold nothing.
    pub free_bytes: u64,
}

/// A read-only connection to a store.
#[derive(Debug)]
pub struct SqliteReader {
    connection: Connection,
    store_id: StoreId,
}

impl SqliteReader {
    /// Opens a data folder's store for reading, whether or not a server runs on it.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(DATABASE_FILE);
        // A server that runs has looked itself, and goes on writing to what is looked at here.
        if let Err(damaged) = audit(&path, folder::commits(folder)?)
            && let Ok(_alone) = Folder::lock(folder)
        {
            return Err(damaged);
        }
        Self::open_database(&path)
    }

    /// Opens the store of a data folder on which a server runs that has looked it over.
    pub fn beside(folder: &Path) -> Result<Self, StoreError> {
        let connection = connect(&folder.join(DATABASE_FILE))?;
        let store_id = schema::store_id(&connection)?;
        let store_id = store_id.ok_or_else(|| StoreError::Corrupt("the store has no identity".into()))?;
        Ok(Self { connection, store_id })
    }

    fn open_database(path: &Path) -> Result<Self, StoreError> {
        let connection = connect(path)?;
        let found = schema::check(&connection, schema::MIGRATIONS.len() as u32)?;
        if found == 0 {
            return Err(StoreError::Corrupt("the store is empty: no server has written to it yet".into()));
        }
        schema::check_finished(&connection)?;
        schema::check_documents(&connection)?;
        let store_id =
            schema::store_id(&connection)?.ok_or_else(|| StoreError::Corrupt("the store has no identity".into()))?;
        Ok(Self { connection, store_id })
    }

    /// A reader of a store that this process has open for writing.
    pub(super) fn over(path: &Path, store_id: StoreId) -> Result<Self, StoreError> {
        Ok(Self { connection: connect(path)?, store_id })
    }

    /// All names that have a row, live or not, whether or not the rest of the row makes sense.
    pub fn names(&mut self) -> Result<Vec<String>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT name FROM document ORDER BY name").map_err(from_sqlite)?;
        let rows = statement.query_map([], |row| row.get(0)).map_err(from_sqlite)?;
        rows.collect::<Result<_, _>>().map_err(from_sqlite)
    }

    /// What SQLite itself finds wrong with the file, one line each; empty if nothing.
    pub fn integrity(&mut self) -> Result<Vec<String>, StoreError> {
        let mut statement = self.connection.prepare("PRAGMA integrity_check").map_err(from_sqlite)?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).map_err(from_sqlite)?;
        let lines: Vec<String> = rows.collect::<Result<_, _>>().map_err(from_sqlite)?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }

    /// Packs whose document has no row, as `document id, first`.
    pub fn orphans(&mut self) -> Result<Vec<(i64, i64)>, StoreError> {
        let mut statement = self
            .connection
            .prepare("SELECT document, first FROM pack WHERE document NOT IN (SELECT id FROM document)")
            .map_err(from_sqlite)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(from_sqlite)?;
        rows.collect::<Result<_, _>>().map_err(from_sqlite)
    }

    /// Names of live documents that have at least so many packs more than their length asks for.
    pub fn scattered(&mut self, packs_min: usize, segment_changes: usize) -> Result<Vec<DocumentName>, StoreError> {
        let sql = "SELECT name FROM document JOIN (SELECT document, count(*) AS packs FROM pack GROUP BY document)
                   ON document = id WHERE packs >= ?1 + head / ?2 ORDER BY packs DESC";
        let mut statement = self.connection.prepare_cached(sql).map_err(from_sqlite)?;
        let values = [packs_min as i64, segment_changes as i64];
        let rows = statement.query_map(values, |row| row.get::<_, String>(0)).map_err(from_sqlite)?;
        let names = rows.collect::<Result<Vec<_>, _>>().map_err(from_sqlite)?;
        Ok(names.iter().filter_map(|name| DocumentName::parse(name).ok()).collect())
    }

    /// The head of a live document's log, and the position of its snapshot for newcomers, if it has one that makes sense.
    pub fn newcomer_state(&mut self, document: &DocumentName) -> Result<Option<(LogSeq, Option<LogSeq>)>, StoreError> {
        let Some(found) = row::find(&self.connection, document)? else { return Ok(None) };
        let live = found.record.incarnation.is_some();
        let kept = piece::position(&self.connection, found.id)?;
        Ok(live.then_some((found.record.head, kept)))
    }

    /// The position of a document's snapshot for newcomers. One that can't be read is as good as none.
    pub fn handed_out(&mut self, document: &DocumentName) -> Option<LogSeq> {
        self.newcomer_state(document).ok()??.1
    }

    /// Live documents of at least so many changes, longest first, with the end of their logs and the position of their snapshots for
    /// newcomers.
    pub fn long(&mut self, changes_min: u64) -> Result<Vec<(DocumentName, LogSeq, Option<LogSeq>)>, StoreError> {
        let sql = "SELECT name, head, seq FROM document LEFT JOIN piece ON piece.document = id AND number = 0
                   WHERE incarnation IS NOT NULL AND head >= ?1 ORDER BY head DESC";
        let mut statement = self.connection.prepare_cached(sql).map_err(from_sqlite)?;
        let read = |row: &rusqlite::Row<'_>| {
            let seq = row.get::<_, Option<i64>>(2)?.map(|seq| LogSeq(seq as u64));
            Ok((row.get::<_, String>(0)?, LogSeq(row.get::<_, i64>(1)? as u64), seq))
        };
        let rows = statement.query_map([changes_min as i64], read).map_err(from_sqlite)?;
        let all = rows.collect::<Result<Vec<_>, _>>().map_err(from_sqlite)?;
        let named = |(name, head, seq): (String, _, _)| Some((DocumentName::parse(&name).ok()?, head, seq));
        Ok(all.into_iter().filter_map(named).collect())
    }

    /// Number of rows that hold pieces of a document's snapshot, whatever is in them.
    pub fn piece_rows(&mut self, document: &DocumentName) -> Result<u32, StoreError> {
        let sql = "SELECT count(*) FROM piece JOIN document ON document.id = piece.document WHERE name = ?1";
        self.connection.query_row(sql, [document.as_str()], |row| row.get(0)).map_err(from_sqlite)
    }

    /// Whether a document has a row for a snapshot, whatever is in it.
    pub fn has_snapshot(&mut self, document: &DocumentName) -> Result<bool, StoreError> {
        let sql =
            "SELECT EXISTS (SELECT 1 FROM snapshot JOIN document ON document.id = snapshot.document WHERE name = ?1)";
        self.connection.query_row(sql, [document.as_str()], |row| row.get(0)).map_err(from_sqlite)
    }

    /// What the store holds in all.
    pub fn totals(&mut self) -> Result<Totals, StoreError> {
        let number = |sql: &str| -> Result<u64, StoreError> {
            let value = self.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(from_sqlite)?;
            Ok(u64::try_from(value).unwrap_or(0))
        };
        let page = number("PRAGMA page_size")?;
        Ok(Totals {
            documents: number("SELECT count(*) FROM document WHERE incarnation IS NOT NULL")?,
            deleted: number("SELECT count(*) FROM document WHERE incarnation IS NULL")?,
            changes: number("SELECT coalesce(sum(head), 0) FROM document WHERE incarnation IS NOT NULL")?,
            packs: number("SELECT count(*) FROM pack")?,
            segments: number("SELECT count(*) FROM pack WHERE outside IS NOT NULL")?,
            pack_bytes: number("SELECT coalesce(sum(length(bytes) + coalesce(length(outside), 0)), 0) FROM pack")?,
            snapshots: number("SELECT count(*) FROM snapshot")?,
            snapshot_bytes: number("SELECT coalesce(sum(length(bytes)), 0) FROM snapshot")?,
            newcomer_snapshots: number("SELECT count(DISTINCT document) FROM piece")?,
            newcomer_bytes: number("SELECT coalesce(sum(length(bytes)), 0) FROM piece")?,
            file_bytes: number("PRAGMA page_count")? * page,
            free_bytes: number("PRAGMA freelist_count")? * page,
        })
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(from_sqlite)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(from_sqlite)?;
    Ok(connection)
}

impl ReadStore for SqliteReader {
    fn store_id(&self) -> StoreId {
        self.store_id
    }

    fn hold(&mut self) -> Result<bool, StoreError> {
        let free = self.connection.is_autocommit();
        if free {
            self.connection.execute_batch("BEGIN").map_err(from_sqlite)?;
        }
        Ok(free)
    }

    fn release(&mut self) {
        // It fails only where a failed read has ended the transaction already.
        let _ = self.connection.execute_batch("ROLLBACK");
    }

    fn load(&mut self, document: &DocumentName, after: LogSeq, bytes_max: usize) -> Result<Loaded, StoreError> {
        row::load(&self.connection, document, after, bytes_max)
    }

    fn open(&mut self, document: &DocumentName, bytes_max: usize) -> Result<Loaded, StoreError> {
        row::open(&self.connection, document, bytes_max)
    }

    fn pieces(&mut self, document: &DocumentName, from: u32, bytes_max: usize) -> Result<Pieces, StoreError> {
        piece::load(&self.connection, document, from, bytes_max)
    }

    fn documents(
        &mut self,
        after: Option<&DocumentName>,
        count_max: usize,
    ) -> Result<Vec<(DocumentName, DocumentRecord)>, StoreError> {
        row::documents(&self.connection, after, count_max)
    }
}
