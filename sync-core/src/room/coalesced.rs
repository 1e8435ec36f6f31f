//! Coalescing: what was typed lies in the log as many small packs, one a commit, and goes to whoever comes back to it as one.
//!
//! Owns which packs are worth it, and the last that were put together, since after a cut many come back to the same place. Packs of a compacted log
//! are long already.

use crate::pack::{self, Outside, PackError};
use crate::reading;
use crate::room::Room;
use crate::storage::StoredPack;

/// A longer pack goes as it is: what its frame adds is little beside it.
const PACK_BYTES_MAX: usize = 512;

/// Most bytes of packs that are put together.
const BYTES_MAX: usize = 32 << 10;

/// How many of these packs, from the first on, can be put together.
pub(super) fn run<'a>(packs: impl Iterator<Item = &'a StoredPack>) -> usize {
    let mut bytes = 0;
    let fits = |pack: &&StoredPack| {
        bytes += pack.bytes.len();
        pack.outside.is_none() && pack.bytes.len() <= PACK_BYTES_MAX && bytes <= BYTES_MAX
    };
    packs.take_while(fits).count()
}

impl Room {
    /// The packs as one. `None` if they don't go together: each by itself shows what is wrong.
    pub(super) fn coalesced(&mut self, packs: &[StoredPack]) -> Option<StoredPack> {
        let (first, last) = (packs.first()?, packs.last()?);
        let is_same = |pack: &&StoredPack| pack.first == first.first && pack.digest == last.digest;
        if let Some(pack) = self.coalesced.as_ref().filter(is_same) {
            return Some(pack.clone());
        }
        self.coalesced = self.coalesce(packs).ok().flatten();
        self.coalesced.clone()
    }

    fn coalesce(&self, packs: &[StoredPack]) -> Result<Option<StoredPack>, PackError> {
        let (Some(body), [first, .., last]) = (self.phase.body(), packs) else { return Ok(None) };
        let log = &body.reading.log;
        let (mut changes, mut beside) = (Vec::new(), Outside::default());
        for pack in packs {
            changes.extend(reading::unpack(pack, log)?.0);
        }
        changes.iter().for_each(|change| beside.add(change, log.table()));
        let bytes = pack::encode(&changes, log.actor_count_at(first.before()), &beside.beside(log.table()))?;
        let count = packs.iter().map(|pack| pack.count).sum();
        Ok(Some(StoredPack { first: first.first, count, digest: last.digest, bytes, outside: None }))
    }
}
