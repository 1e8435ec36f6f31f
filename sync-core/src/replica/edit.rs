//! Edits made here: each is one change, in the outbox at once.
//!
//! Owns which edits are taken. What they do is the caller's, how they are checked and kept that of the document.

use automerge::AutomergeError;
use automerge::transaction::Transaction;

use crate::id::ChangeHash;
use crate::replica::allowed::Writer;
use crate::replica::local::{Delta, Local};
use crate::replica::{ChangeId, DocumentId, EditError, Replica, rows};
use crate::storage::Row;
use crate::time::{Instant, WallTime};

/// What writes in a document. It is called once; all that edits goes one way, which is compiled once.
pub(super) type Edit<'a> = &'a mut dyn FnMut(&mut Transaction<'_>) -> Result<(), AutomergeError>;

impl Replica {
    /// Edits a document in one transaction, at once, online or not. The closure's error, or a refused change, leaves nothing behind.
    pub fn change<R>(
        &mut self,
        now: Instant,
        wall: WallTime,
        id: DocumentId,
        edit: impl FnOnce(&mut Transaction<'_>) -> Result<R, AutomergeError>,
    ) -> Result<(R, ChangeId), EditError> {
        let (mut edit, mut result) = (Some(edit), None);
        let change = self.change_beside(now, wall, id, None, &mut |tx| {
            result = edit.take().map(|edit| edit(tx)).transpose()?;
            Ok(())
        })?;
        Ok((result.expect("an edit that was made was called"), change))
    }

    /// As [`Replica::change`], and sets a row among those of the outbox in the transaction that saves the change. The row is the driver's own:
    /// it is not among those that this machine is to be given.
    pub fn change_beside(
        &mut self,
        now: Instant,
        wall: WallTime,
        id: DocumentId,
        row: Option<Row>,
        edit: Edit<'_>,
    ) -> Result<ChangeId, EditError> {
        self.change_as(Writer::Application, now, wall, id, row, edit)
    }

    pub(super) fn change_as(
        &mut self,
        writer: Writer,
        now: Instant,
        wall: WallTime,
        id: DocumentId,
        row: Option<Row>,
        edit: Edit<'_>,
    ) -> Result<ChangeId, EditError> {
        let (limits, wall) = (self.config.change, self.stamp(now, wall));
        match self.takes_edit(id)?.edit(writer, wall.0, &limits, edit) {
            Ok((hash, mut delta)) => {
                delta.writes.extend(row.map(rows::beside));
                Ok(self.edited(now, id, hash, delta))
            }
            Err(error) => {
                if matches!(error, EditError::Damaged(_)) {
                    self.reload(id);
                }
                Err(error)
            }
        }
    }

    /// The document, if it takes an edit.
    fn takes_edit(&mut self, id: DocumentId) -> Result<&mut Local, EditError> {
        let outbox_max = self.config.outbox_changes_max;
        if self.local(id).is_some_and(Local::would_fork) {
            let fresh = self.rng.actor();
            self.local_mut(id).ok_or(EditError::NotReady)?.take_actor(&fresh);
        }
        let local = self.local_mut(id).ok_or(EditError::NotReady)?;
        let is_full = local.outbox.len() + local.rejected.len() >= outbox_max;
        if is_full { Err(EditError::OutboxFull) } else { Ok(local) }
    }

    fn edited(&mut self, now: Instant, id: DocumentId, hash: Option<ChangeHash>, delta: Delta) -> ChangeId {
        let edit = match hash {
            Some(hash) => self.track(id, hash),
            None => self.last_edit(id),
        };
        self.save(now, id, delta, true);
        edit
    }

    /// The last edit here that became a change.
    pub fn last_edit(&self, id: DocumentId) -> ChangeId {
        self.documents.get(&id).map_or(ChangeId::default(), |doc| doc.edits.last())
    }
}
