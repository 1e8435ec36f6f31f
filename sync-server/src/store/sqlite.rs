//! The SQLite store: one row per document and commit, one transaction for all that has gathered.
//!
//! Owns the writing connection. An append is a compare-and-set on its document's head, so a second writer, or a file swapped
//! underneath, is noticed and never merged into.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};
use rusqlite_migration::M;
use sync_core::id::{DocumentName, Incarnation, LogSeq, StoreId};
use sync_core::log::digest_start;
use sync_core::storage::{
    Append, Compaction, DocumentRecord, DocumentSnapshot, Durability, Loaded, Pieces, Store, StoreError, StoredPack,
};
use wal_audit::Commits;

use super::error::{from_io, from_sqlite};
use super::folder::Folder;
use super::reader::SqliteReader;
use super::row::{self, DocumentRow, ROW_FORMAT};
use super::{ReadStore as _, compact, piece, schema};

/// Bytes of write-ahead log kept on disk between checkpoints; it may grow beyond while a long read holds it.
const WAL_BYTES_KEPT: i64 = 64 << 20;

/// Statements kept prepared.
const STATEMENTS_CACHED: usize = 32;

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// Most bytes of the database file; beyond, appends fail as on a full disk.
    pub bytes_max: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { durability: Durability::Durable, bytes_max: None }
    }
}

/// A server's store in a data folder.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    reader: SqliteReader,
    store_id: StoreId,
    durability: Durability,
    // Last, so that the lock outlives the connections.
    folder: Folder,
}

impl SqliteStore {
    /// Opens or makes the store of a data folder, upgrading an older format after copying it aside.
    pub fn open(folder: &Path, options: Options) -> Result<Self, StoreError> {
        Self::open_with(folder, options, schema::MIGRATIONS)
    }

    pub(super) fn open_with(folder: &Path, options: Options, migrations: &[M<'_>]) -> Result<Self, StoreError> {
        let folder = Folder::lock(folder)?;
        let path = folder.database();
        let written = folder.commits()?;
        // Before there were notes of it, nobody but this setting said what a log holds.
        let promised = if options.durability == Durability::Stored { Commits::Unsynced } else { written };
        audit(&path, promised)?;
        if options.durability == Durability::Stored && written == Commits::Synced {
            folder.set_commits(Commits::Unsynced)?;
        }
        let mut connection = Connection::open(&path).map_err(from_sqlite)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        schema::prepare(&mut connection, &path, migrations)?;
        schema::check_finished(&connection)?;
        schema::check_documents(&connection)?;
        let synchronous = match options.durability {
            Durability::Durable => "FULL",
            Durability::Stored => "NORMAL",
        };
        connection.pragma_update(None, "synchronous", synchronous).map_err(from_sqlite)?;
        if options.durability == Durability::Durable && written == Commits::Unsynced && empty_log(&connection)? {
            folder.set_commits(Commits::Synced)?;
        }
        connection.pragma_update(None, "foreign_keys", "OFF").map_err(from_sqlite)?;
        connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT).map_err(from_sqlite)?;
        let store_id = match schema::store_id(&connection)? {
            Some(id) => id,
            None => make_store_id(&connection)?,
        };
        let reader = SqliteReader::over(&path, store_id)?;
        let mut store = Self { connection, reader, store_id, durability: options.durability, folder };
        if let Some(bytes) = options.bytes_max {
            store.set_bytes_max(bytes)?;
        }
        Ok(store)
    }

    /// A further connection for reading, which does not wait for writes.
    pub fn reader(&self) -> Result<SqliteReader, StoreError> {
        SqliteReader::over(&self.folder.database(), self.store_id)
    }

    /// Bounds the size of the database file, to no less than it has.
    pub fn set_bytes_max(&mut self, bytes: u64) -> Result<(), StoreError> {
        let page: u64 = self
            .connection
            .pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0))
            .map_err(from_sqlite)?
            .into();
        let pages = (bytes / page).clamp(1, u64::from(u32::MAX - 1));
        self.connection.pragma_update_and_check(None, "max_page_count", pages as i64, |_| Ok(())).map_err(from_sqlite)
    }

    /// Writes and commits something of no meaning. Whether the store takes writes again.
    pub fn probe(&mut self) -> Result<(), StoreError> {
        let sql = "INSERT INTO meta (key, value) VALUES ('probe', ?1)
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        // Larger than a page, so that a file that may not grow says so.
        self.connection.execute(sql, [vec![0u8; 16 << 10]]).map_err(from_sqlite)?;
        self.connection.execute("DELETE FROM meta WHERE key = 'probe'", []).map(|_| ()).map_err(from_sqlite)
    }

    /// Gives the store a new identity, as a restore must: cursors into the old one no longer count.
    pub fn renew_id(&mut self) -> Result<StoreId, StoreError> {
        self.store_id = make_store_id(&self.connection)?;
        self.reader = self.reader()?;
        Ok(self.store_id)
    }

    /// Has nobody open the store again, this process's lock or not, until [`Self::finish_restore`].
    pub fn begin_restore(&mut self) -> Result<(), StoreError> {
        let sql = "INSERT INTO meta (key, value) VALUES (?1, x'')";
        self.connection.execute(sql, [schema::RESTORING]).map(|_| ()).map_err(from_sqlite)
    }

    /// Ends a restore: from here on it is a store as any other, under an identity of its own.
    pub fn finish_restore(&mut self) -> Result<StoreId, StoreError> {
        let transaction = self.connection.transaction().map_err(from_sqlite)?;
        transaction.execute("DELETE FROM meta WHERE key = ?1", [schema::RESTORING]).map_err(from_sqlite)?;
        self.store_id = make_store_id(&transaction)?;
        transaction.commit().map_err(from_sqlite)?;
        self.reader = self.reader()?;
        Ok(self.store_id)
    }

    /// Writes a document's tombstones, as a restore must before its packs. Fails with [`StoreError::HeadMoved`] where it has packs already.
    pub fn restore_tombstones(&mut self, document: &DocumentName, record: &DocumentRecord) -> Result<(), StoreError> {
        if let Some(found) = row::find(&self.connection, document)? {
            return Err(StoreError::HeadMoved { head: found.record.head });
        }
        let dead = DocumentRecord {
            incarnation: None,
            head: LogSeq(0),
            digest: record.digest,
            deleted: record.deleted.clone(),
        };
        insert_document(&self.connection, document, &dead).map(|_| ())
    }

    /// Moves the write-ahead log into the database and gives free pages back to the file system.
    pub fn vacuum(&mut self) -> Result<(), StoreError> {
        self.connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);").map_err(from_sqlite)
    }

    /// Closes the store so that no file is left beside its database: only a connection that may write takes them away, and only the last one.
    pub fn close(self) {
        let Self { connection, reader, folder, .. } = self;
        drop(reader);
        drop(connection);
        drop(folder);
    }

    #[cfg(test)]
    pub(super) fn connection_for_test(&self) -> &Connection {
        &self.connection
    }

    /// Applies appends in one transaction, leaving out those that `skip` marks. `Err` with an index blames that append alone.
    fn try_commit(
        &mut self,
        appends: &[Append],
        skip: &[Option<StoreError>],
    ) -> Result<Vec<Option<StoreError>>, (Option<usize>, StoreError)> {
        let immediate = rusqlite::TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(immediate).map_err(|e| (None, from_sqlite(e)))?;
        let now = received_at();
        let mut refused = skip.to_vec();
        for (index, one) in appends.iter().enumerate() {
            if refused[index].is_some() {
                continue;
            }
            match append(&transaction, one, now) {
                Ok(()) => {}
                Err(e @ StoreError::HeadMoved { .. }) => refused[index] = Some(e),
                Err(e @ StoreError::Corrupt(_)) => return Err((Some(index), e)),
                Err(e) => return Err((None, e)),
            }
        }
        transaction.commit().map_err(|e| (None, from_sqlite(e)))?;
        Ok(refused)
    }
}

impl Store for SqliteStore {
    fn store_id(&self) -> StoreId {
        self.store_id
    }

    fn load(&mut self, document: &DocumentName, after: LogSeq, bytes_max: usize) -> Result<Loaded, StoreError> {
        self.reader.load(document, after, bytes_max)
    }

    fn open(&mut self, document: &DocumentName, bytes_max: usize) -> Result<Loaded, StoreError> {
        self.reader.open(document, bytes_max)
    }

    fn compact(&mut self, compaction: &Compaction) -> Result<(), StoreError> {
        let immediate = rusqlite::TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(immediate).map_err(from_sqlite)?;
        compact::replace(&transaction, compaction, received_at())?;
        transaction.commit().map_err(from_sqlite)
    }

    fn keep_snapshot(&mut self, snapshot: &DocumentSnapshot) -> Result<(), StoreError> {
        let immediate = rusqlite::TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(immediate).map_err(from_sqlite)?;
        piece::keep(&transaction, snapshot)?;
        transaction.commit().map_err(from_sqlite)
    }

    fn pieces(&mut self, document: &DocumentName, from: u32, bytes_max: usize) -> Result<Pieces, StoreError> {
        self.reader.pieces(document, from, bytes_max)
    }

    fn commit(&mut self, appends: &[Append]) -> Result<Vec<Result<Durability, StoreError>>, StoreError> {
        let mut skip = vec![None; appends.len()];
        // Each round blames one more append for damage to its document's rows, so there are no more rounds than appends.
        loop {
            match self.try_commit(appends, &skip) {
                Ok(refused) => return Ok(refused.into_iter().map(|e| e.map_or(Ok(self.durability), Err)).collect()),
                Err((Some(index), e)) => skip[index] = Some(e),
                Err((None, e)) => return Err(e),
            }
        }
    }

    fn delete(&mut self, document: &DocumentName) -> Result<bool, StoreError> {
        // One that begins by reading would not wait for a writer that is no server of ours.
        let immediate = rusqlite::TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(immediate).map_err(from_sqlite)?;
        let Some(DocumentRow { id, mut record }) = row::find(&transaction, document)? else { return Ok(false) };
        let Some(incarnation) = record.incarnation else { return Ok(false) };
        record.deleted.push(incarnation);
        transaction.execute("DELETE FROM pack WHERE document = ?1", [id]).map_err(from_sqlite)?;
        transaction.execute("DELETE FROM snapshot WHERE document = ?1", [id]).map_err(from_sqlite)?;
        piece::forget(&transaction, id)?;
        transaction
            .execute(
                "UPDATE document SET incarnation = NULL, head = 0, deleted = ?2 WHERE id = ?1",
                params![id, row::tombstones(&record.deleted)],
            )
            .map_err(from_sqlite)?;
        transaction.commit().map_err(from_sqlite)?;
        Ok(true)
    }

    fn documents(
        &mut self,
        after: Option<&DocumentName>,
        count_max: usize,
    ) -> Result<Vec<(DocumentName, DocumentRecord)>, StoreError> {
        self.reader.documents(after, count_max)
    }
}

/// Refuses a database of which SQLite would silently open an older state, while nobody writes to it.
pub(super) fn audit(database: &Path, commits: Commits) -> Result<(), StoreError> {
    match wal_audit::audit(database, commits).map_err(from_io)? {
        None => Ok(()),
        Some(damage) => Err(StoreError::Corrupt(format!("{damage}; docs/operations.md says what can be done"))),
    }
}

/// Moves the whole write-ahead log into the database. False if a reader keeps a part of it.
fn empty_log(connection: &Connection) -> Result<bool, StoreError> {
    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
    connection.query_row(sql, [], |row| Ok(row.get::<_, i64>(0)? == 0)).map_err(from_sqlite)
}

fn received_at() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn make_store_id(connection: &Connection) -> Result<StoreId, StoreError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|e| StoreError::Io(e.to_string()))?;
    let sql = "INSERT INTO meta (key, value) VALUES ('store_id', ?1)
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    connection.execute(sql, [&id[..]]).map_err(from_sqlite)?;
    Ok(StoreId(id))
}

/// Where an append must find its document: the row to move, if there is one.
fn expected(append: &Append, found: Option<DocumentRow>) -> Result<Option<DocumentRow>, StoreError> {
    let pack = &append.pack;
    let begins = pack.first == LogSeq(1) && append.digest_before == digest_start(append.incarnation);
    if pack.count == 0 {
        let head = found.map_or(LogSeq(0), |row| row.record.head);
        return Err(StoreError::HeadMoved { head });
    }
    let Some(row) = found else {
        return if begins { Ok(None) } else { Err(StoreError::HeadMoved { head: LogSeq(0) }) };
    };
    let record = &row.record;
    let fits = match record.incarnation {
        Some(incarnation) => {
            incarnation == append.incarnation
                && pack.first == record.head.plus(1)
                && append.digest_before == record.digest
        }
        None => begins && !record.deleted.contains(&append.incarnation),
    };
    if fits { Ok(Some(row)) } else { Err(StoreError::HeadMoved { head: record.head }) }
}

fn append(connection: &Connection, append: &Append, now: i64) -> Result<(), StoreError> {
    let pack = &append.pack;
    if let Some(id) = row::advance(connection, append)? {
        return insert_pack(connection, id, append.incarnation, pack, now);
    }
    // A new document, or one whose row says why it does not move.
    let id = match expected(append, row::find(connection, &append.document)?)? {
        Some(row) => {
            let sql = "UPDATE document SET incarnation = ?2, head = ?3, digest = ?4 WHERE id = ?1";
            let mut statement = connection.prepare_cached(sql).map_err(from_sqlite)?;
            let values = params![row.id, append.incarnation.0, pack.last().0 as i64, pack.digest.0];
            statement.execute(values).map_err(from_sqlite)?;
            row.id
        }
        None => {
            let record = DocumentRecord {
                incarnation: Some(append.incarnation),
                head: pack.last(),
                digest: pack.digest,
                deleted: Vec::new(),
            };
            insert_document(connection, &append.document, &record)?
        }
    };
    insert_pack(connection, id, append.incarnation, pack, now)
}

/// Writes a pack's row.
pub(super) fn insert_pack(
    connection: &Connection,
    document: i64,
    incarnation: Incarnation,
    pack: &StoredPack,
    now: i64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO pack (document, first, count, format, digest, checksum, received_at, bytes, outside)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let mut statement = connection.prepare_cached(sql).map_err(from_sqlite)?;
    let (check, first) = (row::checksum(incarnation, pack), pack.first.0 as i64);
    let outside = pack.outside.as_deref();
    let values = params![document, first, pack.count, ROW_FORMAT, pack.digest.0, check, now, &pack.bytes[..], outside];
    statement.execute(values).map(|_| ()).map_err(from_sqlite)
}

fn insert_document(connection: &Connection, name: &DocumentName, record: &DocumentRecord) -> Result<i64, StoreError> {
    let sql = "INSERT INTO document (name, format, incarnation, head, digest, deleted) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut statement = connection.prepare_cached(sql).map_err(from_sqlite)?;
    let incarnation = record.incarnation.map(|i| i.0);
    let values = params![
        name.as_str(),
        ROW_FORMAT,
        incarnation,
        record.head.0 as i64,
        record.digest.0,
        row::tombstones(&record.deleted)
    ];
    statement.insert(values).map_err(from_sqlite)
}
