//! A document's log and op index as they are read from a store: from the snapshot on where there is one, else from the start.
//!
//! Owns how stored packs become a log, with everything checked on the way, and what must be read besides. Reads nothing itself.

use crate::change::Change;
use crate::id::{Incarnation, LogSeq};
use crate::limits::PackLimits;
use crate::log::{Log, Need};
use crate::op_index::OpIndex;
use crate::pack::{self, Outside, PackError};
use crate::snapshot::Snapshot;
use crate::storage::{StoreError, StoredPack, StoredSnapshot};
use crate::table::{Place, TableError};
use crate::validator::{self, Refusal};

/// A log being read.
#[derive(Debug)]
pub struct Reading {
    /// The changes so far.
    pub log: Log,
    /// Their operations.
    pub index: OpIndex,
}

/// Why a pack can't be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// Something of compacted history must be read first; then the same call goes on.
    Need(Need),
    /// It makes no sense.
    Corrupt(String),
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Need(_) => Self::Corrupt("compacted history can't be read alone".into()),
            ReadError::Corrupt(what) => Self::Corrupt(what),
        }
    }
}

impl Reading {
    /// Before the first change.
    pub fn new(incarnation: Incarnation) -> Self {
        Self { log: Log::new(incarnation), index: OpIndex::new() }
    }

    /// From a snapshot, or why that can't be: then the log is there to be read from its start.
    pub fn resume(stored: &StoredSnapshot, incarnation: Incarnation) -> Result<Self, PackError> {
        let snapshot = Snapshot::decode(&stored.bytes)?;
        let same = snapshot.incarnation == incarnation
            && (snapshot.base.seq, snapshot.base.digest) == (stored.seq, stored.digest);
        if !same {
            return Err(PackError::Malformed("the snapshot is of another log"));
        }
        Ok(Self { log: Log::on(incarnation, snapshot.base), index: snapshot.index })
    }

    /// The changes of a stored pack. What it brings of hashes from before it is known to the log from then on.
    pub fn unpack(&mut self, stored: &StoredPack) -> Result<Vec<Change>, ReadError> {
        let (changes, outside) = unpack(stored, &self.log).map_err(|error| self.failure(stored, &error))?;
        for (actor, seq, hash) in outside.iter() {
            self.log.learn_hash(Place { actor, seq }, hash);
        }
        Ok(changes)
    }

    fn failure(&self, stored: &StoredPack, error: &PackError) -> ReadError {
        if let PackError::MissingDep { actor, seq } = error
            && let Some(actor) = self.log.table().number(actor)
            && self.log.table().is_unread(Place { actor, seq: *seq })
        {
            return ReadError::Need(Need::Hash(Place { actor, seq: *seq }));
        }
        ReadError::Corrupt(format!("pack at {}: {error}", stored.first))
    }

    /// Takes in what a stored pack has beyond the log's head.
    pub fn absorb(&mut self, stored: &StoredPack) -> Result<(), ReadError> {
        let at = |what: String| ReadError::Corrupt(format!("pack at {}: {what}", stored.first));
        let next = self.log.head().plus(1);
        let skip = next.0.checked_sub(stored.first.0).and_then(|skip| usize::try_from(skip).ok());
        let skip = skip.ok_or_else(|| at(format!("does not follow {}", self.log.head())))?;
        for change in self.unpack(stored)?.iter().skip(skip) {
            self.append(change)?;
        }
        if self.log.head() != stored.last() || self.log.digest() != stored.digest {
            return Err(at("its changes do not lead to its digest".into()));
        }
        Ok(())
    }

    /// Adds a change of the log at its head.
    pub fn append(&mut self, change: &Change) -> Result<(), ReadError> {
        let limits = PackLimits::stored().change;
        let admitted = validator::admit(change, self.log.table(), &mut self.index, &limits);
        let appended = admitted.and_then(|()| self.log.append(change).map(|_| ()).map_err(Refusal::Place));
        match appended {
            Err(Refusal::Place(TableError::MissingDep(hash))) if self.log.lacks(&Need::Place(hash)) => {
                Err(ReadError::Need(Need::Place(hash)))
            }
            Err(e) => Err(ReadError::Corrupt(format!("change {}: {e}", change.hash()))),
            Ok(()) => Ok(()),
        }
    }

    /// Takes in what a pack of compacted history says about what is needed.
    pub fn learn(&mut self, stored: &StoredPack, needs: &[Need]) -> Result<(), StoreError> {
        let changes = self.unpack(stored)?;
        if self.log.learn(stored.first, &changes, needs) {
            return Ok(());
        }
        Err(StoreError::Corrupt(format!("the pack at {} is not what the snapshot knows", stored.first)))
    }

    /// The position after which the pack begins that says what is needed.
    pub fn read_after(&self, need: &Need) -> Option<LogSeq> {
        self.log.segment_for(need).map(|segment| LogSeq(segment.first.0 - 1))
    }
}

/// The changes of a stored pack, and the hashes that it has beside what the log knows.
pub fn unpack(stored: &StoredPack, log: &Log) -> Result<(Vec<Change>, Outside), PackError> {
    let outside = Outside::decode(stored.outside.as_deref().unwrap_or_default())?;
    let changes = pack::decode(&stored.bytes, &outside.beside(log.table()), &PackLimits::stored())?.changes;
    let counted = changes.len() == stored.count as usize;
    if counted { Ok((changes, outside)) } else { Err(PackError::Malformed("it holds another number of changes")) }
}
