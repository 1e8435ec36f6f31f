//! A document's history on this device as one saved document in place of many packs: taking one from the server, keeping it in rows,
//! loading it, and making one of what has gathered.
//!
//! The rows stand among the chunks, before all packs. What can't be used of them but can be made again, the op index, is made again.

use crate::change::Change;
use crate::document::Document;
use crate::id::{ActorId, Digest, Incarnation, LogSeq};
use crate::limits::{ChangeLimits, PIECE_BYTES};
use crate::op_index::OpIndex;
use crate::planted::Planted;
use crate::replica::local::{Delta, Local, LocalError};
use crate::replica::rows::{self, PieceOf};
use crate::saved::{Saved, SavedError};
use crate::storage::{Row, StoreError, Table, Write};
use crate::table::ChangeTable;
use crate::validator;

/// Changes in packs, at least, before they become a saved document as the document is opened: so many are as quick to read as packs.
const PACKED_MAX: usize = 4_096;

/// What a saved document and its index make.
pub(super) struct History {
    pub(super) document: Document,
    pub(super) table: ChangeTable,
    pub(super) index: OpIndex,
}

/// The pieces found among the rows of chunks.
#[derive(Debug, Default)]
pub(super) struct Found {
    saved: Vec<u8>,
    index: Vec<u8>,
}

impl Found {
    /// Takes a row, if it is one of these.
    pub(super) fn add(&mut self, row: &Row) -> Result<bool, StoreError> {
        let Some(piece) = rows::piece(&row.1)? else { return Ok(false) };
        match piece.0 {
            PieceOf::Saved => self.saved.extend_from_slice(&piece.1),
            PieceOf::Index => self.index.extend_from_slice(&piece.1),
        }
        Ok(true)
    }

    /// What they make; `None` if there are none.
    pub(super) fn open(&self) -> Result<Option<History>, StoreError> {
        if self.saved.is_empty() {
            return Ok(None);
        }
        let corrupt = |e: &dyn std::fmt::Display| StoreError::Corrupt(format!("the saved document: {e}"));
        let saved = Saved::decode(&self.saved).map_err(|e| corrupt(&e))?;
        let (document, table) = saved.open().map_err(|e| corrupt(&e))?;
        let index = OpIndex::from_bytes(&self.index, table.actor_count()).ok();
        let fits = |index: &OpIndex| {
            (0..).zip(table.entries()).all(|(number, (_, entry))| index.past().seq(number) == entry.seq)
        };
        match index.filter(fits) {
            Some(index) => Ok(Some(History { document, table, index })),
            None => History::of(document).map(Some).map_err(|e| corrupt(&e)),
        }
    }
}

impl History {
    /// Everything that is to be known of a document's changes, found out from the changes.
    fn of(document: Document) -> Result<Self, LocalError> {
        let damaged = |e: &dyn std::fmt::Display| LocalError::Damaged(e.to_string());
        let (mut table, mut index, limits) = (ChangeTable::new(), OpIndex::new(), ChangeLimits::stored());
        for change in document.changes().map_err(|e| damaged(&e))? {
            validator::admit(&change, &table, &mut index, &limits).map_err(|e| damaged(&e))?;
            table.insert(&change).map_err(|e| damaged(&e))?;
        }
        Ok(Self { document, table, index })
    }
}

impl Local {
    /// Takes a saved document for the beginning of the log, of which nothing is held yet. What was written here stays on top of it. On an
    /// error nothing has happened.
    pub(super) fn take_saved(
        &mut self,
        saved: &Saved,
        fresh_actor: &ActorId,
        shared: bool,
    ) -> Result<Delta, LocalError> {
        let unfit = |e: &dyn std::fmt::Display| LocalError::Mismatch(e.to_string());
        let any = self.planted.has(Planted::SnapshotOfOtherLog);
        let begins = self.cursor.filter(|c| c.seq.0 == 0 && (any || c.incarnation == saved.incarnation));
        let begins = begins.ok_or_else(|| LocalError::Mismatch("the snapshot is of another log".into()))?;
        let (document, in_log_order) = saved.open().map_err(|e| unfit(&e))?;
        let History { document, table, index } = History::of(document)?;
        let mine = self.changes_beside(&table)?;
        let mut taken = Self::new(self.name.clone(), self.tab(), self.actor.clone());
        (taken.acked, taken.all, taken.index, taken.document) = (table.clone(), table, index, document);
        taken.take_over(self);
        taken.actors = in_log_order.entries().map(|(actor, _)| actor.clone()).collect();
        let mut delta = Delta { changed: true, rebuilt: true, ..Delta::default() };
        if shared {
            delta.received = in_log_order.hashes().collect();
        }
        delta.writes.push(Write::DeletePrefix { table: Table::Chunk, prefix: rows::prefix(&self.name) });
        let renumbered = Saved { order: taken.acked.sorted_places(), ..saved.clone() };
        taken.put_pieces(&renumbered, &mut delta);
        taken.put_beside(&mine, &mut delta).map_err(|e| unfit(&e))?;
        taken.cursor = Some(crate::id::Cursor { seq: saved.seq, digest: saved.digest, ..begins });
        taken.absorb_ranges();
        let hand = self.hand();
        if in_log_order.seq(&hand) > self.all.seq(&hand) {
            // Somebody else writes as we do: our store was lost, or copied.
            taken.take_actor(fresh_actor);
        }
        delta.writes.push(taken.row_write());
        *self = taken;
        Ok(delta)
    }

    /// What is held and known to be in the log, beside what a table holds, in causal order.
    fn changes_beside(&self, table: &ChangeTable) -> Result<Vec<Change>, LocalError> {
        let all = self.document.changes().map_err(|e| LocalError::Damaged(e.to_string()))?;
        Ok(all.into_iter().filter(|c| self.acked.contains(&c.hash()) && !table.contains(&c.hash())).collect())
    }

    /// What was acknowledged goes into a chunk again, what waits stays in the outbox, unless the snapshot has it.
    fn put_beside(&mut self, mine: &[Change], delta: &mut Delta) -> Result<(), LocalError> {
        let unfit = |e: &dyn std::fmt::Display| LocalError::Mismatch(e.to_string());
        let limits = ChangeLimits::stored();
        for change in mine {
            self.admit(change, &limits).map_err(|e| unfit(&e))?;
            self.acked.insert(change).map_err(|e| unfit(&e))?;
        }
        delta.writes.extend(self.chunk_write(mine)?);
        let mut changes = mine.to_vec();
        let outbox = std::mem::take(&mut self.outbox);
        for pending in outbox {
            let dropped = self.planted.has(Planted::SnapshotDropsOutbox);
            if self.acked.contains(&pending.change.hash()) || dropped {
                delta.writes.push(rows::delete_outbox(&self.name, &pending.change));
                continue;
            }
            self.admit(&pending.change, &limits).map_err(|e| unfit(&e))?;
            changes.push(pending.change.clone());
            self.outbox.push(pending);
        }
        self.document.apply(changes).map_err(|e| unfit(&e))
    }

    /// The rows that hold a saved document, and the op index beside it.
    fn put_pieces(&mut self, saved: &Saved, delta: &mut Delta) {
        let index = self.index.to_bytes();
        for (of, bytes) in [(PieceOf::Saved, saved.encode()), (PieceOf::Index, index)] {
            for piece in bytes.chunks(PIECE_BYTES) {
                let key = self.chunk_key();
                delta.writes.push(rows::put_piece(key, of, piece));
            }
        }
    }

    /// Writes what is in packs, or all of it, together where there is much of it. `document` holds what the chunks do, and nothing else.
    pub(super) fn gather(&mut self, packs: &[Row], packed: &[Change]) -> Result<Vec<Write>, LocalError> {
        let saved_count = self.acked.len() - packed.len();
        let mut delta = Delta::default();
        if packed.len() >= PACKED_MAX.max(saved_count / 2) {
            // A document that does not load again stays in packs.
            if let Ok(saved) = self.saved() {
                delta.writes.push(Write::DeletePrefix { table: Table::Chunk, prefix: rows::prefix(&self.name) });
                self.put_pieces(&saved, &mut delta);
                return Ok(delta.writes);
            }
        }
        if packs.len() > super::local::CHUNKS_MAX + packed.len() / super::position::CHUNK_CHANGES_MAX {
            let delete = |(key, _): &Row| Write::Delete { table: Table::Chunk, key: key.clone() };
            delta.writes.extend(packs.iter().map(delete));
            for part in packed.chunks(super::position::CHUNK_CHANGES_MAX) {
                delta.writes.extend(self.chunk_write(part)?);
            }
        }
        Ok(delta.writes)
    }

    /// The document as it is, proven to load again.
    fn saved(&self) -> Result<Saved, SavedError> {
        let incarnation = self.cursor.map_or(Incarnation([0; 8]), |cursor| cursor.incarnation);
        // Of a copy of one's own only the number of changes counts.
        let seq = LogSeq(self.acked.len() as u64);
        let saved = Saved::of(&self.document, &self.acked, incarnation, seq, Digest([0; 8]))?;
        saved.open()?;
        Ok(saved)
    }
}
