//! The database's format: what marks it as ours, its migrations, and what happens to older and newer ones.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction};
use rusqlite_migration::{M, Migrations};
use sync_core::storage::StoreError;

use super::error::from_sqlite;
use super::sums;

/// `RjCl` in SQLite's header, so that `file` and a server's folder tell a client's store apart.
const APPLICATION_ID: i32 = 0x526a_436c;

/// Format n is reached by the first n steps; `user_version` counts them. A step that was released never changes.
pub(super) fn migrations() -> Vec<M<'static>> {
    vec![M::up(TABLES), M::up_with_hook(CHECKSUMS, |transaction: &Transaction<'_>| Ok(sums::add_to_all(transaction)?))]
}

const TABLES: &str = "PRAGMA application_id = 0x526a436c;
     CREATE TABLE meta     (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID, STRICT;
     CREATE TABLE document (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID, STRICT;
     CREATE TABLE chunk    (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID, STRICT;
     CREATE TABLE outbox   (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID, STRICT;";

const CHECKSUMS: &str = "ALTER TABLE meta     ADD COLUMN crc INTEGER NOT NULL DEFAULT -1;
     ALTER TABLE document ADD COLUMN crc INTEGER NOT NULL DEFAULT -1;
     ALTER TABLE chunk    ADD COLUMN crc INTEGER NOT NULL DEFAULT -1;
     ALTER TABLE outbox   ADD COLUMN crc INTEGER NOT NULL DEFAULT -1;
     CREATE TABLE total (name TEXT PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, sum INTEGER NOT NULL) WITHOUT ROWID, STRICT;";

/// Brings an open database to the format of `migrations`, or refuses it without touching it.
pub(super) fn prepare(connection: &mut Connection, path: &Path, migrations: &[M<'_>]) -> Result<(), StoreError> {
    let known = migrations.len() as u32;
    let found = check(connection, known)?;
    // WAL so that readers by hand don't block us; FULL so that a commit has reached the disk when it returns.
    connection.pragma_update(None, "journal_mode", "WAL").map_err(from_sqlite)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(from_sqlite)?;
    connection.pragma_update(None, "foreign_keys", "OFF").map_err(from_sqlite)?;
    if found > 0 && found < known {
        connection.backup("main", copy_path(path, found), None).map_err(from_sqlite)?;
    }
    Migrations::from_slice(migrations).to_latest(connection).map_err(|e| match e {
        rusqlite_migration::Error::RusqliteError { err, .. } => from_sqlite(err),
        other => StoreError::Corrupt(other.to_string()),
    })
}

/// The format found, 0 for an empty database.
fn check(connection: &Connection, known: u32) -> Result<u32, StoreError> {
    let pragma =
        |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(from_sqlite);
    let (application, found) = (pragma("application_id")?, pragma("user_version")?);
    let tables: u32 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(from_sqlite)?;
    if application != APPLICATION_ID && (application != 0 || found != 0 || tables != 0) {
        return Err(StoreError::Corrupt("the file is a database, but no client store".into()));
    }
    let found = u32::try_from(found).map_err(|_| StoreError::Corrupt("the format number is negative".into()))?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    Ok(found)
}

/// Where the copy made before an upgrade from format `found` goes.
pub(super) fn copy_path(path: &Path, found: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("-format{found}"));
    name.into()
}
