//! Losing branches: equivocation, rejection, discard and retry, all by writing what survives again under a fresh actor.

use std::collections::BTreeSet;

use crate::change::Change;
use crate::document::Document;
use crate::id::{ActorId, ChangeHash};
use crate::limits::ChangeLimits;
use crate::op_index::OpIndex;
use crate::planted::Planted;
use crate::protocol::RejectCode;
use crate::reissue::{Base, Reissued, reissue};
use crate::replica::local::{Delta, Local, LocalError, Rejected};
use crate::replica::rows;
use crate::storage::Write;
use crate::table::ChangeTable;

impl Local {
    /// Takes `roots` and all their descendants out of the document and writes them again, but for `dropped`, under `fresh_actor`.
    pub(super) fn reissue(
        &mut self,
        roots: &BTreeSet<ChangeHash>,
        dropped: &BTreeSet<ChangeHash>,
        fresh_actor: &ActorId,
        delta: &mut Delta,
    ) -> Result<(), LocalError> {
        let all = self.document.changes().map_err(|e| LocalError::Damaged(e.to_string()))?;
        let mut losing: BTreeSet<ChangeHash> = roots.clone();
        for change in &all {
            if change.deps().iter().any(|dep| losing.contains(dep)) {
                losing.insert(change.hash());
            }
        }
        let all_dropped = self.planted.has(Planted::DescendantsDropped) && !dropped.is_empty()
            || self.planted.has(Planted::LoserDropped) && dropped.is_empty();
        let dropped = if all_dropped { &losing } else { dropped };
        let (lost, base): (Vec<_>, Vec<_>) = all.into_iter().partition(|c| losing.contains(&c.hash()));
        let again = self.rebuild(base, &lost, dropped, fresh_actor)?;
        let was = std::mem::take(&mut self.was);
        let again_from = |(old, new): &(ChangeHash, Option<ChangeHash>)| {
            let before = was.get(old).into_iter().flatten().chain([old]);
            new.map(|new| (new, before.copied().collect()))
        };
        let kept = was.iter().filter(|(hash, _)| !losing.contains(hash)).map(|(hash, was)| (*hash, was.clone()));
        self.was = again.replaced.iter().filter_map(again_from).chain(kept).collect();
        self.replace_rows(&losing, again.changes, delta)?;
        self.take_actor(fresh_actor);
        delta.rebuilt = true;
        delta.replaced.extend(again.replaced);
        delta.changed = true;
        delta.writes.push(self.row_write());
        Ok(())
    }

    /// Makes tables, index and document anew from `base`, and from `lost` written again on top of it.
    fn rebuild(
        &mut self,
        base: Vec<Change>,
        lost: &[Change],
        dropped: &BTreeSet<ChangeHash>,
        fresh_actor: &ActorId,
    ) -> Result<Reissued, LocalError> {
        self.all = ChangeTable::new();
        self.index = OpIndex::new();
        self.forget_conflicts();
        let limits = ChangeLimits::stored();
        for change in &base {
            self.admit(change, &limits).map_err(|e| LocalError::Damaged(format!("held: {e}")))?;
        }
        let again = self.write_again(&base, lost, dropped, fresh_actor)?;
        let mut changes = base;
        changes.extend_from_slice(&again.changes);
        self.document = Document::from_changes(changes).map_err(|e| LocalError::Damaged(e.to_string()))?;
        Ok(again)
    }

    /// Writes changes again on top of all that is held, and takes them into the tables.
    fn write_again(
        &mut self,
        held: &[Change],
        lost: &[Change],
        dropped: &BTreeSet<ChangeHash>,
        fresh_actor: &ActorId,
    ) -> Result<Reissued, LocalError> {
        let limits = ChangeLimits::stored();
        let max_op = held.iter().map(Change::max_op).max().unwrap_or(0);
        let rejected = self.rejected.iter().map(|rejected| &rejected.change);
        let authors = authors(held.iter().chain(lost).chain(rejected), lost);
        let base = Base { table: &self.all, index: &self.index, max_op, authors: &authors };
        let again = reissue(lost, dropped, base, fresh_actor.clone(), &limits);
        let again = again.map_err(|e| LocalError::Damaged(e.to_string()))?;
        self.untold.extend(again.others.iter().cloned());
        for change in &again.changes {
            self.admit(change, &limits).map_err(|e| LocalError::Damaged(format!("written again: {e}")))?;
        }
        Ok(again)
    }

    fn replace_rows(
        &mut self,
        losing: &BTreeSet<ChangeHash>,
        again: Vec<Change>,
        delta: &mut Delta,
    ) -> Result<(), LocalError> {
        let name = self.name.clone();
        self.outbox.retain(|pending| {
            let stays = !losing.contains(&pending.change.hash());
            if !stays {
                delta.writes.push(rows::delete_outbox(&name, &pending.change));
            }
            stays
        });
        if losing.iter().any(|hash| self.acked.contains(hash)) {
            let all = self.document.changes().map_err(|e| LocalError::Damaged(e.to_string()))?;
            let kept = all.into_iter().filter(|c| self.acked.contains(&c.hash())).collect();
            self.rewrite_chunks(kept, delta)?;
        }
        for change in again {
            self.enqueue(change, delta);
        }
        Ok(())
    }

    /// The server will not have a change: it leaves the value and stays visible; what stands on it is written again without it.
    pub(super) fn reject(
        &mut self,
        hash: ChangeHash,
        code: RejectCode,
        reason: &str,
        fresh_actor: &ActorId,
    ) -> Result<Delta, LocalError> {
        let mut delta = Delta::default();
        let Some(pending) = self.outbox.iter().find(|p| p.change.hash() == hash) else { return Ok(delta) };
        let change = pending.change.clone();
        let only = BTreeSet::from([hash]);
        self.reissue(&only, &only, fresh_actor, &mut delta)?;
        self.keep_rejected(change, code, reason.into(), &mut delta);
        Ok(delta)
    }

    /// Lets a rejected change go, or takes back one that has not been sent.
    pub(super) fn discard(&mut self, hash: ChangeHash, fresh_actor: &ActorId) -> Result<Option<Delta>, LocalError> {
        let mut delta = Delta::default();
        if let Some(write) = self.forget_rejected(hash) {
            delta.writes.push(write);
            delta.rebuilt = true;
            return Ok(Some(delta));
        }
        if !self.outbox.iter().any(|p| p.change.hash() == hash && p.sent.is_none()) {
            return Ok(None);
        }
        let only = BTreeSet::from([hash]);
        self.reissue(&only, &only, fresh_actor, &mut delta)?;
        Ok(Some(delta))
    }

    /// Writes a rejected change again on top of what is held now, to be pushed once more.
    pub(super) fn retry(&mut self, hash: ChangeHash, fresh_actor: &ActorId) -> Result<Option<Delta>, LocalError> {
        let Some(rejected) = self.rejected.iter().find(|r| r.change.hash() == hash) else { return Ok(None) };
        let change = rejected.change.clone();
        let mut delta = Delta::default();
        Ok(self.write_rejected_again(&[change], fresh_actor, &mut delta)?.then_some(delta))
    }

    /// Whether something is kept as rejected only since another tab has written another change under its number.
    pub(super) fn has_forks(&self) -> bool {
        self.rejected.iter().any(|rejected| self.is_fork(rejected))
    }

    fn is_fork(&self, rejected: &Rejected) -> bool {
        let (change, held) = (&rejected.change, self.all.hash(rejected.change.actor(), rejected.change.seq()));
        rejected.code == RejectCode::Blocked && held.is_some_and(|held| held != change.hash())
    }

    /// Two tabs have written under one actor: the changes of the one that came later, and what stands on them, are written again.
    pub(super) fn part_forks(&mut self, fresh_actor: &ActorId, delta: &mut Delta) -> Result<(), LocalError> {
        let mut forks: Vec<Change> = Vec::new();
        for rejected in self.rejected.iter().filter(|rejected| rejected.code == RejectCode::Blocked) {
            let change = &rejected.change;
            if self.is_fork(rejected) || forks.iter().any(|fork| change.deps().contains(&fork.hash())) {
                forks.push(change.clone());
            }
        }
        if !forks.is_empty() && self.write_rejected_again(&forks, fresh_actor, delta)? {
            self.take_actor(fresh_actor);
        }
        Ok(())
    }

    /// Writes what is kept as rejected again on top of what is held now. False if nothing of it can stand there: then it stays where it can be seen.
    fn write_rejected_again(
        &mut self,
        rejected: &[Change],
        fresh_actor: &ActorId,
        delta: &mut Delta,
    ) -> Result<bool, LocalError> {
        let held = self.document.changes().map_err(|e| LocalError::Damaged(e.to_string()))?;
        let again = self.write_again(&held, rejected, &BTreeSet::new(), fresh_actor)?;
        if again.changes.is_empty() {
            return Ok(false);
        }
        for (old, new) in again.replaced.iter().filter_map(|(old, new)| new.map(|new| (*old, new))) {
            self.was.insert(new, vec![old]);
            delta.writes.extend(self.forget_rejected(old));
            delta.replaced.push((old, Some(new)));
        }
        self.document.apply(again.changes.clone()).map_err(|e| LocalError::Damaged(e.to_string()))?;
        for change in again.changes {
            self.enqueue(change, delta);
        }
        (delta.changed, delta.rebuilt) = (true, true);
        Ok(true)
    }

    fn forget_rejected(&mut self, hash: ChangeHash) -> Option<Write> {
        let at = self.rejected.iter().position(|r| r.change.hash() == hash)?;
        let rejected = self.rejected.remove(at);
        Some(rows::delete_outbox(&self.name, &rejected.change))
    }
}

/// The authors that the actors of `lost` name, in their first changes.
fn authors<'a>(changes: impl Iterator<Item = &'a Change>, lost: &[Change]) -> Vec<(ActorId, Vec<u8>)> {
    let mut named = Vec::new();
    for change in changes {
        if let Some(author) = change.automerge().author()
            && lost.iter().any(|lost| lost.actor() == change.actor())
        {
            named.push((change.actor().clone(), author.as_bytes().to_vec()));
        }
    }
    named
}
