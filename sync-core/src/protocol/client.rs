//! What a client sends.

use crate::clock::VectorClock;
use crate::id::{BatchId, ClientId, Cursor, Digest, DocumentHandle, LogSeq};
use crate::protocol::{Blob, Part, messages};
use crate::scope::Access;

messages! {
    /// A message from client to server.
    ClientMessage {
        /// The first message on a connection.
        0 => Hello(Hello),
        /// A new token on a live connection.
        1 => Auth(Auth),
        /// Opens a document.
        2 => Open(Open),
        /// Changes of the client.
        3 => Push(Push),
        /// What the client holds, in answer to `Opened` with mode reconcile.
        4 => Have(Have),
        /// Presence, or a message to whoever is there.
        5 => Emit(Emit),
        /// Closes a document.
        6 => Close(Close),
        /// Asks for a `Pong`.
        7 => Ping(Ping),
        /// A piece of a message that is larger than a frame.
        8 => Part(Part),
    }
}

/// Opens the conversation. May be followed at once by `Open` and `Push` without waiting.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Hello {
    /// Protocol versions the client speaks.
    #[n(0)]
    pub versions: Vec<u32>,
    /// Names the installation.
    #[n(1)]
    pub client: ClientId,
    /// The token, where the server wants one.
    #[n(2)]
    pub token: Option<String>,
    /// What the client takes beside packs: bit 0 segments, bit 1 snapshots, bit 2 views.
    #[n(3)]
    pub accepts: u32,
}

/// Bits of [`Hello::accepts`].
pub mod accepts {
    /// Document snapshots in place of a long log.
    pub const SNAPSHOTS: u32 = 2;
    /// Views before them.
    pub const VIEWS: u32 = 4;
}

/// Replaces the token.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Auth {
    /// The new token.
    #[n(0)]
    pub token: String,
}

/// Opens a document under a handle of the client's choice, saying what is held.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Open {
    /// The client's number for it, free on this connection.
    #[n(0)]
    pub handle: DocumentHandle,
    /// The document's name.
    #[n(1)]
    pub document: String,
    /// What the client wants to do.
    #[n(2)]
    pub access: Access,
    /// The end of the hole-free range of the log that the client holds.
    #[n(3)]
    pub cursor: Option<Cursor>,
    /// The highest acknowledged position and the digest there, where that lies beyond the cursor.
    #[n(4)]
    pub acked: Option<Acked>,
    /// What is held, where there are changes but no cursor.
    #[n(5)]
    pub clock: Option<VectorClock>,
    /// The beginning of a document snapshot that is held.
    #[n(6)]
    pub snapshot: Option<SnapshotHeld>,
    /// Whether packs are wanted whatever `Hello` has said: a snapshot did not fit what is held.
    #[n(7)]
    pub packs: Option<bool>,
}

/// The pieces of a document snapshot that came before the connection was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct SnapshotHeld {
    /// The position that the snapshot stands for.
    #[n(0)]
    pub seq: LogSeq,
    /// The log's digest there.
    #[n(1)]
    pub digest: Digest,
    /// How many of its pieces are held, from the first on.
    #[n(2)]
    pub pieces: u32,
}

/// The highest position that was acknowledged to this client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Acked {
    /// The position.
    #[n(0)]
    pub seq: LogSeq,
    /// The digest there.
    #[n(1)]
    pub digest: Digest,
}

/// Pushes changes as one pack with base 0.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Push {
    /// The document.
    #[n(0)]
    pub handle: DocumentHandle,
    /// The client's number for this push; grows by one on each push of a connection.
    #[n(1)]
    pub batch: BatchId,
    /// The changes, in causal order.
    #[n(2)]
    pub pack: Blob,
}

/// What the client holds of a document.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Have {
    /// The document.
    #[n(0)]
    pub handle: DocumentHandle,
    /// What is held and known to have been in some log.
    #[n(1)]
    pub clock: VectorClock,
}

/// Presence (the latest value counts, until it expires) or a message (sent once to whoever is there). Never stored.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Emit {
    /// The document.
    #[n(0)]
    pub handle: DocumentHandle,
    /// The application's bytes. An empty presence says goodbye.
    #[n(1)]
    pub payload: Blob,
    /// Lifetime of a presence in milliseconds; absent for a message.
    #[n(2)]
    pub ttl_ms: Option<u32>,
}

/// Closes a document on this connection.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Close {
    /// The document.
    #[n(0)]
    pub handle: DocumentHandle,
}

/// Asks for a `Pong` with the same nonce.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Ping {
    /// Any number.
    #[n(0)]
    pub nonce: u32,
}
