//! The op index of a document: which operations exist, where, of which kind, and what each change had seen.
//!
//! Owns lookup by operation id, object kinds and the causal past, all as runs, since typing makes long ones. It holds no
//! values and judges nothing: rules are the validator's. An operation enters only as part of an admitted change.

mod past;
mod runs;
mod saved;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use past::{Addition, Past};
pub(crate) use runs::{Element, Kind, OpId, Operation, Run, Runs, Slot};
pub(crate) use saved::VERSION;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    /// A map: keys.
    Map,
    /// A list: elements.
    List,
    /// A text: elements and marks.
    Text,
}

/// An object of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) kind: ObjectKind,
    pub(crate) depth: u32,
}

/// The number of the root map in [`OpIndex`].
pub(crate) const ROOT: u32 = 0;

/// Answers what the validator asks about the operations of a document. Its actors are numbered as in the document's
/// [`crate::table::ChangeTable`].
#[derive(Clone, Debug)]
pub struct OpIndex {
    runs: Vec<Runs>,
    objects: Vec<Object>,
    object_numbers: BTreeMap<OpId, u32>,
    keys: BTreeMap<Box<str>, u32>,
    past: Past,
    /// Runs, objects and keys.
    entries: usize,
}

/// The operations of a validated change, ready to enter the index.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    pub(crate) runs: Runs,
    /// New objects by the counter of the operation that makes them, ascending.
    pub(crate) objects: Vec<(u32, Object)>,
    /// New map keys, numbered on from those of the index.
    pub(crate) keys: BTreeMap<Box<str>, u32>,
}

impl OpIndex {
    /// The index of an empty document.
    pub fn new() -> Self {
        Self {
            runs: Vec::new(),
            objects: vec![Object { kind: ObjectKind::Map, depth: 0 }],
            object_numbers: BTreeMap::new(),
            keys: BTreeMap::new(),
            past: Past::default(),
            entries: 0,
        }
    }

    /// The highest operation counter of the document; 0 if it is empty.
    pub fn highest_op(&self) -> u64 {
        u64::from(self.past.highest_op())
    }

    /// Operation counters that the actor with this number has skipped: what its writer is to be charged besides its operations.
    pub fn skipped(&self, actor: u32) -> u64 {
        self.past.skipped(actor)
    }

    /// Runs of operations held: the measure of its size.
    pub fn run_count(&self) -> usize {
        self.runs.iter().map(Runs::len).sum()
    }

    /// Runs, objects and keys held: what its size is bounded by.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Bytes held, without what the allocator adds.
    pub fn bytes(&self) -> usize {
        let runs: usize = self.runs.iter().map(Runs::bytes).sum();
        let keys: usize = self.keys.keys().map(|key| key.len() + 24).sum();
        let objects = self.objects.capacity() * size_of::<Object>() + self.object_numbers.len() * 16;
        runs + keys + objects + self.past.bytes()
    }

    pub(crate) fn past(&self) -> &Past {
        &self.past
    }

    pub(crate) fn run(&self, id: OpId) -> Option<&Run> {
        self.runs.get(id.actor as usize)?.run(id.counter)
    }

    pub(crate) fn object_number(&self, id: OpId) -> Option<u32> {
        self.object_numbers.get(&id).copied()
    }

    pub(crate) fn object(&self, number: u32) -> Option<Object> {
        self.objects.get(number as usize).copied()
    }

    pub(crate) fn object_count(&self) -> u32 {
        self.objects.len() as u32
    }

    /// The makers of the texts in which there has been a mark.
    pub(crate) fn marked(&self) -> Vec<OpId> {
        let texts: BTreeSet<u32> = self.runs.iter().flat_map(Runs::marked).collect();
        if texts.is_empty() {
            return Vec::new();
        }
        self.object_numbers.iter().filter(|(_, number)| texts.contains(number)).map(|(maker, _)| *maker).collect()
    }

    /// All runs, those of one actor ascending, with the actor's number.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (u32, &Run)> {
        (0..).zip(&self.runs).flat_map(|(actor, runs)| runs.iter().map(move |run| (actor, run)))
    }

    pub(crate) fn key(&self, key: &str) -> Option<u32> {
        self.keys.get(key).copied()
    }

    pub(crate) fn key_count(&self) -> u32 {
        self.keys.len() as u32
    }

    /// Takes in a validated change.
    pub(crate) fn admit(&mut self, staged: Staged, addition: &Addition<'_>) {
        let actor = addition.place.actor;
        if actor as usize == self.runs.len() {
            self.runs.push(Runs::default());
        }
        self.entries += staged.objects.len() + staged.keys.len();
        for (counter, object) in staged.objects {
            self.object_numbers.insert(OpId { counter, actor }, self.objects.len() as u32);
            self.objects.push(object);
        }
        self.keys.extend(staged.keys);
        let runs = &mut self.runs[actor as usize];
        let before = runs.len();
        runs.append(staged.runs, actor);
        self.entries += runs.len() - before;
        self.past.add(addition);
    }
}

impl Default for OpIndex {
    fn default() -> Self {
        Self::new()
    }
}
