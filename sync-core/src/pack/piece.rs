//! What packs hold: changes, parsed or as their chunks alone where nobody looks into them.
//!
//! Owns what packing asks of either. A chunk is proven by its pack's digest like a change; what its columns say is not looked at, so it is
//! for packs that were taken in before.

use bytes::Bytes;

use super::chunk::Fields;
use super::{PackContext, PackError, decode, encode};
use crate::change::{Change, ChangeError, Counts, ScanError};
use crate::id::{ActorId, ChangeHash};
use crate::limits::{ChangeLimits, PackLimits};

/// What is packed.
pub(super) trait Piece: Sized {
    fn hash(&self) -> ChangeHash;
    fn actor(&self) -> &ActorId;
    fn seq(&self) -> u32;
    fn deps(&self) -> &[ChangeHash];
    fn bytes(&self) -> &[u8];
    /// From what a pack says of it.
    fn from_fields(fields: Fields<'_>, limits: &ChangeLimits) -> Result<(Self, Counts), ChangeError>;
    /// From a chunk that a pack has whole.
    fn from_chunk(chunk: &[u8], limits: &ChangeLimits) -> Result<(Self, Counts), ChangeError>;
}

impl Piece for Change {
    fn hash(&self) -> ChangeHash {
        self.hash()
    }

    fn actor(&self) -> &ActorId {
        self.actor()
    }

    fn seq(&self) -> u32 {
        self.seq()
    }

    fn deps(&self) -> &[ChangeHash] {
        self.deps()
    }

    fn bytes(&self) -> &[u8] {
        self.bytes()
    }

    fn from_fields(fields: Fields<'_>, limits: &ChangeLimits) -> Result<(Self, Counts), ChangeError> {
        Self::parse_counted(&fields.chunk().0, limits)
    }

    fn from_chunk(chunk: &[u8], limits: &ChangeLimits) -> Result<(Self, Counts), ChangeError> {
        Self::parse_counted(chunk, limits)
    }
}

/// A change that was not parsed.
struct Chunk {
    bytes: Vec<u8>,
    hash: ChangeHash,
    actor: ActorId,
    seq: u32,
    deps: Vec<ChangeHash>,
}

impl Piece for Chunk {
    fn hash(&self) -> ChangeHash {
        self.hash
    }

    fn actor(&self) -> &ActorId {
        &self.actor
    }

    fn seq(&self) -> u32 {
        self.seq
    }

    fn deps(&self) -> &[ChangeHash] {
        &self.deps
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn from_fields(fields: Fields<'_>, limits: &ChangeLimits) -> Result<(Self, Counts), ChangeError> {
        let (bytes, hash) = fields.chunk();
        if bytes.len() > limits.change_bytes_max {
            return Err(ScanError::TooLong { bytes: bytes.len(), max: limits.change_bytes_max }.into());
        }
        let Fields { deps, actor, seq, .. } = fields;
        let seq = u32::try_from(seq).map_err(|_| ChangeError::OutOfRange("seq"))?;
        Ok((Self { bytes, hash, actor, seq, deps }, Counts::default()))
    }

    fn from_chunk(chunk: &[u8], limits: &ChangeLimits) -> Result<(Self, Counts), ChangeError> {
        let (change, counts) = Change::parse_counted(chunk, limits)?;
        let (hash, actor, seq, deps) = (change.hash(), change.actor().clone(), change.seq(), change.deps().to_vec());
        Ok((Self { bytes: chunk.to_vec(), hash, actor, seq, deps }, counts))
    }
}

/// Changes of packs that are to be packed as one.
#[derive(Default)]
pub struct Chunks {
    chunks: Vec<Chunk>,
    bytes: usize,
}

impl Chunks {
    /// Adds those of one more pack; none if it can't be read, or has another number of them.
    pub fn add(&mut self, pack: &[u8], count: u32, context: &impl PackContext) -> Result<(), PackError> {
        let (chunks, ..) = decode::pieces::<Chunk>(pack, context, &PackLimits::stored())?;
        if chunks.len() != count as usize {
            return Err(PackError::Malformed("it holds another number of changes"));
        }
        self.bytes += chunks.iter().map(|chunk| chunk.bytes.len()).sum::<usize>();
        self.chunks.extend(chunks);
        Ok(())
    }

    /// How many bytes they have.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Packs them, as [`super::encode`] does with changes.
    pub fn encode(&self, base: u32, context: &impl PackContext) -> Result<Bytes, PackError> {
        encode::encode(&self.chunks, base, context)
    }
}
