//! The protocol `rejoin.v1`: messages, their CBOR, close codes, and frames.
//!
//! Owns what stands on the wire, to the byte, as docs/protocol.md describes it. Knows nothing of who may send what when:
//! that is for `session`, `room` and `replica`.

mod client;
mod frame;
mod server;
pub(crate) mod shape;

pub use client::{Acked, Auth, ClientMessage, Close, Emit, Have, Hello, Open, Ping, Push, SnapshotHeld, accepts};
pub use frame::{Assembler, FrameError, Part, split};
pub use server::{
    Ack, Changes, Emitted, Expiring, GoAway, Granted, LogActors, Mode, Opened, Reject, ServerMessage, SnapshotPiece,
    SparseEnd, Throttle, Verdict, Welcome, WireLimits,
};

use bytes::Bytes;
use minicbor::{Decoder, Encoder, decode, encode};

/// The WebSocket subprotocol.
pub const SUBPROTOCOL: &str = "rejoin.v1";

/// A frame may hold this many bytes until `Welcome` has said how many it may.
pub const FRAME_BYTES_AT_FIRST: usize = 64 << 10;

/// The protocol version this library speaks.
pub const VERSION: u32 = 1;

/// Why the server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum CloseCode {
    /// The peer asked for it, or there is nothing more to say.
    Normal = 1000,
    /// The server restarts; come back soon.
    Restarting = 1012,
    /// The server is overloaded; come back later.
    Overloaded = 1013,
    /// The peer sent what is no message, or a message out of turn.
    Malformed = 4400,
    /// No valid token.
    Unauthenticated = 4401,
    /// The token does not allow it.
    Forbidden = 4403,
    /// The peer was silent for too long.
    Timeout = 4408,
    /// No protocol version in common.
    NoCommonVersion = 4409,
    /// A frame or message was larger than negotiated.
    TooLarge = 4413,
    /// Too many messages, documents or unacknowledged batches.
    Rate = 4429,
}

/// Why a document can't be opened, or a push or one of its changes was not taken. Grouped by blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, minicbor::Encode)]
#[cbor(index_only)]
#[non_exhaustive]
pub enum RejectCode {
    /// The writer's fault: the validator refuses the change. Final.
    #[n(1)]
    Invalid,
    /// The writer's fault: the log has another change of this actor and seq. Final; the change is to be written again under a fresh actor.
    #[n(2)]
    Equivocation,
    /// The writer's fault: a bound on changes, operations, actors or heads is passed. Final.
    #[n(3)]
    TooLarge,
    /// The writer's fault: no scope allows it. Final while the scopes last.
    #[n(4)]
    Forbidden,
    /// The writer's fault: the name is no document name. Final.
    #[n(5)]
    BadName,
    /// The writer's trouble: the document that the change belongs to was deleted here. Final.
    #[n(6)]
    Deleted,
    /// The two sides disagree about what they hold: a dep is missing, or the pack does not re-create what was packed. Open again with the clock.
    #[n(10)]
    Mismatch,
    /// Depends on a change refused in the same or an earlier batch. Nothing to do but settle that one.
    #[n(11)]
    Blocked,
    /// The server's trouble: its store can't be written now. Retry.
    #[n(20)]
    Unavailable,
    /// The server's trouble: the document is quarantined. Retry later; its operator must act.
    #[n(21)]
    Quarantined,
}

impl RejectCode {
    /// Whether the same change may be taken later as it is.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Mismatch | Self::Unavailable | Self::Quarantined)
    }
}

/// A code that a newer peer has made up counts as the general one of its range.
impl<'b, C> minicbor::Decode<'b, C> for RejectCode {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        Ok(match d.u32()? {
            2 => Self::Equivocation,
            3 => Self::TooLarge,
            4 => Self::Forbidden,
            5 => Self::BadName,
            6 => Self::Deleted,
            0..=9 => Self::Invalid,
            11 => Self::Blocked,
            10..=19 => Self::Mismatch,
            21 => Self::Quarantined,
            _ => Self::Unavailable,
        })
    }
}

/// Bytes within a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blob(pub Bytes);

impl<C> minicbor::Encode<C> for Blob {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Blob {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        Ok(Self(Bytes::copy_from_slice(d.bytes()?)))
    }
}

/// A change hash within a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub crate::id::ChangeHash);

impl<C> minicbor::Encode<C> for Hash {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0.0)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Hash {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let bytes = d.bytes()?.try_into().map_err(|_| decode::Error::message("a change hash has 32 bytes"))?;
        Ok(Self(automerge::ChangeHash(bytes)))
    }
}

/// Why bytes are no messages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// They are not what docs/protocol.md describes.
    #[error("no protocol message: {0}")]
    Malformed(String),
    /// They are more than [`crate::limits::MESSAGES_MAX`].
    #[error("too many messages at once")]
    TooMany,
}

impl MessageError {
    /// How the server closes the connection.
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::Malformed(_) => CloseCode::Malformed,
            Self::TooMany => CloseCode::Rate,
        }
    }
}

impl From<decode::Error> for MessageError {
    fn from(e: decode::Error) -> Self {
        Self::Malformed(e.to_string())
    }
}

/// Makes a message enum whose wire form is `[kind, body]`, each body a map with integer keys. Unknown kinds are skipped.
macro_rules! messages {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $kind:literal => $variant:ident($body:ty),)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum $name { $($(#[$vdoc])* $variant($body),)* }

        impl $name {
            /// The message as `[kind, body]`.
            pub fn encode(&self) -> bytes::Bytes {
                let mut e = minicbor::Encoder::new(Vec::new());
                let written = match self {
                    $(Self::$variant(body) => e.array(2).and_then(|e| e.u8($kind)).and_then(|e| e.encode(body)),)*
                };
                written.expect("a vector takes any bytes");
                e.into_writer().into()
            }

            /// All messages in `bytes`, in order. Unknown kinds are left out, so that a newer peer may send them.
            pub fn decode_all(bytes: &[u8]) -> Result<Vec<Self>, crate::protocol::MessageError> {
                crate::protocol::shape::check(bytes)?;
                let mut d = minicbor::Decoder::new(bytes);
                let mut out = Vec::new();
                while d.position() < bytes.len() {
                    if d.array()? != Some(2) {
                        return Err(crate::protocol::MessageError::Malformed("a message is an array of two".into()));
                    }
                    match d.u32()? {
                        $($kind => out.push(Self::$variant(d.decode()?)),)*
                        _ => d.skip()?,
                    }
                }
                Ok(out)
            }
        }
    };
}
pub(crate) use messages;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::DocumentHandle;

    #[test]
    fn unknown_kinds_and_keys_are_ignored() {
        let ping = ClientMessage::Ping(Ping { nonce: 7 });
        let mut bytes = vec![0x82, 0x18, 99, 0xa1, 0x00, 0x01];
        bytes.extend_from_slice(&ping.encode());
        // Ping with an extra key 9.
        bytes.extend_from_slice(&[0x82, 0x07, 0xa2, 0x00, 0x08, 0x09, 0x61, b'x']);
        assert_eq!(
            ClientMessage::decode_all(&bytes).expect("well-formed"),
            vec![ping, ClientMessage::Ping(Ping { nonce: 8 })]
        );
    }

    #[test]
    fn unknown_reject_codes_count_as_the_general_one_of_their_range() {
        for (code, want) in [(1, RejectCode::Invalid), (9, RejectCode::Invalid), (10, RejectCode::Mismatch)] {
            assert_eq!(minicbor::decode::<RejectCode>(&[code]).expect("a code"), want);
        }
        for (code, want) in [(15, RejectCode::Mismatch), (20, RejectCode::Unavailable), (23, RejectCode::Unavailable)] {
            assert_eq!(minicbor::decode::<RejectCode>(&[code]).expect("a code"), want);
        }
        for known in [RejectCode::Equivocation, RejectCode::Deleted, RejectCode::Blocked, RejectCode::Quarantined] {
            let bytes = minicbor::to_vec(known).expect("a vector takes any bytes");
            assert_eq!(minicbor::decode::<RejectCode>(&bytes).expect("own bytes"), known);
        }
    }

    #[test]
    fn a_truncated_message_is_an_error() {
        let push = ClientMessage::Push(Push {
            handle: DocumentHandle(1),
            batch: crate::id::BatchId(1),
            pack: Blob(Bytes::from_static(b"abc")),
        });
        let bytes = push.encode();
        for end in 1..bytes.len() {
            assert!(ClientMessage::decode_all(&bytes[..end]).is_err(), "{end}");
        }
    }
}
