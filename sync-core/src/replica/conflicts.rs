//! The conflicts of a client's documents, found from the first time that somebody asks for them.
//!
//! Owns when the index of conflicts is made, kept up and dropped, and what only this client knows: which sides are its own, and what
//! the server refused. What a conflict is, is `conflict`'s.

use std::collections::BTreeMap;

use automerge::legacy::{Key, ObjectId};
use automerge::{Automerge, ObjId, Prop, ReadDoc as _};
use sha2::{Digest as _, Sha256};

use super::local::{Local, Rejected};
use super::{DocumentId, Event, Replica};
use crate::conflict::{
    Candidate, Conflict, ConflictId, ConflictIndex, ConflictKind, ConflictState, PathPart, Spot, Steps, Value, value_at,
};
use crate::id::DocumentName;
use crate::planted::Planted;

impl Replica {
    /// What merges hid in a document of somebody's work, in the order of the ids, and then what the server refused of this client's.
    /// `None` until the document is ready. The first call looks through the document's history, later ones at what came since.
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
            let mut index = ConflictIndex::new().planted(self.planted);
            for change in self.document.changes().ok()? {
                index.admit(&change, &self.all, &self.index);
            }
            self.conflicts = Some(Box::new(index));
        }
        let document = self.document.automerge();
        let mut conflicts = self.conflicts.as_ref()?.list_all(&self.name, document, &self.all, &self.index);
        conflicts.extend(self.rejected.iter().map(|rejected| refused(&self.name, document, rejected)));
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

/// A change that the server will not have, beside what the document shows where it first wrote.
fn refused(name: &DocumentName, document: &Automerge, rejected: &Rejected) -> Conflict {
    let change = &rejected.change;
    let operations = change.automerge().decode().operations;
    let first = operations.first();
    let object = first.map_or(ObjId::Root, |op| match &op.obj {
        ObjectId::Root => ObjId::Root,
        ObjectId::Id(id) => ObjId::Id(id.counter(), id.actor().clone(), 0),
    });
    let mut path = path_of(document, &object);
    let mut there = None;
    if let Some(Key::Map(key)) = first.map(|op| &op.key) {
        there = value_at(document, &object, Prop::from(key.as_str()), None);
        path.push(PathPart::Key(key.to_string()));
    }
    let wanted = first.and_then(|op| op.primitive_value()).map(Value::Scalar);
    let side = |value, shown| Candidate {
        value,
        actor: change.actor().clone(),
        author: change.automerge().author().map(|author| author.as_bytes().to_vec()),
        time: change.time(),
        change: change.hash(),
        shown,
        mine: true,
        object: None,
    };
    let digest =
        Sha256::new().chain_update(name.as_str()).chain_update("rejected").chain_update(change.hash().0).finalize();
    Conflict {
        id: ConflictId(digest[..16].try_into().expect("a digest has more than 16 bytes")),
        version: 1,
        path,
        kind: ConflictKind::Rejected,
        base: there.clone(),
        candidates: vec![side(there, true), side(wanted, false)],
        steps: Steps::FromBase,
        hidden: BTreeMap::from([(change.actor().clone(), change.seq())]),
        agreeing: BTreeMap::new(),
        state: ConflictState::Open,
        spot: Spot { object, element: None, is_gone: false },
        agrees: false,
    }
}

fn path_of(document: &Automerge, object: &ObjId) -> Vec<PathPart> {
    let Ok(parents) = document.parents(object) else { return Vec::new() };
    let mut path: Vec<PathPart> = parents
        .map(|parent| match parent.prop {
            Prop::Map(key) => PathPart::Key(key),
            Prop::Seq(index) => PathPart::Index(index),
        })
        .collect();
    path.reverse();
    path
}
