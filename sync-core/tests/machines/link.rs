//! Two equals over a link, each admitting through the validator.

use std::collections::VecDeque;

use automerge::{ROOT, transaction::Transactable};
use sync_core::change::Change;
use sync_core::document::Document;
use sync_core::id::ActorId;
use sync_core::limits::{ChangeLimits, PackLimits};
use sync_core::link::{Input, Link, LinkError, Output};
use sync_core::op_index::OpIndex;
use sync_core::table::ChangeTable;
use sync_core::validator;

struct Peer {
    document: Document,
    table: ChangeTable,
    index: OpIndex,
    actor: ActorId,
    link: Link,
    ended: Option<LinkError>,
}

impl Peer {
    fn new(actor: u8) -> Self {
        Self {
            document: Document::new(),
            table: ChangeTable::new(),
            index: OpIndex::new(),
            actor: ActorId::from([actor; 16]),
            link: Link::new(PackLimits::default(), 2_000),
            ended: None,
        }
    }

    fn take(&mut self, change: &Change) {
        validator::admit(change, &self.table, &mut self.index, &ChangeLimits::default()).expect("honest");
        self.table.insert(change).expect("in order");
    }

    fn put(&mut self, key: &str) {
        let actor = self.actor.clone();
        let (_, change) = self.document.edit(&actor, 0, |tx| tx.put(ROOT, key, 1)).expect("an edit");
        self.take(&change.expect("a change"));
        self.link.handle_input(Input::Grown, &self.table);
    }

    fn drain(&mut self, to_peer: &mut VecDeque<bytes::Bytes>) {
        while let Some(output) = self.link.poll_output() {
            match output {
                Output::Send(bytes) => to_peer.push_back(bytes),
                Output::Fetch(after) => {
                    let all = self.document.changes().expect("readable").into_iter();
                    let missing = all.filter(|c| after.get(c.actor()).is_none_or(|seq| *seq < c.seq())).collect();
                    self.link.handle_input(Input::Fetched(missing), &self.table);
                }
                Output::Received(changes) => {
                    changes.iter().for_each(|change| self.take(change));
                    self.document.apply(changes).expect("admitted");
                    self.link.handle_input(Input::Grown, &self.table);
                }
                Output::Ended(error) => self.ended = Some(error),
            }
        }
    }
}

/// Carries messages both ways until nothing is said. Gives how many there were.
fn talk(a: &mut Peer, b: &mut Peer) -> usize {
    let (mut to_a, mut to_b, mut said) = (VecDeque::new(), VecDeque::new(), 0);
    loop {
        a.drain(&mut to_b);
        b.drain(&mut to_a);
        match (to_a.pop_front(), to_b.pop_front()) {
            (None, None) => return said,
            (for_a, for_b) => {
                said += usize::from(for_a.is_some()) + usize::from(for_b.is_some());
                for_a.into_iter().for_each(|bytes| a.link.handle_input(Input::Frame(bytes), &a.table));
                for_b.into_iter().for_each(|bytes| b.link.handle_input(Input::Frame(bytes), &b.table));
            }
        }
    }
}

fn connect(a: &mut Peer, b: &mut Peer) {
    a.link.handle_input(Input::Connected, &a.table);
    b.link.handle_input(Input::Connected, &b.table);
}

#[test]
fn equals_exchange_what_the_other_lacks_and_then_say_nothing() {
    let (mut a, mut b) = (Peer::new(1), Peer::new(2));
    (0..100).for_each(|n| a.put(&format!("a{n}")));
    (0..30).for_each(|n| b.put(&format!("b{n}")));
    connect(&mut a, &mut b);
    assert!(talk(&mut a, &mut b) > 4, "larger than one message");
    assert_eq!(a.table.clock(), b.table.clock());
    assert_eq!(a.table.len(), 130);
    a.put("live");
    assert_eq!(talk(&mut a, &mut b), 1);
    assert_eq!(a.document.automerge().get_heads(), b.document.automerge().get_heads());
    assert_eq!(talk(&mut a, &mut b), 0);
}

#[test]
fn equivocation_ends_the_link_on_both_sides_before_anything_is_taken() {
    let (mut a, mut b) = (Peer::new(1), Peer::new(1));
    a.put("mine");
    b.put("theirs");
    connect(&mut a, &mut b);
    talk(&mut a, &mut b);
    assert!(matches!(a.ended, Some(LinkError::Equivocation { seq: 1, .. })));
    assert!(matches!(b.ended, Some(LinkError::Equivocation { seq: 1, .. })));
    assert_eq!((a.table.len(), b.table.len()), (1, 1));
}

#[test]
fn garbage_ends_the_link() {
    let mut a = Peer::new(1);
    a.link.handle_input(Input::Frame(bytes::Bytes::from_static(&[0xff, 0x00])), &a.table);
    a.drain(&mut VecDeque::new());
    assert!(matches!(a.ended, Some(LinkError::Malformed(_))));
}

/// Few bytes can stand for many operations: two such changes in one message were more than the other side takes apart at once.
#[test]
fn large_edits_in_few_bytes_travel_one_by_one() {
    let (mut a, mut b) = (Peer::new(1), Peer::new(2));
    for _ in 0..2 {
        let actor = a.actor.clone();
        let make = |tx: &mut automerge::transaction::Transaction<'_>| {
            (0..101_000).try_for_each(|_| tx.put_object(ROOT, "k", automerge::ObjType::Map).map(drop))
        };
        let (_, change) = a.document.edit(&actor, 0, make).expect("an edit");
        let change = change.expect("a change");
        assert!(change.bytes().len() < 1_000, "{} bytes", change.bytes().len());
        a.take(&change);
    }
    connect(&mut a, &mut b);
    talk(&mut a, &mut b);
    assert_eq!((&a.ended, &b.ended, b.table.len()), (&None, &None, 2));
}
