//! The rows of a replica's local store: their keys and their CBOR.

use minicbor::{Decode, Encode};

use crate::change::Change;
use crate::id::{ActorId, ChangeHash, ClientId, Cursor, DocumentName, Incarnation, LogSeq};
use crate::protocol::{Acked, Blob, Hash, RejectCode};
use crate::replica::tabs::TabId;
use crate::storage::{Row, StoreError, Table, Write};

/// The format of rows, in their first byte.
const FORMAT: u8 = 1;
/// The format of rows of the outbox whose key names their change. Before it they were numbered.
const OUTBOX_FORMAT: u8 = 2;
// Format 4 is the browser's driver's own: edits that wait, among the rows of the outbox (`packages/client/src/shelf.ts`). No row here has it.
/// The format of rows among the chunks that hold a piece of the saved document, or of its op index.
const PIECE_FORMAT: u8 = 3;

/// How the keys of those who write to a store begin, in [`Table::Meta`].
pub(super) const IDENTITY_KEY: &[u8] = b"identity";

/// The key of a tab's row; the first one's is also that of a replica alone.
pub(super) fn identity_key(tab: TabId) -> Vec<u8> {
    let mut key = IDENTITY_KEY.to_vec();
    if tab.0 > 0 {
        key.push(b'/');
        key.extend_from_slice(&tab.0.to_be_bytes());
    }
    key
}

/// Who this replica is.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub(super) struct IdentityRow {
    #[n(0)]
    pub(super) client: ClientId,
    #[n(1)]
    pub(super) actor: ActorBytes,
    /// Actors that it has taken since, for a document each.
    #[n(2)]
    pub(super) taken: Option<Vec<ActorBytes>>,
}

/// An actor within a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ActorBytes(pub(super) ActorId);

impl<C> Encode<C> for ActorBytes {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(self.0.to_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for ActorBytes {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Ok(Self(ActorId::from(d.bytes()?)))
    }
}

/// Where a document stands in the server's log.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub(super) struct DocumentRow {
    /// The actor for this document, where it is not the replica's.
    #[n(0)]
    pub(super) actor: Option<ActorBytes>,
    /// The end of the hole-free range held.
    #[n(1)]
    pub(super) cursor: Option<Cursor>,
    /// Actors by their number in the log, as far as known.
    #[n(2)]
    pub(super) actors: Vec<ActorBytes>,
    /// Acknowledged ranges beyond the cursor, in log order.
    #[n(3)]
    pub(super) ranges: Vec<RangeRow>,
    /// The highest acknowledged position, while it lies beyond the cursor.
    #[n(4)]
    pub(super) acked: Option<Acked>,
    /// The actors of further tabs for this document, where they are not those of the tabs.
    #[n(5)]
    pub(super) tab_actors: Option<Vec<TabActorRow>>,
    /// How often the document has become another one than tabs had read, unless never.
    #[n(6)]
    pub(super) rebuilds: Option<u64>,
}

/// The actor of a tab for a document.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub(super) struct TabActorRow {
    #[n(0)]
    pub(super) tab: u32,
    #[n(1)]
    pub(super) actor: ActorBytes,
}

/// An acknowledged range beyond the cursor.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub(super) struct RangeRow {
    #[n(0)]
    pub(super) first: LogSeq,
    #[n(1)]
    pub(super) hashes: Vec<Hash>,
}

/// A change that is not known to be in the log.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub(super) struct OutboxRow {
    #[n(0)]
    pub(super) change: Blob,
    /// Set once the server has refused it.
    #[n(1)]
    pub(super) rejected: Option<RejectedRow>,
    /// The log that it was received from, if it was. A copy of another one lets it go.
    #[n(2)]
    pub(super) log: Option<Incarnation>,
    /// The changes that it was written again from, first one first.
    #[n(3)]
    pub(super) was: Option<Vec<Hash>>,
}

/// Why the server refused a change.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub(super) struct RejectedRow {
    #[n(0)]
    pub(super) code: RejectCode,
    #[n(1)]
    pub(super) reason: String,
}

/// A piece of the history that is not in packs.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct PieceRow {
    #[n(0)]
    of: PieceOf,
    #[n(1)]
    bytes: Blob,
}

/// What a piece is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub(super) enum PieceOf {
    /// A [`crate::saved::Saved`].
    #[n(0)]
    Saved,
    /// The op index of that.
    #[n(1)]
    Index,
}

/// Sets a row that holds a piece.
pub(super) fn put_piece(key: Vec<u8>, of: PieceOf, bytes: &[u8]) -> Write {
    let mut value = value(&PieceRow { of, bytes: Blob(bytes::Bytes::copy_from_slice(bytes)) });
    value[0] = PIECE_FORMAT;
    Write::Put { table: Table::Chunk, key, value }
}

/// The piece in a row among the chunks, if it is not a pack.
pub(super) fn piece(value: &[u8]) -> Result<Option<(PieceOf, bytes::Bytes)>, StoreError> {
    if value.first() != Some(&PIECE_FORMAT) {
        return Ok(None);
    }
    parse::<PieceRow>(value).map(|row| Some((row.of, row.bytes.0)))
}

/// A row's value.
pub(super) fn value<T: Encode<()>>(row: &T) -> Vec<u8> {
    let mut out = vec![FORMAT];
    minicbor::encode(row, &mut out).expect("a vector takes any bytes");
    out
}

/// Reads a row's value.
pub(super) fn parse<'b, T: Decode<'b, ()>>(value: &'b [u8]) -> Result<T, StoreError> {
    minicbor::decode(body(value)?).map_err(|e| StoreError::Corrupt(e.to_string()))
}

/// What stands behind a row's format; an error if a newer version wrote it.
pub(super) fn body(value: &[u8]) -> Result<&[u8], StoreError> {
    match value.split_first() {
        None => Err(StoreError::Corrupt("an empty row".into())),
        // No version has written a zero, and a damaged row is not to be mended by a newer version.
        Some((0, _)) => Err(StoreError::Corrupt("a row of no format".into())),
        Some((format, _)) if *format > PIECE_FORMAT => {
            Err(StoreError::Newer { found: u32::from(*format), known: u32::from(PIECE_FORMAT) })
        }
        Some((_, body)) => Ok(body),
    }
}

/// The start of all keys of a document. Names hold no zero byte, so that no document's keys begin with another's.
pub(super) fn prefix(document: &DocumentName) -> Vec<u8> {
    let mut key = document.as_str().as_bytes().to_vec();
    key.push(0);
    key
}

/// The key of a document's numbered row.
pub(super) fn numbered(document: &DocumentName, number: u64) -> Vec<u8> {
    let mut key = prefix(document);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The key of a change's row in the outbox. It follows from the change alone, so that whoever shares the store knows it, and sorts a
/// change behind its deps.
pub(super) fn outbox_key(document: &DocumentName, change: &Change) -> Vec<u8> {
    let mut key = numbered(document, change.start_op());
    key.extend_from_slice(&change.hash().0);
    key
}

/// Sets a change's row in the outbox.
pub(super) fn put_outbox(document: &DocumentName, change: &Change, rejected: Option<RejectedRow>) -> Write {
    put_outbox_row(document, change, OutboxRow { change: blob(change), rejected, log: None, was: None })
}

/// Sets the row of a change that was received from a log, or whose copy has met none.
pub(super) fn put_received(document: &DocumentName, change: &Change, log: Option<Incarnation>) -> Write {
    put_outbox_row(document, change, OutboxRow { change: blob(change), rejected: None, log, was: None })
}

/// Sets the row of a change that was written again from others, if it was.
pub(super) fn put_pending(document: &DocumentName, change: &Change, was: Option<&Vec<ChangeHash>>) -> Write {
    let was = was.map(|was| was.iter().copied().map(Hash).collect());
    put_outbox_row(document, change, OutboxRow { change: blob(change), rejected: None, log: None, was })
}

fn blob(change: &Change) -> Blob {
    Blob(bytes::Bytes::copy_from_slice(change.bytes()))
}

fn put_outbox_row(document: &DocumentName, change: &Change, row: OutboxRow) -> Write {
    let mut value = value(&row);
    value[0] = OUTBOX_FORMAT;
    Write::Put { table: Table::Outbox, key: outbox_key(document, change), value }
}

/// Sets a row of the driver's own among those of the outbox.
pub(super) fn beside((key, value): Row) -> Write {
    Write::Put { table: Table::Outbox, key, value }
}

/// Removes a change's row from the outbox.
pub(super) fn delete_outbox(document: &DocumentName, change: &Change) -> Write {
    Write::Delete { table: Table::Outbox, key: outbox_key(document, change) }
}

/// Whether a row of the outbox is one of those that were numbered.
pub(super) fn is_numbered(value: &[u8]) -> bool {
    value.first() == Some(&FORMAT)
}

/// The number at the end of a key.
pub(super) fn number(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*key.last_chunk::<8>()?))
}

/// Sets a row.
pub(super) fn put<T: Encode<()>>(table: Table, key: Vec<u8>, row: &T) -> Write {
    Write::Put { table, key, value: value(row) }
}
