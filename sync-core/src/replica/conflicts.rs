//! The conflicts of a client's documents, found from the first time that somebody asks for them.
//!
//! Owns when the index of conflicts is made, kept up and dropped, and what only this client knows: which sides are its own. What a conflict
//! is, is `conflict`'s, and what the server refused is told by `refused`.

use super::local::Local;
use super::{DocumentId, Event, Replica};
use crate::conflict::{Conflict, ConflictIndex, ConflictKind};
use crate::planted::Planted;

impl Replica {
    /// What merges hid in a document of somebody's work, in the order of the ids, and then what the server refused of this client's.
    /// `None` until the document is ready. The first call reads the changes of the document's history that can matter, later ones what came since.
    pub fn conflicts(&mut self, id: DocumentId) -> Option<Vec<Conflict>> {
        let mut conflicts = self.conflicts_agreed(id)?;
        conflicts.retain(|conflict| !conflict.agrees);
        Some(conflicts)
    }

    /// The same with those of which all sides agree by now.
    pub(super) fn conflicts_agreed(&mut self, id: DocumentId) -> Option<Vec<Conflict>> {
        // What was received and waits is among the changes, and is to be among the values.
        if self.local(id)?.document.waiting() > 0 {
            self.local_mut(id)?.apply_waiting().ok()?;
            self.event(Event::Changed { document: id, local: false });
        }
        let mut conflicts = self.local_mut(id)?.conflicts()?;
        for side in conflicts.iter_mut().flat_map(|conflict| &mut conflict.candidates) {
            side.mine |= self.is_own(id, &side.actor);
        }
        Some(conflicts)
    }
}

impl Local {
    fn conflicts(&mut self) -> Option<Vec<Conflict>> {
        if self.conflicts.is_none() {
            let index = ConflictIndex::of(&self.document, &self.all, &self.index, self.planted).ok()?;
            self.conflicts = Some(Box::new(index));
        }
        let document = self.document.automerge();
        let mut conflicts = self.conflicts.as_ref()?.list_all(&self.name, document, &self.all, &self.index);
        conflicts.extend(self.refused());
        conflicts.retain(|conflict| !self.planted_unlisted(conflict.kind));
        Some(conflicts)
    }
}

impl Local {
    /// Planted bugs: conflicts of a kind are not listed.
    fn planted_unlisted(&self, kind: ConflictKind) -> bool {
        match kind {
            ConflictKind::Register => self.planted.has(Planted::RegisterUnlisted),
            ConflictKind::Container => self.planted.has(Planted::ContainerUnlisted),
            ConflictKind::DeleteUpdate => self.planted.has(Planted::DeleteUpdateUnlisted),
            ConflictKind::EditInDeleted => self.planted.has(Planted::EditInDeletedUnlisted),
            ConflictKind::CounterOverwrite => self.planted.has(Planted::CounterOverwriteUnlisted),
            ConflictKind::Mark => self.planted.has(Planted::MarkUnlisted),
            ConflictKind::Rejected => self.planted.has(Planted::RejectedUnlisted),
        }
    }

    /// The document is written anew: its changes have other numbers.
    pub(super) fn forget_conflicts(&mut self) {
        if !self.planted.has(Planted::ConflictsKept) {
            self.conflicts = None;
        }
    }
}
