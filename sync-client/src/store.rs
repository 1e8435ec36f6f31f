//! The local store on disk: one SQLite database in a folder of its own, held by one process at a time.
//!
//! Owns the file layout, durability and the mapping of SQLite's errors. Owns no format: keys and values belong to the replica.
//!
//! ```text
//! DIR/lock              held with an advisory lock while the store is open
//! DIR/client.db         four tables of keys and values with their checksums, WAL, synchronous=FULL
//! DIR/client.db-format1 the copy made before an upgrade from format 1, if there was one
//! ```

mod error;
mod schema;
mod sums;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use sync_core::storage::{LocalStore, Row, StoreError, Table, Write};
use wal_audit::Commits;

use error::{from_io, from_sqlite};
use sums::Totals;

/// The database's name in the store's folder.
const DATABASE_FILE: &str = "client.db";
/// The lock's name in the store's folder.
const LOCK_FILE: &str = "lock";
/// SQLite's own lock is only ever contended by somebody who looks at the file by hand; wait for them this long.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// A [`LocalStore`] in an SQLite database. Commits are durable: they survive the machine.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    path: PathBuf,
    /// Held until the store is dropped, by when the connection is closed: fields drop in order.
    _lock: Lock,
}

impl SqliteStore {
    /// Opens the store in folder `dir`, making both if need be.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another store is open there, in this process or another; [`StoreError::Newer`] if a newer version wrote
    /// it; [`StoreError::Corrupt`] if the file is no such store, or damaged so that what was saved would be missing; else what the disk says.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, &schema::migrations())
    }

    fn open_with(dir: &Path, migrations: &[rusqlite_migration::M<'_>]) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(from_io)?;
        let lock = lock(dir)?;
        let path = dir.join(DATABASE_FILE);
        // What was reported as saved must not go missing without a word: SQLite opens an older state when a bit of its log has flipped.
        if let Some(damage) = wal_audit::audit(&path, Commits::Synced).map_err(from_io)? {
            return Err(StoreError::Corrupt(damage.to_string()));
        }
        let mut connection = Connection::open(&path).map_err(from_sqlite)?;
        connection.busy_timeout(BUSY_WAIT).map_err(from_sqlite)?;
        schema::prepare(&mut connection, &path, migrations)?;
        sums::audit(&connection)?;
        // The database's name must survive a crash as its contents do. SQLite syncs the folder for its own journals only.
        #[cfg(unix)]
        File::open(dir).and_then(|d| d.sync_all()).map_err(from_io)?;
        Ok(Self { connection, path, _lock: lock })
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the database grow to about `bytes_max` and no further; a commit beyond fails with [`StoreError::Full`]. A bound below
    /// the present size stops growth at once and removes nothing.
    pub fn set_bytes_max(&mut self, bytes_max: u64) -> Result<(), StoreError> {
        let page_bytes: u32 =
            self.connection.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(from_sqlite)?;
        let pages = (bytes_max / u64::from(page_bytes)).clamp(1, u64::from(u32::MAX) - 1);
        // The pragma answers with the bound in force, so it is a query.
        self.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).map_err(from_sqlite)
    }
}

/// The lock of a folder. Closing the file alone would leave it to any process that is just being started, which has the file open as well
/// until it runs its program.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing does it too, if later.
        let _ = self.0.unlock();
    }
}

fn lock(dir: &Path) -> Result<Lock, StoreError> {
    let file = File::options().create(true).truncate(false).write(true).open(dir.join(LOCK_FILE)).map_err(from_io)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked),
        Err(TryLockError::Error(e)) => Err(from_io(e)),
    }
}

impl LocalStore for SqliteStore {
    fn read(&mut self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        let name = table.name();
        let read = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map(params, |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
            rows.collect::<Result<Vec<(Row, i64)>, _>>()
        };
        let rows = match prefix_end(prefix) {
            Some(end) => read(
                &format!("SELECT key, value, crc FROM {name} WHERE key >= ?1 AND key < ?2 ORDER BY key"),
                &[&prefix, &end],
            ),
            None => read(&format!("SELECT key, value, crc FROM {name} WHERE key >= ?1 ORDER BY key"), &[&prefix]),
        }
        .map_err(from_sqlite)?;
        let checked = |((key, value), crc): (Row, i64)| {
            sums::check(table, &key, &value, crc)?;
            Ok((key, value))
        };
        rows.into_iter().map(checked).collect()
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        let transaction = self.connection.transaction().map_err(from_sqlite)?;
        let mut totals = Totals::default();
        for write in writes {
            apply(&transaction, write, &mut totals).map_err(from_sqlite)?;
        }
        totals.write(&transaction)?;
        transaction.commit().map_err(from_sqlite)
    }
}

fn apply(connection: &Connection, write: &Write, totals: &mut Totals) -> rusqlite::Result<()> {
    // The checksums of the rows that such a statement takes away.
    let taken = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
        let mut statement = connection.prepare_cached(sql)?;
        statement.query_map(params, |row| row.get::<_, i64>(0))?.collect::<rusqlite::Result<Vec<_>>>()
    };
    let (table, taken) = match write {
        Write::Put { table, key, value } => {
            let name = table.name();
            let crc = sums::of_row(*table, key, value);
            let old = taken(&format!("SELECT crc FROM {name} WHERE key = ?1"), &[key])?;
            let sql = format!(
                "INSERT INTO {name} (key, value, crc) VALUES (?1, ?2, ?3)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value, crc = excluded.crc"
            );
            connection.prepare_cached(&sql)?.execute((key, value, crc))?;
            totals.add(*table, crc);
            (table, old)
        }
        Write::Delete { table, key } => {
            (table, taken(&format!("DELETE FROM {} WHERE key = ?1 RETURNING crc", table.name()), &[key])?)
        }
        Write::DeletePrefix { table, prefix } => {
            let sql = format!("DELETE FROM {} WHERE key >= ?1", table.name());
            let gone = match prefix_end(prefix) {
                Some(end) => taken(&format!("{sql} AND key < ?2 RETURNING crc"), &[prefix, &end])?,
                None => taken(&format!("{sql} RETURNING crc"), &[prefix])?,
            };
            (table, gone)
        }
    };
    taken.into_iter().for_each(|crc| totals.remove(*table, crc));
    Ok(())
}

/// The first key beyond all that begin with `prefix`; `None` if there is none.
fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|b| *b != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests;
