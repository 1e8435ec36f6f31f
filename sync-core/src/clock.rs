//! Vector clocks: a set of changes said exactly, in the size of its actors.
//!
//! Owns comparison and merging. Knows nothing of logs or documents; what a clock's hashes stand for is checked by whoever holds them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use minicbor::{Decoder, Encoder, decode, encode};

use crate::id::{ActorId, ChangeHash};

/// The first eight bytes of a change's hash: enough to notice that two changes of one actor and seq differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashPrefix(pub [u8; 8]);

impl From<ChangeHash> for HashPrefix {
    fn from(hash: ChangeHash) -> Self {
        let mut out = [0; 8];
        out.copy_from_slice(&hash.0[..8]);
        Self(out)
    }
}

/// What is held of one actor: its changes 1 to `seq`, the last of which has a hash that begins with `hash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockEntry {
    /// Highest seq held; there are no gaps below it.
    pub seq: u32,
    /// Start of the hash of the change at `seq`.
    pub hash: HashPrefix,
}

/// Actor -> highest seq held. Since seqs have no gaps this describes a set of changes exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VectorClock(BTreeMap<ActorId, ClockEntry>);

impl VectorClock {
    /// The clock of the empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is held of `actor`, if anything.
    pub fn entry(&self, actor: &ActorId) -> Option<ClockEntry> {
        self.0.get(actor).copied()
    }

    /// Highest seq held of `actor`; 0 if none.
    pub fn seq(&self, actor: &ActorId) -> u32 {
        self.0.get(actor).map_or(0, |e| e.seq)
    }

    /// Raises `actor` to `entry` if that is higher than what is held.
    pub fn observe(&mut self, actor: &ActorId, entry: ClockEntry) {
        match self.0.get_mut(actor) {
            Some(held) if held.seq >= entry.seq => {}
            Some(held) => *held = entry,
            None => {
                self.0.insert(actor.clone(), entry);
            }
        }
    }

    /// The least clock that is at least both.
    pub fn merge(&mut self, other: &Self) {
        for (actor, entry) in &other.0 {
            self.observe(actor, *entry);
        }
    }

    /// Entries in the order of the actors' bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&ActorId, ClockEntry)> {
        self.0.iter().map(|(actor, entry)| (actor, *entry))
    }

    /// Number of actors.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of changes the clock describes.
    pub fn changes(&self) -> u64 {
        self.0.values().map(|e| u64::from(e.seq)).sum()
    }

    fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|(actor, entry)| self.seq(actor) >= entry.seq)
    }
}

/// `Less` is Before, `Greater` is After, `None` is Concurrent. Compares seqs only.
impl PartialOrd for VectorClock {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self.covers(other), other.covers(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        }
    }
}

impl FromIterator<(ActorId, ClockEntry)> for VectorClock {
    fn from_iter<I: IntoIterator<Item = (ActorId, ClockEntry)>>(iter: I) -> Self {
        let mut clock = Self::new();
        for (actor, entry) in iter {
            clock.observe(&actor, entry);
        }
        clock
    }
}

/// On the wire: an array of `[actor bytes, seq, hash prefix]`.
impl<C> minicbor::Encode<C> for VectorClock {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(self.0.len() as u64)?;
        for (actor, entry) in &self.0 {
            encode_entry(e, actor, *entry)?;
        }
        Ok(())
    }
}

impl<'b, C> minicbor::Decode<'b, C> for VectorClock {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        Ok(decode_entries(d)?.into_iter().collect())
    }
}

/// Writes one `[actor, seq, hash prefix]`.
pub(crate) fn encode_entry<W: encode::Write>(
    e: &mut Encoder<W>,
    actor: &ActorId,
    entry: ClockEntry,
) -> Result<(), encode::Error<W::Error>> {
    e.array(3)?.bytes(actor.to_bytes())?.u32(entry.seq)?.bytes(&entry.hash.0)?;
    Ok(())
}

/// Reads an array of entries in the order it is written, which for a log's clock is the order of its actor numbers.
pub(crate) fn decode_entries(d: &mut Decoder<'_>) -> Result<Vec<(ActorId, ClockEntry)>, decode::Error> {
    let bad = decode::Error::message;
    let count = d.array()?.ok_or_else(|| bad("a clock has a definite length"))?;
    let mut out = Vec::new();
    for _ in 0..count {
        if d.array()? != Some(3) {
            return Err(bad("a clock entry has three fields"));
        }
        let actor = d.bytes()?;
        if actor.is_empty() || actor.len() > 64 {
            return Err(bad("an actor has 1 to 64 bytes"));
        }
        let seq = d.u32()?;
        let hash = d.bytes()?.try_into().map_err(|_| bad("a hash prefix has eight bytes"))?;
        if seq == 0 {
            return Err(bad("seqs start at 1"));
        }
        out.push((ActorId::from(actor), ClockEntry { seq, hash: HashPrefix(hash) }));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(entries: &[(u8, u32)]) -> VectorClock {
        entries
            .iter()
            .map(|(a, seq)| (ActorId::from([*a]), ClockEntry { seq: *seq, hash: HashPrefix([*a; 8]) }))
            .collect()
    }

    #[test]
    fn compares_as_sets() {
        let check = |a: &[(u8, u32)], b: &[(u8, u32)], want| assert_eq!(clock(a).partial_cmp(&clock(b)), want);
        check(&[], &[], Some(Ordering::Equal));
        check(&[(1, 2)], &[(1, 2)], Some(Ordering::Equal));
        check(&[(1, 1)], &[(1, 2)], Some(Ordering::Less));
        check(&[(1, 1), (2, 1)], &[(1, 1)], Some(Ordering::Greater));
        check(&[(1, 1)], &[(2, 1)], None);
        check(&[(1, 2), (2, 1)], &[(1, 1), (2, 2)], None);
    }

    #[test]
    fn merge_is_the_least_upper_bound() {
        let (a, b) = (clock(&[(1, 3), (2, 1)]), clock(&[(1, 1), (3, 2)]));
        let mut merged = a.clone();
        merged.merge(&b);
        assert_eq!(merged, clock(&[(1, 3), (2, 1), (3, 2)]));
        assert_eq!(merged.changes(), 6);
        assert!(merged >= a && merged >= b);
    }

    #[test]
    fn round_trips_and_refuses_a_zero_seq() {
        let a = clock(&[(1, 3), (2, 1)]);
        let bytes = minicbor::to_vec(&a).expect("a vector takes any bytes");
        assert_eq!(minicbor::decode::<VectorClock>(&bytes).expect("own bytes"), a);
        let mut zero = bytes.clone();
        let at = zero.iter().position(|b| *b == 3 && zero[0] != *b).expect("seq 3 is one byte");
        zero[at] = 0;
        assert!(minicbor::decode::<VectorClock>(&zero).is_err());
    }
}
