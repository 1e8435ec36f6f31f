//! Stores in memory: the reference that every other implementation agrees with.
//!
//! Owns what a store means when nothing can fail. Keeps nothing beyond its own life; simulated disks replay their journal into these.

use std::collections::BTreeMap;

use crate::id::{Digest, DocumentName, LogSeq, StoreId};
use crate::limits::{PIECE_BYTES, PIECES_MAX};
use crate::log::digest_start;
use crate::storage::{
    Append, Compaction, DocumentRecord, DocumentSnapshot, Durability, Loaded, LocalStore, Pieces, Row, SnapshotAt,
    Store, StoreError, StoredPack, StoredSnapshot, Table, Write,
};

/// The digest of a document that has no log.
const NO_DIGEST: Digest = Digest([0; 8]);

#[derive(Clone, Debug)]
struct Document {
    record: DocumentRecord,
    packs: Vec<StoredPack>,
    snapshot: Option<StoredSnapshot>,
    pieces: Option<DocumentSnapshot>,
}

impl Document {
    fn new() -> Self {
        let record = DocumentRecord { incarnation: None, head: LogSeq(0), digest: NO_DIGEST, deleted: Vec::new() };
        Self { record, packs: Vec::new(), snapshot: None, pieces: None }
    }

    /// Whether `append` stands exactly at the end of this log, or at the start of a new one.
    fn accepts(&self, append: &Append) -> bool {
        let (head, digest) = match self.record.incarnation {
            Some(live) if live == append.incarnation => (self.record.head, self.record.digest),
            Some(_) => return false,
            None if self.record.deleted.contains(&append.incarnation) => return false,
            None => (LogSeq(0), digest_start(append.incarnation)),
        };
        append.pack.first == head.plus(1) && append.digest_before == digest
    }
}

/// A server's store in memory.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    store_id: StoreId,
    documents: BTreeMap<DocumentName, Document>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(store_id: StoreId) -> Self {
        Self { store_id, documents: BTreeMap::new() }
    }

    /// Gives the store another identity, as a restore from a backup does.
    pub fn set_store_id(&mut self, store_id: StoreId) {
        self.store_id = store_id;
    }

    /// Puts packs in the place of others, as [`Store::compact`] does.
    pub fn replace(&mut self, compaction: &Compaction) -> Result<(), StoreError> {
        let Compaction { document, incarnation, packs, snapshot } = compaction;
        let moved = |head| Err(StoreError::HeadMoved { head });
        let Some(known) = self.documents.get_mut(document) else { return moved(LogSeq(0)) };
        let head = known.record.head;
        let Some((first, last)) = packs.first().zip(packs.last()) else { return moved(head) };
        let from = known.packs.iter().position(|pack| pack.first == first.first);
        let to = known.packs.iter().position(|pack| (pack.last(), pack.digest) == (last.last(), last.digest));
        match (from, to) {
            (Some(from), Some(to)) if known.record.incarnation == Some(*incarnation) && is_whole(packs) => {
                known.packs.splice(from..=to, packs.iter().cloned());
            }
            _ => return moved(head),
        }
        if let Some(snapshot) = snapshot {
            known.snapshot = Some(snapshot.clone());
        }
        Ok(())
    }

    /// Keeps a document snapshot, as [`Store::keep_snapshot`] does.
    pub fn keep(&mut self, snapshot: &DocumentSnapshot) -> Result<(), StoreError> {
        let head = self.documents.get(&snapshot.document).map_or(LogSeq(0), |d| d.record.head);
        let ends = |pack: &StoredPack| (pack.last(), pack.digest) == (snapshot.seq, snapshot.digest);
        let known = self.documents.get_mut(&snapshot.document);
        let fits = |d: &&mut Document| {
            d.record.incarnation == Some(snapshot.incarnation) && d.packs.iter().any(ends) && is_cut(snapshot)
        };
        let document = known.filter(fits).ok_or(StoreError::HeadMoved { head })?;
        document.pieces = Some(snapshot.clone());
        Ok(())
    }

    /// Adds one pack, or says why not, as [`Store::commit`] does for each of its appends.
    pub fn append(&mut self, append: &Append) -> Result<Durability, StoreError> {
        if append.pack.count == 0 {
            return Err(StoreError::Corrupt("a pack without changes".into()));
        }
        let known = self.documents.get(&append.document);
        let head = known.map_or(LogSeq(0), |d| d.record.head);
        if !known.unwrap_or(&Document::new()).accepts(append) {
            return Err(StoreError::HeadMoved { head });
        }
        let document = self.documents.entry(append.document.clone()).or_insert_with(Document::new);
        document.record.incarnation = Some(append.incarnation);
        document.record.head = append.pack.last();
        document.record.digest = append.pack.digest;
        document.packs.push(append.pack.clone());
        Ok(Durability::Durable)
    }
}

impl Store for MemoryStore {
    fn store_id(&self) -> StoreId {
        self.store_id
    }

    fn load(&mut self, document: &DocumentName, after: LogSeq, bytes_max: usize) -> Result<Loaded, StoreError> {
        let Some(document) = self.documents.get(document) else {
            return Ok(Loaded::default());
        };
        let start = document.packs.partition_point(|pack| pack.last() <= after);
        let mut bytes = 0;
        let mut packs = Vec::new();
        for pack in &document.packs[start..] {
            if bytes >= bytes_max && !packs.is_empty() {
                break;
            }
            bytes += pack.bytes.len();
            packs.push(pack.clone());
        }
        Ok(Loaded { record: Some(document.record.clone()), snapshot: None, packs })
    }

    fn open(&mut self, document: &DocumentName, bytes_max: usize) -> Result<Loaded, StoreError> {
        let snapshot = self.documents.get(document).and_then(|d| d.snapshot.clone());
        let loaded = self.load(document, snapshot.as_ref().map_or(LogSeq(0), |s| s.seq), bytes_max)?;
        Ok(Loaded { snapshot, ..loaded })
    }

    fn compact(&mut self, compaction: &Compaction) -> Result<(), StoreError> {
        self.replace(compaction)
    }

    fn commit(&mut self, appends: &[Append]) -> Result<Vec<Result<Durability, StoreError>>, StoreError> {
        Ok(appends.iter().map(|append| self.append(append)).collect())
    }

    fn keep_snapshot(&mut self, snapshot: &DocumentSnapshot) -> Result<(), StoreError> {
        self.keep(snapshot)
    }

    fn pieces(&mut self, document: &DocumentName, from: u32, bytes_max: usize) -> Result<Pieces, StoreError> {
        let Some(kept) = self.documents.get(document).and_then(|d| d.pieces.as_ref()) else {
            return Ok(Pieces::default());
        };
        let (mut pieces, mut bytes) = (Vec::new(), 0);
        for (index, piece) in (0..).zip(&kept.pieces).skip(from as usize) {
            bytes += piece.len();
            if bytes > bytes_max && !pieces.is_empty() {
                break;
            }
            pieces.push((index, piece.clone()));
        }
        let DocumentSnapshot { incarnation, seq, digest, views, .. } = *kept;
        let at = SnapshotAt { incarnation, seq, digest, views, total: kept.pieces.len() as u32 };
        Ok(Pieces { at: Some(at), pieces })
    }

    fn delete(&mut self, document: &DocumentName) -> Result<bool, StoreError> {
        let Some(document) = self.documents.get_mut(document) else { return Ok(false) };
        let Some(incarnation) = document.record.incarnation.take() else { return Ok(false) };
        document.record.deleted.push(incarnation);
        document.record.head = LogSeq(0);
        document.record.digest = NO_DIGEST;
        document.packs.clear();
        document.snapshot = None;
        document.pieces = None;
        Ok(true)
    }

    fn documents(
        &mut self,
        after: Option<&DocumentName>,
        count_max: usize,
    ) -> Result<Vec<(DocumentName, DocumentRecord)>, StoreError> {
        let live = self.documents.iter().filter(|(_, d)| d.record.incarnation.is_some());
        let beyond = live.filter(|(name, _)| after.is_none_or(|after| *name > after));
        Ok(beyond.take(count_max).map(|(name, d)| (name.clone(), d.record.clone())).collect())
    }
}

/// Whether a document snapshot has pieces of the saved document, few and small enough.
fn is_cut(snapshot: &DocumentSnapshot) -> bool {
    let total = snapshot.pieces.len();
    let small = snapshot.pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= PIECE_BYTES);
    (snapshot.views as usize) < total && total <= PIECES_MAX as usize && small
}

/// Whether packs follow each other, each can be read alone, and none is empty.
fn is_whole(packs: &[StoredPack]) -> bool {
    let follow = packs.windows(2).all(|pair| pair[1].first == pair[0].last().plus(1));
    follow && packs.iter().all(|pack| pack.count > 0 && pack.outside.is_some())
}

/// A client's local store in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryLocalStore {
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
}

impl MemoryLocalStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Does one write. It can't fail.
    pub fn apply(&mut self, write: &Write) {
        match write {
            Write::Put { table, key, value } => {
                self.rows.insert((*table, key.clone()), value.clone());
            }
            Write::Delete { table, key } => {
                self.rows.remove(&(*table, key.clone()));
            }
            Write::DeletePrefix { table, prefix } => {
                let keys: Vec<_> = self.rows_with(*table, prefix).map(|(key, _)| key.clone()).collect();
                for key in keys {
                    self.rows.remove(&(*table, key));
                }
            }
        }
    }

    fn rows_with<'a>(&'a self, table: Table, prefix: &'a [u8]) -> impl Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)> {
        let from = self.rows.range((table, prefix.to_vec())..);
        from.take_while(move |((t, key), _)| *t == table && key.starts_with(prefix)).map(|((_, k), v)| (k, v))
    }
}

impl LocalStore for MemoryLocalStore {
    fn read(&mut self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        Ok(self.rows_with(table, prefix).map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        writes.iter().for_each(|write| self.apply(write));
        Ok(())
    }
}
