//! One document on this device: its value, what of it is in the log, what is not, and where in the log it stands.
//!
//! Every method that changes something gives the writes that make it durable, in one transaction. Knows nothing of connections.

use crate::change::Change;
use crate::clock::VectorClock;
use crate::conflict::ConflictIndex;
use crate::document::{Document, EditFailure};
use crate::few::FewMap;
use crate::id::{ActorId, AuthorName, BatchId, ChangeHash, Cursor, DocumentName, LogSeq};
use crate::limits::{ChangeLimits, PackLimits};
use crate::op_index::OpIndex;
use crate::pack::{self, PackContext};
use crate::planted::Planting;
use crate::protocol::{Acked, Blob, RejectCode};
use crate::replica::allowed::{self, Writer};
use crate::replica::kept::{Found, History};
use crate::replica::refused;
use crate::replica::rows::{self, ActorBytes, DocumentRow, OutboxRow, RangeRow, RejectedRow, TabActorRow};
use crate::replica::tabs::{OwnActors, TabId};
use crate::storage::{Row, StoreError, Table, Write};
use crate::table::ChangeTable;
use crate::validator::{self, Refusal};

/// Chunk rows of a document, beyond the full ones, before they are written together when it is opened.
pub(super) const CHUNKS_MAX: usize = 64;

/// Above the number of any chunk that a device comes to write.
const CHUNK_NUMBER_MAX: u64 = 1 << 53;

/// A change that is not known to be in the log.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) change: Change,
    pub(super) saved: bool,
    pub(super) sent: Option<BatchId>,
}

/// A change that the server will not have. It is no part of the value.
#[derive(Clone, Debug)]
pub(super) struct Rejected {
    pub(super) change: Change,
    pub(super) code: RejectCode,
    pub(super) reason: String,
}

/// What a method did.
#[derive(Debug, Default)]
pub(super) struct Delta {
    /// To be committed in one transaction.
    pub(super) writes: Vec<Write>,
    /// Changes of the outbox that are safe once the writes are committed.
    pub(super) enqueued: Vec<ChangeHash>,
    /// The value may have changed.
    pub(super) changed: bool,
    /// Changes received, which are held once the writes are committed.
    pub(super) received: Vec<ChangeHash>,
    /// More has happened than that changes have come.
    pub(super) rebuilt: bool,
    /// Changes that were written again: the old hash, and the new one if anything of it survived.
    pub(super) replaced: Vec<(ChangeHash, Option<ChangeHash>)>,
}

/// Why this device's copy can't go on as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum LocalError {
    /// What the server sent does not fit what is held. Open again with the clock.
    #[error("what was received does not fit: {0}")]
    Mismatch(String),
    /// The copy in memory is damaged: load it again from the store.
    #[error("the copy in memory is damaged: {0}")]
    Damaged(String),
}

/// One document on this device.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) name: DocumentName,
    pub(super) document: Document,
    /// Who edits here.
    pub(super) actor: ActorId,
    /// Whose edits these are to be, as changes name their authors.
    pub(super) author: Option<AuthorName>,
    /// Actors that write here and that nobody has been told of.
    pub(super) untold: Vec<ActorId>,
    tab: TabId,
    /// Actors that are this document's own and go into its row.
    own_actors: OwnActors,
    /// What is known to be in the log.
    pub(super) acked: ChangeTable,
    /// All that makes the value: `acked` and `outbox`.
    pub(super) all: ChangeTable,
    pub(super) index: OpIndex,
    /// Where work may be hidden, since somebody asked for it.
    pub(super) conflicts: Option<Box<ConflictIndex>>,
    pub(super) refused: refused::Found,
    pub(super) outbox: Vec<Pending>,
    /// What changes of the outbox were written again from, first one first.
    pub(super) was: FewMap<ChangeHash, Vec<ChangeHash>>,
    pub(super) rejected: Vec<Rejected>,
    /// Those of them that the store does not show as rejected yet.
    pub(super) blocked: Vec<Change>,
    pub(super) cursor: Option<Cursor>,
    /// In a tab that follows: up to where the leader says that what is held here is all of the log.
    pub(super) position: Option<LogSeq>,
    /// Actors by their number in the log.
    pub(super) actors: Vec<ActorId>,
    /// Acknowledged ranges beyond the cursor, in log order.
    pub(super) ranges: Vec<(LogSeq, Vec<ChangeHash>)>,
    pub(super) highest: Option<Acked>,
    next_chunk: u64,
    /// How often it has become another document than tabs had read.
    pub(super) rebuilds: u64,
    /// What is received waits until it is asked for.
    pub(super) holds: bool,
    pub(super) planted: Planting,
}

/// How packs from the server are read: actor numbers of the log, hashes of what is known to be in it.
pub(super) struct LogContext<'a> {
    actors: &'a [ActorId],
    acked: &'a ChangeTable,
}

impl PackContext for LogContext<'_> {
    fn actor(&self, number: u32) -> Option<&ActorId> {
        self.actors.get(number as usize)
    }
    fn number(&self, actor: &ActorId) -> Option<u32> {
        self.actors.iter().position(|a| a == actor).map(|n| n as u32)
    }
    fn hash(&self, actor: &ActorId, seq: u32) -> Option<ChangeHash> {
        self.acked.hash(actor, seq)
    }
    fn locate(&self, hash: &ChangeHash) -> Option<(ActorId, u32)> {
        self.acked.locate(hash)
    }
}

impl Local {
    /// A document of which this device holds nothing.
    pub(super) fn new(name: DocumentName, tab: TabId, actor: ActorId) -> Self {
        Self {
            name,
            document: Document::new(),
            actor,
            author: None,
            untold: Vec::new(),
            tab,
            own_actors: OwnActors::new(),
            acked: ChangeTable::new(),
            all: ChangeTable::new(),
            index: OpIndex::new(),
            conflicts: None,
            refused: Vec::new(),
            outbox: Vec::new(),
            was: FewMap::new(),
            rejected: Vec::new(),
            blocked: Vec::new(),
            cursor: None,
            position: None,
            actors: Vec::new(),
            ranges: Vec::new(),
            highest: None,
            next_chunk: 0,
            rebuilds: 0,
            holds: false,
            planted: Planting::default(),
        }
    }

    /// Loads what the local store has: rows of the document, its chunks and its outbox, each in key order. Where there are many chunks,
    /// gives the writes that make few of them.
    pub(super) fn load(
        name: DocumentName,
        tab: TabId,
        actor: ActorId,
        tables: &[Vec<Row>],
    ) -> Result<(Self, Vec<Write>), StoreError> {
        let [document, chunks, outbox] = tables else {
            return Err(StoreError::Corrupt("three tables were asked for".into()));
        };
        // What a newer version wrote may be what the rows beside it stand on: that comes before anything that they seem to lack.
        for (_, value) in tables.iter().flatten() {
            rows::body(value)?;
        }
        let mut local = Self::new(name, tab, actor);
        if let Some((_, value)) = document.first() {
            local.load_row(rows::parse(value)?);
        }
        let mut delta = Delta { writes: local.load_chunks(chunks)?, ..Delta::default() };
        let mut changes = Vec::new();
        local.load_outbox(outbox, &mut changes, &mut delta)?;
        local.document.apply(changes).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        Ok((local, delta.writes))
    }

    /// Loads what is known to be in the log: the saved document, if there is one, and packs behind it.
    fn load_chunks(&mut self, chunks: &[Row]) -> Result<Vec<Write>, StoreError> {
        let (mut found, mut packs) = (Found::default(), Vec::new());
        for row in chunks {
            if !found.add(row)? {
                packs.push(row.clone());
            }
            self.count_chunk(&row.0)?;
        }
        if let Some(History { document, table, index }) = found.open()? {
            (self.acked, self.all, self.index, self.document) = (table.clone(), table, index, document);
        }
        let mut changes = Vec::new();
        for (_, value) in &packs {
            let chunk: Blob = rows::parse(value)?;
            let limits = PackLimits::stored();
            let unpacked =
                pack::decode(&chunk.0, &self.acked, &limits).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            for change in &unpacked.changes {
                self.acked.insert(change).map_err(|e| StoreError::Corrupt(e.to_string()))?;
                self.admit(change, &ChangeLimits::stored()).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            }
            changes.extend(unpacked.changes);
        }
        self.document.apply(changes.clone()).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        self.gather(&packs, &changes).map_err(|e| StoreError::Corrupt(e.to_string()))
    }

    /// Sees to it that the chunks to come stand behind the one of this key.
    fn count_chunk(&mut self, key: &[u8]) -> Result<(), StoreError> {
        match rows::number(key) {
            Some(number) if number < CHUNK_NUMBER_MAX => self.next_chunk = number + 1,
            Some(number) => return Err(StoreError::Corrupt(format!("no device has written chunk {number}"))),
            None => {}
        }
        Ok(())
    }

    /// The key of a new chunk.
    pub(super) fn chunk_key(&mut self) -> Vec<u8> {
        let number = self.next_chunk;
        self.next_chunk += 1;
        rows::numbered(&self.name, number)
    }

    /// Takes over from another copy of the same document what is not its history.
    pub(super) fn take_over(&mut self, other: &Self) {
        self.author = other.author.clone();
        self.own_actors = other.own_actors.clone();
        self.outbox = other.outbox.clone();
        self.was = other.was.clone();
        self.rejected = other.rejected.clone();
        self.ranges = other.ranges.clone();
        self.highest = other.highest;
        self.next_chunk = other.next_chunk;
        self.rebuilds = other.rebuilds;
        self.planted = other.planted;
    }

    /// Whose copy this is.
    pub(super) fn tab(&self) -> TabId {
        self.tab
    }

    fn load_row(&mut self, row: DocumentRow) {
        let others = row.tab_actors.into_iter().flatten().map(|other| (TabId(other.tab), other.actor.0));
        self.own_actors = row.actor.into_iter().map(|actor| (TabId::FIRST, actor.0)).chain(others).collect();
        if let Some(actor) = self.own_actors.get(&self.tab) {
            self.actor = actor.clone();
        }
        self.cursor = row.cursor;
        self.actors = row.actors.into_iter().map(|a| a.0).collect();
        self.ranges = row.ranges.into_iter().map(|r| (r.first, r.hashes.into_iter().map(|h| h.0).collect())).collect();
        self.highest = row.acked;
        self.rebuilds = row.rebuilds.unwrap_or(0);
    }

    /// Numbered rows were written before the others; they are written again under the names of their changes.
    fn load_outbox(&mut self, outbox: &[Row], changes: &mut Vec<Change>, delta: &mut Delta) -> Result<(), StoreError> {
        let mut was = Vec::new();
        let (numbered, named): (Vec<_>, Vec<_>) = outbox.iter().partition(|(_, value)| rows::is_numbered(value));
        for (key, value) in numbered.iter().chain(&named) {
            let row: OutboxRow = rows::parse(value)?;
            let change = Change::parse(&row.change.0, &ChangeLimits::stored())
                .map_err(|e| StoreError::Corrupt(e.to_string()))?;
            if rows::is_numbered(value) {
                delta.writes.push(Write::Delete { table: Table::Outbox, key: key.clone() });
                delta.writes.push(rows::put_outbox(&self.name, &change, row.rejected.clone()));
            } else if *key != rows::outbox_key(&self.name, &change) {
                return Err(StoreError::Corrupt(format!("change {} stands under the key of another", change.hash())));
            }
            match row.rejected {
                Some(RejectedRow { code, reason }) => self.rejected.push(Rejected { change, code, reason }),
                // It came from a log that was deleted before the tab that had received it could write it.
                None if row.log.is_some_and(|log| self.cursor.is_some_and(|cursor| cursor.incarnation != log)) => {
                    delta.writes.push(rows::delete_outbox(&self.name, &change))
                }
                // Two tabs have created the same root key.
                None if self.acked.contains(&change.hash()) => {
                    delta.writes.push(rows::delete_outbox(&self.name, &change))
                }
                // It was numbered as well.
                None if self.all.contains(&change.hash()) => {}
                None => match self.admit(&change, &ChangeLimits::stored()) {
                    Ok(()) => {
                        changes.push(change.clone());
                        was.extend(row.was.map(|was| (change.hash(), was.into_iter().map(|hash| hash.0).collect())));
                        self.outbox.push(Pending { change, saved: true, sent: None });
                    }
                    // A tab wrote it on top of what another one has let go.
                    Err(e) => {
                        self.blocked.push(change.clone());
                        self.keep_rejected(change, RejectCode::Blocked, e.to_string(), delta);
                    }
                },
            }
        }
        self.was = was.into_iter().collect();
        Ok(())
    }

    /// What every change of the outbox that was written again was before, as pairs of old and new.
    pub(super) fn written_again(&self) -> Vec<(ChangeHash, Option<ChangeHash>)> {
        self.was.iter().flat_map(|(new, was)| was.iter().map(|old| (*old, Some(*new)))).collect()
    }

    /// The texts in which there has been a mark.
    pub(super) fn marked(&self) -> Vec<automerge::ObjId> {
        let named = |maker: crate::op_index::OpId| {
            Some(automerge::ObjId::Id(maker.counter.into(), self.all.actor(maker.actor)?.clone(), 0))
        };
        self.index.marked().into_iter().filter_map(named).collect()
    }

    /// Takes a change into the tables through the validator.
    pub(super) fn admit(&mut self, change: &Change, limits: &ChangeLimits) -> Result<(), Refusal> {
        let Some(conflicts) = &mut self.conflicts else {
            validator::admit(change, &self.all, &mut self.index, limits)?;
            self.all.insert(change)?;
            return Ok(());
        };
        let operations = validator::admit_and_keep(change, &self.all, &mut self.index, limits)?;
        self.all.insert(change)?;
        conflicts.admit_decoded(change, &operations, &self.all, &self.index);
        Ok(())
    }

    /// Edits the document. Gives the change, if anything was edited, validated and in the outbox.
    pub(super) fn edit(
        &mut self,
        writer: Writer,
        time: i64,
        limits: &ChangeLimits,
        edit: super::edit::Edit<'_>,
    ) -> Result<(Option<ChangeHash>, Delta), super::EditError> {
        let hand = self.hand();
        self.document.sign(self.author.as_ref());
        let (_, change) = self.document.edit(&hand, time, |tx| edit(tx)).map_err(|failure| match failure {
            EditFailure::Application(e) => super::EditError::Application(e),
            EditFailure::Lost => super::EditError::Damaged(failure.to_string()),
        })?;
        let Some(change) = change else { return Ok((None, Delta::default())) };
        let (hash, delta) = self.take_edit(writer, hand, change, limits)?;
        Ok((Some(hash), delta))
    }

    fn take_edit(
        &mut self,
        writer: Writer,
        hand: ActorId,
        change: Change,
        limits: &ChangeLimits,
    ) -> Result<(ChangeHash, Delta), super::EditError> {
        let misplaced = match writer {
            Writer::Application => allowed::refusal(self.document.automerge(), &change),
            Writer::Engine => None,
        };
        let refused = |refusal: Refusal| super::EditError::Refused(refusal.to_string());
        if let Some(error) = misplaced.or_else(|| self.admit(&change, limits).err().map(refused)) {
            self.forget_last_edit().map_err(|e| super::EditError::Damaged(e.to_string()))?;
            return Err(error);
        }
        if change.seq() == 1 && hand != self.actor {
            self.untold.push(hand);
        }
        let (hash, mut delta) = (change.hash(), Delta { changed: true, ..Delta::default() });
        self.enqueue(change, &mut delta);
        Ok((hash, delta))
    }

    /// Rebuilds the document without the last edit, which was refused.
    fn forget_last_edit(&mut self) -> Result<(), LocalError> {
        let all = self.document.changes().map_err(|e| LocalError::Damaged(e.to_string()))?;
        let kept = all.into_iter().filter(|c| self.all.contains(&c.hash())).collect();
        self.document = Document::from_changes(kept).map_err(|e| LocalError::Damaged(e.to_string()))?;
        Ok(())
    }

    /// Adds a change that was not made by an edit here: an init change.
    pub(super) fn add(&mut self, change: Change, limits: &ChangeLimits) -> Result<Delta, LocalError> {
        let mut delta = Delta { changed: true, ..Delta::default() };
        self.admit(&change, limits).map_err(|e| LocalError::Mismatch(e.to_string()))?;
        self.document.apply(vec![change.clone()]).map_err(|e| LocalError::Damaged(e.to_string()))?;
        self.enqueue(change, &mut delta);
        Ok(delta)
    }

    /// Puts a change, which is in the tables already, at the end of the outbox.
    pub(super) fn enqueue(&mut self, change: Change, delta: &mut Delta) {
        delta.writes.push(rows::put_pending(&self.name, &change, self.was.get(&change.hash())));
        delta.enqueued.push(change.hash());
        self.outbox.push(Pending { change, saved: false, sent: None });
    }

    /// Writes under a fresh actor from now on.
    pub(super) fn take_actor(&mut self, fresh: &ActorId) {
        self.actor = fresh.clone();
        self.untold.push(fresh.clone());
        self.own_actors.insert(self.tab, fresh.clone());
    }

    /// Goes on under the number of another tab, until it is read again, and writes under none of the actors that it has had.
    pub(super) fn goes_on_as(&mut self, tab: TabId, fresh: &ActorId) {
        (self.tab, self.actor) = (tab, fresh.clone());
        self.untold.push(fresh.clone());
    }

    /// Who edits this document on this device, in whichever tab.
    pub(super) fn own_actors(&self) -> impl Iterator<Item = &ActorId> {
        self.own_actors.values()
    }

    /// Whether an author is one of this device, as far as it knows its own.
    pub(super) fn is_own(&self, actor: &ActorId) -> bool {
        *actor == self.actor || self.own_actors().any(|own| own == actor)
    }

    /// Changes not yet committed to the local store. They are the last ones of the outbox.
    pub(super) fn unsaved(&self) -> usize {
        self.outbox.iter().rev().take_while(|pending| !pending.saved).count()
    }

    /// Whether a change is part of the value and not known to be in the log.
    pub(super) fn waits(&self, hash: &ChangeHash) -> bool {
        self.all.contains(hash) && !self.acked.contains(hash)
    }

    /// The clock of what is known to be in the log.
    pub(super) fn acked_clock(&self) -> VectorClock {
        self.acked.clock()
    }

    /// How packs from the server are read.
    pub(super) fn log_context(&self) -> LogContext<'_> {
        LogContext { actors: &self.actors, acked: &self.acked }
    }

    /// The write that makes the position durable.
    pub(super) fn row_write(&self) -> Write {
        let others: Vec<_> = self
            .own_actors
            .iter()
            .filter(|(tab, _)| **tab != TabId::FIRST)
            .map(|(tab, actor)| TabActorRow { tab: tab.0, actor: ActorBytes(actor.clone()) })
            .collect();
        let row = DocumentRow {
            actor: self.own_actors.get(&TabId::FIRST).cloned().map(ActorBytes),
            tab_actors: (!others.is_empty()).then_some(others),
            cursor: self.cursor,
            actors: self.actors.iter().cloned().map(ActorBytes).collect(),
            ranges: self
                .ranges
                .iter()
                .map(|(first, hashes)| RangeRow {
                    first: *first,
                    hashes: hashes.iter().map(|h| crate::protocol::Hash(*h)).collect(),
                })
                .collect(),
            acked: self.highest,
            rebuilds: Some(self.rebuilds).filter(|count| *count > 0),
        };
        rows::put(Table::Document, rows::prefix(&self.name), &row)
    }

    /// The write that keeps changes known to be in the log. Their deps are in `acked` or among them.
    pub(super) fn chunk_write(&mut self, changes: &[Change]) -> Result<Option<Write>, LocalError> {
        if changes.is_empty() {
            return Ok(None);
        }
        let bytes = pack::encode(changes, 0, &self.acked).map_err(|e| LocalError::Damaged(e.to_string()))?;
        Ok(Some(rows::put(Table::Chunk, self.chunk_key(), &Blob(bytes))))
    }
}

#[cfg(test)]
mod tests;
