//! Replacing packs by others of the same range, in one transaction.
//!
//! The packs that are written are read back before those that they replace are deleted. What a pack holds is none of its business.

use rusqlite::{Connection, OptionalExtension as _, params};
use sync_core::storage::{Compaction, StoreError, StoredPack};

use super::error::from_sqlite;
use super::row::{self, ROW_FORMAT};
use super::sqlite::insert_pack;

/// Does a compaction within a transaction, or says why not and must be rolled back.
pub(super) fn replace(connection: &Connection, compaction: &Compaction, now: i64) -> Result<(), StoreError> {
    let Compaction { document, incarnation, packs, snapshot } = compaction;
    let moved = |head| StoreError::HeadMoved { head };
    let Some(found) = row::find(connection, document)? else { return Err(moved(sync_core::id::LogSeq(0))) };
    let head = found.record.head;
    let follow = packs.windows(2).all(|pair| pair[1].first == pair[0].last().plus(1));
    let alone = packs.iter().all(|pack| pack.count > 0 && pack.outside.is_some());
    let ends = packs.first().zip(packs.last());
    let Some((first, last)) = ends.filter(|_| follow && alone && found.record.incarnation == Some(*incarnation)) else {
        return Err(moved(head));
    };
    if !is_boundary(connection, found.id, first, last)? {
        return Err(moved(head));
    }
    let sql = "DELETE FROM pack WHERE document = ?1 AND first >= ?2 AND first <= ?3";
    let mut delete = connection.prepare_cached(sql).map_err(from_sqlite)?;
    delete.execute(params![found.id, first.first.0 as i64, last.last().0 as i64]).map_err(from_sqlite)?;
    for pack in packs {
        insert_pack(connection, found.id, *incarnation, pack, now)?;
        let back = row::packs(connection, found.id, *incarnation, sync_core::id::LogSeq(pack.first.0 - 1), 0)?;
        if back.first() != Some(pack) {
            return Err(StoreError::Io(format!("the pack at {} does not read back", pack.first)));
        }
    }
    if let Some(snapshot) = snapshot {
        let sql = "INSERT OR REPLACE INTO snapshot (document, format, seq, digest, checksum, bytes)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let check = row::snapshot_checksum(*incarnation, snapshot);
        let (seq, bytes) = (snapshot.seq.0 as i64, &snapshot.bytes[..]);
        let values = params![found.id, ROW_FORMAT, seq, snapshot.digest.0, check, bytes];
        connection.execute(sql, values).map_err(from_sqlite)?;
    }
    Ok(())
}

/// Whether a stored pack begins where the first does, and one ends where the last does, with its digest.
fn is_boundary(
    connection: &Connection,
    document: i64,
    first: &StoredPack,
    last: &StoredPack,
) -> Result<bool, StoreError> {
    let begins = "SELECT 1 FROM pack WHERE document = ?1 AND first = ?2";
    let begins = connection.query_row(begins, params![document, first.first.0 as i64], |_| Ok(())).optional();
    let ends = "SELECT first + count - 1, digest FROM pack
                WHERE document = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1";
    let end = last.last().0 as i64;
    let ends = connection.query_row(ends, params![document, end], |row| Ok((row.get(0)?, row.get(1)?))).optional();
    let ends: Option<(i64, Vec<u8>)> = ends.map_err(from_sqlite)?;
    Ok(begins.map_err(from_sqlite)?.is_some() && ends == Some((end, last.digest.0.to_vec())))
}
