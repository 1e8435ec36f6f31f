//! The table of changes held: which hash stands at which actor and seq, and which changes nobody depends on yet.
//!
//! Holds hashes only, never contents. Gaps and unknown deps cannot enter.

use std::collections::{BTreeMap, BTreeSet};

use crate::change::Change;
use crate::clock::{ClockEntry, VectorClock};
use crate::id::{ActorId, ChangeHash};

/// Where a change stands: its actor's number in this table and its seq.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Number of the actor in order of first appearance in this table.
    pub actor: u32,
    /// The change's seq.
    pub seq: u32,
}

/// Why a change can't be added to a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The very same change is held already.
    #[error("the change is held already")]
    Held,
    /// Another change of this actor has this seq.
    #[error("actor {actor} has another change {seq}: {held}")]
    Equivocation {
        /// The actor.
        actor: ActorId,
        /// The seq both claim.
        seq: u32,
        /// The change that is held.
        held: ChangeHash,
    },
    /// The actor's changes before this one are missing.
    #[error("change {seq} of actor {actor} does not follow {held}")]
    SeqGap {
        /// The actor.
        actor: ActorId,
        /// The seq it claims.
        seq: u32,
        /// The highest seq held.
        held: u32,
    },
    /// A change that it depends on is not held.
    #[error("depends on {0}, which is not held")]
    MissingDep(ChangeHash),
}

#[derive(Clone, Debug)]
struct ActorChanges {
    id: ActorId,
    hashes: Vec<ChangeHash>,
}

/// A causally closed set of changes by hash.
#[derive(Clone, Debug, Default)]
pub struct ChangeTable {
    actors: Vec<ActorChanges>,
    numbers: BTreeMap<ActorId, u32>,
    places: BTreeMap<ChangeHash, Place>,
    heads: BTreeSet<ChangeHash>,
}

impl ChangeTable {
    /// The empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether `change` could be added now, and if not why.
    pub fn check(&self, change: &Change) -> Result<(), TableError> {
        let (actor, seq) = (change.actor(), change.seq());
        if let Some(held) = self.hash(actor, seq) {
            if held == change.hash() {
                return Err(TableError::Held);
            }
            return Err(TableError::Equivocation { actor: actor.clone(), seq, held });
        }
        let held = self.seq(actor);
        if seq != held + 1 {
            return Err(TableError::SeqGap { actor: actor.clone(), seq, held });
        }
        match change.deps().iter().find(|dep| !self.places.contains_key(*dep)) {
            Some(dep) => Err(TableError::MissingDep(*dep)),
            None => Ok(()),
        }
    }

    /// Adds `change` behind its actor's last one and its deps.
    pub fn insert(&mut self, change: &Change) -> Result<Place, TableError> {
        self.check(change)?;
        let number = self.number_or_new(change.actor());
        let hashes = &mut self.actors[number as usize].hashes;
        hashes.push(change.hash());
        let place = Place { actor: number, seq: hashes.len() as u32 };
        self.places.insert(change.hash(), place);
        for dep in change.deps() {
            self.heads.remove(dep);
        }
        self.heads.insert(change.hash());
        Ok(place)
    }

    fn number_or_new(&mut self, actor: &ActorId) -> u32 {
        if let Some(number) = self.numbers.get(actor) {
            return *number;
        }
        let number = self.actors.len() as u32;
        self.actors.push(ActorChanges { id: actor.clone(), hashes: Vec::new() });
        self.numbers.insert(actor.clone(), number);
        number
    }

    /// Whether a change is held.
    pub fn contains(&self, hash: &ChangeHash) -> bool {
        self.places.contains_key(hash)
    }

    /// Where a change stands.
    pub fn place(&self, hash: &ChangeHash) -> Option<Place> {
        self.places.get(hash).copied()
    }

    /// The change at an actor's seq.
    pub fn hash(&self, actor: &ActorId, seq: u32) -> Option<ChangeHash> {
        self.hash_at(Place { actor: self.number(actor)?, seq })
    }

    /// The change at a place.
    pub fn hash_at(&self, place: Place) -> Option<ChangeHash> {
        let index = (place.seq as usize).checked_sub(1)?;
        self.actors.get(place.actor as usize)?.hashes.get(index).copied()
    }

    /// Highest seq held of an actor; 0 if none.
    pub fn seq(&self, actor: &ActorId) -> u32 {
        self.number(actor).map_or(0, |n| self.actors[n as usize].hashes.len() as u32)
    }

    /// The number of an actor, in order of first appearance.
    pub fn number(&self, actor: &ActorId) -> Option<u32> {
        self.numbers.get(actor).copied()
    }

    /// The actor with a number.
    pub fn actor(&self, number: u32) -> Option<&ActorId> {
        self.actors.get(number as usize).map(|a| &a.id)
    }

    /// Number of actors.
    pub fn actor_count(&self) -> u32 {
        self.actors.len() as u32
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The changes that no other held change depends on, sorted.
    pub fn heads(&self) -> impl ExactSizeIterator<Item = &ChangeHash> {
        self.heads.iter()
    }

    /// Clock entries in the order of actor numbers.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&ActorId, ClockEntry)> {
        self.actors.iter().map(|a| {
            let last = a.hashes.last().expect("an actor enters with its first change");
            (&a.id, ClockEntry { seq: a.hashes.len() as u32, hash: (*last).into() })
        })
    }

    /// What is held, as a clock.
    pub fn clock(&self) -> VectorClock {
        self.entries().map(|(a, e)| (a.clone(), e)).collect()
    }
}
