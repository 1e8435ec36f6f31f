//! What a conflict is called, and where it is.
//!
//! Owns ids, versions and paths: the same for the same changes everywhere. What meets there is found in `list`.

use std::collections::BTreeMap;

use automerge::ObjId;
use sha2::{Digest as _, Sha256};

use super::index::{At, SlotId};
use super::list::{Draft, Lister};
use super::read;
use super::{Conflict, ConflictId, ConflictKind, PathPart, Spot};
use crate::op_index::OpId;

/// Most that a version counts, so that it is a whole number in JavaScript too.
const VERSION_COUNT_MAX: u64 = (1 << 21) - 1;

impl Lister<'_> {
    /// An object and the key or index of a place in it.
    pub(super) fn prop(&self, slot: SlotId) -> Option<(ObjId, automerge::Prop)> {
        let (object, _) = self.reader.object(self.maker(slot.0))?;
        let prop = match slot.1 {
            At::Key(key) => self.index.keys.get(&key)?.as_ref().into(),
            At::Element(element) => self.reader.index(&object, element, None)?.0.into(),
        };
        Some((object, prop))
    }

    pub(super) fn path(&self, slot: SlotId) -> Option<Vec<PathPart>> {
        let mut path = Vec::new();
        let mut slot = slot;
        loop {
            path.push(match self.prop(slot)?.1 {
                automerge::Prop::Map(key) => PathPart::Key(key),
                automerge::Prop::Seq(index) => PathPart::Index(index),
            });
            if read::is_root(slot.0) {
                break;
            }
            slot = self.index.objects.get(&slot.0)?.slot;
        }
        path.reverse();
        Some(path)
    }

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

    pub(super) fn finish(&self, draft: Draft) -> Option<Conflict> {
        let id = self.id(&draft);
        let Draft { kind, slot, version, base, candidates, steps, hidden, agreeing, state, marking, .. } = draft;
        let [hidden, agreeing] = [hidden, agreeing].map(|last| {
            // One by one: to collect them would be one more kind of sort to load.
            let mut named = BTreeMap::new();
            for (actor, seq) in last {
                named.extend(self.history.table.actor(actor).map(|actor| (actor.clone(), seq)));
            }
            named
        });
        let path = match marking.as_ref().and_then(|marking| marking.over.get(marking.place)) {
            // Where the characters are, and not where a mark begins that has others over it.
            Some((place, _, _)) => {
                let mut path = self.path(self.index.objects.get(&slot.0)?.slot)?;
                path.push(PathPart::Index(*place));
                path
            }
            None => self.path(slot)?,
        };
        let spot = self.spot(kind, slot)?;
        let says = |side: usize| candidates.get(side).map(|side| &side.value);
        let agrees = kind == ConflictKind::Container && says(0) == says(1);
        Some(Conflict {
            id,
            version,
            path,
            kind,
            base,
            candidates,
            steps,
            hidden,
            agreeing,
            state,
            spot,
            marking,
            agrees,
        })
    }

    fn spot(&self, kind: ConflictKind, slot: SlotId) -> Option<Spot> {
        let (object, _) = self.reader.object(self.maker(slot.0))?;
        Some(match slot.1 {
            At::Element(element) if kind != ConflictKind::Mark => {
                let (_, here) = self.reader.index(&object, element, None)?;
                Spot { object, element: Some(self.reader.id(element)), is_gone: !here }
            }
            _ => Spot { object, element: None, is_gone: false },
        })
    }

    fn id(&self, Draft { kind, slot, lost, hiding, others, .. }: &Draft) -> ConflictId {
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
        part(&op(*hiding));
        others.iter().for_each(|other| part(&op(*other)));
        let digest = hasher.finalize();
        ConflictId(digest[..16].try_into().expect("a digest has more than 16 bytes"))
    }
}
