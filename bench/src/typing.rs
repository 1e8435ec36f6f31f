//! One-character changes as an editor writes them, made without a document, so that making them costs next to nothing.

use std::collections::VecDeque;
use std::num::NonZeroU64;

use automerge::legacy::{ElementId, Key, ObjectId, Op, OpId, OpType, SortedVec};
use automerge::{ActorId, ChangeHash, ExpandedChange, ObjType, ScalarValue};
use bytes::Bytes;
use sync_core::change::Change;
use sync_core::id::BatchId;
use sync_core::pack;
use sync_core::protocol::{Blob, ClientMessage, Push};
use sync_core::table::ChangeTable;

use crate::figures::Error;
use crate::wire::HANDLE;

/// Changes a second that the times of changes pretend.
const KEYS_PER_SECOND: u64 = 5;

/// Some second of the past at which all typing begins.
const BEGINS_AT: i64 = 1_750_000_000;

/// Letters by how often they are typed.
const LETTERS: &[u8] = b"                  eeeeeeeeeeeetttttttttaaaaaaaaooooooooiiiiiiinnnnnnnsssssshhhhhhrrrrrrddddlllluuucccmmmwwffggyyppbbvk";

/// An author of one text.
#[derive(Clone, Debug)]
pub(crate) struct Typist {
    actor: ActorId,
    seq: u64,
    next_op: u64,
    text: OpId,
    /// Elements of the text in order, as far as this author looks.
    elements: Vec<OpId>,
    heads: Vec<ChangeHash>,
    made: u64,
}

/// A text to type into, and the change that makes it under the key `text`.
pub(crate) fn begin(actor: u64) -> Result<(Typist, Change), Error> {
    let actor_id = actor_of(actor);
    let text = OpId::new(1, &actor_id);
    let mut typist =
        Typist { actor: actor_id, seq: 0, next_op: 1, text, elements: Vec::new(), heads: Vec::new(), made: 0 };
    let make = Op {
        action: OpType::Make(ObjType::Text),
        obj: ObjectId::Root,
        key: Key::Map("text".into()),
        pred: SortedVec::new(),
        insert: false,
    };
    let change = typist.change(vec![make])?;
    Ok((typist, change))
}

/// An actor of 16 bytes, spread like random ones.
fn actor_of(number: u64) -> ActorId {
    let spread = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&spread.to_be_bytes());
    bytes[8..].copy_from_slice(&spread.rotate_left(23).wrapping_mul(0xd6e8_feb8_6659_fd93).to_be_bytes());
    ActorId::from(bytes)
}

impl Typist {
    /// Another author who has seen all that this one has.
    pub(crate) fn beside(&self, actor: u64) -> Self {
        Self { actor: actor_of(actor), seq: 0, ..self.clone() }
    }

    /// Types a character before position `at` (at the end, if that is beyond it).
    pub(crate) fn insert(&mut self, at: usize, character: char) -> Result<Change, Error> {
        let at = at.min(self.elements.len());
        let behind = at.checked_sub(1).map_or(ElementId::Head, |left| ElementId::Id(self.elements[left].clone()));
        self.elements.insert(at, OpId::new(self.next_op, &self.actor));
        let mut text = [0; 4];
        let text: &str = character.encode_utf8(&mut text);
        self.change(vec![Op {
            action: OpType::Put(ScalarValue::Str(text.into())),
            obj: ObjectId::Id(self.text.clone()),
            key: Key::Seq(behind),
            pred: SortedVec::new(),
            insert: true,
        }])
    }

    /// Types a character at the end.
    pub(crate) fn append(&mut self) -> Result<Change, Error> {
        // As often as in English, in no order that packs better than text.
        let chance = (self.next_op ^ self.actor.to_bytes()[0] as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let letter = LETTERS[(chance >> 32) as usize % LETTERS.len()];
        self.insert(usize::MAX, char::from(letter))
    }

    /// Deletes the character at a position.
    pub(crate) fn delete(&mut self, at: usize) -> Result<Change, Error> {
        let element = self.elements.remove(at);
        self.change(vec![Op {
            action: OpType::Delete,
            obj: ObjectId::Id(self.text.clone()),
            key: Key::Seq(ElementId::Id(element.clone())),
            pred: vec![element].into(),
            insert: false,
        }])
    }

    /// `count` characters typed at the end.
    pub(crate) fn typed(&mut self, count: usize) -> Result<Vec<Change>, Error> {
        (0..count).map(|_| self.append()).collect()
    }

    fn change(&mut self, operations: Vec<Op>) -> Result<Change, Error> {
        self.seq += 1;
        let count = operations.len() as u64;
        let mut deps = std::mem::take(&mut self.heads);
        deps.sort_unstable();
        let change = automerge::Change::from(ExpandedChange {
            operations,
            actor_id: self.actor.clone(),
            hash: None,
            seq: self.seq,
            start_op: NonZeroU64::new(self.next_op).ok_or("operations count from 1")?,
            time: BEGINS_AT + (self.made / KEYS_PER_SECOND) as i64,
            message: None,
            deps,
            extra_bytes: Vec::new(),
            author: None,
        });
        self.next_op += count;
        self.made += 1;
        self.heads = vec![change.hash()];
        Ok(Change::from_automerge(change)?)
    }
}

/// What the server may be taken to hold, to pack against: the changes that were packed, as they go.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    held: ChangeTable,
    batch: u64,
}

impl Packer {
    /// A packer that has packed these.
    pub(crate) fn holding(held: ChangeTable) -> Self {
        Self { held, batch: 0 }
    }

    /// Counts batches anew, as on a new connection.
    pub(crate) fn reconnected(&mut self) {
        self.batch = 0;
    }

    /// A push of these changes.
    pub(crate) fn push(&mut self, changes: &[Change]) -> Result<ClientMessage, Error> {
        let pack = pack::encode(changes, 0, &self.held)?;
        for change in changes {
            self.held.insert(change)?;
        }
        self.batch += 1;
        Ok(ClientMessage::Push(Push { handle: HANDLE, batch: BatchId(self.batch), pack: Blob(pack) }))
    }

    /// Takes in changes of others.
    pub(crate) fn holds(&mut self, changes: &[Change]) -> Result<(), Error> {
        for change in changes {
            self.held.insert(change)?;
        }
        Ok(())
    }
}

/// Encoded pushes of a new text and `count` characters, `each` changes a push. The same for every document they are pushed to.
pub(crate) fn pushes(actor: u64, count: usize, each: usize) -> Result<VecDeque<Bytes>, Error> {
    let (mut typist, first) = begin(actor)?;
    let mut packer = Packer::default();
    let mut out = VecDeque::from([packer.push(&[first])?.encode()]);
    let mut left = count;
    while left > 0 {
        let now = left.min(each.max(1));
        out.push_back(packer.push(&typist.typed(now)?)?.encode());
        left -= now;
    }
    Ok(out)
}
