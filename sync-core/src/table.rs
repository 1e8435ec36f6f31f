//! The table of changes held: which hash stands at which actor and seq, and which changes nobody depends on yet.
//!
//! Holds hashes only, never contents. Gaps and unknown deps cannot enter. A table may stand on a *base*: changes that it knows by number
//! alone, but for the last of each actor. What must be known of one of them is read elsewhere and [learned](ChangeTable::learn).

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
    /// It is, or another change stands, below the table's base, where the hash has not been read.
    #[error("change {seq} of actor {actor} lies in history that was not read")]
    Unread {
        /// The actor.
        actor: ActorId,
        /// The seq.
        seq: u32,
    },
}

#[derive(Clone, Debug)]
struct ActorChanges {
    id: ActorId,
    /// Its changes up to here lie below the base.
    below: u32,
    /// The hash of change `below`, if that is not 0.
    last_below: Option<ChangeHash>,
    /// Hashes from change `below + 1` on.
    hashes: Vec<ChangeHash>,
}

impl ActorChanges {
    fn seq(&self) -> u32 {
        self.below + self.hashes.len() as u32
    }

    fn last(&self) -> ChangeHash {
        let last = self.hashes.last().copied().or(self.last_below);
        last.expect("an actor enters with its first change")
    }
}

/// What was read of changes below the base.
#[derive(Clone, Debug, Default)]
struct Learned {
    hashes: BTreeMap<Place, ChangeHash>,
    places: BTreeMap<ChangeHash, Place>,
    /// Changes above the base depend on these: they stay.
    pinned: BTreeSet<Place>,
}

/// An actor as a base knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseActor {
    /// The actor.
    pub id: ActorId,
    /// Its highest seq below the base, at least 1.
    pub seq: u32,
    /// The hash of that change.
    pub hash: ChangeHash,
    /// Whether no other change below the base depends on that one.
    pub is_head: bool,
}

/// A causally closed set of changes by hash.
#[derive(Clone, Debug, Default)]
pub struct ChangeTable {
    actors: Vec<ActorChanges>,
    numbers: BTreeMap<ActorId, u32>,
    places: BTreeMap<ChangeHash, Place>,
    heads: BTreeSet<ChangeHash>,
    below: usize,
    learned: Learned,
}

impl ChangeTable {
    /// The empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// A table on a base, whose actors are given in the order of their numbers.
    pub fn on(base: Vec<BaseActor>) -> Self {
        let mut table = Self::default();
        for (number, actor) in (0..).zip(base) {
            table.places.insert(actor.hash, Place { actor: number, seq: actor.seq });
            if actor.is_head {
                table.heads.insert(actor.hash);
            }
            table.below += actor.seq as usize;
            table.numbers.insert(actor.id.clone(), number);
            let last_below = Some(actor.hash);
            table.actors.push(ActorChanges { id: actor.id, below: actor.seq, last_below, hashes: Vec::new() });
        }
        table
    }

    /// A table of all the changes that a document has: of each actor their hashes, seq 1 first. The actors are numbered as `order` names them by
    /// their indexes. `None` if it does not name each once.
    pub fn whole(mut actors: Vec<(ActorId, Vec<ChangeHash>)>, order: &[u32], heads: &[ChangeHash]) -> Option<Self> {
        let mut table = Self::default();
        for (number, index) in (0..).zip(order) {
            let (id, hashes) = actors.get_mut(*index as usize)?;
            let hashes = std::mem::take(hashes);
            if hashes.is_empty() {
                return None;
            }
            for (seq, hash) in (1..).zip(&hashes) {
                table.places.insert(*hash, Place { actor: number, seq });
            }
            table.numbers.insert(id.clone(), number);
            table.actors.push(ActorChanges { id: id.clone(), below: 0, last_below: None, hashes });
        }
        for head in heads {
            table.heads.insert(*head);
        }
        (order.len() == actors.len()).then_some(table)
    }

    /// All that is held as a base for another table.
    pub fn to_base(&self) -> Vec<BaseActor> {
        let actor = |a: &ActorChanges| {
            let hash = a.last();
            BaseActor { id: a.id.clone(), seq: a.seq(), hash, is_head: self.heads.contains(&hash) }
        };
        self.actors.iter().map(actor).collect()
    }

    /// Whether a change is held whose hash has not been read.
    pub fn is_unread(&self, place: Place) -> bool {
        let below = self.actors.get(place.actor as usize).map_or(0, |a| a.below);
        place.seq > 0 && place.seq < below && !self.learned.hashes.contains_key(&place)
    }

    /// Takes in the hash of a change below the base.
    pub fn learn(&mut self, place: Place, hash: ChangeHash) {
        if self.is_unread(place) {
            self.learned.hashes.insert(place, hash);
            self.learned.places.insert(hash, place);
        }
    }

    /// Number of changes learned that no change above the base depends on.
    pub fn learned_count(&self) -> usize {
        self.learned.hashes.len() - self.learned.pinned.len()
    }

    /// Forgets what was learned, but for what changes above the base depend on.
    pub fn forget_learned(&mut self) {
        let pinned = &self.learned.pinned;
        self.learned.hashes.retain(|place, _| pinned.contains(place));
        self.learned.places.retain(|_, place| pinned.contains(place));
    }

    /// Says whether `change` could be added now, and if not why.
    pub fn check(&self, change: &Change) -> Result<(), TableError> {
        let (actor, seq) = (change.actor(), change.seq());
        let place = self.number(actor).map(|actor| Place { actor, seq });
        if place.is_some_and(|place| self.is_unread(place)) {
            return Err(TableError::Unread { actor: actor.clone(), seq });
        }
        if let Some(held) = place.and_then(|place| self.hash_at(place)) {
            if held == change.hash() {
                return Err(TableError::Held);
            }
            return Err(TableError::Equivocation { actor: actor.clone(), seq, held });
        }
        let held = place.map_or(0, |place| self.actors[place.actor as usize].seq());
        if seq != held + 1 {
            return Err(TableError::SeqGap { actor: actor.clone(), seq, held });
        }
        match change.deps().iter().find(|dep| !self.contains(dep)) {
            Some(dep) => Err(TableError::MissingDep(*dep)),
            None => Ok(()),
        }
    }

    /// Adds `change` behind its actor's last one and its deps.
    pub fn insert(&mut self, change: &Change) -> Result<Place, TableError> {
        self.check(change)?;
        let number = self.number_or_new(change.actor());
        let changes = &mut self.actors[number as usize];
        changes.hashes.push(change.hash());
        let place = Place { actor: number, seq: changes.seq() };
        self.places.insert(change.hash(), place);
        for dep in change.deps() {
            self.heads.remove(dep);
            self.learned.pinned.extend(self.learned.places.get(dep));
        }
        self.heads.insert(change.hash());
        Ok(place)
    }

    fn number_or_new(&mut self, actor: &ActorId) -> u32 {
        if let Some(number) = self.numbers.get(actor) {
            return *number;
        }
        let number = self.actors.len() as u32;
        self.actors.push(ActorChanges { id: actor.clone(), below: 0, last_below: None, hashes: Vec::new() });
        self.numbers.insert(actor.clone(), number);
        number
    }

    /// Whether a change is held, as far as is read.
    pub fn contains(&self, hash: &ChangeHash) -> bool {
        self.place(hash).is_some()
    }

    /// Where a change stands, as far as is read.
    pub fn place(&self, hash: &ChangeHash) -> Option<Place> {
        self.places.get(hash).or_else(|| self.learned.places.get(hash)).copied()
    }

    /// The change at an actor's seq, as far as is read.
    pub fn hash(&self, actor: &ActorId, seq: u32) -> Option<ChangeHash> {
        self.hash_at(Place { actor: self.number(actor)?, seq })
    }

    /// The change at a place, as far as is read.
    pub fn hash_at(&self, place: Place) -> Option<ChangeHash> {
        let changes = self.actors.get(place.actor as usize)?;
        match place.seq.checked_sub(changes.below) {
            Some(0) => changes.last_below,
            Some(above) => changes.hashes.get(above as usize - 1).copied(),
            None => self.learned.hashes.get(&place).copied(),
        }
    }

    /// Whether the change is held that a clock names of an actor, and with it all before.
    pub fn has(&self, actor: &ActorId, entry: ClockEntry) -> bool {
        self.hash(actor, entry.seq).is_some_and(|hash| entry.hash == hash.into())
    }

    /// Highest seq held of an actor; 0 if none.
    pub fn seq(&self, actor: &ActorId) -> u32 {
        self.number(actor).map_or(0, |n| self.actors[n as usize].seq())
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
        self.below + self.actors.iter().map(|a| a.hashes.len()).sum::<usize>()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.actors.is_empty()
    }

    /// The changes that no other held change depends on, sorted.
    pub fn heads(&self) -> impl ExactSizeIterator<Item = &ChangeHash> {
        self.heads.iter()
    }

    /// The place of each actor, by number, among all of them sorted by their bytes.
    pub fn sorted_places(&self) -> Vec<u32> {
        let mut places = vec![0; self.actors.len()];
        for (place, number) in (0..).zip(self.numbers.values()) {
            places[*number as usize] = place;
        }
        places
    }

    /// The hashes of all changes, as far as they are not below a base.
    pub fn hashes(&self) -> impl Iterator<Item = ChangeHash> {
        self.actors.iter().flat_map(|actor| actor.hashes.iter().copied())
    }

    /// Clock entries in the order of actor numbers.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&ActorId, ClockEntry)> {
        self.actors.iter().map(|a| (&a.id, ClockEntry { seq: a.seq(), hash: a.last().into() }))
    }

    /// What is held, as a clock.
    pub fn clock(&self) -> VectorClock {
        self.entries().map(|(a, e)| (a.clone(), e)).collect()
    }
}
