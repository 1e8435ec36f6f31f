//! An automerge change chunk taken into its fields and put together again.
//!
//! Knows the order of fields, nothing of what columns mean. Chunks that are not in the form automerge itself writes are not taken apart.

use sha2::{Digest as _, Sha256};

use super::PackError;
use super::leb::{Reader, put_prefixed, put_signed, put_unsigned};
use crate::id::{ActorId, ChangeHash};

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const CHANGE_CHUNK: u8 = 1;

/// A change's columns: the specification and the bytes of each, in order.
pub(super) type Columns = Vec<(u32, Vec<u8>)>;

/// The fields of a change chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) deps: Vec<ChangeHash>,
    pub(super) actor: ActorId,
    pub(super) seq: u64,
    pub(super) start_op: u64,
    pub(super) time: i64,
    pub(super) message: Vec<u8>,
    pub(super) others: Vec<ActorId>,
    pub(super) columns: Columns,
    pub(super) extra: Vec<u8>,
}

impl Fields {
    /// Takes a chunk apart, if putting it together again gives the same bytes.
    pub(super) fn parse(chunk: &[u8]) -> Result<Self, PackError> {
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
        let body = r.rest();
        let fields = Self::parse_body(body)?;
        let sorted = fields.deps.windows(2).all(|pair| pair[0] < pair[1]);
        if sorted && fields.body() == body { Ok(fields) } else { Err(PackError::Malformed("not in the usual form")) }
    }

    fn parse_body(body: &[u8]) -> Result<Self, PackError> {
        let mut r = Reader::new(body);
        let deps = (0..r.length()?).map(|_| hash(r.take(32)?)).collect::<Result<_, _>>()?;
        let actor = ActorId::from(r.take_prefixed()?);
        let (seq, start_op, time) = (r.unsigned()?, r.unsigned()?, r.signed()?);
        let message = r.take_prefixed()?.to_vec();
        let others = (0..r.length()?).map(|_| Ok(ActorId::from(r.take_prefixed()?))).collect::<Result<_, _>>()?;
        let specs = (0..r.length()?).map(|_| Ok((r.small()?, r.length()?))).collect::<Result<Vec<_>, PackError>>()?;
        let columns =
            specs.into_iter().map(|(spec, len)| Ok((spec, r.take(len)?.to_vec()))).collect::<Result<_, PackError>>()?;
        Ok(Self { deps, actor, seq, start_op, time, message, others, columns, extra: r.rest().to_vec() })
    }

    fn body(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        put_unsigned(&mut out, self.deps.len() as u64);
        for dep in &self.deps {
            out.extend_from_slice(&dep.0);
        }
        put_prefixed(&mut out, self.actor.to_bytes());
        put_unsigned(&mut out, self.seq);
        put_unsigned(&mut out, self.start_op);
        put_signed(&mut out, self.time);
        put_prefixed(&mut out, &self.message);
        put_unsigned(&mut out, self.others.len() as u64);
        for actor in &self.others {
            put_prefixed(&mut out, actor.to_bytes());
        }
        put_unsigned(&mut out, self.columns.len() as u64);
        for (spec, bytes) in &self.columns {
            put_unsigned(&mut out, u64::from(*spec));
            put_unsigned(&mut out, bytes.len() as u64);
        }
        for (_, bytes) in &self.columns {
            out.extend_from_slice(bytes);
        }
        out.extend_from_slice(&self.extra);
        out
    }

    /// Puts the chunk together, with its checksum.
    pub(super) fn chunk(&self) -> Vec<u8> {
        let body = self.body();
        let mut head = vec![CHANGE_CHUNK];
        put_unsigned(&mut head, body.len() as u64);
        let hash = Sha256::new().chain_update(&head).chain_update(&body).finalize();
        let mut out = Vec::with_capacity(8 + head.len() + body.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&hash[..4]);
        out.extend_from_slice(&head);
        out.extend_from_slice(&body);
        out
    }
}

fn hash(bytes: &[u8]) -> Result<ChangeHash, PackError> {
    ChangeHash::try_from(bytes).map_err(|_| PackError::Malformed("a hash has another length"))
}
