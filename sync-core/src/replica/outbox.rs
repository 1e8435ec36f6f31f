//! What is shown of unsent work: status, outbox, edits by id; and what an application may do with it.

use std::collections::{BTreeSet, VecDeque};

use crate::id::ChangeHash;
use crate::planted::Planted;
use crate::replica::local::{Delta, LocalError};
use crate::replica::rows;
use crate::replica::{ChangeId, DocumentId, EditError, Event, OutboxEntry, OutboxState, Replica, State, Status};
use crate::time::Instant;

/// The edits of one document that are not yet both saved and settled, in order.
#[derive(Debug, Default)]
pub(super) struct Edits {
    open: VecDeque<Edit>,
    saved: ChangeId,
    settled: ChangeId,
}

#[derive(Debug)]
struct Edit {
    id: ChangeId,
    hash: ChangeHash,
    /// The change is in the local store, or the end that it has come to is.
    saved: bool,
}

impl Edits {
    pub(super) fn push(&mut self, id: ChangeId, hash: ChangeHash) {
        self.open.push_back(Edit { id, hash, saved: false });
    }

    /// The last edit, whatever has become of it.
    pub(super) fn last(&self) -> ChangeId {
        self.open.back().map_or(self.saved.max(self.settled), |edit| edit.id)
    }

    /// Changes were written again. One of which nothing survived keeps its name until that, too, is in the local store.
    pub(super) fn replace(&mut self, replaced: &[(ChangeHash, Option<ChangeHash>)]) {
        for (old, new) in replaced {
            for edit in self.open.iter_mut().filter(|edit| edit.hash == *old) {
                edit.hash = new.unwrap_or(*old);
            }
        }
    }

    pub(super) fn saved(&mut self, changes: &BTreeSet<ChangeHash>) {
        for edit in self.open.iter_mut().rev().take_while(|edit| !edit.saved) {
            edit.saved |= changes.contains(&edit.hash);
        }
    }

    /// Takes note of what is no longer waited for. Gives ids newly saved and newly settled, each standing for all before it.
    fn report(&mut self, waits: impl Fn(&ChangeHash) -> bool) -> (Option<ChangeId>, Option<ChangeId>) {
        let saved = self.open.iter().take_while(|edit| edit.saved).last().map(|edit| edit.id);
        let saved = saved.filter(|id| *id > self.saved);
        self.saved = saved.unwrap_or(self.saved);
        let mut settled = None;
        while self.open.front().is_some_and(|edit| edit.saved && !waits(&edit.hash)) {
            settled = self.open.pop_front().map(|edit| edit.id);
        }
        self.settled = settled.unwrap_or(self.settled);
        (saved, settled)
    }
}

impl Replica {
    pub(super) fn report_edits(&mut self, id: DocumentId) {
        let Some(doc) = self.documents.get_mut(&id) else { return };
        let super::DocPhase::Ready(local) = &doc.phase else { return };
        // What was written again is not here before it is read.
        if doc.tabs.reading {
            return;
        }
        let (saved, settled) = doc.edits.report(|hash| local.waits(hash));
        if let Some(edit) = saved {
            self.event(Event::Saved(id, edit));
        }
        if let Some(edit) = settled {
            self.event(Event::Acknowledged(id, edit));
        }
    }

    /// The last edit up to which all are committed to the local store.
    pub fn saved_up_to(&self, id: DocumentId) -> Option<ChangeId> {
        Some(self.documents.get(&id)?.edits.saved)
    }

    /// The last edit up to which all are acknowledged by the server, or rejected and visible in the outbox.
    pub fn acknowledged_up_to(&self, id: DocumentId) -> Option<ChangeId> {
        Some(self.documents.get(&id)?.edits.settled)
    }

    /// Where a document stands. `None` if it is not open.
    pub fn status(&self, id: DocumentId) -> Option<Status> {
        let doc = self.documents.get(&id)?;
        let local = self.local(id);
        let pending = local.map_or(0, |l| l.outbox.len());
        let unsaved = local.map_or(0, |l| l.unsaved());
        let rejected = local.map_or(0, |l| l.rejected.len());
        let state = if self.saves.failing.is_some() {
            State::StorageFull
        } else if rejected > 0 || self.is_refused(id) {
            State::Rejected
        } else if !self.is_online() {
            State::Offline
        } else if pending == 0 && self.is_current(id) {
            State::Synced
        } else {
            State::Syncing
        };
        Some(Status { state, pending, rejected, unsaved, synced_at: doc.synced_at })
    }

    /// The status of all open documents together: the worst state, and sums.
    pub fn overall(&self) -> Status {
        let rank = |state: State| match state {
            State::Synced => 0,
            State::Syncing => 1,
            State::Offline => 2,
            State::Rejected => 3,
            State::StorageFull => 4,
        };
        let state = if self.is_online() { State::Synced } else { State::Offline };
        let none = Status { state, pending: 0, rejected: 0, unsaved: 0, synced_at: None };
        self.documents.keys().filter_map(|id| self.status(*id)).fold(none, |all, one| Status {
            state: if rank(one.state) > rank(all.state) { one.state } else { all.state },
            pending: all.pending + one.pending,
            rejected: all.rejected + one.rejected,
            unsaved: all.unsaved + one.unsaved,
            synced_at: all.synced_at.max(one.synced_at),
        })
    }

    /// Everything held that is not known to be in the log, oldest first, rejected changes last.
    pub fn outbox(&self, id: DocumentId) -> Vec<OutboxEntry> {
        let Some(local) = self.local(id) else { return Vec::new() };
        let entry = |change: &crate::change::Change, state| OutboxEntry {
            change: change.hash(),
            actor: change.actor().clone(),
            seq: change.seq(),
            operations: change.operations(),
            time: change.time(),
            state,
        };
        let pending = local.outbox.iter().map(|p| {
            let state = match (p.saved, p.sent) {
                (false, _) => OutboxState::Unsaved,
                (true, None) => OutboxState::Saved,
                (true, Some(_)) => OutboxState::Sent,
            };
            entry(&p.change, state)
        });
        let rejected = local.rejected.iter().map(|r| {
            let state = OutboxState::Rejected { code: r.code, reason: r.reason.clone() };
            entry(&r.change, state)
        });
        pending.chain(rejected).collect()
    }

    /// The changes of the outbox, rejected ones not among them, oldest first.
    pub fn pending(&self, id: DocumentId) -> impl Iterator<Item = &crate::change::Change> {
        self.local(id).into_iter().flat_map(|local| local.outbox.iter().map(|pending| &pending.change))
    }

    /// Everything in the outbox as automerge change chunks, one behind the other. Empty if there is nothing.
    pub fn export(&self, id: DocumentId) -> Vec<u8> {
        let Some(local) = self.local(id) else { return Vec::new() };
        let pending = local.outbox.iter().map(|p| &p.change);
        let rejected = local.rejected.iter().map(|r| &r.change);
        pending.chain(rejected).flat_map(|change| change.bytes().iter().copied()).collect()
    }

    /// Writes a rejected change again on top of what is held now, and pushes it once more. False if there is no such
    /// rejected change, or if nothing of it can be: then it stays rejected.
    pub fn retry(&mut self, now: Instant, id: DocumentId, change: ChangeHash) -> Result<bool, EditError> {
        if let Some(asked) = self.ask_to_settle(id, change, true) {
            return Ok(asked);
        }
        let actor = self.rng.actor();
        let local = self.local_mut(id).ok_or(EditError::NotReady)?;
        let done = local.retry(change, &actor);
        self.settle(now, id, done)
    }

    /// Lets a rejected change go, or takes back one that was not sent yet, writing again what stands on it. False if it is neither.
    pub fn discard(&mut self, now: Instant, id: DocumentId, change: ChangeHash) -> Result<bool, EditError> {
        if let Some(asked) = self.ask_to_settle(id, change, false) {
            return Ok(asked);
        }
        let actor = self.rng.actor();
        let local = self.local_mut(id).ok_or(EditError::NotReady)?;
        let done = local.discard(change, &actor);
        self.settle(now, id, done)
    }

    fn settle(
        &mut self,
        now: Instant,
        id: DocumentId,
        done: Result<Option<Delta>, LocalError>,
    ) -> Result<bool, EditError> {
        match done {
            Ok(None) => Ok(false),
            Ok(Some(delta)) => {
                self.save(now, id, delta, true);
                Ok(true)
            }
            Err(error) => {
                self.reload(id);
                Err(EditError::Damaged(error.to_string()))
            }
        }
    }

    /// Planted bug: edits of a tab that follows count as saved at once.
    pub(super) fn planted_saved_early(&mut self, id: DocumentId, changes: &[ChangeHash]) {
        if self.config.planted.has(Planted::FollowerSavedEarly) && self.config.tab.is_some() {
            let saved = changes.iter().copied().collect();
            self.documents.get_mut(&id).into_iter().for_each(|doc| doc.edits.saved(&saved));
        }
    }

    /// Planted bugs: what is sent is taken as arrived, or leaves the store before the server has answered.
    pub(super) fn planted_clear_outbox(&mut self, now: Instant, id: DocumentId) {
        let planted = self.config.planted;
        if !planted.has(Planted::OutboxClearedOnSend) && !planted.has(Planted::OutboxRowDeletedOnSend) {
            return;
        }
        let Some(local) = self.local_mut(id) else { return };
        let sent: Vec<_> = local.outbox.iter().filter(|p| p.sent.is_some()).cloned().collect();
        if planted.has(Planted::OutboxClearedOnSend) {
            let mut delta = Delta::default();
            let changes: Vec<_> = sent.iter().map(|p| p.change.clone()).collect();
            if local.acknowledge(&changes, &mut delta).is_ok() {
                self.save(now, id, delta, false);
            }
        } else {
            let writes = sent.iter().map(|p| rows::delete_outbox(&local.name, &p.change)).collect();
            self.save_writes(now, id, writes, Vec::new());
        }
    }
}
