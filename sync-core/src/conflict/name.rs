//! What a conflict is called: its id, which stays, and its version, which is another for other sides.
//!
//! Owns what is hashed for both, which is the same on every replica. Reads no values.

use sha2::{Digest as _, Sha256};

use super::index::{At, SlotId};
use super::list::Lister;
use super::{ConflictId, ConflictKind};
use crate::op_index::OpId;

/// Most that a version counts, so that it is a whole number in JavaScript too.
const VERSION_COUNT_MAX: u64 = (1 << 21) - 1;

impl Lister<'_> {
    /// The number of a conflict's sides as they are, of which there are `count`.
    pub(super) fn version<'a>(&self, count: u64, sides: impl Iterator<Item = (u32, &'a [u8])>) -> u64 {
        let mut hasher = Sha256::new();
        for (number, actor) in sides {
            hasher.update(number.to_be_bytes());
            hasher.update((actor.len() as u64).to_be_bytes());
            hasher.update(actor);
        }
        let digest = hasher.finalize();
        let sides = u32::from_be_bytes(digest[..4].try_into().expect("a digest has more than 4 bytes"));
        count.min(VERSION_COUNT_MAX) << 32 | u64::from(sides)
    }

    pub(super) fn id(&self, kind: ConflictKind, slot: SlotId, lost: Option<OpId>, hiding: OpId) -> ConflictId {
        let mut hasher = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        let op = |op: OpId| [&op.counter.to_be_bytes()[..], self.history.key(op).1].concat();
        part(self.name.as_str().as_bytes());
        part(kind.name().as_bytes());
        part(&self.maker(slot.0).map(op).unwrap_or_default());
        match slot.1 {
            At::Key(key) => part(self.index.keys.get(&key).map_or(&[][..], |key| key.as_bytes())),
            At::Element(element) => {
                part(&[]);
                part(&op(element));
            }
        }
        part(&lost.map(op).unwrap_or_default());
        part(&op(hiding));
        let digest = hasher.finalize();
        ConflictId(digest[..16].try_into().expect("a digest has more than 16 bytes"))
    }
}
