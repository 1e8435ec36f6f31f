//! What a server sends.

use minicbor::{Decoder, Encoder, decode, encode};

use crate::clock::{ClockEntry, decode_entries, encode_entry};
use crate::id::{ActorId, BatchId, Digest, DocumentHandle, Incarnation, LogSeq, RoomNumber, SessionId, StoreId};
use crate::protocol::{Blob, Hash, Part, Ping, RejectCode, messages};
use crate::scope::Scope;
use crate::time::WallTime;

messages! {
    /// A message from server to client.
    ServerMessage {
        /// Answers `Hello`.
        0 => Welcome(Welcome),
        /// What the token allows.
        1 => Granted(Granted),
        /// The token runs out soon.
        2 => Expiring(Expiring),
        /// Answers `Open`.
        3 => Opened(Opened),
        /// Changes are in the log.
        4 => Ack(Ack),
        /// A document can't be opened, or changes were not taken.
        5 => Reject(Reject),
        /// Changes of the log.
        6 => Changes(Changes),
        /// Presence or a message of another session.
        7 => Emitted(Emitted),
        /// Answers `Ping`.
        8 => Pong(Ping),
        /// Send nothing for a while.
        9 => Throttle(Throttle),
        /// The connection will end.
        10 => GoAway(GoAway),
        /// A piece of a message that is larger than a frame.
        11 => Part(Part),
        /// A piece of a document snapshot.
        12 => Snapshot(SnapshotPiece),
    }
}

/// What the client must keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct WireLimits {
    /// Most bytes of one WebSocket message.
    #[n(0)]
    pub frame_bytes_max: u32,
    /// Most bytes of one message put together from parts.
    #[n(1)]
    pub message_bytes_max: u32,
    /// Most unanswered pushes per document.
    #[n(2)]
    pub pending_batches_max: u32,
    /// Most documents open on one connection.
    #[n(3)]
    pub documents_max: u32,
    /// Most bytes of a presence or message.
    #[n(4)]
    pub emit_bytes_max: u32,
}

impl Default for WireLimits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 64 << 10,
            message_bytes_max: 8 << 20,
            pending_batches_max: 64,
            documents_max: 1_000,
            emit_bytes_max: 16 << 10,
        }
    }
}

/// Answers `Hello`.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Welcome {
    /// The version both speak.
    #[n(0)]
    pub version: u32,
    /// The server's number for this connection.
    #[n(1)]
    pub session: SessionId,
    /// The store whose logs the cursors count in.
    #[n(2)]
    pub store_id: StoreId,
    /// What the client must keep to.
    #[n(3)]
    pub limits: WireLimits,
    /// A side that hears nothing for twice this time, in milliseconds, may close.
    #[n(4)]
    pub heartbeat_ms: u32,
    /// The server's wall clock.
    #[n(5)]
    pub time: WallTime,
}

/// What the token allows.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Granted {
    /// The grants.
    #[n(0)]
    pub scopes: Vec<Scope>,
    /// When they end, if they do.
    #[n(1)]
    pub expires_at: Option<WallTime>,
}

/// The token runs out soon; send a new one with `Auth`.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Expiring {
    /// Milliseconds left.
    #[n(0)]
    pub in_ms: u32,
}

/// How the two sides' holdings relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
pub enum Mode {
    /// The cursor fits this log. Everything after it follows.
    #[n(0)]
    Resume,
    /// The client said that it holds nothing. The log follows from its start.
    #[n(1)]
    New,
    /// There is no fitting cursor. `actors` says what the log holds. Where `Open` had no clock the client answers with `Have`;
    /// then what it lacks follows. It pushes what the log lacks.
    #[n(2)]
    Reconcile,
    /// The client's copy is of an incarnation that was deleted here. The handle is free, and pushes sent under it are not taken: they are of
    /// the deleted log. The client sets its copy aside and opens again.
    #[n(3)]
    Replaced,
}

/// Answers `Open`.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Opened {
    /// The client's number for the document.
    #[n(0)]
    pub handle: DocumentHandle,
    /// The server's number for it, used in `Changes` and `Emitted`.
    #[n(1)]
    pub room: RoomNumber,
    /// How to go on.
    #[n(2)]
    pub mode: Mode,
    /// The document's incarnation.
    #[n(3)]
    pub incarnation: Incarnation,
    /// The last durable position.
    #[n(4)]
    pub head: LogSeq,
    /// The digest there.
    #[n(5)]
    pub digest: Digest,
    /// With mode reconcile: the clock of the log, in the order of its actor numbers.
    #[n(6)]
    pub actors: Option<LogActors>,
}

/// The clock of a log in the order of its actor numbers 0, 1, 2 …
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogActors(pub Vec<(ActorId, ClockEntry)>);

impl<C> minicbor::Encode<C> for LogActors {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(self.0.len() as u64)?;
        self.0.iter().try_for_each(|(actor, entry)| encode_entry(e, actor, *entry))
    }
}

impl<'b, C> minicbor::Decode<'b, C> for LogActors {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        decode_entries(d).map(Self)
    }
}

/// Changes of a push are in the log: those of the batch that were neither refused nor held already, in the batch's order, at `first`, `first` + 1 …
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Ack {
    /// The document.
    #[n(0)]
    pub handle: DocumentHandle,
    /// Which push.
    #[n(1)]
    pub batch: BatchId,
    /// Position of the first change that this push brought.
    #[n(2)]
    pub first: LogSeq,
    /// How many it brought.
    #[n(3)]
    pub count: u32,
    /// The log's digest after the last of them.
    #[n(4)]
    pub digest: Digest,
    /// Indexes in the batch of changes that the log held already.
    #[n(5)]
    pub held: Option<Vec<u32>>,
    /// Whether they survive a crash of the server's machine, or only of its process.
    #[n(6)]
    pub durable: bool,
}

/// One change's verdict.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Verdict {
    /// The change.
    #[n(0)]
    pub hash: Hash,
    /// Why it was not taken.
    #[n(1)]
    pub code: RejectCode,
    /// The same in words.
    #[n(2)]
    pub reason: String,
}

/// A document can't be opened (no batch), a batch was not taken at all (a batch, no verdicts), or some of its changes were not (verdicts).
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Reject {
    /// The document.
    #[n(0)]
    pub handle: DocumentHandle,
    /// Which push.
    #[n(1)]
    pub batch: Option<BatchId>,
    /// Why.
    #[n(2)]
    pub code: RejectCode,
    /// The same in words.
    #[n(3)]
    pub reason: String,
    /// Verdicts of single changes. The batch's other changes are acknowledged by an `Ack` that follows.
    #[n(4)]
    pub verdicts: Option<Vec<Verdict>>,
    /// With a retryable code: come back no sooner than this, in milliseconds.
    #[n(5)]
    pub retry_after_ms: Option<u32>,
}

/// A range of the log. The pack is relative to the log before `first`. With it, a client that held all before `first` holds all up to its end.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Changes {
    /// The document.
    #[n(0)]
    pub room: RoomNumber,
    /// Position where the range begins.
    #[n(1)]
    pub first: LogSeq,
    /// The changes; absent if the receiver holds all of the range.
    #[n(2)]
    pub pack: Option<Blob>,
    /// Only in reconciling, where the pack leaves out what the receiver holds: position where the range ends, and the digest there.
    #[n(3)]
    pub sparse: Option<SparseEnd>,
}

/// The end of a range whose pack leaves out what the receiver holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct SparseEnd {
    /// Position of the range's last change.
    #[n(0)]
    pub last: LogSeq,
    /// The log's digest there.
    #[n(1)]
    pub digest: Digest,
}

/// A piece of what stands in for the log up to a position: first those of the view, then those of the saved document, each behind the other.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct SnapshotPiece {
    /// The document.
    #[n(0)]
    pub room: RoomNumber,
    /// The position that it stands for.
    #[n(1)]
    pub seq: LogSeq,
    /// The log's digest there.
    #[n(2)]
    pub digest: Digest,
    /// Index of this piece, from 0.
    #[n(3)]
    pub index: u32,
    /// Number of pieces.
    #[n(4)]
    pub total: u32,
    /// How many of them, from the first on, are the view's.
    #[n(5)]
    pub views: u32,
    /// The piece.
    #[n(6)]
    pub bytes: Blob,
}

/// Presence or a message of another session.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Emitted {
    /// The document.
    #[n(0)]
    pub room: RoomNumber,
    /// From whom.
    #[n(1)]
    pub from: SessionId,
    /// The application's bytes. An empty presence means that the session left.
    #[n(2)]
    pub payload: Blob,
    /// Lifetime of a presence in milliseconds; absent for a message.
    #[n(3)]
    pub ttl_ms: Option<u32>,
}

/// Send nothing but `Ping` and `Auth` until then.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Throttle {
    /// For how long, in milliseconds.
    #[n(0)]
    pub for_ms: u32,
}

/// The connection will end.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct GoAway {
    /// Why, in words.
    #[n(0)]
    pub reason: String,
    /// Come back after a random part of this time, in milliseconds.
    #[n(1)]
    pub reconnect_within_ms: u32,
    /// Where to, if elsewhere.
    #[n(2)]
    pub address: Option<String>,
}
