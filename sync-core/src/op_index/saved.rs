//! The op index as bytes, for a snapshot: columns of small numbers, which deflate well.
//!
//! Owns the order of fields, described in docs/storage-format.md. Trusts no length: what does not fit together is refused.

use bytes::Bytes;

use super::past::Past;
use super::runs::Runs;
use super::{Object, ObjectKind, OpId, OpIndex};
use crate::limits::SNAPSHOT_BYTES_MAX;
use crate::pack::leb::{Reader, put_prefixed, put_unsigned};
use crate::pack::{PackError, seal, unseal};

pub(super) const OUT_OF_RANGE: PackError = PackError::Malformed("a number is out of range");

/// Of the index, and of snapshots that hold one. Version 1 is read too.
pub(crate) const VERSION: u8 = 2;

impl OpIndex {
    /// The index by itself, as bytes to keep.
    pub fn to_bytes(&self) -> Bytes {
        let mut body = Vec::new();
        self.save(&mut body);
        seal(VERSION, &body).into()
    }

    /// Reads what [`OpIndex::to_bytes`] wrote, of a document with so many actors.
    pub fn from_bytes(bytes: &[u8], actors: u32) -> Result<Self, PackError> {
        let (version, body) = unseal(bytes, VERSION, "an op index of an unknown version", SNAPSHOT_BYTES_MAX)?;
        let mut r = Reader::new(&body);
        let index = Self::restore(&mut r, version, actors)?;
        if r.is_empty() { Ok(index) } else { Err(PackError::Malformed("something stands behind the op index")) }
    }

    /// Appends the index to `out`.
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        put_unsigned(out, self.runs.len() as u64);
        put_unsigned(out, self.objects.len() as u64 - 1);
        for (kind, depth) in self.objects.iter().skip(1).map(|o| (o.kind, o.depth)) {
            let kind = match kind {
                ObjectKind::Map => 0,
                ObjectKind::List => 1,
                ObjectKind::Text => 2,
            };
            put_unsigned(out, u64::from(depth) << 2 | kind);
        }
        let mut by_number = vec![OpId { counter: 0, actor: 0 }; self.objects.len()];
        for (id, number) in &self.object_numbers {
            by_number[*number as usize] = *id;
        }
        for id in by_number.iter().skip(1) {
            put_unsigned(out, u64::from(id.actor));
            put_unsigned(out, u64::from(id.counter));
        }
        let mut by_number = vec![""; self.keys.len()];
        for (key, number) in &self.keys {
            by_number[*number as usize] = key;
        }
        put_unsigned(out, by_number.len() as u64);
        by_number.iter().for_each(|key| put_prefixed(out, key.as_bytes()));
        self.runs.iter().for_each(|runs| runs.save(out));
        self.past.save(out);
    }

    /// Reads what [`OpIndex::save`] of this version wrote, of a document with so many actors.
    pub(crate) fn restore(r: &mut Reader<'_>, version: u8, actors: u32) -> Result<Self, PackError> {
        if r.small()? != actors {
            return Err(PackError::Malformed("the op index has other actors"));
        }
        let mut index = Self::new();
        let count = r.small()?;
        for _ in 0..count {
            let word = r.small()?;
            let kind = match word & 3 {
                0 => ObjectKind::Map,
                1 => ObjectKind::List,
                2 => ObjectKind::Text,
                _ => return Err(PackError::Malformed("an object of no kind")),
            };
            index.objects.push(Object { kind, depth: word >> 2 });
        }
        for number in 1..=count {
            let (actor, counter) = (r.small()?, r.small()?);
            let twice = index.object_numbers.insert(OpId { counter, actor }, number).is_some();
            if actor >= actors || twice {
                return Err(OUT_OF_RANGE);
            }
        }
        for number in 0..r.small()? {
            let key = std::str::from_utf8(r.take_prefixed()?).map_err(|_| PackError::Malformed("a key is no text"))?;
            if index.keys.insert(key.into(), number).is_some() {
                return Err(PackError::Malformed("a key stands twice"));
            }
        }
        let (objects, keys) = (index.object_count(), index.key_count());
        for _ in 0..actors {
            index.runs.push(Runs::restore(r, version, actors, objects, keys)?);
        }
        index.past = Past::restore(r, actors)?;
        index.entries = index.run_count() + count as usize + keys as usize;
        Ok(index)
    }
}
