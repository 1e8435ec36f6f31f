//! Makes what a newcomer gets in place of a long log: the document as it is at the log's end, saved, with a view of its value.
//!
//! Owns when that is worth its cost, and that nothing is given away which is not exactly the log's changes and loads again. It applies
//! changes, which a hostile one could use to end the process: whoever calls it where that matters does so in a process of its own.

use bytes::Bytes;

use crate::compact::Source;
use crate::document::{Document, DocumentError};
use crate::id::{DocumentName, LogSeq};
use crate::limits::{PIECE_BYTES, PIECES_MAX, SNAPSHOT_CHANGES_MIN};
use crate::log::Log;
use crate::reading;
use crate::saved::{Saved, SavedError};
use crate::storage::{DocumentSnapshot, StoreError};
use crate::table::ChangeTable;
use crate::view::View;

/// A document at rest gets another snapshot once it has grown by this part.
const REST_PART: u64 = 32;

/// A view comes also with a document of several pieces that is so many times as large: what is shown soon is worth its bytes.
const VIEW_PART: usize = 4;

/// How snapshots for newcomers are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// None of a document of fewer changes.
    pub changes_min: u64,
    /// A view comes with those of documents of so many changes, which take long to load, and where it is small beside the document.
    pub view_changes_min: u64,
    /// Most bytes of all changes in automerge's form, which are in memory together.
    pub raw_bytes_max: usize,
    /// Bytes of packs read at a time.
    pub read_bytes_max: usize,
    /// Bytes of one piece.
    pub piece_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            changes_min: SNAPSHOT_CHANGES_MIN,
            view_changes_min: 8_192,
            raw_bytes_max: 1 << 30,
            read_bytes_max: 4 << 20,
            piece_bytes: PIECE_BYTES,
        }
    }
}

/// Why no snapshot was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MakeError {
    /// The store can't give the log, or what it gives makes no sense.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The changes can't be applied, saved or loaded again.
    #[error(transparent)]
    Saved(#[from] SavedError),
    /// There is too much of it.
    #[error("the document is too large for a snapshot")]
    TooLarge,
}

impl From<DocumentError> for MakeError {
    fn from(error: DocumentError) -> Self {
        Self::Saved(error.into())
    }
}

/// Whether a document whose log ends at `head` is due for a snapshot, having one at `kept`. While it is written: once it has grown by half, so
/// that what all of its snapshots cost together grows with its length. At rest: once what follows the snapshot costs a newcomer something.
pub fn is_due(head: LogSeq, kept: Option<LogSeq>, rests: bool, options: &Options) -> bool {
    let kept = kept.map_or(0, |seq| seq.0);
    let growth = if rests { kept / REST_PART } else { kept / 2 };
    head.0 >= options.changes_min && head.0.saturating_sub(kept) >= options.changes_min.max(growth)
}

/// Makes a snapshot at the end of a document's log. `None` if there is no such document, or it has too few changes.
pub fn make(
    document: &DocumentName,
    options: &Options,
    source: &mut impl Source,
) -> Result<Option<DocumentSnapshot>, MakeError> {
    let Some((log, changes)) = read(document, options, source)? else { return Ok(None) };
    let (incarnation, seq, digest) = (log.incarnation(), log.head(), log.digest());
    let applied = Document::from_changes(changes)?;
    let saved = Saved::of(&applied, log.table(), incarnation, seq, digest)?;
    drop(applied);
    let (loaded, table) = saved.open()?;
    if !is_same(&table, log.table()) {
        return Err(SavedError::Other("the saved document holds other changes than the log").into());
    }
    let saved = saved.encode();
    let is_worth_it = |view: &Bytes| {
        let is_small = saved.len() > options.piece_bytes && view.len() <= saved.len() / VIEW_PART;
        seq.0 >= options.view_changes_min || is_small
    };
    let mut pieces = Vec::new();
    if let Some(view) = view(&loaded).filter(is_worth_it) {
        cut(&view, options.piece_bytes, &mut pieces);
    }
    let views = pieces.len() as u32;
    cut(&saved, options.piece_bytes, &mut pieces);
    if pieces.len() > PIECES_MAX as usize {
        return Err(MakeError::TooLarge);
    }
    Ok(Some(DocumentSnapshot { document: document.clone(), incarnation, seq, digest, views, pieces }))
}

type Changes = Vec<crate::change::Change>;

/// Reads the whole log, each digest on the way checked.
fn read(
    document: &DocumentName,
    options: &Options,
    source: &mut impl Source,
) -> Result<Option<(Log, Changes)>, MakeError> {
    let corrupt = |what: String| MakeError::Store(StoreError::Corrupt(what));
    let (mut log, mut changes, mut bytes): (Option<Log>, Changes, usize) = (None, Vec::new(), 0);
    loop {
        let after = log.as_ref().map_or(LogSeq(0), Log::head);
        let loaded = source.load(after, options.read_bytes_max)?;
        let Some((record, incarnation)) = loaded.record.and_then(|r| r.incarnation.map(|i| (r, i))) else {
            return Ok(None);
        };
        if record.head.0 < options.changes_min {
            return Ok(None);
        }
        let log = log.get_or_insert_with(|| Log::new(incarnation));
        if log.incarnation() != incarnation {
            return Ok(None);
        }
        for stored in &loaded.packs {
            let at = |what: String| corrupt(format!("{document}: pack at {}: {what}", stored.first));
            if stored.first != log.head().plus(1) {
                return Err(at(format!("does not follow {}", log.head())));
            }
            let (unpacked, _) = reading::unpack(stored, log).map_err(|e| at(e.to_string()))?;
            for change in &unpacked {
                log.append(change).map_err(|e| at(e.to_string()))?;
                bytes += change.bytes().len();
            }
            if log.digest() != stored.digest {
                return Err(at("its changes do not lead to its digest".into()));
            }
            if bytes > options.raw_bytes_max {
                return Err(MakeError::TooLarge);
            }
            changes.extend(unpacked);
        }
        if log.head() >= record.head {
            break;
        }
        if loaded.packs.is_empty() {
            return Err(corrupt(format!("{document}: no pack holds {}", log.head().plus(1))));
        }
    }
    Ok(log.map(|log| (log, changes)))
}

/// Whether two tables hold the same changes, each actor under the same number.
fn is_same(a: &ChangeTable, b: &ChangeTable) -> bool {
    // The hash of an actor's last change stands for all before it, and the heads for all there are; both tables are closed under deps.
    a.len() == b.len() && a.entries().eq(b.entries()) && a.heads().eq(b.heads())
}

/// The value of a document, if it fits a view and comes back from it.
fn view(document: &Document) -> Option<Bytes> {
    let view = View::of(document.automerge())?;
    view.encode().filter(|bytes| View::decode(bytes).is_ok_and(|back| back == view))
}

fn cut(bytes: &Bytes, piece_bytes: usize, pieces: &mut Vec<Bytes>) {
    let starts = (0..bytes.len()).step_by(piece_bytes);
    pieces.extend(starts.map(|at| bytes.slice(at..(at + piece_bytes).min(bytes.len()))));
}
