//! A document's stored log taken apart in order, with everything checked on the way.
//!
//! Used by whatever needs the changes themselves: materialising, `verify`, `export`, `import`. Applies nothing.

use sync_core::change::Change;
use sync_core::id::{Digest, DocumentName, Incarnation, LogSeq};
use sync_core::limits::PackLimits;
use sync_core::log::Log;
use sync_core::op_index::OpIndex;
use sync_core::pack::{self, PackError};
use sync_core::storage::{DocumentRecord, StoreError, StoredPack};
use sync_core::table::TableError;
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
}

impl Walk {
    /// Before the first change. With `validate`, each change must also pass the validator.
    pub fn new(incarnation: Incarnation, validate: bool) -> Self {
        let limits =
            PackLimits { inflated_bytes_max: PackLimits::default().inflated_bytes_max, ..PackLimits::stored() };
        Self { log: Log::new(incarnation), index: validate.then(OpIndex::new), limits }
    }

    /// The log so far.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Takes the next pack apart.
    pub fn pack(&mut self, stored: &StoredPack) -> Result<Vec<Change>, WalkError> {
        let (first, head) = (stored.first, self.log.head());
        if first != head.plus(1) {
            return Err(WalkError::Position { first, head });
        }
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
        self.log.append(change).map_err(|error| WalkError::Place { seq, error })
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
        let walk = walk.get_or_insert_with(|| Walk::new(incarnation, validate));
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
