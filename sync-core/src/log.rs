//! The server's record of a document: its changes in one total, causal order, with a digest at every position.
//!
//! Holds places and digests, not contents; contents are packs in the store. A log may stand on a *base*: of what lies below it is known which
//! stored packs hold it, and where each actor's changes are. What must be known of a change there is a [`Need`], answered by
//! reading one pack.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::change::Change;
use crate::clock::{ClockEntry, VectorClock};
use crate::id::{ActorId, ChangeHash, Digest, Incarnation, LogSeq};
use crate::table::{BaseActor, ChangeTable, Place, TableError};

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

/// A range of the log below its base that stands in one pack of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Position of its first change.
    pub first: LogSeq,
    /// Number of its changes.
    pub count: u32,
    /// Bytes of its changes as automerge writes them: what a compaction needs to know to fill it up.
    pub raw_bytes: u64,
    /// The digest after its last change.
    pub digest: Digest,
    /// The actors that wrote in it, by number ascending, and the last seq of each there.
    pub ends: Vec<(u32, u32)>,
}

impl Segment {
    /// Position of its last change.
    pub fn last(&self) -> LogSeq {
        LogSeq(self.first.0 + u64::from(self.count) - 1)
    }
}

/// Where a log begins to hold hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The last position below.
    pub seq: LogSeq,
    /// The digest there.
    pub digest: Digest,
    /// The actors up to there, in the order of their numbers, and the position of the first change of each.
    pub actors: Vec<(BaseActor, LogSeq)>,
    /// The packs that hold positions 1 to `seq`, in order, without gaps.
    pub segments: Vec<Segment>,
}

/// Something about a change below the base that must be read from the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The hash of a change.
    Hash(Place),
    /// The digest at a position.
    Digest(LogSeq),
    /// Where a change stands, if it is held at all.
    Place(ChangeHash),
}

/// A document's changes in log order.
#[derive(Clone, Debug)]
pub struct Log {
    incarnation: Incarnation,
    table: ChangeTable,
    base: LogSeq,
    segments: Vec<Segment>,
    /// Places from `base` on.
    order: Vec<Place>,
    /// Digests from `base` on.
    digests: Vec<Digest>,
    /// Where each actor first appears, by actor number.
    arrivals: Vec<LogSeq>,
    /// Digests below the base that were read.
    learned: BTreeMap<LogSeq, Digest>,
    /// In how many segments, from the last on, changes that may not be held were looked for.
    searched: BTreeMap<ChangeHash, usize>,
}

impl Log {
    /// The empty log of a document's incarnation.
    pub fn new(incarnation: Incarnation) -> Self {
        let base = Base { seq: LogSeq(0), digest: digest_start(incarnation), actors: Vec::new(), segments: Vec::new() };
        Self::on(incarnation, base)
    }

    /// A log on a base.
    pub fn on(incarnation: Incarnation, base: Base) -> Self {
        let (actors, arrivals) = base.actors.into_iter().unzip();
        Self {
            incarnation,
            table: ChangeTable::on(actors),
            base: base.seq,
            segments: base.segments,
            order: Vec::new(),
            digests: vec![base.digest],
            arrivals,
            learned: BTreeMap::new(),
            searched: BTreeMap::new(),
        }
    }

    /// All that is held as a base for another log. `segments` are the packs that hold it.
    pub fn to_base(&self, segments: Vec<Segment>) -> Base {
        let actors = self.table.to_base().into_iter().zip(self.arrivals.iter().copied()).collect();
        Base { seq: self.head(), digest: self.digest(), actors, segments }
    }

    /// The last position below which nothing but numbers is known.
    pub fn base(&self) -> LogSeq {
        self.base
    }

    /// The packs that hold what lies below the base.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether something is neither known nor known to be nowhere.
    pub fn lacks(&self, need: &Need) -> bool {
        match need {
            Need::Hash(place) => self.table.is_unread(*place),
            Need::Digest(seq) => *seq < self.base && self.digest_at(*seq).is_none(),
            Need::Place(hash) => {
                let searched = self.searched.get(hash).copied().unwrap_or(0);
                !self.table.contains(hash) && searched < self.segments.len()
            }
        }
    }

    /// The segment in which to look for what is needed.
    pub fn segment_for(&self, need: &Need) -> Option<&Segment> {
        match need {
            Need::Hash(place) => self.segments.iter().find(|segment| {
                let at = segment.ends.binary_search_by_key(&place.actor, |(actor, _)| *actor);
                at.is_ok_and(|i| segment.ends[i].1 >= place.seq)
            }),
            Need::Digest(seq) => self.segments.get(self.segments.partition_point(|s| s.last() < *seq)),
            Need::Place(hash) => {
                let searched = self.searched.get(hash).copied().unwrap_or(0);
                self.segments.len().checked_sub(searched + 1).and_then(|i| self.segments.get(i))
            }
        }
    }

    /// Takes in the hash of a change below the base.
    pub fn learn_hash(&mut self, place: Place, hash: ChangeHash) {
        self.table.learn(place, hash);
    }

    /// Takes in what `changes`, which stand from `first` on, say about what is needed. False if they are not the log's changes there.
    pub fn learn(&mut self, first: LogSeq, changes: &[Change], needs: &[Need]) -> bool {
        let before = first.0.checked_sub(1).and_then(|seq| self.digest_at(LogSeq(seq)));
        let Some(mut digest) = before else { return false };
        let mut digests = vec![digest];
        for change in changes {
            digest = digest_next(digest, &change.hash());
            digests.push(digest);
        }
        let positions = (first.0 - 1..).map(LogSeq).zip(&digests);
        if positions.into_iter().any(|(seq, found)| self.digest_at(seq).is_some_and(|known| known != *found)) {
            return false;
        }
        let mut places = BTreeMap::new();
        for change in changes {
            let Some(actor) = self.table.number(change.actor()) else { continue };
            places.insert(Place { actor, seq: change.seq() }, change.hash());
        }
        let wanted = self.segments.iter().position(|s| s.first == first).map(|i| self.segments.len() - i);
        for need in needs {
            match need {
                Need::Hash(place) => {
                    if let Some(hash) = places.get(place) {
                        self.table.learn(*place, *hash);
                    }
                }
                Need::Digest(seq) => {
                    let index = seq.0.checked_sub(first.0 - 1).and_then(|i| usize::try_from(i).ok());
                    if let Some(digest) = index.and_then(|i| digests.get(i)) {
                        self.learned.insert(*seq, *digest);
                    }
                }
                Need::Place(hash) => match places.iter().find(|(_, found)| *found == hash) {
                    Some((place, hash)) => self.table.learn(*place, *hash),
                    None => {
                        let searched = self.searched.entry(*hash).or_default();
                        if Some(*searched + 1) == wanted {
                            *searched += 1;
                        }
                    }
                },
            }
        }
        true
    }

    /// Number of things learned that may be forgotten.
    pub fn learned_count(&self) -> usize {
        self.learned.len() + self.searched.len() + self.table.learned_count()
    }

    /// Forgets what was learned, but for what changes above the base depend on.
    pub fn forget_learned(&mut self) {
        self.learned.clear();
        self.searched.clear();
        self.table.forget_learned();
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
        self.base.plus(self.order.len() as u64)
    }

    /// The digest at the head.
    pub fn digest(&self) -> Digest {
        *self.digests.last().expect("a log starts with a digest")
    }

    /// The digest at a position, if the log reaches it and it is known.
    pub fn digest_at(&self, seq: LogSeq) -> Option<Digest> {
        if let Some(above) = seq.0.checked_sub(self.base.0) {
            return self.digests.get(usize::try_from(above).ok()?).copied();
        }
        if seq.0 == 0 {
            return Some(digest_start(self.incarnation));
        }
        let ends = self.segments.binary_search_by_key(&seq, Segment::last).ok().map(|i| self.segments[i].digest);
        ends.or_else(|| self.learned.get(&seq).copied())
    }

    /// The change at a position above the base.
    pub fn hash_at(&self, seq: LogSeq) -> Option<ChangeHash> {
        let index = usize::try_from(seq.0.checked_sub(self.base.0)?).ok()?.checked_sub(1)?;
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

    /// What the log held at a position between its base and its head: the clock in the order of actor numbers.
    pub fn actors_at(&self, seq: LogSeq) -> Vec<(ActorId, ClockEntry)> {
        let mut seqs: Vec<u32> = self.table.entries().map(|(_, entry)| entry.seq).collect();
        let above = seq.0.saturating_sub(self.base.0);
        for place in self.order.iter().skip(usize::try_from(above).unwrap_or(usize::MAX)) {
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
