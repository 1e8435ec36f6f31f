//! Storage as data and as seams: what machines ask of a store, and the two traits that drivers implement.
//!
//! Owns the shapes of tasks and results and the errors a store may give. Owns no format: the server's rows are packs, the
//! client's rows are opaque keys and values. Every implementation passes the contract suites in the tests folder.

pub mod memory;

use bytes::Bytes;

use crate::id::{Digest, DocumentName, Incarnation, LogSeq, StoreId};

/// What a server's store knows of a document beside its packs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentRecord {
    /// The live incarnation; `None` while the document is deleted.
    pub incarnation: Option<Incarnation>,
    /// The last durable position of the live incarnation.
    pub head: LogSeq,
    /// The digest there.
    pub digest: Digest,
    /// Every incarnation that was deleted, oldest first. Tombstones stay for ever.
    pub deleted: Vec<Incarnation>,
}

/// A contiguous range of a document's log as one pack, relative to the log before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPack {
    /// Position of its first change.
    pub first: LogSeq,
    /// Number of its changes, at least 1.
    pub count: u32,
    /// The log's digest after its last change.
    pub digest: Digest,
    /// The pack.
    pub bytes: Bytes,
    /// The hashes that it needs from before `first`, as [`crate::pack::Outside`] writes them, so that it can be read alone. Absent from a
    /// pack that was appended: it is read with the log before it.
    pub outside: Option<Bytes>,
}

/// What a store keeps beside a document's packs so that nobody needs to read them all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// The last position that it stands for. A pack ends there.
    pub seq: LogSeq,
    /// The log's digest there.
    pub digest: Digest,
    /// A [`crate::snapshot::Snapshot`].
    pub bytes: Bytes,
}

/// Puts other packs in the place of those that hold a range of a log. The log stays what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// The document.
    pub document: DocumentName,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The packs to write: at least one, without gaps between them, each with its hashes from outside. A stored pack must begin where the first
    /// of them does, and one must end, with the same digest, where the last does.
    pub packs: Vec<StoredPack>,
    /// The snapshot that takes the place of an older one, if there is a new one.
    pub snapshot: Option<StoredSnapshot>,
}

/// What stands in for a log up to a position when a newcomer opens it: a view, if there is one, and a [`crate::saved::Saved`], in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentSnapshot {
    /// The document.
    pub document: DocumentName,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The position. A pack ended there when it was made.
    pub seq: LogSeq,
    /// The log's digest there.
    pub digest: Digest,
    /// How many of the pieces, from the first on, are the view's.
    pub views: u32,
    /// The pieces: at least one, none larger than [`crate::limits::PIECE_BYTES`].
    pub pieces: Vec<Bytes>,
}

/// Which document snapshot a store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotAt {
    /// The incarnation of its document.
    pub incarnation: Incarnation,
    /// The position that it stands for.
    pub seq: LogSeq,
    /// The log's digest there.
    pub digest: Digest,
    /// How many of the pieces, from the first on, are the view's.
    pub views: u32,
    /// Number of pieces.
    pub total: u32,
}

/// What a [`StoreTask::Pieces`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    /// The snapshot that the pieces are of; `None` if the document has none that makes sense.
    pub at: Option<SnapshotAt>,
    /// Pieces with their indexes, in order, without gaps.
    pub pieces: Vec<(u32, Bytes)>,
}

impl StoredPack {
    /// The position before its first change.
    pub fn before(&self) -> LogSeq {
        LogSeq(self.first.0.saturating_sub(1))
    }

    /// Position of its last change. A damaged row may claim any numbers, so that this stops at the highest position.
    pub fn last(&self) -> LogSeq {
        LogSeq(self.first.0.saturating_add(u64::from(self.count)).saturating_sub(1))
    }
}

/// Adds one pack to a document, if the log still ends where the writer believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The document.
    pub document: DocumentName,
    /// Its incarnation; the document is made if it has none and `pack.first` is 1.
    pub incarnation: Incarnation,
    /// The digest the log must have at `pack.first - 1`.
    pub digest_before: Digest,
    /// What to add.
    pub pack: StoredPack,
}

/// What a room asks of its store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreTask {
    /// Read a document's record and its packs that reach beyond `after`, up to about `bytes_max` (at least one pack, if there is one).
    Load {
        /// The document.
        document: DocumentName,
        /// Packs that end at or before this position are left out.
        after: LogSeq,
        /// Stop once the packs read hold this many bytes.
        bytes_max: usize,
    },
    /// Read a document's record, its snapshot, and its packs that reach beyond that, up to about `bytes_max` as in `Load`.
    Open {
        /// The document.
        document: DocumentName,
        /// Stop once the packs read hold this many bytes.
        bytes_max: usize,
    },
    /// Read pieces of a document's snapshot for newcomers, up to about `bytes_max` (at least one, if there is one).
    Pieces {
        /// The document.
        document: DocumentName,
        /// Index of the first piece.
        from: u32,
        /// Stop once the pieces read hold this many bytes.
        bytes_max: usize,
    },
    /// Add a pack, durably.
    Append(Append),
}

impl StoreTask {
    /// Does it on a store, at once and alone: for drivers that gather no group of commits.
    pub fn run(self, store: &mut (impl Store + ?Sized)) -> StoreDone {
        match self {
            Self::Load { document, after, bytes_max } => StoreDone::Loaded(store.load(&document, after, bytes_max)),
            Self::Open { document, bytes_max } => StoreDone::Loaded(store.open(&document, bytes_max)),
            Self::Pieces { document, from, bytes_max } => StoreDone::Pieces(store.pieces(&document, from, bytes_max)),
            Self::Append(append) => {
                let one = |mut all: Vec<_>| all.pop().expect("each append has a result");
                StoreDone::Appended(store.commit(&[append]).and_then(one))
            }
        }
    }
}

/// What a [`StoreTask::Load`] or [`StoreTask::Open`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The document's record; `None` if there never was one.
    pub record: Option<DocumentRecord>,
    /// The snapshot, if there is one and it was asked for.
    pub snapshot: Option<StoredSnapshot>,
    /// Packs in log order, without gaps between them.
    pub packs: Vec<StoredPack>,
}

/// How safe a committed write is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Survives the process and the machine.
    Durable,
    /// Survives the process; a crash of the machine may take the last moments.
    Stored,
}

/// The result of a [`StoreTask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreDone {
    /// Of a load or an open.
    Loaded(Result<Loaded, StoreError>),
    /// Of a read of pieces.
    Pieces(Result<Pieces, StoreError>),
    /// Of an append.
    Appended(Result<Durability, StoreError>),
}

/// What can go wrong in a store. Nothing of a failed commit is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The log does not end where the append expected: another writer, or a store swapped underneath.
    #[error("the log ends at {head}, not where the append expected")]
    HeadMoved {
        /// Where it ends.
        head: LogSeq,
    },
    /// No space left. Retry later.
    #[error("the disk is full")]
    Full,
    /// The store can't be written. Retry later.
    #[error("the store is read-only")]
    ReadOnly,
    /// The device or file system failed. Retry later.
    #[error("storage failed: {0}")]
    Io(String),
    /// What is stored of this document does not make sense.
    #[error("corrupt: {0}")]
    Corrupt(String),
    /// Another process holds the store.
    #[error("the store is in use by another process")]
    Locked,
    /// The store was written by a newer version.
    #[error(
        "the store has format {found}, this version knows up to {known}: use the newer version, or restore the copy made before the upgrade"
    )]
    Newer {
        /// Format found.
        found: u32,
        /// Highest format known.
        known: u32,
    },
}

impl StoreError {
    /// Whether the same call may succeed later without anybody repairing the store.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Full | Self::ReadOnly | Self::Io(_))
    }
}

/// A server's store. Calls block; a driver gives the store a thread of its own.
pub trait Store: Send {
    /// The identity made with the store.
    fn store_id(&self) -> StoreId;

    /// A document's record and its packs that reach beyond `after`, in log order, up to about `bytes_max` but at least one if there is one.
    fn load(&mut self, document: &DocumentName, after: LogSeq, bytes_max: usize) -> Result<Loaded, StoreError>;

    /// As `load` from the document's snapshot on, which comes with it; from the start if there is none.
    fn open(&mut self, document: &DocumentName, bytes_max: usize) -> Result<Loaded, StoreError>;

    /// Puts packs in the place of others in one transaction. [`StoreError::HeadMoved`] if the document, or the range, is not
    /// what the compaction took it for; then nothing is changed.
    fn compact(&mut self, compaction: &Compaction) -> Result<(), StoreError>;

    /// Keeps a document snapshot in place of an older one, in one transaction. [`StoreError::HeadMoved`] if the document is another
    /// incarnation's, or no pack ends at the snapshot's position with its digest; then nothing is changed.
    fn keep_snapshot(&mut self, snapshot: &DocumentSnapshot) -> Result<(), StoreError>;

    /// Pieces of a document's snapshot from one on, up to about `bytes_max` but at least one if there is one.
    fn pieces(&mut self, document: &DocumentName, from: u32, bytes_max: usize) -> Result<Pieces, StoreError>;

    /// Commits appends in one transaction, in order. The outer error means that nothing was kept. An inner
    /// [`StoreError::HeadMoved`] or [`StoreError::Corrupt`] concerns that append alone; the others are kept.
    fn commit(&mut self, appends: &[Append]) -> Result<Vec<Result<Durability, StoreError>>, StoreError>;

    /// Deletes a document's live incarnation and leaves a tombstone. Whether there was one.
    fn delete(&mut self, document: &DocumentName) -> Result<bool, StoreError>;

    /// Documents with a live incarnation, in name order, after a name, at most `count_max`.
    fn documents(
        &mut self,
        after: Option<&DocumentName>,
        count_max: usize,
    ) -> Result<Vec<(DocumentName, DocumentRecord)>, StoreError>;
}

/// The tables of a client's local store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Client id, format, actor leases. Keys are fixed words.
    Meta,
    /// One row a document: incarnation, cursor, log actors, acknowledged ranges. Key: the name.
    Document,
    /// Changes known to be in the log, oldest first. Key: name, 0, big-endian number.
    Chunk,
    /// Changes not known to be in the log. Key: name, 0, big-endian number.
    Outbox,
}

impl Table {
    /// All tables, in order.
    pub const ALL: [Table; 4] = [Table::Meta, Table::Document, Table::Chunk, Table::Outbox];

    /// The table's name in a database.
    pub fn name(self) -> &'static str {
        match self {
            Table::Meta => "meta",
            Table::Document => "document",
            Table::Chunk => "chunk",
            Table::Outbox => "outbox",
        }
    }
}

/// One write of a client's transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets a row.
    Put {
        /// In which table.
        table: Table,
        /// Its key.
        key: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// Removes a row, if it is there.
    Delete {
        /// From which table.
        table: Table,
        /// Its key.
        key: Vec<u8>,
    },
    /// Removes all rows whose key begins with `prefix`.
    DeletePrefix {
        /// From which table.
        table: Table,
        /// The start of their keys.
        prefix: Vec<u8>,
    },
}

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// What a replica asks of its local store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalTask {
    /// Read all rows whose key begins with `prefix`, in key order, from each of the tables.
    Read {
        /// From which tables.
        tables: Vec<Table>,
        /// The start of their keys.
        prefix: Vec<u8>,
    },
    /// Commit writes in one transaction, strictly durable.
    Commit(Vec<Write>),
}

impl LocalTask {
    /// Does it on a store, at once and alone: for drivers that gather no group of commits.
    pub fn run(self, store: &mut (impl LocalStore + ?Sized)) -> LocalDone {
        match self {
            Self::Read { tables, prefix } => {
                LocalDone::Read(tables.into_iter().map(|table| store.read(table, &prefix)).collect())
            }
            Self::Commit(writes) => LocalDone::Committed(store.commit(&writes)),
        }
    }
}

/// The result of a [`LocalTask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalDone {
    /// Rows per table, in the order the tables were asked for.
    Read(Result<Vec<Vec<Row>>, StoreError>),
    /// Of a commit.
    Committed(Result<(), StoreError>),
}

/// A client's local store: ordered tables of keys and values with atomic, durable transactions. Calls block.
pub trait LocalStore: Send {
    /// All rows of `table` whose key begins with `prefix`, in key order.
    fn read(&mut self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, StoreError>;

    /// Commits all writes in order, or none. Returns once they would survive a crash.
    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError>;
}
