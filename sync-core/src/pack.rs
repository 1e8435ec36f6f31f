//! Packs: changes without what the receiver knows already.
//!
//! Owns the byte format described in docs/pack-format.md. Needs no document, only who has which number and which hash stands at an actor's seq.

mod chunk;
mod columns;
mod decode;
mod encode;
pub(crate) mod leb;
mod outside;
mod piece;
mod seal;

use std::collections::BTreeSet;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::change::{Change, ChangeError};
use crate::id::{ActorId, ChangeHash};
use crate::limits::PackLimits;
use crate::table::ChangeTable;
use decode::inflate;
use encode::deflate;
use leb::Reader;
pub use outside::{Beside, Outside};
pub use piece::Chunks;
use piece::Piece;
pub(crate) use seal::{seal, unseal};

/// What both sides of a pack know: the numbers of actors, and the hashes of changes that both hold.
pub trait PackContext {
    /// The actor with a number below the pack's base.
    fn actor(&self, number: u32) -> Option<&ActorId>;
    /// The number of an actor.
    fn number(&self, actor: &ActorId) -> Option<u32>;
    /// The hash of the change at an actor's seq.
    fn hash(&self, actor: &ActorId, seq: u32) -> Option<ChangeHash>;
    /// The actor and seq of a change.
    fn locate(&self, hash: &ChangeHash) -> Option<(ActorId, u32)>;
}

/// Why a pack was refused. All but `Equivocation` are the sender's fault or damage on the way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The bytes are no pack.
    #[error("malformed pack: {0}")]
    Malformed(&'static str),
    /// A bound of [`PackLimits`] is passed.
    #[error("pack too large: {0}")]
    TooLarge(&'static str),
    /// It names an actor number that the receiver does not know.
    #[error("unknown actor number {0}")]
    UnknownActor(u32),
    /// It depends on a change that the receiver does not hold.
    #[error("depends on change {seq} of actor {actor}, which is not held")]
    MissingDep {
        /// The dependency's actor.
        actor: ActorId,
        /// The dependency's seq.
        seq: u32,
    },
    /// The re-created changes are not those that were packed: the two sides hold different changes at some actor and seq, or the pack is damaged.
    #[error("the re-created changes have another digest")]
    DigestMismatch,
    /// A re-created change is refused.
    #[error("change {index}: {error}")]
    Change {
        /// Its index in the pack.
        index: usize,
        /// What is wrong with it.
        error: ChangeError,
    },
    /// A change to be packed depends on one that the context cannot place.
    #[error("cannot pack: {0} is not known to both sides")]
    UnknownDep(ChangeHash),
}

/// A pack taken apart.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// The changes in the order they were packed.
    pub changes: Vec<Change>,
    /// How many actors the pack takes as known.
    pub base: u32,
    /// Actors it introduces, numbered from `base` on.
    pub new_actors: Vec<ActorId>,
}

/// Packs changes in causal order. Actors numbered below `base` in `context` are written as their number; all others are
/// introduced and numbered from `base` on: first the authors of changes in order of first appearance, then those that only
/// occur in deps and in changes' own tables of actors.
pub fn encode(changes: &[Change], base: u32, context: &impl PackContext) -> Result<Bytes, PackError> {
    encode::encode(changes, base, context)
}

/// Unpacks, re-creating the very bytes of each change and proving it by the digest.
pub fn decode(bytes: &[u8], context: &impl PackContext, limits: &PackLimits) -> Result<Unpacked, PackError> {
    let (changes, base, new_actors) = decode::pieces(bytes, context, limits)?;
    Ok(Unpacked { changes, base, new_actors })
}

/// What a pack names that the receiver must hold, or may: see [`Names`]. Reads the pack without making its changes.
pub fn names(bytes: &[u8], context: &impl PackContext, limits: &PackLimits) -> Result<Names, PackError> {
    decode::names(bytes, context, limits)
}

/// The changes that a pack's own are, and those that they depend on outside of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Actor and seq of each change, and of each dep given so.
    pub places: BTreeSet<(ActorId, u32)>,
    /// Deps given by their hash alone, as in changes that are written whole.
    pub hashes: BTreeSet<ChangeHash>,
}

/// Number of changes in a pack, read from its header alone.
pub fn count(bytes: &[u8]) -> Result<u32, PackError> {
    read_start(&mut Reader::new(bytes)).map(|(_, count)| count)
}

/// The first byte: the version in its low four bits, and this one if the body is deflated.
const DEFLATED: u8 = 0x80;
const VERSION: u8 = 1;

/// Longest actor that a pack may introduce.
const ACTOR_BYTES_MAX: usize = 64;

/// What a change's flag byte says.
mod flags {
    /// Its author is another one than that of the change before (number 0 before the first), and written.
    pub(super) const AUTHOR: u8 = 0x01;
    /// Its seq does not follow the author's last one in this pack, and is written.
    pub(super) const SEQ: u8 = 0x02;
    /// The two bits that say how its deps are given.
    pub(super) const DEPS: u8 = 0x0c;
    /// Just the change before in this pack.
    pub(super) const DEPS_BEFORE: u8 = 0x00;
    /// Just its author's change before.
    pub(super) const DEPS_OWN: u8 = 0x04;
    /// Written.
    pub(super) const DEPS_WRITTEN: u8 = 0x08;
    /// None.
    pub(super) const DEPS_NONE: u8 = 0x0c;
    /// It has a message.
    pub(super) const MESSAGE: u8 = 0x10;
    /// It has bytes behind its columns.
    pub(super) const EXTRA: u8 = 0x20;
    /// Its table of other actors differs from its author's last one in this pack (empty before), and is written.
    pub(super) const OTHERS: u8 = 0x40;
    /// It is written whole.
    pub(super) const WHOLE: u8 = 0x80;
}

/// Reads the first byte and the count; says whether the body is deflated.
fn read_start(r: &mut Reader<'_>) -> Result<(bool, u32), PackError> {
    let first = r.byte()?;
    if first & !DEFLATED != VERSION {
        return Err(PackError::Malformed("unknown version"));
    }
    Ok((first & DEFLATED != 0, r.small()?))
}

/// The first eight bytes of SHA-256 over the changes' hashes in order.
fn digest(changes: &[impl Piece]) -> [u8; 8] {
    let hash = changes.iter().fold(Sha256::new(), |sha, change| sha.chain_update(change.hash().0)).finalize();
    hash[..8].try_into().expect("eight bytes")
}

impl PackContext for ChangeTable {
    fn actor(&self, number: u32) -> Option<&ActorId> {
        self.actor(number)
    }
    fn number(&self, actor: &ActorId) -> Option<u32> {
        self.number(actor)
    }
    fn hash(&self, actor: &ActorId, seq: u32) -> Option<ChangeHash> {
        self.hash(actor, seq)
    }
    fn locate(&self, hash: &ChangeHash) -> Option<(ActorId, u32)> {
        let place = self.place(hash)?;
        Some((self.actor(place.actor)?.clone(), place.seq))
    }
}
