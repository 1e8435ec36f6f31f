//! Coalescing: what was typed lies in the log as many small packs, one a commit, and goes to whoever comes back to it as one.
//!
//! Owns which packs are worth it, and the last that were put together, since after a cut many come back to the same place. Packs of a compacted log
//! are long already.

use crate::pack::{Chunks, PackError};
use crate::room::Room;
use crate::storage::StoredPack;

/// A longer pack goes as it is: what its frame adds is little beside it.
const PACK_BYTES_MAX: usize = 512;

/// Most bytes of packs that are put together.
const BYTES_MAX: usize = 32 << 10;

/// No further pack is read for it once their changes have so many bytes.
const CHANGES_BYTES_MAX: usize = 256 << 10;

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
    /// The packs as one, and how many of them that is: those from the first on that can be read here. `None` if that is one, or none.
    pub(super) fn coalesced(&mut self, packs: &[StoredPack]) -> Option<(StoredPack, usize)> {
        let first = packs.first()?.first;
        if let Some(held) = self.coalesced.as_ref().filter(|held| held.first == first)
            && let Some(last) = packs.iter().position(|pack| pack.digest == held.digest)
        {
            return Some((held.clone(), last + 1));
        }
        let (pack, count) = self.coalesce(packs).ok().flatten()?;
        self.coalesced = Some(pack.clone());
        Some((pack, count))
    }

    fn coalesce(&self, packs: &[StoredPack]) -> Result<Option<(StoredPack, usize)>, PackError> {
        let Some(log) = self.phase.body().map(|body| &body.reading.log) else { return Ok(None) };
        let (mut chunks, mut count) = (Chunks::default(), 0);
        for pack in packs {
            // Where one can't be read, its client is to say so, and those before it can go together all the same.
            if chunks.add(&pack.bytes, pack.count, log.table()).is_err() {
                break;
            }
            count += 1;
            if chunks.bytes() > CHANGES_BYTES_MAX {
                break;
            }
        }
        let [first, .., last] = &packs[..count] else { return Ok(None) };
        let bytes = chunks.encode(log.actor_count_at(first.before()), log.table())?;
        let held = packs[..count].iter().map(|pack| pack.count).sum();
        let pack = StoredPack { first: first.first, count: held, digest: last.digest, bytes, outside: None };
        Ok(Some((pack, count)))
    }
}
