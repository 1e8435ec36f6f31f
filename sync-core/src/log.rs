//! The server's record of a document: its changes in one total, causal order, with a digest at every position.
//!
//! Holds places and digests, not contents; contents are packs in the store.

use sha2::{Digest as _, Sha256};

use crate::change::Change;
use crate::clock::{ClockEntry, VectorClock};
use crate::id::{ActorId, ChangeHash, Digest, Incarnation, LogSeq};
use crate::table::{ChangeTable, Place, TableError};

/// The digest before a log's first change.
pub fn digest_start(incarnation: Incarnation) -> Digest {
    let hash = Sha256::digest(incarnation.0);
    let mut out = [0; 8];
    out.copy_from_slice(&hash[..8]);
    Digest(out)
}

/// The digest after one more change: the first eight bytes of SHA-256 over the digest before and the change's hash.
pub fn digest_next(before: Digest, hash: &ChangeHash) -> Digest {
    let hash = Sha256::new().chain_update(before.0).chain_update(hash.0).finalize();
    let mut out = [0; 8];
    out.copy_from_slice(&hash[..8]);
    Digest(out)
}

/// A document's changes in log order.
#[derive(Clone, Debug)]
pub struct Log {
    incarnation: Incarnation,
    table: ChangeTable,
    order: Vec<Place>,
    digests: Vec<Digest>,
    /// Where each actor first appears, by actor number.
    arrivals: Vec<LogSeq>,
}

impl Log {
    /// The empty log of a document's incarnation.
    pub fn new(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            table: ChangeTable::new(),
            order: Vec::new(),
            digests: vec![digest_start(incarnation)],
            arrivals: Vec::new(),
        }
    }

    /// Adds a change at the next position, if its deps and its actor's previous change are in.
    pub fn append(&mut self, change: &Change) -> Result<LogSeq, TableError> {
        let place = self.table.insert(change)?;
        self.order.push(place);
        self.digests.push(digest_next(self.digest(), &change.hash()));
        if place.seq == 1 {
            self.arrivals.push(self.head());
        }
        Ok(self.head())
    }

    /// The document's incarnation.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The last position; 0 if empty.
    pub fn head(&self) -> LogSeq {
        LogSeq(self.order.len() as u64)
    }

    /// The digest at the head.
    pub fn digest(&self) -> Digest {
        *self.digests.last().expect("a log starts with a digest")
    }

    /// The digest at a position, if the log reaches it.
    pub fn digest_at(&self, seq: LogSeq) -> Option<Digest> {
        self.digests.get(usize::try_from(seq.0).ok()?).copied()
    }

    /// The change at a position.
    pub fn hash_at(&self, seq: LogSeq) -> Option<ChangeHash> {
        let index = usize::try_from(seq.0).ok()?.checked_sub(1)?;
        self.table.hash_at(*self.order.get(index)?)
    }

    /// The changes held, by actor and hash. Actor numbers are in order of first appearance in the log.
    pub fn table(&self) -> &ChangeTable {
        &self.table
    }

    /// Number of actors that appear up to a position. They are those numbered below it.
    pub fn actor_count_at(&self, seq: LogSeq) -> u32 {
        self.arrivals.partition_point(|arrival| *arrival <= seq) as u32
    }

    /// What the log holds, as a clock.
    pub fn clock(&self) -> VectorClock {
        self.table.clock()
    }

    /// What the log held at a position at or before its head: the clock in the order of actor numbers.
    pub fn actors_at(&self, seq: LogSeq) -> Vec<(ActorId, ClockEntry)> {
        let mut seqs: Vec<u32> = self.table.entries().map(|(_, entry)| entry.seq).collect();
        for place in self.order.iter().skip(usize::try_from(seq.0).unwrap_or(usize::MAX)) {
            seqs[place.actor as usize] -= 1;
        }
        let held = seqs.iter().enumerate().filter(|(_, seq)| **seq > 0);
        let entry = |(number, seq): (usize, &u32)| {
            let hash = self.table.hash_at(Place { actor: number as u32, seq: *seq })?;
            Some((self.table.actor(number as u32)?.clone(), ClockEntry { seq: *seq, hash: hash.into() }))
        };
        held.filter_map(entry).collect()
    }
}
