//! Names and identities: documents, stores, incarnations, clients, sessions, positions in a log.
//!
//! Owns parsing names at the edge and the newtypes everything else is written in. Makes no identities itself:
//! random ones come from the seeded generator in [`crate::rng`].

use std::fmt;
use std::sync::Arc;

pub use automerge::{ActorId, ChangeHash};

use crate::limits::{AUTHOR_BYTES_MAX, DOCUMENT_NAME_BYTES_MAX, SAFE_INTEGER_MAX};

/// The root key that is the engine's own: what stands there is no part of a document's value.
pub const RESERVED_KEY: &str = "$settled";

/// An application-chosen document name: 1 to 256 bytes of UTF-8, `/`-separated segments, none of them empty, no control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentName(Arc<str>);

/// Why a string is no document name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The name is empty or has an empty segment.
    #[error("a document name has no empty segment")]
    EmptySegment,
    /// The name is longer than [`DOCUMENT_NAME_BYTES_MAX`].
    #[error("a document name is at most {DOCUMENT_NAME_BYTES_MAX} bytes")]
    TooLong,
    /// The name holds a control character.
    #[error("a document name holds no control character")]
    ControlCharacter,
}

impl DocumentName {
    /// Parses a name, or says which rule it breaks.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        if name.len() > DOCUMENT_NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        if name.split('/').any(str::is_empty) {
            return Err(NameError::EmptySegment);
        }
        if name.chars().any(char::is_control) {
            return Err(NameError::ControlCharacter);
        }
        Ok(Self(name.into()))
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DocumentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl fmt::Display for DocumentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for DocumentName {
    type Err = NameError;
    fn from_str(s: &str) -> Result<Self, NameError> {
        Self::parse(s)
    }
}

/// Who writes, as the application calls them: a user's id or name, 1 to 256 bytes of UTF-8. It is a claim, which every change of theirs carries.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorName(Arc<str>);

/// Why a string is no author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorError {
    /// It is empty.
    #[error("an author has a name")]
    Empty,
    /// It is longer than [`AUTHOR_BYTES_MAX`].
    #[error("an author has at most {AUTHOR_BYTES_MAX} bytes")]
    TooLong,
}

impl AuthorName {
    /// Parses an author, or says which rule it breaks.
    pub fn parse(author: &str) -> Result<Self, AuthorError> {
        match author.len() {
            0 => Err(AuthorError::Empty),
            1..=AUTHOR_BYTES_MAX => Ok(Self(author.into())),
            _ => Err(AuthorError::TooLong),
        }
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AuthorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// Defines a fixed-size byte identity that prints as hex.
macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Reads the identity from a slice of exactly its length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                Self::from_slice(d.bytes()?)
                    .ok_or_else(|| minicbor::decode::Error::message(concat!(stringify!($name), " has another length")))
            }
        }
    };
}

byte_id!(
    /// Made at random with a server's store; changed by a restore from backup.
    StoreId, 16
);
byte_id!(
    /// Random per document; changes when the document is deleted and made again.
    Incarnation, 8
);
byte_id!(
    /// Names an installation of a client: made at random with its local store.
    ClientId, 16
);
byte_id!(
    /// Eight bytes chained over the change hashes of a log up to a position, seeded by the incarnation.
    Digest, 8
);

/// Defines a number newtype.
macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $int:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode)]
        #[cbor(transparent)]
        pub struct $name(#[n(0)] pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

/// A position in a document's log: 1, 2, 3 …; 0 is "before the first change". Nobody's word is taken for one beyond [`SAFE_INTEGER_MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode)]
#[cbor(transparent)]
pub struct LogSeq(#[n(0)] pub u64);

impl fmt::Display for LogSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<'b, C> minicbor::Decode<'b, C> for LogSeq {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        match d.u64()? {
            seq if seq <= SAFE_INTEGER_MAX => Ok(Self(seq)),
            _ => Err(minicbor::decode::Error::message("no log is so long")),
        }
    }
}

number_id!(
    /// The client's number for a document on one connection.
    DocumentHandle, u32
);
number_id!(
    /// The server's number for an open room, the same for all its sessions, so that they can share frames.
    RoomNumber, u32
);
number_id!(
    /// The client's number for one push, growing within a connection.
    BatchId, u64
);
number_id!(
    /// Names a storage task between a machine and its driver.
    TaskId, u64
);
number_id!(
    /// Names a connection within one server.
    SessionId, u64
);

impl LogSeq {
    /// The position `count` changes further on.
    pub fn plus(self, count: u64) -> Self {
        Self(self.0 + count)
    }
}

/// The end of the hole-free range of a document's log that a client holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Cursor {
    /// The store whose log this is a position in.
    #[n(0)]
    pub store_id: StoreId,
    /// The document's incarnation there.
    #[n(1)]
    pub incarnation: Incarnation,
    /// The last position held without a hole before it.
    #[n(2)]
    pub seq: LogSeq,
    /// The log's digest at `seq`.
    #[n(3)]
    pub digest: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_that_no_log_reaches_is_not_read() {
        let check = |seq: u64, good: bool| {
            let bytes = minicbor::to_vec(LogSeq(seq)).expect("a vector takes any bytes");
            assert_eq!(minicbor::decode::<LogSeq>(&bytes).is_ok(), good, "{seq}");
        };
        check(0, true);
        check(SAFE_INTEGER_MAX, true);
        check(SAFE_INTEGER_MAX + 1, false);
        check(u64::MAX, false);
    }
    #[test]
    fn an_author_has_a_name_of_a_bounded_length() {
        assert_eq!(AuthorName::parse(""), Err(AuthorError::Empty));
        let longest = "a".repeat(AUTHOR_BYTES_MAX);
        assert_eq!(AuthorName::parse(&longest).as_ref().map(AuthorName::as_str), Ok(longest.as_str()));
        assert_eq!(AuthorName::parse(&format!("{longest}a")), Err(AuthorError::TooLong));
    }
}
