//! What a room needs to begin in the middle of a log: the base of the log there and the op index, as bytes that a store keeps.
//!
//! Owns the byte format described in docs/storage-format.md. A snapshot is derived from the log: whatever is wrong with one,
//! the packs still hold everything, and it can be made again.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::id::{ActorId, ChangeHash, Digest, Incarnation, LogSeq};
use crate::limits::{ACTOR_BYTES_MAX, SNAPSHOT_BYTES_MAX};
use crate::log::{Base, Segment};
use crate::op_index::{OpIndex, VERSION};
use crate::pack::leb::{Reader, put_prefixed, put_unsigned};
use crate::pack::{PackError, seal, unseal};
use crate::table::BaseActor;

/// A log's base and the op index there.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The document's incarnation.
    pub incarnation: Incarnation,
    /// The log's base.
    pub base: Base,
    /// The index of all operations up to the base.
    pub index: OpIndex,
}

impl Snapshot {
    /// The bytes to keep.
    pub fn encode(&self) -> Bytes {
        encode(self.incarnation, &self.base, &self.index)
    }

    /// Reads what [`encode`] made. Anything else is refused, whatever lengths it claims.
    pub fn decode(bytes: &[u8]) -> Result<Self, PackError> {
        let (version, body) = unseal(bytes, VERSION, "a snapshot of an unknown version", SNAPSHOT_BYTES_MAX)?;
        let mut r = Reader::new(&body);
        let incarnation = Incarnation(array(&mut r)?);
        let base = read_base(&mut r)?;
        let index = OpIndex::restore(&mut r, version, base.actors.len() as u32)?;
        let same = |(number, (actor, _)): (u32, &(BaseActor, LogSeq))| index.past().seq(number) == actor.seq;
        if !r.is_empty() || !(0..).zip(&base.actors).all(same) {
            return Err(PackError::Malformed("the op index is of another log"));
        }
        Ok(Self { incarnation, base, index })
    }
}

/// The bytes of a snapshot.
pub fn encode(incarnation: Incarnation, base: &Base, index: &OpIndex) -> Bytes {
    let mut body = incarnation.0.to_vec();
    put_unsigned(&mut body, base.seq.0);
    body.extend_from_slice(&base.digest.0);
    put_unsigned(&mut body, base.actors.len() as u64);
    for (actor, arrival) in &base.actors {
        put_prefixed(&mut body, actor.id.to_bytes());
        put_unsigned(&mut body, u64::from(actor.seq));
        put_unsigned(&mut body, arrival.0);
        body.push(u8::from(actor.is_head));
        body.extend_from_slice(&actor.hash.0);
    }
    put_unsigned(&mut body, base.segments.len() as u64);
    for segment in &base.segments {
        put_unsigned(&mut body, u64::from(segment.count));
        put_unsigned(&mut body, segment.raw_bytes);
        body.extend_from_slice(&segment.digest.0);
        put_unsigned(&mut body, segment.ends.len() as u64);
        for (actor, seq) in &segment.ends {
            put_unsigned(&mut body, u64::from(*actor));
            put_unsigned(&mut body, u64::from(*seq));
        }
    }
    index.save(&mut body);
    seal(VERSION, &body).into()
}

fn array<const N: usize>(r: &mut Reader<'_>) -> Result<[u8; N], PackError> {
    Ok(r.take(N)?.try_into().expect("so many bytes were taken"))
}

fn read_base(r: &mut Reader<'_>) -> Result<Base, PackError> {
    let (seq, digest) = (LogSeq(r.unsigned()?), Digest(array(r)?));
    let (mut actors, mut ids) = (Vec::new(), BTreeSet::new());
    let mut arrived = LogSeq(0);
    for _ in 0..r.length()? {
        let id = r.take_prefixed()?;
        let id = Some(ActorId::from(id)).filter(|_| (1..=ACTOR_BYTES_MAX).contains(&id.len()));
        let id = id.filter(|id| ids.insert(id.clone())).ok_or(PackError::Malformed("no actor, or one twice"))?;
        let (last, arrival, is_head) = (r.small()?, LogSeq(r.unsigned()?), r.byte()?);
        if last == 0 || is_head > 1 || arrival <= arrived || arrival > seq {
            return Err(PackError::Malformed("an actor out of place"));
        }
        arrived = arrival;
        let hash = ChangeHash(array(r)?);
        actors.push((BaseActor { id, seq: last, hash, is_head: is_head == 1 }, arrival));
    }
    let segments = read_segments(r, &actors)?;
    let last = segments.last().map_or((LogSeq(0), digest), |segment| (segment.last(), segment.digest));
    if last != (seq, digest) {
        return Err(PackError::Malformed("the segments end elsewhere"));
    }
    Ok(Base { seq, digest, actors, segments })
}

fn read_segments(r: &mut Reader<'_>, actors: &[(BaseActor, LogSeq)]) -> Result<Vec<Segment>, PackError> {
    let out_of_place = PackError::Malformed("a segment out of place");
    let (mut segments, mut first) = (Vec::new(), LogSeq(1));
    let mut ended: BTreeMap<u32, u32> = BTreeMap::new();
    for _ in 0..r.length()? {
        let (count, raw_bytes, digest) = (r.small()?, r.unsigned()?, Digest(array(r)?));
        let (mut ends, mut changes) = (Vec::<(u32, u32)>::new(), 0u64);
        for _ in 0..r.length()? {
            let (actor, seq) = (r.small()?, r.small()?);
            let before = ended.insert(actor, seq).unwrap_or(0);
            let ascending = ends.last().is_none_or(|(last, _)| *last < actor);
            if actor as usize >= actors.len() || seq <= before || !ascending {
                return Err(out_of_place);
            }
            changes += u64::from(seq - before);
            ends.push((actor, seq));
        }
        // So many changes as the actors' seqs moved on by: seqs have no gaps.
        if count == 0 || changes != u64::from(count) {
            return Err(out_of_place);
        }
        segments.push(Segment { first, count, raw_bytes, digest, ends });
        first = first.plus(u64::from(count));
    }
    let all = (0..).zip(actors).all(|(number, (actor, _))| ended.get(&number) == Some(&actor.seq));
    if all { Ok(segments) } else { Err(out_of_place) }
}
