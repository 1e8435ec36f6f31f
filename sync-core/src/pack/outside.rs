//! What a stored pack needs to be read without the log before it: the hashes of the changes that its own depend on and that it does not hold.
//!
//! Only a server's store keeps these, beside packs of compacted history; they never travel. Format: for each change, by actor number and
//! seq ascending, `u` actor number, `u` seq, 32 bytes of hash. Numbers are those of the log.

use std::collections::BTreeMap;

use super::leb::{Reader, put_unsigned};
use super::{PackContext, PackError};
use crate::change::Change;
use crate::id::{ActorId, ChangeHash};

/// Hashes by the actor's number in the log, and seq.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    hashes: BTreeMap<(u32, u32), ChangeHash>,
    places: BTreeMap<ChangeHash, (u32, u32)>,
}

impl Outside {
    /// What `changes`, packed together, need from outside. `context` must know all of their deps.
    pub fn of(changes: &[Change], context: &impl PackContext) -> Result<Self, PackError> {
        let mut own = std::collections::BTreeSet::new();
        let mut out = Self::default();
        for change in changes {
            for dep in change.deps().iter().filter(|dep| !own.contains(*dep)) {
                let (actor, seq) = context.locate(dep).ok_or(PackError::UnknownDep(*dep))?;
                let number = context.number(&actor).ok_or(PackError::UnknownDep(*dep))?;
                out.insert(number, seq, *dep);
            }
            own.insert(change.hash());
        }
        Ok(out)
    }

    /// Adds a change whose actor `context` knows, so that others can be packed that depend on it.
    pub fn add(&mut self, change: &Change, context: &impl PackContext) {
        if let Some(number) = context.number(change.actor()) {
            self.insert(number, change.seq(), change.hash());
        }
    }

    fn insert(&mut self, number: u32, seq: u32, hash: ChangeHash) {
        self.hashes.insert((number, seq), hash);
        self.places.insert(hash, (number, seq));
    }

    /// Actor number, seq and hash of each.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32, ChangeHash)> {
        self.hashes.iter().map(|((number, seq), hash)| (*number, *seq, *hash))
    }

    /// Reads what [`Outside::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, PackError> {
        let mut r = Reader::new(bytes);
        let mut out = Self::default();
        let mut last = None;
        while !r.is_empty() {
            let place = (r.small()?, r.small()?);
            if last.is_some_and(|last| last >= place) {
                return Err(PackError::Malformed("hashes from outside are out of order"));
            }
            last = Some(place);
            let hash = ChangeHash(r.take(32)?.try_into().expect("32 bytes were taken"));
            out.insert(place.0, place.1, hash);
        }
        Ok(out)
    }

    /// The bytes kept beside the pack.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.hashes.len() * 40);
        for ((number, seq), hash) in &self.hashes {
            put_unsigned(&mut out, u64::from(*number));
            put_unsigned(&mut out, u64::from(*seq));
            out.extend_from_slice(&hash.0);
        }
        out
    }

    /// A context in which these count as known, beside what `context` knows.
    pub fn beside<'a, C: PackContext>(&'a self, context: &'a C) -> Beside<'a, C> {
        Beside { outside: self, context }
    }
}

/// A [`PackContext`] with more hashes. See [`Outside::beside`].
#[derive(Debug)]
pub struct Beside<'a, C> {
    outside: &'a Outside,
    context: &'a C,
}

impl<C: PackContext> PackContext for Beside<'_, C> {
    fn actor(&self, number: u32) -> Option<&ActorId> {
        self.context.actor(number)
    }

    fn number(&self, actor: &ActorId) -> Option<u32> {
        self.context.number(actor)
    }

    fn hash(&self, actor: &ActorId, seq: u32) -> Option<ChangeHash> {
        let number = self.context.number(actor)?;
        self.outside.hashes.get(&(number, seq)).copied().or_else(|| self.context.hash(actor, seq))
    }

    fn locate(&self, hash: &ChangeHash) -> Option<(ActorId, u32)> {
        let Some((number, seq)) = self.outside.places.get(hash) else { return self.context.locate(hash) };
        Some((self.context.actor(*number)?.clone(), *seq))
    }
}
