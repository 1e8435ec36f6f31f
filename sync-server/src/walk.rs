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

use crate::store::{Held, ReadStore};

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

/// Reads a document's whole log as it stands at one moment, handing on the changes of each pack. `None` if there is no live document.
pub fn read(
    store: &mut dyn ReadStore,
    document: &DocumentName,
    validate: bool,
    mut each: impl FnMut(&StoredPack, Vec<Change>),
) -> Result<Option<(DocumentRecord, Walk)>, WalkError> {
    // What is compacted between two reads would not follow on what was read before.
    let mut store = Held::new(store)?;
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

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use automerge::transaction::Transactable as _;
    use automerge::{ActorId, AutoCommit, ROOT};
    use sync_core::compact::{self, Alone};
    use sync_core::storage::{Append, Loaded, Pieces, Store as _};

    use super::*;
    use crate::store::{Options, SqliteReader, SqliteStore};

    /// So many changes of one author.
    pub(crate) fn history(count: i64) -> Vec<Change> {
        let mut document = AutoCommit::new().with_actor(ActorId::from([1; 16]));
        for n in 0..count {
            document.put(ROOT, "n", n).expect("puts");
            document.commit();
        }
        document.get_changes(&[]).into_iter().map(|c| Change::from_automerge(c).expect("fits")).collect()
    }

    /// A store whose document has a pack for each change, and its log.
    pub(crate) fn store(folder: &Path, document: &DocumentName, changes: &[Change]) -> (SqliteStore, Walk) {
        let mut store = SqliteStore::open(folder, Options::default()).expect("opens");
        let mut walk = Walk::new(Incarnation([7; 8]), true);
        for change in changes {
            let (log, change) = (walk.log(), std::slice::from_ref(change));
            let (digest_before, base) = (log.digest(), log.table().actor_count());
            let bytes = pack::encode(change, base, log.table()).expect("packs");
            let first = walk.append(&change[0]).expect("follows");
            let pack = StoredPack { first, count: 1, digest: walk.log().digest(), bytes, outside: None };
            let append = Append { document: document.clone(), incarnation: Incarnation([7; 8]), digest_before, pack };
            store.commit(&[append]).expect("commits").remove(0).expect("fits");
        }
        (store, walk)
    }

    /// Makes one pack of all that a document has.
    pub(crate) fn compact(store: &mut SqliteStore, document: &DocumentName) {
        let options = compact::Options { packs_min: 2, keep_changes: 0, ..compact::Options::default() };
        compact::compact(document, &options, &mut Alone { store, document }).expect("compacts");
    }

    /// Reads one pack at a time, and compacts after each read.
    struct Restless(SqliteReader, SqliteStore);

    impl ReadStore for Restless {
        fn store_id(&self) -> StoreId {
            self.0.store_id()
        }

        fn hold(&mut self) -> Result<bool, StoreError> {
            self.0.hold()
        }

        fn release(&mut self) {
            self.0.release();
        }

        fn load(&mut self, document: &DocumentName, after: LogSeq, _: usize) -> Result<Loaded, StoreError> {
            let loaded = self.0.load(document, after, 0);
            compact(&mut self.1, document);
            loaded
        }

        fn open(&mut self, document: &DocumentName, bytes_max: usize) -> Result<Loaded, StoreError> {
            self.0.open(document, bytes_max)
        }

        fn pieces(&mut self, document: &DocumentName, from: u32, bytes_max: usize) -> Result<Pieces, StoreError> {
            self.0.pieces(document, from, bytes_max)
        }

        fn documents(
            &mut self,
            after: Option<&DocumentName>,
            count_max: usize,
        ) -> Result<Vec<(DocumentName, DocumentRecord)>, StoreError> {
            self.0.documents(after, count_max)
        }
    }

    /// It was told as damage: `the pack at 1 does not follow position 1`, by `verify`, and over HTTP as a quarantined document.
    #[test]
    fn a_log_that_is_compacted_while_it_is_read_is_read_as_it_stood() {
        let (dir, document, changes) =
            (tempfile::tempdir().expect("a folder"), "d".parse().expect("a name"), history(15));
        let (store, _) = store(dir.path(), &document, &changes);
        let mut restless = Restless(store.reader().expect("opens"), store);
        let mut found = Vec::new();
        let read = read(&mut restless, &document, true, |_, pack| found.extend(pack.iter().map(Change::hash)));
        assert_eq!(read.map(|read| read.expect("is there").0.head), Ok(LogSeq(15)));
        assert_eq!(found, changes.iter().map(Change::hash).collect::<Vec<_>>());
    }
}
