//! A peer at the other end of a link: it admits what it receives through the validator, one change after another.

use std::collections::VecDeque;

use bytes::Bytes;
use sync_core::change::Change;
use sync_core::document::Document;
use sync_core::limits::{ChangeLimits, PackLimits};
use sync_core::link::{Input, Link, LinkError, LinkMessage, Output, PeerChanges};
use sync_core::protocol::Blob;
use sync_core::validator::Refusal;

use rejoin_fuzz::gate::Gate;

/// One side of a link, with what it holds.
pub(super) struct Peer {
    pub(super) gate: Gate,
    document: Document,
    link: Link,
    pub(super) ended: Option<LinkError>,
    pub(super) refused: Vec<Refusal>,
    to_send: VecDeque<Bytes>,
}

impl Peer {
    /// A peer that holds these changes.
    pub(super) fn holding(changes: &[Change], limits: ChangeLimits) -> Self {
        let mut gate = Gate::default();
        changes.iter().for_each(|change| gate.admit_parsed(change).expect("honest"));
        gate.limits = limits;
        let document = Document::from_changes(changes.to_vec()).expect("honest");
        let link = Link::new(PackLimits::default(), 64 << 10);
        Self { gate, document, link, ended: None, refused: Vec::new(), to_send: VecDeque::new() }
    }

    /// Somebody at the other end sends a pack.
    pub(super) fn hear_pack(&mut self, pack: Vec<u8>) {
        let frame = LinkMessage::Changes(PeerChanges { pack: Blob(pack.into()) }).encode();
        self.hear(Input::Frame(frame));
    }

    fn hear(&mut self, input: Input) {
        self.link.handle_input(input, &self.gate.table);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.link.poll_output() {
            match output {
                Output::Send(bytes) => self.to_send.push_back(bytes),
                Output::Fetch(after) => {
                    let all = self.document.changes().expect("readable").into_iter();
                    let missing = all.filter(|c| after.get(c.actor()).is_none_or(|seq| *seq < c.seq())).collect();
                    self.link.handle_input(Input::Fetched(missing), &self.gate.table);
                }
                Output::Received(changes) => self.receive(changes),
                Output::Ended(error) => self.ended = Some(error),
            }
        }
    }

    fn receive(&mut self, changes: Vec<Change>) {
        let mut taken = Vec::new();
        for change in changes {
            match self.gate.admit_parsed(&change) {
                Ok(()) => taken.push(change),
                Err(refusal) => self.refused.push(refusal),
            }
        }
        self.document.apply(taken).expect("what was admitted applies");
        self.link.handle_input(Input::Grown, &self.gate.table);
    }

    /// Makes a new link with another peer and exchanges all there is.
    pub(super) fn meet(&mut self, other: &mut Self) {
        for peer in [&mut *self, other] {
            peer.link = Link::new(PackLimits::default(), 64 << 10);
            peer.ended = None;
            peer.to_send.clear();
        }
        self.hear(Input::Connected);
        other.hear(Input::Connected);
        loop {
            match (self.to_send.pop_front(), other.to_send.pop_front()) {
                (None, None) => return,
                (here, there) => {
                    here.into_iter().for_each(|bytes| other.hear(Input::Frame(bytes)));
                    there.into_iter().for_each(|bytes| self.hear(Input::Frame(bytes)));
                }
            }
        }
    }
}
