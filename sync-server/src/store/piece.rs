//! Pieces of document snapshots in the database: written whole, read one by one.
//!
//! A piece that makes no sense ends what is read: whoever asks for it goes on with the log. What is in a piece is none of its business.

use flate2::Crc;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sync_core::id::{Digest, DocumentName, Incarnation, LogSeq};
use sync_core::limits::{PIECE_BYTES, PIECES_MAX};
use sync_core::storage::{DocumentSnapshot, Pieces, SnapshotAt, StoreError};

use super::error::from_sqlite;
use super::row::{self, ROW_FORMAT};

/// Keeps a snapshot within a transaction, or says why not and must be rolled back.
pub(super) fn keep(connection: &Connection, snapshot: &DocumentSnapshot) -> Result<(), StoreError> {
    let moved = |head| StoreError::HeadMoved { head };
    let found = row::find(connection, &snapshot.document)?.ok_or(moved(LogSeq(0)))?;
    let total = snapshot.pieces.len();
    let small = snapshot.pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= PIECE_BYTES);
    let cut = (snapshot.views as usize) < total && total <= PIECES_MAX as usize && small;
    let live = found.record.incarnation == Some(snapshot.incarnation);
    if !cut || !live || !ends(connection, found.id, snapshot)? {
        return Err(moved(found.record.head));
    }
    forget(connection, found.id)?;
    let sql = "INSERT INTO piece (document, number, format, seq, digest, views, total, checksum, bytes)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let mut insert = connection.prepare_cached(sql).map_err(from_sqlite)?;
    let at = at(snapshot);
    for (number, bytes) in (0..).zip(&snapshot.pieces) {
        let (seq, check) = (at.seq.0 as i64, checksum(&at, number, bytes));
        let values = params![found.id, number, ROW_FORMAT, seq, at.digest.0, at.views, at.total, check, &bytes[..]];
        insert.execute(values).map_err(from_sqlite)?;
    }
    let back = read(connection, found.id, snapshot.incarnation, 0, usize::MAX)?;
    let same = back.at == Some(at) && back.pieces.iter().map(|(_, bytes)| bytes).eq(&snapshot.pieces);
    if same { Ok(()) } else { Err(StoreError::Io("the snapshot does not read back".into())) }
}

/// Removes a document's snapshot.
pub(super) fn forget(connection: &Connection, document: i64) -> Result<(), StoreError> {
    let sql = "DELETE FROM piece WHERE document = ?1";
    let mut delete = connection.prepare_cached(sql).map_err(from_sqlite)?;
    delete.execute([document]).map(|_| ()).map_err(from_sqlite)
}

/// As [`sync_core::storage::Store::pieces`].
pub(super) fn load(
    connection: &Connection,
    name: &DocumentName,
    from: u32,
    bytes_max: usize,
) -> Result<Pieces, StoreError> {
    // One transaction, so that the pieces belong to the document's live incarnation.
    let _state = row::one_state(connection)?;
    let found = row::find(connection, name)?;
    let live = found.and_then(|row| row.record.incarnation.map(|incarnation| (row.id, incarnation)));
    let Some((id, incarnation)) = live else { return Ok(Pieces::default()) };
    read(connection, id, incarnation, from, bytes_max)
}

/// The position of a document's snapshot, whether or not the rest of it makes sense.
pub(super) fn position(connection: &Connection, document: i64) -> Result<Option<LogSeq>, StoreError> {
    let sql = "SELECT seq FROM piece WHERE document = ?1 AND number = 0";
    let seq: Option<i64> = connection.query_row(sql, [document], |row| row.get(0)).optional().map_err(from_sqlite)?;
    Ok(seq.and_then(|seq| u64::try_from(seq).ok()).map(LogSeq))
}

fn read(
    connection: &Connection,
    document: i64,
    incarnation: Incarnation,
    from: u32,
    bytes_max: usize,
) -> Result<Pieces, StoreError> {
    let sql = "SELECT number, seq, digest, views, total, checksum, bytes FROM piece
               WHERE document = ?1 AND number >= ?2 AND format = ?3 ORDER BY number";
    let mut statement = connection.prepare_cached(sql).map_err(from_sqlite)?;
    let mut rows = statement.query(params![document, from, ROW_FORMAT]).map_err(from_sqlite)?;
    let (mut out, mut bytes) = (Pieces::default(), 0);
    while let Some(row) = rows.next().map_err(from_sqlite)? {
        let expected = from + out.pieces.len() as u32;
        let Some((at, piece)) = piece(row, incarnation, expected) else { break };
        bytes += piece.len();
        if out.at.is_some_and(|before| before != at) || (bytes > bytes_max && !out.pieces.is_empty()) {
            break;
        }
        out.at = Some(at);
        out.pieces.push((expected, piece));
    }
    Ok(out)
}

/// A piece with this number, if the row is one that makes sense.
fn piece(row: &Row<'_>, incarnation: Incarnation, expected: u32) -> Option<(SnapshotAt, bytes::Bytes)> {
    let number = |column| row.get::<_, i64>(column).ok().and_then(|n| u32::try_from(n).ok());
    let seq = LogSeq(u64::try_from(row.get::<_, i64>(1).ok()?).ok()?);
    let digest = Digest::from_slice(&row.get::<_, Vec<u8>>(2).ok()?)?;
    let at = SnapshotAt { incarnation, seq, digest, views: number(3)?, total: number(4)? };
    let bytes: Vec<u8> = row.get(6).ok()?;
    let whole = number(0)? == expected && number(5)? == checksum(&at, expected, &bytes);
    (whole && at.views < at.total && expected < at.total).then(|| (at, bytes.into()))
}

fn at(snapshot: &DocumentSnapshot) -> SnapshotAt {
    let DocumentSnapshot { incarnation, seq, digest, views, .. } = *snapshot;
    SnapshotAt { incarnation, seq, digest, views, total: snapshot.pieces.len() as u32 }
}

/// A flipped bit anywhere in a row, or a row that belongs elsewhere.
fn checksum(at: &SnapshotAt, number: u32, bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(&at.incarnation.0);
    crc.update(&at.seq.0.to_be_bytes());
    crc.update(&at.digest.0);
    [at.views, at.total, number].iter().for_each(|n| crc.update(&n.to_be_bytes()));
    crc.update(bytes);
    crc.sum()
}

/// Whether a stored pack ends where the snapshot stands, with its digest.
fn ends(connection: &Connection, document: i64, snapshot: &DocumentSnapshot) -> Result<bool, StoreError> {
    let sql = "SELECT first + count - 1, digest FROM pack
               WHERE document = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1";
    let seq = snapshot.seq.0 as i64;
    let found = connection.query_row(sql, params![document, seq], |row| Ok((row.get(0)?, row.get(1)?))).optional();
    let found: Option<(i64, Vec<u8>)> = found.map_err(from_sqlite)?;
    Ok(found == Some((seq, snapshot.digest.0.to_vec())))
}
