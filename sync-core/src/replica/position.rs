//! Where a document stands in the log: receiving ranges, filling in what was acknowledged, reconciling, starting over.

use std::collections::{BTreeMap, BTreeSet};

use crate::change::Change;
use crate::clock::{ClockEntry, VectorClock};
use crate::document::Document;
use crate::id::{ActorId, ChangeHash, Cursor, Digest, Incarnation, LogSeq, StoreId};
use crate::limits::ChangeLimits;
use crate::log::{digest_next, digest_start};
use crate::op_index::OpIndex;
use crate::planted::Planted;
use crate::protocol::{Acked, RejectCode, SparseEnd};
use crate::replica::local::{Delta, Local, LocalError, Pending, Rejected};
use crate::replica::rows::{self, RejectedRow};
use crate::storage::{Table, Write};
use crate::table::ChangeTable;

/// A range of the log, unpacked.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) first: LogSeq,
    /// What stands there, in log order.
    pub(super) hashes: Vec<ChangeHash>,
    pub(super) changes: Vec<Change>,
    pub(super) base: u32,
    pub(super) new_actors: Vec<ActorId>,
    pub(super) sparse: Option<SparseEnd>,
}

impl Local {
    /// How far the log is held without a hole, and which changes make the document.
    pub(super) fn held(&self) -> (Option<LogSeq>, VectorClock) {
        let over = self.highest.filter(|_| self.planted.has(Planted::HoldsOverHoles)).map(|highest| highest.seq);
        let position = self.position.or(self.cursor.map(|cursor| cursor.seq)).max(over);
        let without = self.planted.has(Planted::HoldsWithoutOutbox);
        (position, if without { self.acked.clock() } else { self.all.clock() })
    }

    /// Begins at the start of a log of which nothing is held.
    pub(super) fn start(&mut self, store_id: StoreId, incarnation: Incarnation) {
        self.cursor = Some(Cursor { store_id, incarnation, seq: LogSeq(0), digest: digest_start(incarnation) });
        self.actors.clear();
        self.ranges.clear();
        self.highest = None;
    }

    /// Takes a range of the log that begins at or before the position after the cursor.
    pub(super) fn receive(&mut self, range: Range, fresh_actor: &ActorId) -> Result<Delta, LocalError> {
        let Some(cursor) = self.cursor else { return Err(LocalError::Mismatch("nothing is opened".into())) };
        if range.first.0 > cursor.seq.0 + 1 {
            return Err(LocalError::Mismatch(format!("{} does not follow {}", range.first, cursor.seq)));
        }
        let mut delta = Delta::default();
        let fresh = self.sort_out(&range.changes, fresh_actor, &mut delta)?;
        for change in &fresh {
            // The server has validated it; a refusal here means that the two differ, and nothing may be built on that.
            let limits = ChangeLimits::stored();
            self.admit(change, &limits).map_err(|e| LocalError::Damaged(format!("change {}: {e}", change.hash())))?;
        }
        if !fresh.is_empty() {
            delta.changed = true;
            delta.received.extend(fresh.iter().map(Change::hash));
            self.apply(fresh)?;
        }
        let newly: Vec<_> = range.changes.into_iter().filter(|c| !self.acked.contains(&c.hash())).collect();
        self.acknowledge(&newly, &mut delta)?;
        let end = range.sparse.map_or(range.first.0 + range.hashes.len() as u64, |sparse| sparse.last.0 + 1);
        // A range that the cursor has passed, by acknowledgements that came before it, says nothing of the actors behind it.
        if end > cursor.seq.0 + 1 {
            self.actors.truncate(range.base as usize);
            self.actors.extend(range.new_actors);
        }
        match range.sparse {
            Some(end) => self.move_cursor(end.last, end.digest),
            None => self.walk(range.first, &range.hashes),
        }
        self.absorb_ranges();
        delta.writes.push(self.row_write());
        Ok(delta)
    }

    /// Of a received range, what is new here. Local branches that lose to it are written again before.
    fn sort_out(
        &mut self,
        changes: &[Change],
        fresh_actor: &ActorId,
        delta: &mut Delta,
    ) -> Result<Vec<Change>, LocalError> {
        let mut losers = BTreeSet::new();
        let (mut doubt, hand) = (false, self.hand());
        for change in changes.iter().filter(|c| !self.all.contains(&c.hash())) {
            losers.extend(self.all.hash(change.actor(), change.seq()));
            doubt |= *change.actor() == hand;
        }
        if !losers.is_empty() {
            self.reissue(&losers, &BTreeSet::new(), fresh_actor, delta)?;
        } else if doubt {
            // Somebody else writes as we do: our store was rolled back, or copied.
            self.take_actor(fresh_actor);
        }
        Ok(changes.iter().filter(|c| !self.all.contains(&c.hash())).cloned().collect())
    }

    /// Applies changes that are in the tables already, or keeps them for [`Local::apply_waiting`].
    fn apply(&mut self, changes: Vec<Change>) -> Result<(), LocalError> {
        let lost = self.holds && self.planted.has(Planted::WaitingLost);
        self.document.hold(if lost { Vec::new() } else { changes });
        if self.holds && self.document.waiting() <= WAITING_CHANGES_MAX { Ok(()) } else { self.apply_waiting() }
    }

    /// Applies what waits; where automerge gives up, rebuilds the document with it.
    pub(super) fn apply_waiting(&mut self) -> Result<(), LocalError> {
        if self.document.waiting() == 0 {
            return Ok(());
        }
        let before = self.document.clone();
        if self.document.apply(Vec::new()).is_ok() {
            return Ok(());
        }
        let damaged = |e: crate::document::DocumentError| LocalError::Damaged(e.to_string());
        self.document = Document::from_changes(before.changes().map_err(damaged)?).map_err(damaged)?;
        Ok(())
    }

    /// Takes in what another tab has written to the store, or received. Gives whether all of it fits. In the tab that leads, what does
    /// not fit was written on top of what was let go here, and is kept as rejected.
    pub(super) fn absorb(
        &mut self,
        changes: Vec<Change>,
        leads: bool,
        fresh_actor: &ActorId,
    ) -> Result<(Delta, bool), LocalError> {
        let (mut delta, mut fresh, mut fits) = (Delta::default(), Vec::new(), true);
        let rejected: BTreeSet<_> = self.rejected.iter().map(|r| r.change.hash()).collect();
        let changes = changes.into_iter().filter(|c| !rejected.contains(&c.hash()));
        for change in changes {
            if self.all.contains(&change.hash()) {
                continue;
            }
            match self.admit(&change, &ChangeLimits::stored()) {
                Ok(()) => fresh.push(change),
                Err(e) if leads => {
                    self.keep_rejected(change, RejectCode::Blocked, e.to_string(), &mut delta);
                    delta.rebuilt = true;
                }
                Err(_) => fits = false,
            }
        }
        let hand = self.hand();
        if fresh.iter().any(|change| *change.actor() == hand) {
            self.take_actor(fresh_actor);
        }
        if !fresh.is_empty() {
            delta.changed = true;
            self.apply(fresh.clone())?;
        }
        // What is unsaved stands at the end, and nobody else can have written on top of it.
        let at = self.outbox.len() - self.unsaved();
        let pending = |change| Pending { change, saved: true, sent: None };
        self.outbox.splice(at..at, fresh.into_iter().map(pending));
        if leads && self.has_forks() {
            self.part_forks(fresh_actor, &mut delta)?;
        }
        Ok((delta, fits))
    }

    /// Takes what a log is known to have out of the outbox. The store is left to the tab that leads. Of an actor whose last change in the log is
    /// not held, or is another one here, nothing is taken: after its store went back it may have written others under the same numbers.
    pub(super) fn take_acked(&mut self, log: &VectorClock) {
        let (all, acked) = (&self.all, &mut self.acked);
        let has = |change: &Change| {
            let entry = log.entry(change.actor()).filter(|entry| entry.seq >= change.seq());
            entry.is_some_and(|entry| all.has(change.actor(), entry))
        };
        self.outbox.retain(|p| !has(&p.change) || acked.insert(&p.change).is_err());
    }

    /// All held changes above these seqs of their actors, in causal order, but for some and what stands on them.
    pub(super) fn changes_after(
        &self,
        after: &BTreeMap<ActorId, u32>,
        but: &BTreeSet<ChangeHash>,
    ) -> Result<Vec<Change>, LocalError> {
        let common = after.iter().filter_map(|(actor, seq)| self.all.hash(actor, (*seq).min(self.all.seq(actor))));
        let missing = self.document.changes_since(common).map_err(|e| LocalError::Damaged(e.to_string()))?;
        let lacks = |c: &Change| after.get(c.actor()).is_none_or(|seq| *seq < c.seq()) && !but.contains(&c.hash());
        Ok(missing.into_iter().filter(lacks).collect())
    }

    /// Moves changes, in log order, among those known to be in the log.
    pub(super) fn acknowledge(&mut self, changes: &[Change], delta: &mut Delta) -> Result<(), LocalError> {
        for change in changes {
            self.acked.insert(change).map_err(|e| LocalError::Mismatch(e.to_string()))?;
        }
        let done: BTreeSet<_> = changes.iter().map(Change::hash).collect();
        done.iter().for_each(|hash| drop(self.was.remove(hash)));
        let name = self.name.clone();
        self.outbox.retain(|pending| {
            let stays = !done.contains(&pending.change.hash());
            if !stays {
                delta.writes.push(rows::delete_outbox(&name, &pending.change));
            }
            stays
        });
        delta.writes.extend(self.chunk_write(changes)?);
        Ok(())
    }

    /// Fills in a range that an acknowledgement has named.
    pub(super) fn fill(&mut self, first: LogSeq, hashes: Vec<ChangeHash>, digest: Digest) -> Result<(), LocalError> {
        let last = LogSeq(first.0 + hashes.len() as u64 - 1);
        let at = self.ranges.partition_point(|(f, _)| *f < first);
        self.ranges.insert(at, (first, hashes));
        self.rely_on(last, digest);
        self.absorb_ranges();
        match self.cursor {
            Some(cursor) if cursor.seq == last && cursor.digest != digest => {
                Err(LocalError::Mismatch(format!("another digest at {last}")))
            }
            _ => Ok(()),
        }
    }

    /// What was acknowledged stands at or before this position: a log that does not have it is not the one that we know.
    pub(super) fn rely_on(&mut self, seq: LogSeq, digest: Digest) {
        let known = self.highest.map(|highest| highest.seq).max(self.cursor.map(|cursor| cursor.seq));
        if known < Some(seq) {
            self.highest = Some(Acked { seq, digest });
        }
    }

    fn move_cursor(&mut self, seq: LogSeq, digest: Digest) {
        if let Some(cursor) = self.cursor.as_mut().filter(|cursor| cursor.seq < seq) {
            cursor.seq = seq;
            cursor.digest = digest;
        }
    }

    /// Moves the cursor over changes that stand at `first` and after, leaving out those before it.
    fn walk(&mut self, first: LogSeq, hashes: &[ChangeHash]) {
        let Some(mut cursor) = self.cursor else { return };
        let mut before = cursor.digest;
        let skip = (cursor.seq.0 + 1 - first.0) as usize;
        for hash in hashes.iter().skip(skip) {
            cursor.seq = cursor.seq.plus(1);
            cursor.digest = digest_next(before, hash);
            before = if self.planted.has(Planted::DigestNotChained) { before } else { cursor.digest };
            let author = self.acked.place(hash).and_then(|place| self.acked.actor(place.actor));
            self.actors.extend(author.filter(|actor| !self.actors.contains(actor)).cloned());
        }
        self.cursor = Some(cursor);
    }

    /// Moves the cursor over acknowledged ranges that have become contiguous.
    pub(super) fn absorb_ranges(&mut self) {
        while let (Some(cursor), Some((first, _))) = (self.cursor, self.ranges.first()) {
            if first.0 > cursor.seq.0 + 1 {
                break;
            }
            let (first, hashes) = self.ranges.remove(0);
            self.walk(first, &hashes);
        }
        let reached = self.cursor.map_or(LogSeq(0), |cursor| cursor.seq);
        self.highest = self.highest.filter(|highest| highest.seq > reached);
    }

    /// The server's log is not the one the cursor counts in: what it lacks goes back to the outbox; what is held of it is said by the
    /// clock that this gives. Of actors whose changes differ nothing counts as held, so that the server sends all of theirs.
    pub(super) fn reconcile(
        &mut self,
        store_id: StoreId,
        incarnation: Incarnation,
        log: &[(ActorId, ClockEntry)],
    ) -> Result<(VectorClock, Delta), LocalError> {
        let theirs: VectorClock = log.iter().cloned().collect();
        let differs = |actor: &ActorId, entry: ClockEntry| {
            let common = theirs.entry(actor).filter(|t| t.seq <= entry.seq);
            common.is_some_and(|t| self.acked.hash(actor, t.seq).is_some_and(|h| t.hash != h.into()))
        };
        let held = self.acked.clock();
        let shared: VectorClock = theirs
            .iter()
            .filter(|(actor, _)| held.entry(actor).is_none_or(|entry| !differs(actor, entry)))
            .map(|(actor, entry)| (actor.clone(), entry))
            .collect();
        let mut delta = Delta::default();
        if held.iter().any(|(actor, entry)| shared.seq(actor) < entry.seq) {
            self.give_back(&shared, &mut delta)?;
        }
        self.start(store_id, incarnation);
        self.actors = log.iter().map(|(actor, _)| actor.clone()).collect();
        delta.writes.push(self.row_write());
        Ok((self.acked.clock(), delta))
    }

    /// Moves what a log is not known to have from the chunks to the front of the outbox, and with it all that depends on it.
    fn give_back(&mut self, shared: &VectorClock, delta: &mut Delta) -> Result<(), LocalError> {
        let all = self.document.changes().map_err(|e| LocalError::Damaged(e.to_string()))?;
        let (mut kept, mut lost, mut gone) = (Vec::new(), Vec::new(), BTreeSet::new());
        for change in all.into_iter().filter(|c| self.acked.contains(&c.hash())) {
            if change.seq() > shared.seq(change.actor()) || change.deps().iter().any(|dep| gone.contains(dep)) {
                gone.insert(change.hash());
                lost.push(change);
            } else {
                kept.push(change);
            }
        }
        delta.rebuilt = true;
        let pending = std::mem::take(&mut self.outbox);
        for change in lost.into_iter().chain(pending.into_iter().map(|p| p.change)) {
            self.enqueue(change, delta);
        }
        self.rewrite_chunks(kept, delta)
    }

    /// Keeps a change that the server will not have, visibly.
    pub(super) fn keep_rejected(&mut self, change: Change, code: RejectCode, reason: String, delta: &mut Delta) {
        let row = RejectedRow { code, reason: reason.clone() };
        delta.writes.push(rows::put_outbox(&self.name, &change, Some(row)));
        self.rejected.push(Rejected { change, code, reason });
    }

    /// Replaces all chunks by these changes, which are then what is known to be in the log.
    pub(super) fn rewrite_chunks(&mut self, changes: Vec<Change>, delta: &mut Delta) -> Result<(), LocalError> {
        delta.writes.push(Write::DeletePrefix { table: Table::Chunk, prefix: rows::prefix(&self.name) });
        self.acked = ChangeTable::new();
        for part in changes.chunks(CHUNK_CHANGES_MAX) {
            for change in part {
                self.acked.insert(change).map_err(|e| LocalError::Damaged(e.to_string()))?;
            }
            delta.writes.extend(self.chunk_write(part)?);
        }
        Ok(())
    }

    /// The document was deleted on the server: what was not acknowledged is kept as rejected, the rest is let go.
    pub(super) fn replace(&mut self, store_id: StoreId, incarnation: Incarnation) -> Delta {
        let mut delta = Delta { changed: true, rebuilt: true, ..Delta::default() };
        delta.writes.push(Write::DeletePrefix { table: Table::Chunk, prefix: rows::prefix(&self.name) });
        for pending in std::mem::take(&mut self.outbox) {
            delta.replaced.push((pending.change.hash(), None));
            let reason = "the document was deleted on the server".into();
            self.keep_rejected(pending.change, RejectCode::Deleted, reason, &mut delta);
        }
        self.document = Document::new();
        self.acked = ChangeTable::new();
        self.all = ChangeTable::new();
        self.index = OpIndex::new();
        self.forget_conflicts();
        self.start(store_id, incarnation);
        delta.writes.push(self.row_write());
        delta
    }
}

/// Received changes that wait to be applied, beyond which they are applied at once.
const WAITING_CHANGES_MAX: usize = 10_000;
/// Most changes in one chunk row.
pub(super) const CHUNK_CHANGES_MAX: usize = 10_000;
