//! The simulated disk: a journal of transactions with a durable and an unsynced part, and both stores on top of it.
//!
//! Owns what a crash leaves, torn tails, full disks and failing writes. What a transaction means is left to the stores in memory,
//! into which the journal is replayed.

use bytes::Bytes;
use minicbor::{Decoder, Encoder};
use sync_core::id::{Digest, DocumentName, Incarnation, LogSeq, StoreId};
use sync_core::rng::Rng;
use sync_core::storage::memory::{MemoryLocalStore, MemoryStore};
use sync_core::storage::{
    Append, Compaction, DocumentRecord, DocumentSnapshot, Durability, Loaded, LocalStore, Pieces, Row, Store,
    StoreError, StoredPack, StoredSnapshot, Table, Write,
};

const HEADER_BYTES: usize = 12;

/// FNV-1a over `bytes`, going on from `state`.
pub(crate) fn checksum(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

/// Where [`checksum`] starts.
pub(crate) const CHECKSUM_START: u64 = 0xcbf2_9ce4_8422_2325;

/// Records one after the other, the last of which may not have reached the disk.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    bytes: Vec<u8>,
    synced: usize,
}

impl Journal {
    fn append(&mut self, payload: &[u8]) {
        self.bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&checksum(CHECKSUM_START, payload).to_le_bytes());
        self.bytes.extend_from_slice(payload);
    }

    fn sync(&mut self) {
        self.synced = self.bytes.len();
    }

    /// Takes back what is not synced.
    fn forget_unsynced(&mut self) {
        self.bytes.truncate(self.synced);
    }

    /// Loses a random part of what was not synced, and may scribble over the end of what is left of it. Whether a record was torn or lost.
    fn crash(&mut self, rng: &mut Rng) -> bool {
        let unsynced = self.bytes.len() - self.synced;
        if unsynced == 0 {
            return false;
        }
        let kept = rng.below(unsynced as u64 + 1) as usize;
        self.bytes.truncate(self.synced + kept);
        if kept > 0 && rng.chance(300) {
            let last = self.bytes.len() - 1;
            self.bytes[last] ^= 0x55;
        }
        true
    }

    /// The payloads of all whole records; a torn tail is cut off.
    fn recover(&mut self) -> Vec<Vec<u8>> {
        let mut payloads = Vec::new();
        let mut at = 0;
        while let Some(payload) = record_at(&self.bytes[at..]) {
            payloads.push(payload.to_vec());
            at += HEADER_BYTES + payload.len();
        }
        assert!(at >= self.synced, "the simulated disk lost what was synced");
        self.bytes.truncate(at);
        self.sync();
        payloads
    }

    fn durable(&self) -> Self {
        Self { bytes: self.bytes[..self.synced].to_vec(), synced: self.synced }
    }
}

fn record_at(bytes: &[u8]) -> Option<&[u8]> {
    let len = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let sum = u64::from_le_bytes(bytes.get(4..HEADER_BYTES)?.try_into().ok()?);
    let payload = bytes.get(HEADER_BYTES..HEADER_BYTES + len)?;
    (checksum(CHECKSUM_START, payload) == sum).then_some(payload)
}

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No space for any write.
    Full,
    /// This many writes fail.
    Io(u32),
}

fn trouble_now(trouble: &mut Option<Trouble>) -> Result<(), StoreError> {
    match trouble {
        None => Ok(()),
        Some(Trouble::Full) => Err(StoreError::Full),
        Some(Trouble::Io(left)) => {
            *left -= 1;
            if *left == 0 {
                *trouble = None;
            }
            Err(StoreError::Io("injected".into()))
        }
    }
}

/// A server's disk.
#[derive(Clone, Debug)]
pub struct ServerDisk {
    journal: Journal,
    state: MemoryStore,
    /// What is wrong with it now.
    pub trouble: Option<Trouble>,
}

impl ServerDisk {
    /// A disk with an empty store.
    pub fn new(store_id: StoreId) -> Self {
        let mut disk = Self { journal: Journal::default(), state: MemoryStore::new(store_id), trouble: None };
        disk.identify(store_id);
        disk
    }

    fn identify(&mut self, store_id: StoreId) {
        let mut e = Encoder::new(Vec::new());
        e.array(2).and_then(|e| e.u8(0)).and_then(|e| e.encode(store_id)).expect("a vector takes any bytes");
        self.journal.append(&e.into_writer());
        self.journal.sync();
        self.state.set_store_id(store_id);
    }

    /// A restore from a backup gives the store a new identity.
    pub fn restored(mut image: Self, store_id: StoreId) -> Self {
        image.identify(store_id);
        image
    }

    /// A copy of what is durable.
    pub fn image(&self) -> Self {
        let mut image = Self { journal: self.journal.durable(), state: self.state.clone(), trouble: None };
        image.recover();
        image
    }

    /// Writes appends without syncing them.
    pub fn write(&mut self, appends: &[Append]) -> Result<Vec<Result<Durability, StoreError>>, StoreError> {
        trouble_now(&mut self.trouble)?;
        let results: Vec<_> = appends.iter().map(|append| self.state.append(append)).collect();
        let kept: Vec<_> = appends.iter().zip(&results).filter(|(_, r)| r.is_ok()).map(|(a, _)| a).collect();
        if !kept.is_empty() {
            self.journal.append(&encode_appends(&kept));
        }
        Ok(results)
    }

    /// Puts packs in the place of others without syncing.
    pub fn replace(&mut self, compaction: &Compaction) -> Result<(), StoreError> {
        trouble_now(&mut self.trouble)?;
        self.state.replace(compaction)?;
        self.journal.append(&encode_compaction(compaction));
        Ok(())
    }

    /// Keeps a document snapshot without syncing.
    pub fn keep(&mut self, snapshot: &DocumentSnapshot) -> Result<(), StoreError> {
        trouble_now(&mut self.trouble)?;
        self.state.keep(snapshot)?;
        self.journal.append(&encode_snapshot(snapshot));
        Ok(())
    }

    /// Makes what was written durable.
    pub fn sync(&mut self) {
        self.journal.sync();
    }

    /// The sync failed: what was written since the last one is taken back.
    pub fn fail_sync(&mut self) {
        self.journal.forget_unsynced();
        self.recover();
    }

    /// The machine crashes and comes back. Whether something unsynced was at stake.
    pub fn crash(&mut self, rng: &mut Rng) -> bool {
        let torn = self.journal.crash(rng);
        self.recover();
        torn
    }

    /// Reads the journal again.
    pub fn recover(&mut self) {
        let mut state = MemoryStore::new(self.state.store_id());
        for payload in self.journal.recover() {
            replay(&payload, &mut state).expect("a record with a right checksum is one of ours");
        }
        self.state = state;
    }
}

impl Store for ServerDisk {
    fn store_id(&self) -> StoreId {
        self.state.store_id()
    }

    fn load(&mut self, document: &DocumentName, after: LogSeq, bytes_max: usize) -> Result<Loaded, StoreError> {
        self.state.load(document, after, bytes_max)
    }

    fn open(&mut self, document: &DocumentName, bytes_max: usize) -> Result<Loaded, StoreError> {
        self.state.open(document, bytes_max)
    }

    fn compact(&mut self, compaction: &Compaction) -> Result<(), StoreError> {
        self.replace(compaction)?;
        self.sync();
        Ok(())
    }

    fn keep_snapshot(&mut self, snapshot: &DocumentSnapshot) -> Result<(), StoreError> {
        self.keep(snapshot)?;
        self.sync();
        Ok(())
    }

    fn pieces(&mut self, document: &DocumentName, from: u32, bytes_max: usize) -> Result<Pieces, StoreError> {
        self.state.pieces(document, from, bytes_max)
    }

    fn commit(&mut self, appends: &[Append]) -> Result<Vec<Result<Durability, StoreError>>, StoreError> {
        let results = self.write(appends)?;
        self.sync();
        Ok(results)
    }

    fn delete(&mut self, document: &DocumentName) -> Result<bool, StoreError> {
        trouble_now(&mut self.trouble)?;
        let mut e = Encoder::new(Vec::new());
        e.array(2).and_then(|e| e.u8(2)).and_then(|e| e.str(document.as_str())).expect("a vector takes any bytes");
        self.journal.append(&e.into_writer());
        self.journal.sync();
        self.state.delete(document)
    }

    fn documents(
        &mut self,
        after: Option<&DocumentName>,
        count_max: usize,
    ) -> Result<Vec<(DocumentName, DocumentRecord)>, StoreError> {
        self.state.documents(after, count_max)
    }
}

fn encode_appends(appends: &[&Append]) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    let mut write = || -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        e.array(2)?.u8(1)?.array(appends.len() as u64)?;
        for a in appends {
            e.array(7)?.str(a.document.as_str())?.encode(a.incarnation)?.encode(a.digest_before)?;
            e.encode(a.pack.first)?.u32(a.pack.count)?.encode(a.pack.digest)?.bytes(&a.pack.bytes)?;
        }
        Ok(())
    };
    write().expect("a vector takes any bytes");
    e.into_writer()
}

fn encode_compaction(compaction: &Compaction) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    let mut write = || -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        let Compaction { document, incarnation, packs, snapshot } = compaction;
        e.array(5)?.u8(3)?.str(document.as_str())?.encode(incarnation)?.array(packs.len() as u64)?;
        for pack in packs {
            e.array(5)?.encode(pack.first)?.u32(pack.count)?.encode(pack.digest)?;
            e.bytes(&pack.bytes)?.bytes(pack.outside.as_deref().unwrap_or_default())?;
        }
        e.array(snapshot.iter().len() as u64)?;
        if let Some(snapshot) = snapshot {
            e.array(3)?.encode(snapshot.seq)?.encode(snapshot.digest)?.bytes(&snapshot.bytes)?;
        }
        Ok(())
    };
    write().expect("a vector takes any bytes");
    e.into_writer()
}

fn encode_snapshot(snapshot: &DocumentSnapshot) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    let mut write = || -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        let DocumentSnapshot { document, incarnation, seq, digest, views, pieces } = snapshot;
        e.array(7)?.u8(4)?.str(document.as_str())?.encode(incarnation)?.encode(seq)?.encode(digest)?.u32(*views)?;
        e.array(pieces.len() as u64)?;
        pieces.iter().try_for_each(|piece| e.bytes(piece)?.ok())
    };
    write().expect("a vector takes any bytes");
    e.into_writer()
}

fn decode_snapshot(d: &mut Decoder<'_>) -> Result<DocumentSnapshot, minicbor::decode::Error> {
    let (document, incarnation) = (name(d)?, d.decode()?);
    let (seq, digest, views) = (d.decode()?, d.decode()?, d.u32()?);
    let mut pieces = Vec::new();
    for _ in 0..d.array()?.unwrap_or(0) {
        pieces.push(Bytes::copy_from_slice(d.bytes()?));
    }
    Ok(DocumentSnapshot { document, incarnation, seq, digest, views, pieces })
}

fn decode_compaction(d: &mut Decoder<'_>) -> Result<Compaction, minicbor::decode::Error> {
    let (document, incarnation) = (name(d)?, d.decode()?);
    let (mut packs, mut snapshot) = (Vec::new(), None);
    for _ in 0..d.array()?.unwrap_or(0) {
        d.array()?;
        let (first, count, digest): (LogSeq, u32, Digest) = (d.decode()?, d.u32()?, d.decode()?);
        let (bytes, outside) = (Bytes::copy_from_slice(d.bytes()?), Some(Bytes::copy_from_slice(d.bytes()?)));
        packs.push(StoredPack { first, count, digest, bytes, outside });
    }
    for _ in 0..d.array()?.unwrap_or(0) {
        d.array()?;
        let (seq, digest) = (d.decode()?, d.decode()?);
        snapshot = Some(StoredSnapshot { seq, digest, bytes: Bytes::copy_from_slice(d.bytes()?) });
    }
    Ok(Compaction { document, incarnation, packs, snapshot })
}

fn name(d: &mut Decoder<'_>) -> Result<DocumentName, minicbor::decode::Error> {
    DocumentName::parse(d.str()?).map_err(|_| minicbor::decode::Error::message("a name"))
}

fn replay(payload: &[u8], state: &mut MemoryStore) -> Result<(), minicbor::decode::Error> {
    let mut d = Decoder::new(payload);
    d.array()?;
    match d.u8()? {
        0 => state.set_store_id(d.decode()?),
        1 => {
            for _ in 0..d.array()?.unwrap_or(0) {
                d.array()?;
                let document = name(&mut d)?;
                let (incarnation, digest_before): (Incarnation, Digest) = (d.decode()?, d.decode()?);
                let (first, count, digest): (LogSeq, u32, Digest) = (d.decode()?, d.u32()?, d.decode()?);
                let bytes = Bytes::copy_from_slice(d.bytes()?);
                let pack = StoredPack { first, count, digest, bytes, outside: None };
                let append = Append { document, incarnation, digest_before, pack };
                state.append(&append).map_err(|_| minicbor::decode::Error::message("an append that fitted"))?;
            }
        }
        3 => {
            let compaction = decode_compaction(&mut d)?;
            state.replace(&compaction).map_err(|_| minicbor::decode::Error::message("a compaction that fitted"))?;
        }
        4 => {
            let snapshot = decode_snapshot(&mut d)?;
            state.keep(&snapshot).map_err(|_| minicbor::decode::Error::message("a snapshot that fitted"))?;
        }
        _ => {
            let document = name(&mut d)?;
            let _ = state.delete(&document);
        }
    }
    Ok(())
}

/// A client's disk.
#[derive(Clone, Debug, Default)]
pub struct ClientDisk {
    journal: Journal,
    state: MemoryLocalStore,
    /// What is wrong with it now.
    pub trouble: Option<Trouble>,
}

impl ClientDisk {
    /// A disk with an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of what is durable.
    pub fn image(&self) -> Self {
        let mut image = Self { journal: self.journal.durable(), ..Self::default() };
        image.recover();
        image
    }

    /// Writes a transaction without syncing it.
    pub fn write(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        trouble_now(&mut self.trouble)?;
        self.journal.append(&encode_writes(writes));
        self.state.commit(writes)
    }

    /// Makes what was written durable.
    pub fn sync(&mut self) {
        self.journal.sync();
    }

    /// The sync failed: what was written since the last one is taken back.
    pub fn fail_sync(&mut self) {
        self.journal.forget_unsynced();
        self.recover();
    }

    /// The machine crashes and comes back. Whether something unsynced was at stake.
    pub fn crash(&mut self, rng: &mut Rng) -> bool {
        let torn = self.journal.crash(rng);
        self.recover();
        torn
    }

    /// Reads the journal again.
    pub fn recover(&mut self) {
        self.state = MemoryLocalStore::new();
        for payload in self.journal.recover() {
            let writes = decode_writes(&payload).expect("a record with a right checksum is one of ours");
            writes.iter().for_each(|write| self.state.apply(write));
        }
    }
}

impl LocalStore for ClientDisk {
    fn read(&mut self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        self.state.read(table, prefix)
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        self.write(writes)?;
        self.sync();
        Ok(())
    }
}

/// A transaction as bytes, also used to compare runs.
pub(crate) fn encode_writes(writes: &[Write]) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    let mut encode = || -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        e.array(writes.len() as u64)?;
        for write in writes {
            let (kind, table, key, value) = match write {
                Write::Put { table, key, value } => (0, table, key, value.as_slice()),
                Write::Delete { table, key } => (1, table, key, [].as_slice()),
                Write::DeletePrefix { table, prefix } => (2, table, prefix, [].as_slice()),
            };
            e.u8(kind)?.str(table.name())?.bytes(key)?.bytes(value)?;
        }
        Ok(())
    };
    encode().expect("a vector takes any bytes");
    e.into_writer()
}

fn decode_writes(payload: &[u8]) -> Result<Vec<Write>, minicbor::decode::Error> {
    let mut d = Decoder::new(payload);
    let mut writes = Vec::new();
    for _ in 0..d.array()?.unwrap_or(0) {
        let (kind, table) = (d.u8()?, d.str()?);
        let table = Table::ALL.into_iter().find(|t| t.name() == table);
        let table = table.ok_or_else(|| minicbor::decode::Error::message("a table"))?;
        let (key, value) = (d.bytes()?.to_vec(), d.bytes()?.to_vec());
        writes.push(match kind {
            0 => Write::Put { table, key, value },
            1 => Write::Delete { table, key },
            _ => Write::DeletePrefix { table, prefix: key },
        });
    }
    Ok(writes)
}
