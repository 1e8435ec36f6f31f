//! An automerge change chunk taken into its fields and put together again.
//!
//! Knows the order of fields, nothing of what columns mean. Chunks that are not in the form automerge itself writes are not taken apart.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use super::PackError;
use super::leb::{Reader, put_prefixed, put_signed, put_unsigned};
use crate::id::{ActorId, ChangeHash};

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const CHANGE_CHUNK: u8 = 1;
/// Most bytes before a chunk's body: magic, checksum, type, and a length.
const HEAD_BYTES_MAX: usize = 4 + 4 + 1 + 10;

/// A change's columns: the specification and the bytes of each, in order. Most are those of the chunk or the pack that is read.
pub(super) type Columns<'a> = Vec<(u32, Cow<'a, [u8]>)>;

/// The fields of a change chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    pub(super) deps: Vec<ChangeHash>,
    pub(super) actor: ActorId,
    pub(super) seq: u64,
    pub(super) start_op: u64,
    pub(super) time: i64,
    pub(super) message: &'a [u8],
    pub(super) others: Vec<ActorId>,
    pub(super) columns: Columns<'a>,
    pub(super) extra: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Takes a chunk apart, if putting it together again gives the same bytes: numbers have one form, the rest is taken as it stands.
    pub(super) fn parse(chunk: &'a [u8]) -> Result<Self, PackError> {
        let mut r = Reader::new(chunk);
        let magic = r.take(4)?;
        let _checksum = r.take(4)?;
        if magic != MAGIC || r.byte()? != CHANGE_CHUNK {
            return Err(PackError::Malformed("no change chunk"));
        }
        let len = r.length()?;
        if len != r.remaining() {
            return Err(PackError::Malformed("a chunk has another length"));
        }
        let fields = Self::parse_body(r.rest())?;
        let sorted = fields.deps.windows(2).all(|pair| pair[0] < pair[1]);
        if sorted { Ok(fields) } else { Err(PackError::Malformed("not in the usual form")) }
    }

    fn parse_body(body: &'a [u8]) -> Result<Self, PackError> {
        let mut r = Reader::new(body);
        let deps = (0..r.length()?).map(|_| hash(r.take(32)?)).collect::<Result<_, _>>()?;
        let actor = ActorId::from(r.take_prefixed()?);
        let (seq, start_op, time) = (r.unsigned()?, r.unsigned()?, r.signed()?);
        let message = r.take_prefixed()?;
        let others = (0..r.length()?).map(|_| Ok(ActorId::from(r.take_prefixed()?))).collect::<Result<_, _>>()?;
        let specs = (0..r.length()?).map(|_| Ok((r.small()?, r.length()?))).collect::<Result<Vec<_>, PackError>>()?;
        let column = |(spec, len)| Ok((spec, Cow::Borrowed(r.take(len)?)));
        let columns = specs.into_iter().map(column).collect::<Result<_, PackError>>()?;
        Ok(Self { deps, actor, seq, start_op, time, message, others, columns, extra: r.rest() })
    }

    fn put_body(&self, out: &mut Vec<u8>) {
        put_unsigned(out, self.deps.len() as u64);
        for dep in &self.deps {
            out.extend_from_slice(&dep.0);
        }
        put_prefixed(out, self.actor.to_bytes());
        put_unsigned(out, self.seq);
        put_unsigned(out, self.start_op);
        put_signed(out, self.time);
        put_prefixed(out, self.message);
        put_unsigned(out, self.others.len() as u64);
        for actor in &self.others {
            put_prefixed(out, actor.to_bytes());
        }
        put_unsigned(out, self.columns.len() as u64);
        for (spec, bytes) in &self.columns {
            put_unsigned(out, u64::from(*spec));
            put_unsigned(out, bytes.len() as u64);
        }
        for (_, bytes) in &self.columns {
            out.extend_from_slice(bytes);
        }
        out.extend_from_slice(self.extra);
    }

    /// Puts the chunk together, with its checksum; gives the change's hash too.
    pub(super) fn chunk(&self) -> (Vec<u8>, ChangeHash) {
        // The head ends where the body begins; how long it is, is known when the body is.
        let mut out = vec![0; HEAD_BYTES_MAX];
        self.put_body(&mut out);
        let mut length = Vec::with_capacity(10);
        put_unsigned(&mut length, (out.len() - HEAD_BYTES_MAX) as u64);
        let hashed = HEAD_BYTES_MAX - length.len() - 1;
        out[hashed] = CHANGE_CHUNK;
        out[hashed + 1..HEAD_BYTES_MAX].copy_from_slice(&length);
        let hash = Sha256::digest(&out[hashed..]);
        out[hashed - 8..hashed - 4].copy_from_slice(&MAGIC);
        out[hashed - 4..hashed].copy_from_slice(&hash[..4]);
        out.drain(..hashed - 8);
        (out, ChangeHash(hash.into()))
    }
}

fn hash(bytes: &[u8]) -> Result<ChangeHash, PackError> {
    ChangeHash::try_from(bytes).map_err(|_| PackError::Malformed("a hash has another length"))
}
