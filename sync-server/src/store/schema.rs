//! The database's format: what marks it as ours, its migrations, and what happens to older and newer ones.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _};
use rusqlite_migration::{M, Migrations};
use sync_core::id::StoreId;
use sync_core::storage::StoreError;

use super::error::from_sqlite;

/// `RjSv` in SQLite's header, so that `file` and a client's folder tell a server's store apart.
const APPLICATION_ID: i32 = 0x526a_5376;

/// Format n is reached by the first n steps; `user_version` counts them. A step that was released never changes.
///
/// Packs are in a table with a rowid, so that rows are appended to its end however many documents take turns; the index finds a
/// document's range. Compaction puts few large packs in the place of many, with the hashes that they need from `outside` to be read alone,
/// and a snapshot, of which a document has one at most. What newcomers get in place of a long log is in pieces, each of which says of which whole
/// it is. `received_at` is in milliseconds since 1970.
pub(super) const MIGRATIONS: &[M<'static>] = &[V1, V2, V3];

const V1: M<'static> = M::up(
    "PRAGMA application_id = 0x526a5376;
     CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID, STRICT;
     CREATE TABLE document (
         id          INTEGER PRIMARY KEY,
         name        TEXT NOT NULL UNIQUE,
         format      INTEGER NOT NULL,
         incarnation BLOB,
         head        INTEGER NOT NULL,
         digest      BLOB NOT NULL,
         deleted     BLOB NOT NULL
     ) STRICT;
     CREATE TABLE pack (
         document    INTEGER NOT NULL,
         first       INTEGER NOT NULL,
         count       INTEGER NOT NULL,
         format      INTEGER NOT NULL,
         digest      BLOB NOT NULL,
         checksum    INTEGER NOT NULL,
         received_at INTEGER NOT NULL,
         principal   TEXT,
         bytes       BLOB NOT NULL
     ) STRICT;
     CREATE UNIQUE INDEX pack_range ON pack (document, first);",
);

const V2: M<'static> = M::up(
    "ALTER TABLE pack ADD COLUMN outside BLOB;
     CREATE TABLE snapshot (
         document INTEGER PRIMARY KEY,
         format   INTEGER NOT NULL,
         seq      INTEGER NOT NULL,
         digest   BLOB NOT NULL,
         checksum INTEGER NOT NULL,
         bytes    BLOB NOT NULL
     ) STRICT;",
);

const V3: M<'static> = M::up(
    "CREATE TABLE piece (
         document INTEGER NOT NULL,
         number   INTEGER NOT NULL,
         format   INTEGER NOT NULL,
         seq      INTEGER NOT NULL,
         digest   BLOB NOT NULL,
         views    INTEGER NOT NULL,
         total    INTEGER NOT NULL,
         checksum INTEGER NOT NULL,
         bytes    BLOB NOT NULL
     ) STRICT;
     CREATE UNIQUE INDEX piece_number ON piece (document, number);",
);

/// Brings an open database to the format of `migrations`, or refuses it without touching it.
pub(super) fn prepare(connection: &mut Connection, path: &Path, migrations: &[M<'_>]) -> Result<(), StoreError> {
    let known = migrations.len() as u32;
    let found = check(connection, known)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(from_sqlite)?;
    if found > 0 && found < known {
        let copy = copy_path(path, found);
        copy_aside(connection, &copy)?;
        tracing::info!(found, known, copy = %copy.display(), "upgrading a store of an older format, which was copied aside");
    }
    Migrations::from_slice(migrations).to_latest(connection).map_err(|e| match e {
        rusqlite_migration::Error::RusqliteError { err, .. } => from_sqlite(err),
        other => StoreError::Corrupt(other.to_string()),
    })
}

/// The format found, 0 for an empty database.
pub(super) fn check(connection: &Connection, known: u32) -> Result<u32, StoreError> {
    let pragma =
        |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(from_sqlite);
    let (application, found) = (pragma("application_id")?, pragma("user_version")?);
    let tables: u32 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(from_sqlite)?;
    if application != APPLICATION_ID && (application != 0 || found != 0 || tables != 0) {
        return Err(StoreError::Corrupt("the file is a database, but no server store".into()));
    }
    let found = u32::try_from(found).map_err(|_| StoreError::Corrupt("the format number is negative".into()))?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    Ok(found)
}

/// Sees that every document is found by its name. Packs are checked whenever they are read; a document that is not found would be taken for new.
/// Reads the table of documents and its index, not their packs.
pub(super) fn check_documents(connection: &Connection) -> Result<(), StoreError> {
    let sql = "PRAGMA integrity_check(document)";
    let found: String = connection.query_row(sql, [], |row| row.get(0)).map_err(from_sqlite)?;
    if found == "ok" { Ok(()) } else { Err(StoreError::Corrupt(format!("the table of documents: {found}"))) }
}

/// Copies the database as it is. A copy that is there already, of an upgrade that was cut short, is replaced whole or not at all.
fn copy_aside(connection: &Connection, copy: &Path) -> Result<(), StoreError> {
    let mut partial = copy.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    if partial.exists() {
        std::fs::remove_file(&partial).map_err(super::from_io)?;
    }
    connection.backup("main", &partial, None).map_err(from_sqlite)?;
    std::fs::File::open(&partial).and_then(|f| f.sync_all()).map_err(super::from_io)?;
    std::fs::rename(&partial, copy).map_err(super::from_io)
}

/// Where the copy made before an upgrade from format `found` goes.
pub(super) fn copy_path(path: &Path, found: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("-backup-v{found}"));
    name.into()
}

/// In `meta` as long as a store is being restored.
pub(super) const RESTORING: &str = "restoring";

/// Refuses a store of which only a part is there.
pub(super) fn check_finished(connection: &Connection) -> Result<(), StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM meta WHERE key = ?1)";
    let unfinished: bool = connection.query_row(sql, [RESTORING], |row| row.get(0)).map_err(from_sqlite)?;
    let what = "an import into it is under way or did not come to its end: where none runs remove the folder, and import again";
    if unfinished { Err(StoreError::Corrupt(what.into())) } else { Ok(()) }
}

/// The store's identity, if it has one yet.
pub(super) fn store_id(connection: &Connection) -> Result<Option<StoreId>, StoreError> {
    let id = connection
        .query_row("SELECT value FROM meta WHERE key = 'store_id'", [], |row| row.get::<_, Vec<u8>>(0))
        .optional()
        .map_err(from_sqlite)?;
    match id {
        None => Ok(None),
        Some(bytes) => StoreId::from_slice(&bytes)
            .map(Some)
            .ok_or_else(|| StoreError::Corrupt("the store's identity has another length".into())),
    }
}
