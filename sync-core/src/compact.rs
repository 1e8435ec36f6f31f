//! Compaction: many small packs of a log become few large ones, each of which can be read alone, with a snapshot near the end.
//!
//! Owns what is put together, where the snapshot stands, and that nothing is given away which does not read back to the same bytes. Runs
//! where it may take its time; whoever calls it owns reading and writing, one transaction a step, and may end between any two steps.

use std::collections::BTreeMap;

use crate::change::Change;
use crate::id::{ActorId, ChangeHash, DocumentName, LogSeq};
use crate::limits::PackLimits;
use crate::log::{Need, Segment};
use crate::pack::{self, Outside, PackContext};
use crate::planted::{Planted, Planting};
use crate::reading::{ReadError, Reading};
use crate::snapshot;
use crate::storage::{Compaction, Loaded, Pieces, Store, StoreError, StoredPack, StoredSnapshot};
use crate::table::ChangeTable;

/// How a log is compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Nothing is done unless this many packs lie beyond the snapshot.
    pub packs_min: usize,
    /// Most changes of a pack: what is read to answer one question about compacted history.
    pub segment_changes_max: usize,
    /// A pack is full once its changes hold this many bytes in automerge's form.
    pub segment_bytes_max: usize,
    /// The snapshot stands at least this many changes before the end, so that recent cursors and deps need no reading.
    pub keep_changes: u64,
    /// A step is written once it holds this many changes in whole packs, so that no transaction is long.
    pub step_changes_min: u64,
    /// A step is also written once its changes hold this many bytes in automerge's form: all of a step, and at most a pack more, is in memory.
    pub step_bytes_min: usize,
    /// Bytes of packs read at a time.
    pub read_bytes_max: usize,
    /// A bug, in tests.
    pub planted: Planting,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            packs_min: 256,
            segment_changes_max: 4_608,
            segment_bytes_max: 640 << 10,
            keep_changes: 1_024,
            step_changes_min: 8_192,
            step_bytes_min: 2 << 20,
            read_bytes_max: 1 << 20,
            planted: Planting::default(),
        }
    }
}

/// Where a compaction reads and writes.
pub trait Source {
    /// As [`crate::storage::Store::open`].
    fn open(&mut self, bytes_max: usize) -> Result<Loaded, StoreError>;
    /// As [`crate::storage::Store::load`].
    fn load(&mut self, after: LogSeq, bytes_max: usize) -> Result<Loaded, StoreError>;
    /// Where the snapshot for newcomers stands, if there is one: a pack ends there, so that what follows is sent as it is stored.
    fn handed_out(&mut self) -> Option<LogSeq>;
    /// As [`crate::storage::Store::compact`].
    fn write(&mut self, step: Compaction) -> Result<(), StoreError>;
}

/// A document of a store that nobody else uses meanwhile.
#[derive(Debug)]
pub struct Alone<'a, S: ?Sized> {
    /// The store.
    pub store: &'a mut S,
    /// The document.
    pub document: &'a DocumentName,
}

impl<S: Store + ?Sized> Source for Alone<'_, S> {
    fn open(&mut self, bytes_max: usize) -> Result<Loaded, StoreError> {
        self.store.open(self.document, bytes_max)
    }

    fn load(&mut self, after: LogSeq, bytes_max: usize) -> Result<Loaded, StoreError> {
        self.store.load(self.document, after, bytes_max)
    }

    fn handed_out(&mut self) -> Option<LogSeq> {
        position(self.store.pieces(self.document, 0, 0))
    }

    fn write(&mut self, step: Compaction) -> Result<(), StoreError> {
        self.store.compact(&step)
    }
}

/// Where the snapshot stands of which these are pieces. One that can't be read is as good as none.
pub fn position(pieces: Result<Pieces, StoreError>) -> Option<LogSeq> {
    Some(pieces.ok()?.at?.seq)
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Packs that were replaced.
    pub packs_before: usize,
    /// Packs that took their place.
    pub packs_after: usize,
    /// Bytes of those.
    pub bytes_after: usize,
    /// Bytes of the snapshot, if one was written.
    pub snapshot_bytes: usize,
}

/// Compacts a document. Nothing is reported where nothing was to be done.
pub fn compact(
    document: &DocumentName,
    options: &Options,
    source: &mut impl Source,
) -> Result<Option<Report>, StoreError> {
    let mut loaded = source.open(options.read_bytes_max)?;
    let Some(record) = loaded.record.clone() else { return Ok(None) };
    let Some(incarnation) = record.incarnation else { return Ok(None) };
    let resumed = loaded.snapshot.as_ref().and_then(|stored| Reading::resume(stored, incarnation).ok());
    let reading = match resumed {
        Some(reading) => reading,
        None if loaded.snapshot.is_some() => {
            loaded = source.load(LogSeq(0), options.read_bytes_max)?;
            Reading::new(incarnation)
        }
        None => Reading::new(incarnation),
    };
    let is_all = loaded.packs.last().is_none_or(|pack| pack.last() >= record.head);
    if loaded.packs.is_empty() || (is_all && loaded.packs.len() < options.packs_min) {
        return Ok(None);
    }
    let mut work = Work::new(document, options, reading, record.head);
    work.handed_out = source.handed_out();
    let straddles = loaded.packs.first().is_some_and(|pack| pack.first <= work.reading.log.head());
    work.refill(source, straddles)?;
    while work.reading.log.head() < record.head {
        if loaded.packs.is_empty() {
            return Err(StoreError::Corrupt(format!("packs are missing after {}", work.reading.log.head())));
        }
        for stored in loaded.packs.iter().take_while(|pack| pack.last() <= record.head) {
            work.take(stored, source)?;
        }
        if work.reading.log.head() < record.head {
            loaded = source.load(work.reading.log.head(), options.read_bytes_max)?;
        }
    }
    work.write(source)?;
    Ok(Some(work.report))
}

struct Work<'a> {
    document: &'a DocumentName,
    options: &'a Options,
    reading: Reading,
    /// Where the snapshot goes; where the old one stands if there is no new one.
    cut: LogSeq,
    end: LogSeq,
    /// Where the snapshot for newcomers stands.
    handed_out: Option<LogSeq>,
    /// Packs up to `cut`.
    segments: Vec<Segment>,
    /// Changes before the old snapshot that are packed again, and what those need.
    outside: Outside,
    pending: Vec<Change>,
    pending_bytes: usize,
    packs: Vec<StoredPack>,
    packed: u64,
    packed_bytes: usize,
    snapshot: Option<StoredSnapshot>,
    report: Report,
}

impl<'a> Work<'a> {
    fn new(document: &'a DocumentName, options: &'a Options, reading: Reading, end: LogSeq) -> Self {
        let segments = reading.log.segments().to_vec();
        let cut = LogSeq(end.0.saturating_sub(options.keep_changes)).max(reading.log.head());
        Self {
            document,
            options,
            cut,
            end,
            handed_out: None,
            segments,
            outside: Outside::default(),
            pending: Vec::new(),
            pending_bytes: 0,
            packs: Vec::new(),
            packed: 0,
            packed_bytes: 0,
            snapshot: None,
            report: Report::default(),
            reading,
        }
    }

    /// Whether what is pending is a whole pack.
    fn is_at_end(&self) -> bool {
        let head = self.reading.log.head();
        self.is_full(8) || head == self.cut || Some(head) == self.handed_out
    }

    /// Whether what is pending fills so many eighths of a pack.
    fn is_full(&self, eighths: usize) -> bool {
        self.pending.len() >= (self.options.segment_changes_max * eighths).div_ceil(8)
            || self.pending_bytes >= (self.options.segment_bytes_max * eighths).div_ceil(8)
    }

    /// Takes the last pack before the snapshot up again if there is room in it, or if a compaction that was cut short has filled it beyond.
    fn refill(&mut self, source: &mut impl Source, straddles: bool) -> Result<(), StoreError> {
        let Some(last) = self.segments.last().cloned() else { return Ok(()) };
        let full = last.count as usize >= self.options.segment_changes_max
            || last.raw_bytes >= self.options.segment_bytes_max as u64;
        if !straddles && (full || self.cut <= last.last() || self.handed_out == Some(last.last())) {
            return Ok(());
        }
        let loaded = source.load(LogSeq(last.first.0 - 1), 0)?;
        let elsewhere =
            || StoreError::Corrupt(format!("no pack begins at {}, where the snapshot knows one", last.first));
        let stored = loaded.packs.first().filter(|pack| pack.first == last.first).ok_or_else(elsewhere)?;
        let corrupt = |e: pack::PackError| StoreError::Corrupt(format!("pack at {}: {e}", stored.first));
        self.pending = self.reading.unpack(stored)?;
        self.pending.truncate(last.count as usize);
        self.outside = Outside::decode(stored.outside.as_deref().unwrap_or_default()).map_err(corrupt)?;
        for change in &self.pending {
            self.outside.add(change, self.reading.log.table());
            self.pending_bytes += change.bytes().len();
        }
        self.report.packs_before += 1;
        self.segments.pop();
        // It was whole as it was.
        if self.handed_out == Some(last.last()) { self.pack_up() } else { Ok(()) }
    }

    fn take(&mut self, stored: &StoredPack, source: &mut impl Source) -> Result<(), StoreError> {
        let changes = loop {
            match self.reading.unpack(stored) {
                Err(ReadError::Need(need)) => self.learn(&need, source)?,
                other => break other?,
            }
        };
        let skip = (self.reading.log.head().0 + 1).saturating_sub(stored.first.0) as usize;
        for change in changes.into_iter().skip(skip) {
            loop {
                match self.reading.append(&change) {
                    Err(ReadError::Need(need)) => self.learn(&need, source)?,
                    other => break other?,
                }
            }
            self.pending_bytes += change.bytes().len();
            self.pending.push(change);
            if self.is_at_end() {
                self.pack_up()?;
            }
        }
        if (self.reading.log.head(), self.reading.log.digest()) != (stored.last(), stored.digest) {
            return Err(StoreError::Corrupt(format!("pack at {}: it does not lead to its digest", stored.first)));
        }
        self.report.packs_before += 1;
        let waiting = self.packed + self.pending.len() as u64;
        let is_long = waiting >= self.options.step_changes_min
            || self.packed_bytes + self.pending_bytes >= self.options.step_bytes_min;
        // A step ends where a stored pack does: so does a pack that is nearly full, or a rest of a few changes would become one of its own.
        if stored.last() == self.end || self.is_full(7) {
            self.pack_up()?;
        }
        if stored.last() == self.end || (is_long && self.pending.is_empty()) {
            self.write(source)?;
        }
        Ok(())
    }

    fn learn(&mut self, need: &Need, source: &mut impl Source) -> Result<(), StoreError> {
        let missing = || StoreError::Corrupt(format!("compacted history lacks {need:?}"));
        let after = self.reading.read_after(need).ok_or_else(missing)?;
        let loaded = source.load(after, 0)?;
        let stored = loaded.packs.first().ok_or_else(missing)?;
        let before = self.reading.read_after(need);
        self.reading.learn(stored, std::slice::from_ref(need))?;
        // Either it is known now, or the search goes on elsewhere.
        let moved = !self.reading.log.lacks(need) || self.reading.read_after(need) != before;
        if moved { Ok(()) } else { Err(missing()) }
    }

    /// Packs what is pending, and sees that it reads back.
    fn pack_up(&mut self) -> Result<(), StoreError> {
        let mut changes = std::mem::take(&mut self.pending);
        let raw_bytes = std::mem::take(&mut self.pending_bytes);
        if changes.is_empty() {
            return Ok(());
        }
        if self.options.planted.has(Planted::CompactionOutOfOrder) {
            changes.reverse();
        }
        let log = &self.reading.log;
        let first = LogSeq(log.head().0 + 1 - changes.len() as u64);
        let corrupt = |e: pack::PackError| StoreError::Corrupt(format!("packing from {first}: {e}"));
        let context = self.outside.beside(log.table());
        let base = log.actor_count_at(LogSeq(first.0 - 1));
        let bytes = pack::encode(&changes, base, &context).map_err(corrupt)?;
        let outside = Outside::of(&changes, &context).map_err(corrupt)?.encode();
        let back = Outside::decode(&outside).map_err(corrupt)?;
        let read = pack::decode(&bytes, &back.beside(&Actors(log.table())), &PackLimits::stored()).map_err(corrupt)?;
        let same = |(a, b): (&Change, &Change)| a.bytes() == b.bytes();
        if read.changes.len() != changes.len() || !read.changes.iter().zip(&changes).all(same) {
            return Err(StoreError::Corrupt(format!("packing from {first}: it does not read back")));
        }
        let (count, digest) = (changes.len() as u32, log.digest());
        let alone = self.options.planted.has(Planted::SegmentWithoutOutside);
        let outside = (!alone).then(|| outside.into());
        let pack = StoredPack { first, count, digest, bytes, outside };
        if pack.last() <= self.cut {
            let ends = ends(&changes, log.table());
            self.segments.push(Segment { first, count, raw_bytes: raw_bytes as u64, digest, ends });
            let stands = log.base() < self.cut && pack.last() == self.cut;
            if stands {
                let base = log.to_base(self.segments.clone());
                let bytes = snapshot::encode(log.incarnation(), &base, &self.reading.index);
                self.snapshot = Some(StoredSnapshot { seq: self.cut, digest, bytes });
            }
        }
        self.packed += u64::from(count);
        self.packed_bytes += raw_bytes;
        self.packs.push(pack);
        Ok(())
    }

    fn write(&mut self, source: &mut impl Source) -> Result<(), StoreError> {
        let (packs, snapshot) = (std::mem::take(&mut self.packs), self.snapshot.take());
        self.packed = 0;
        self.packed_bytes = 0;
        if packs.is_empty() {
            return Ok(());
        }
        self.report.packs_after += packs.len();
        self.report.bytes_after += packs.iter().map(|pack| pack.bytes.len()).sum::<usize>();
        self.report.snapshot_bytes += snapshot.as_ref().map_or(0, |s| s.bytes.len());
        let (document, incarnation) = (self.document.clone(), self.reading.log.incarnation());
        source.write(Compaction { document, incarnation, packs, snapshot })
    }
}

/// The last seq of each actor that wrote, by its number.
fn ends(changes: &[Change], table: &ChangeTable) -> Vec<(u32, u32)> {
    let numbered = changes.iter().filter_map(|c| Some((table.number(c.actor())?, c.seq())));
    numbered.collect::<BTreeMap<_, _>>().into_iter().collect()
}

/// A table's actors without its hashes: what a pack that is read alone may use.
struct Actors<'a>(&'a ChangeTable);

impl PackContext for Actors<'_> {
    fn actor(&self, number: u32) -> Option<&ActorId> {
        self.0.actor(number)
    }

    fn number(&self, actor: &ActorId) -> Option<u32> {
        self.0.number(actor)
    }

    fn hash(&self, _: &ActorId, _: u32) -> Option<ChangeHash> {
        None
    }

    fn locate(&self, _: &ChangeHash) -> Option<(ActorId, u32)> {
        None
    }
}
