//! A document's stored log taken apart in order, with everything checked on the way.
//!
//! Used by whatever needs the changes themselves: materialising, `verify`, `export`, `import`. Applies nothing.

use sync_core::change::Change;
use sync_core::desk::{Desk, DeskError};
use sync_core::id::{Digest, DocumentName, Incarnation, LogSeq, StoreId};
use sync_core::limits::PackLimits;
use sync_core::log::{Log, Segment};
use sync_core::op_index::OpIndex;
use sync_core::pack::{self, Outside, PackError};
use sync_core::snapshot::{self, Snapshot};
use sync_core::storage::{DocumentRecord, StoreError, StoredPack, StoredSnapshot};
use sync_core::table::{Place, TableError};
use sync_core::validator::{self, Refusal};

use crate::store::ReadStore;

/// Bytes of packs read at a time.
const READ_BYTES: usize = 4 << 20;

/// What is wrong with a stored log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// The store can't give it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A pack stands elsewhere than it says.
    #[error("the pack at {first} does not follow position {head}")]
    Position {
        /// Where it says it begins.
        first: LogSeq,
        /// Where the log before it ends.
        head: LogSeq,
    },
    /// A pack does not give back its changes.
    #[error("the pack at {first}: {error}")]
    Pack {
        /// Where it begins.
        first: LogSeq,
        /// What is wrong.
        error: PackError,
    },
    /// A pack holds another number of changes than its row says.
    #[error("the pack at {first} holds {found} changes, not {said}")]
    Count {
        /// Where it begins.
        first: LogSeq,
        /// How many it holds.
        found: usize,
        /// How many it should.
        said: u32,
    },
    /// A change's deps or its actor's previous change are not before it.
    #[error("the change at {seq}: {error}")]
    Place {
        /// Its position.
        seq: LogSeq,
        /// What is wrong.
        error: TableError,
    },
    /// The validator would not have let a change in.
    #[error("the change at {seq}: {error}")]
    Refused {
        /// Its position.
        seq: LogSeq,
        /// Why.
        error: Refusal,
    },
    /// The chain of digests breaks.
    #[error("the digest at {seq} is {found}, not {said}")]
    Digest {
        /// Where.
        seq: LogSeq,
        /// As the changes give it.
        found: Digest,
        /// As it is stored.
        said: Digest,
    },
    /// What a pack brings of hashes from before it is not what the log has.
    #[error("the pack at {first} has other hashes from before it than the log")]
    Outside {
        /// Where it begins.
        first: LogSeq,
    },
    /// The snapshot is not what the log before it gives.
    #[error("the snapshot at {seq} {error}")]
    Snapshot {
        /// Where it stands.
        seq: LogSeq,
        /// What is wrong.
        error: String,
    },
    /// The document was deleted or made anew while it was read.
    #[error("the document was replaced while it was read")]
    Replaced,
}

/// A log being taken apart.
#[derive(Debug)]
pub struct Walk {
    log: Log,
    index: Option<OpIndex>,
    limits: PackLimits,
    /// To be compared once the log reaches it.
    snapshot: Option<StoredSnapshot>,
}

impl Walk {
    /// Before the first change. With `validate`, each change must also pass the validator.
    pub fn new(incarnation: Incarnation, validate: bool) -> Self {
        let limits =
            PackLimits { inflated_bytes_max: PackLimits::default().inflated_bytes_max, ..PackLimits::stored() };
        Self { log: Log::new(incarnation), index: validate.then(OpIndex::new), limits, snapshot: None }
    }

    /// Compares a snapshot, when the log reaches it, with what its changes give. Only where they are validated.
    pub fn expect(&mut self, snapshot: Option<StoredSnapshot>) {
        self.snapshot = snapshot;
    }

    /// The log so far.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What the validator knows of the operations so far. Only where they are validated.
    pub fn index(&self) -> Option<&OpIndex> {
        self.index.as_ref()
    }

    /// The log, and what the validator knows of its operations. Only where they are validated.
    pub fn into_parts(self) -> Option<(Log, OpIndex)> {
        Some((self.log, self.index?))
    }

    /// Takes the next pack apart.
    pub fn pack(&mut self, stored: &StoredPack) -> Result<Vec<Change>, WalkError> {
        let (first, head) = (stored.first, self.log.head());
        if first != head.plus(1) {
            return Err(WalkError::Position { first, head });
        }
        self.check_outside(stored)?;
        let unpacked = pack::decode(&stored.bytes, self.log.table(), &self.limits)
            .map_err(|error| WalkError::Pack { first, error })?;
        if unpacked.changes.len() != stored.count as usize {
            return Err(WalkError::Count { first, found: unpacked.changes.len(), said: stored.count });
        }
        for change in &unpacked.changes {
            self.append(change)?;
        }
        let found = self.log.digest();
        if found != stored.digest {
            return Err(WalkError::Digest { seq: stored.last(), found, said: stored.digest });
        }
        Ok(unpacked.changes)
    }

    /// Adds one change at the end.
    pub fn append(&mut self, change: &Change) -> Result<LogSeq, WalkError> {
        let seq = self.log.head().plus(1);
        if let Some(index) = &mut self.index {
            validator::admit(change, self.log.table(), index, &self.limits.change)
                .map_err(|error| WalkError::Refused { seq, error })?;
        }
        self.log.append(change).map_err(|error| WalkError::Place { seq, error })?;
        self.check_snapshot()?;
        Ok(seq)
    }

    fn check_outside(&self, stored: &StoredPack) -> Result<(), WalkError> {
        let Some(bytes) = &stored.outside else { return Ok(()) };
        let first = stored.first;
        let outside = Outside::decode(bytes).map_err(|error| WalkError::Pack { first, error })?;
        let known = |(actor, seq, hash)| self.log.table().hash_at(Place { actor, seq }) == Some(hash);
        if outside.iter().all(known) { Ok(()) } else { Err(WalkError::Outside { first }) }
    }

    fn check_snapshot(&mut self) -> Result<(), WalkError> {
        let seq = self.log.head();
        let Some(index) = &self.index else { return Ok(()) };
        let Some(stored) = self.snapshot.take_if(|stored| stored.seq == seq) else { return Ok(()) };
        let wrong = |error: &str| Err(WalkError::Snapshot { seq, error: error.into() });
        let found = match Snapshot::decode(&stored.bytes) {
            Ok(found) => found,
            Err(error) => return wrong(&format!("can't be read: {error}")),
        };
        let known = |segment: &Segment| self.log.digest_at(segment.last()) == Some(segment.digest);
        if !found.base.segments.iter().all(known) || stored.digest != self.log.digest() {
            return wrong("is of another log");
        }
        let base = self.log.to_base(found.base.segments.clone());
        let made = snapshot::encode(self.log.incarnation(), &base, index);
        if made == found.encode() { Ok(()) } else { wrong("is not what the changes before it give") }
    }
}

/// Reads a document's whole log, handing on the changes of each pack. `None` if there is no live document.
pub fn read(
    store: &mut dyn ReadStore,
    document: &DocumentName,
    validate: bool,
    mut each: impl FnMut(&StoredPack, Vec<Change>),
) -> Result<Option<(DocumentRecord, Walk)>, WalkError> {
    let mut walk: Option<Walk> = None;
    loop {
        let after = walk.as_ref().map_or(LogSeq(0), |w| w.log().head());
        let loaded = store.load(document, after, READ_BYTES)?;
        let Some((record, incarnation)) = loaded.record.and_then(|r| r.incarnation.map(|i| (r, i))) else {
            return if walk.is_some() { Err(WalkError::Replaced) } else { Ok(None) };
        };
        if walk.is_none() {
            let mut begun = Walk::new(incarnation, validate);
            if validate {
                begun.expect(store.open(document, 0)?.snapshot);
            }
            walk = Some(begun);
        }
        let walk = walk.as_mut().expect("it has begun");
        if walk.log().incarnation() != incarnation {
            return Err(WalkError::Replaced);
        }
        for stored in &loaded.packs {
            let changes = walk.pack(stored)?;
            each(stored, changes);
        }
        if walk.log().head() >= record.head {
            let (found, said) = (walk.log().digest(), record.digest);
            if found != said {
                return Err(WalkError::Digest { seq: record.head, found, said });
            }
            break;
        }
        if loaded.packs.is_empty() {
            let what = format!("no pack holds {}, the head is {}", walk.log().head().plus(1), record.head);
            return Err(StoreError::Corrupt(what).into());
        }
    }
    let walk = walk.expect("the loop ends with a walk");
    let record = DocumentRecord {
        incarnation: Some(walk.log().incarnation()),
        head: walk.log().head(),
        digest: walk.log().digest(),
        deleted: Vec::new(),
    };
    Ok(Some((record, walk)))
}

/// The document of a log that was read whole and validated, to be written on.
pub(crate) fn desk(
    document: &DocumentName,
    store: StoreId,
    changes: Vec<Change>,
    walk: Walk,
) -> Result<Desk, DeskError> {
    let (log, ops) = walk.into_parts().ok_or_else(|| DeskError::Broken("its changes were not validated".into()))?;
    Desk::new(document, store, changes, log, ops)
}
