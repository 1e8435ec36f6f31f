//! A link with a hostile peer: whatever it says, the link does not panic, hands on only changes that it does not hold, and what passes
//! the validator is what an owner takes in.

use bytes::Bytes;
use sync_core::change::Change;
use sync_core::clock::{ClockEntry, HashPrefix, VectorClock};
use sync_core::limits::PackLimits;
use sync_core::link::{Held, Input as LinkInput, Link, LinkMessage, Output, PeerChanges};
use sync_core::pack;
use sync_core::protocol::Blob;

use crate::choices::{Choices as _, Input};
use crate::gate::Gate;
use crate::material::material;

/// Messages of one conversation; the rest of a longer input is left unread.
const STEPS_MAX: usize = 100;

struct Owner {
    gate: Gate,
    changes: Vec<Change>,
    link: Link,
    ended: bool,
}

impl Owner {
    fn drain(&mut self, sent: &mut Vec<Bytes>) {
        while let Some(output) = self.link.poll_output() {
            match output {
                Output::Send(bytes) => {
                    assert!(!self.ended, "sent after the end");
                    LinkMessage::decode_all(&bytes).expect("own messages decode");
                    sent.push(bytes);
                }
                Output::Fetch(after) => {
                    let lacks = |change: &&Change| after.get(change.actor()).is_none_or(|seq| *seq < change.seq());
                    let missing = self.changes.iter().filter(lacks).cloned().collect();
                    self.link.handle_input(LinkInput::Fetched(missing), &self.gate.table);
                }
                Output::Received(changes) => self.receive(changes),
                Output::Ended(_) => self.ended = true,
            }
        }
    }

    fn receive(&mut self, changes: Vec<Change>) {
        for change in changes {
            assert!(!self.gate.table.contains(&change.hash()) || self.changes.contains(&change));
            if self.gate.admit_parsed(&change).is_ok() {
                self.changes.push(change);
            }
        }
        self.link.handle_input(LinkInput::Grown, &self.gate.table);
    }
}

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let material = material(input.below(8) as usize);
    let held = input.index(material.history.len() + 1);
    let mut gate = Gate::default();
    gate.admit_all(material.world.history[..held].iter());
    let link = Link::new(PackLimits::default(), 300);
    let mut owner = Owner { gate, changes: material.history[..held].to_vec(), link, ended: false };
    let pool = [&material.history[..], &material.honest[..], &material.hostile[..]].concat();
    let (mut sent, mut last): (Vec<Bytes>, _) = (Vec::new(), Bytes::new());
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        let bytes: Bytes = match input.below(8) {
            0 => input.bytes(255).to_vec().into(),
            1 | 2 => clock(&mut input, &material.table),
            3 | 4 => changes(&mut input, &pool, &material.table),
            5 => {
                let mut bytes = if sent.is_empty() { last.to_vec() } else { input.pick(&sent).to_vec() };
                if !bytes.is_empty() && input.chance(700) {
                    let at = input.index(bytes.len());
                    bytes[at] = bytes[at].wrapping_add(input.byte());
                }
                bytes.into()
            }
            6 => {
                owner.link.handle_input(LinkInput::Connected, &owner.gate.table);
                Bytes::new()
            }
            _ => {
                owner.link.handle_input(LinkInput::Grown, &owner.gate.table);
                Bytes::new()
            }
        };
        last = bytes.clone();
        owner.link.handle_input(LinkInput::Frame(bytes), &owner.gate.table);
        owner.drain(&mut sent);
    }
}

fn clock(input: &mut Input<'_>, table: &sync_core::table::ChangeTable) -> Bytes {
    let mut clock = VectorClock::new();
    for (actor, entry) in table.entries() {
        let seq = if input.chance(100) { u32::MAX } else { input.below(u64::from(entry.seq) + 2) as u32 };
        let hash = table.hash(actor, seq).filter(|_| input.chance(900)).map_or(HashPrefix([1; 8]), HashPrefix::from);
        if seq > 0 {
            clock.observe(actor, ClockEntry { seq, hash });
        }
    }
    LinkMessage::Held(Held { clock }).encode()
}

fn changes(input: &mut Input<'_>, pool: &[Change], table: &sync_core::table::ChangeTable) -> Bytes {
    let from = input.index(pool.len());
    let changes: Vec<Change> = pool[from..].iter().take(1 + input.index(6)).cloned().collect();
    let mut context = table.clone();
    changes.iter().for_each(|change| drop(context.insert(change)));
    let Ok(packed) = pack::encode(&changes, 0, &context) else { return Bytes::new() };
    LinkMessage::Changes(PeerChanges { pack: Blob(packed) }).encode()
}
