//! Packs: changes without what the receiver knows already.
//!
//! Owns the byte format described in docs/protocol.md. Needs no document, only who has which number and which hash stands at an actor's seq.

use bytes::Bytes;

use crate::change::{Change, ChangeError};
use crate::id::{ActorId, ChangeHash};
use crate::limits::PackLimits;

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
/// introduced in order of first appearance (as author or as author of a dep) and numbered from `base` on.
pub fn encode(changes: &[Change], base: u32, context: &impl PackContext) -> Result<Bytes, PackError> {
    let _ = (changes, base, context);
    Err(PackError::Malformed("being built"))
}

/// Unpacks, re-creating the very bytes of each change and proving it by the digest.
pub fn decode(bytes: &[u8], context: &impl PackContext, limits: &PackLimits) -> Result<Unpacked, PackError> {
    let _ = (bytes, context, limits);
    Err(PackError::Malformed("being built"))
}

/// Number of changes in a pack, read from its header alone.
pub fn count(bytes: &[u8]) -> Result<u32, PackError> {
    let _ = bytes;
    Err(PackError::Malformed("being built"))
}
