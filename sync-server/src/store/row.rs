//! Rows of the database in the engine's words. A row that makes no sense is an error of its document alone.

use bytes::Bytes;
use flate2::Crc;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use sync_core::id::{Digest, DocumentName, Incarnation, LogSeq};
use sync_core::storage::{Append, DocumentRecord, Loaded, StoreError, StoredPack, StoredSnapshot};

use super::error::from_sqlite;

/// The format written to each row. Readers refuse rows of a higher one.
pub const ROW_FORMAT: u8 = 1;

/// A document's row.
#[derive(Clone, Debug)]
pub(super) struct DocumentRow {
    pub(super) id: i64,
    pub(super) record: DocumentRecord,
}

/// The columns of a document's row in the order that [`document`] reads them.
pub(super) const DOCUMENT_COLUMNS: &str = "id, format, incarnation, head, digest, deleted";

fn corrupt(what: impl Into<String>) -> StoreError {
    StoreError::Corrupt(what.into())
}

/// Reads a document's row, whose first columns are [`DOCUMENT_COLUMNS`].
pub(super) fn document(row: &Row<'_>) -> Result<DocumentRow, StoreError> {
    check_format(row.get(1).map_err(from_sqlite)?, "document")?;
    let incarnation: Option<Vec<u8>> = row.get(2).map_err(from_sqlite)?;
    let head: i64 = row.get(3).map_err(from_sqlite)?;
    let digest: Vec<u8> = row.get(4).map_err(from_sqlite)?;
    let deleted: Vec<u8> = row.get(5).map_err(from_sqlite)?;
    let incarnation = match incarnation {
        None => None,
        Some(bytes) => {
            Some(Incarnation::from_slice(&bytes).ok_or_else(|| corrupt("the incarnation has another length"))?)
        }
    };
    if !deleted.len().is_multiple_of(8) {
        return Err(corrupt("the tombstones have another length"));
    }
    let record = DocumentRecord {
        incarnation,
        head: LogSeq(u64::try_from(head).map_err(|_| corrupt("the head is negative"))?),
        digest: Digest::from_slice(&digest).ok_or_else(|| corrupt("the head's digest has another length"))?,
        deleted: deleted.chunks_exact(8).filter_map(Incarnation::from_slice).collect(),
    };
    Ok(DocumentRow { id: row.get(0).map_err(from_sqlite)?, record })
}

/// Finds a document's row by name.
pub(super) fn find(connection: &Connection, name: &DocumentName) -> Result<Option<DocumentRow>, StoreError> {
    let sql = format!("SELECT {DOCUMENT_COLUMNS} FROM document WHERE name = ?1");
    let mut statement = connection.prepare_cached(&sql).map_err(from_sqlite)?;
    statement.query_row([name.as_str()], |row| Ok(document(row))).optional().map_err(from_sqlite)?.transpose()
}

/// Moves a document's head over a pack in one statement, if its row is in order and stands just where the append must find it. Gives its id.
pub(super) fn advance(connection: &Connection, append: &Append) -> Result<Option<i64>, StoreError> {
    let pack = &append.pack;
    let Some(before) = pack.first.0.checked_sub(1).filter(|_| pack.count > 0) else { return Ok(None) };
    let sql = "UPDATE document SET head = ?5, digest = ?6
               WHERE name = ?1 AND format = ?2 AND incarnation = ?3 AND head = ?4 AND digest = ?7 AND length(deleted) % 8 = 0
               RETURNING id";
    let mut statement = connection.prepare_cached(sql).map_err(from_sqlite)?;
    let (name, head) = (append.document.as_str(), pack.last().0 as i64);
    let values =
        params![name, ROW_FORMAT, append.incarnation.0, before as i64, head, pack.digest.0, append.digest_before.0];
    statement.query_row(values, |row| row.get(0)).optional().map_err(from_sqlite)
}

/// Tombstones as they are stored: 8 bytes each, oldest first.
pub(super) fn tombstones(deleted: &[Incarnation]) -> Vec<u8> {
    deleted.iter().flat_map(|i| i.0).collect()
}

/// What is checked at every read: a flipped bit anywhere in a row, or a row that belongs elsewhere.
pub(super) fn checksum(incarnation: Incarnation, pack: &StoredPack) -> u32 {
    let mut crc = Crc::new();
    crc.update(&incarnation.0);
    crc.update(&pack.first.0.to_be_bytes());
    crc.update(&pack.count.to_be_bytes());
    crc.update(&pack.digest.0);
    crc.update(&pack.bytes);
    crc.update(pack.outside.as_deref().unwrap_or_default());
    crc.sum()
}

/// As [`checksum`], of a snapshot.
pub(super) fn snapshot_checksum(incarnation: Incarnation, snapshot: &StoredSnapshot) -> u32 {
    let mut crc = Crc::new();
    crc.update(&incarnation.0);
    crc.update(&snapshot.seq.0.to_be_bytes());
    crc.update(&snapshot.digest.0);
    crc.update(&snapshot.bytes);
    crc.sum()
}

fn check_format(found: i64, what: &str) -> Result<(), StoreError> {
    if found == i64::from(ROW_FORMAT) {
        return Ok(());
    }
    Err(corrupt(format!("a {what} row has format {found}, known is {ROW_FORMAT}")))
}

fn pack(row: &Row<'_>, incarnation: Incarnation) -> Result<StoredPack, StoreError> {
    let first: i64 = row.get(0).map_err(from_sqlite)?;
    let at = |what: &str| corrupt(format!("the pack at {first}: {what}"));
    let number = |column| row.get::<_, i64>(column).map_err(|_| at("a number is none"));
    check_format(number(2)?, "pack")?;
    let digest: Vec<u8> = row.get(3).map_err(|_| at("the digest is no bytes"))?;
    let bytes: Vec<u8> = row.get(5).map_err(|_| at("the pack is no bytes"))?;
    let outside: Option<Vec<u8>> = row.get(6).map_err(|_| at("the hashes from outside are no bytes"))?;
    let pack = StoredPack {
        first: LogSeq(u64::try_from(first).map_err(|_| at("the position is negative"))?),
        count: u32::try_from(number(1)?).ok().filter(|c| *c > 0).ok_or_else(|| at("the count is out of range"))?,
        digest: Digest::from_slice(&digest).ok_or_else(|| at("the digest has another length"))?,
        bytes: Bytes::from(bytes),
        outside: outside.map(Bytes::from),
    };
    if number(4)? != i64::from(checksum(incarnation, &pack)) {
        return Err(at("the checksum differs"));
    }
    Ok(pack)
}

/// As long as it lives what is read belongs together, while the writer goes on. `None` where the reader holds one state anyway.
pub(super) fn one_state(connection: &Connection) -> Result<Option<Transaction<'_>>, StoreError> {
    connection.is_autocommit().then(|| connection.unchecked_transaction()).transpose().map_err(from_sqlite)
}

/// A document's record and packs, read from one state of the database.
pub(super) fn load(
    connection: &Connection,
    name: &DocumentName,
    after: LogSeq,
    bytes_max: usize,
) -> Result<Loaded, StoreError> {
    let _state = one_state(connection)?;
    let Some(DocumentRow { id, record }) = find(connection, name)? else {
        return Ok(Loaded::default());
    };
    let packs = range(connection, id, &record, after, bytes_max)?;
    Ok(Loaded { record: Some(record), snapshot: None, packs })
}

/// As [`load`], from the snapshot on.
pub(super) fn open(connection: &Connection, name: &DocumentName, bytes_max: usize) -> Result<Loaded, StoreError> {
    let _state = one_state(connection)?;
    let Some(DocumentRow { id, record }) = find(connection, name)? else {
        return Ok(Loaded::default());
    };
    let found = record.incarnation.map(|incarnation| snapshot(connection, id, incarnation)).transpose()?.flatten();
    // One beyond the log is of no use; nor is one that is damaged: the packs hold everything.
    let snapshot = found.filter(|snapshot| snapshot.seq <= record.head);
    let packs = range(connection, id, &record, snapshot.as_ref().map_or(LogSeq(0), |s| s.seq), bytes_max)?;
    Ok(Loaded { record: Some(record), snapshot, packs })
}

fn range(
    connection: &Connection,
    document: i64,
    record: &DocumentRecord,
    after: LogSeq,
    bytes_max: usize,
) -> Result<Vec<StoredPack>, StoreError> {
    let Some(incarnation) = record.incarnation else { return Ok(Vec::new()) };
    let packs = packs(connection, document, incarnation, after, bytes_max)?;
    check_range(record, after, &packs)?;
    Ok(packs)
}

/// A document's snapshot, if there is one that makes sense.
pub(super) fn snapshot(
    connection: &Connection,
    document: i64,
    incarnation: Incarnation,
) -> Result<Option<StoredSnapshot>, StoreError> {
    let sql = "SELECT seq, digest, checksum, bytes FROM snapshot WHERE document = ?1 AND format = ?2";
    let mut statement = connection.prepare_cached(sql).map_err(from_sqlite)?;
    let read = |row: &Row<'_>| {
        let (seq, digest): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let (checksum, bytes): (i64, Vec<u8>) = (row.get(2)?, row.get(3)?);
        Ok((seq, digest, checksum, bytes))
    };
    let found = statement.query_row(params![document, ROW_FORMAT], read).optional().map_err(from_sqlite)?;
    let snapshot = found.and_then(|(seq, digest, checksum, bytes)| {
        let (seq, digest) = (LogSeq(u64::try_from(seq).ok()?), Digest::from_slice(&digest)?);
        let snapshot = StoredSnapshot { seq, digest, bytes: bytes.into() };
        (checksum == i64::from(snapshot_checksum(incarnation, &snapshot))).then_some(snapshot)
    });
    Ok(snapshot)
}

pub(super) fn packs(
    connection: &Connection,
    document: i64,
    incarnation: Incarnation,
    after: LogSeq,
    bytes_max: usize,
) -> Result<Vec<StoredPack>, StoreError> {
    // Packs don't overlap: the one that holds `after + 1` is the last that begins no later.
    let mut statement = connection
        .prepare_cached(
            "SELECT first, count, format, digest, checksum, bytes, outside FROM pack
             WHERE document = ?1 AND first >= coalesce(
                 (SELECT max(first) FROM pack WHERE document = ?1 AND first <= ?2), 0)
             ORDER BY first",
        )
        .map_err(from_sqlite)?;
    let next = i64::try_from(after.0.saturating_add(1)).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![document, next]).map_err(from_sqlite)?;
    let (mut out, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next().map_err(from_sqlite)? {
        let pack = pack(row, incarnation)?;
        if pack.last() <= after {
            continue;
        }
        bytes += pack.bytes.len();
        if bytes > bytes_max && !out.is_empty() {
            break;
        }
        out.push(pack);
    }
    Ok(out)
}

/// The packs must begin where they were asked for, follow each other, and not end before the head unless cut off by size.
fn check_range(record: &DocumentRecord, after: LogSeq, packs: &[StoredPack]) -> Result<(), StoreError> {
    let Some(first) = packs.first() else {
        if after < record.head {
            return Err(corrupt(format!("no pack holds {}, the head is {}", after.plus(1), record.head)));
        }
        return Ok(());
    };
    if first.first > after.plus(1) {
        return Err(corrupt(format!("no pack holds {}, the next begins at {}", after.plus(1), first.first)));
    }
    if let Some(pair) = packs.windows(2).find(|p| p[1].first != p[0].last().plus(1)) {
        return Err(corrupt(format!("a pack ends at {}, the next begins at {}", pair[0].last(), pair[1].first)));
    }
    let last = packs.last().expect("there is a first");
    if last.last() > record.head {
        return Err(corrupt(format!("the packs reach {}, the head is {}", last.last(), record.head)));
    }
    if last.last() == record.head && last.digest != record.digest {
        return Err(corrupt("the head's digest is not its pack's"));
    }
    Ok(())
}

/// Live documents after a name. Rows that make no sense are left out here; loading one says why, and `verify` names it.
pub(super) fn documents(
    connection: &Connection,
    after: Option<&DocumentName>,
    count_max: usize,
) -> Result<Vec<(DocumentName, DocumentRecord)>, StoreError> {
    let sql = format!(
        "SELECT {DOCUMENT_COLUMNS}, name FROM document
         WHERE name > ?1 AND incarnation IS NOT NULL ORDER BY name LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql).map_err(from_sqlite)?;
    let limit = i64::try_from(count_max).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![after.map_or("", |n| n.as_str()), limit]).map_err(from_sqlite)?;
    let mut out = Vec::new();
    while let Some(row) = rows.next().map_err(from_sqlite)? {
        let name = row.get::<_, String>(6).ok().and_then(|n| DocumentName::parse(&n).ok());
        if let (Some(name), Ok(found)) = (name, document(row)) {
            out.push((name, found.record));
        }
    }
    Ok(out)
}
