//! The conversation of two equals about one document: tab to tab, browser to browser, server to server.
//!
//! Each side says by its clock what it holds and sends what the other lacks. Owns no document: what is to be sent is fetched from
//! the owner, what is received is handed to the owner, who admits it through the validator before anything else. A link between
//! different principals is told of acknowledged changes only; that, too, is the owner's choice of table.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::change::Change;
use crate::clock::{ClockEntry, VectorClock};
use crate::id::ActorId;
use crate::limits::PackLimits;
use crate::pack;
use crate::protocol::{Blob, messages};
use crate::table::ChangeTable;

messages! {
    /// What one equal says to the other.
    LinkMessage {
        /// What is held.
        0 => Held(Held),
        /// Changes that the other lacks.
        1 => Changes(PeerChanges),
    }
}

/// What a peer holds.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Held {
    /// Its clock.
    #[n(0)]
    pub clock: VectorClock,
}

/// Changes that the receiver lacks, in causal order.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct PeerChanges {
    /// A pack with base 0.
    #[n(0)]
    pub pack: Blob,
}

/// Why a link has ended. Nothing more is sent on it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The peer sent what is no message.
    #[error("malformed: {0}")]
    Malformed(String),
    /// The two sides hold different changes of one actor at one seq. One of them must write its branch again first.
    #[error("actor {actor} has two changes {seq}")]
    Equivocation {
        /// The actor.
        actor: ActorId,
        /// The highest seq that both hold.
        seq: u32,
    },
}

/// What happens to a link.
#[derive(Clone, Debug)]
pub enum Input {
    /// The other side has come.
    Connected,
    /// Bytes of the other side.
    Frame(Bytes),
    /// The owner holds more than before.
    Grown,
    /// The changes asked for by [`Output::Fetch`], in causal order.
    Fetched(Vec<Change>),
}

/// What a link wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send this to the other side.
    Send(Bytes),
    /// Answer with [`Input::Fetched`]: all held changes whose seq is above their actor's here (0 if it is not here), in causal order.
    Fetch(BTreeMap<ActorId, u32>),
    /// Admit these through the validator, in order, and take them in. Those held already are left out.
    Received(Vec<Change>),
    /// The link has ended.
    Ended(LinkError),
}

/// One side of a conversation between equals.
#[derive(Debug)]
pub struct Link {
    limits: PackLimits,
    /// Bytes of raw changes in one message, unless a single change is larger.
    message_bytes_max: usize,
    /// What the peer has said or been sent; `None` until it has spoken.
    peer: Option<VectorClock>,
    fetching: bool,
    grown: bool,
    ended: bool,
    outputs: VecDeque<Output>,
}

impl Link {
    /// A link over which nothing has been said.
    pub fn new(limits: PackLimits, message_bytes_max: usize) -> Self {
        Self {
            limits,
            message_bytes_max,
            peer: None,
            fetching: false,
            grown: false,
            ended: false,
            outputs: VecDeque::new(),
        }
    }

    /// Feeds what happened, with what the owner holds now. Drain `poll_output` afterwards.
    pub fn handle_input(&mut self, input: Input, held: &ChangeTable) {
        if self.ended {
            return;
        }
        match input {
            Input::Connected => self.send(&LinkMessage::Held(Held { clock: held.clock() })),
            Input::Frame(bytes) => match LinkMessage::decode_all(&bytes) {
                Ok(messages) => messages.into_iter().for_each(|message| self.message(message, held)),
                Err(e) => self.end(LinkError::Malformed(e.to_string())),
            },
            Input::Grown => self.offer(held),
            Input::Fetched(changes) => self.fetched(&changes, held),
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn message(&mut self, message: LinkMessage, held: &ChangeTable) {
        match message {
            LinkMessage::Held(Held { clock }) => {
                if let Some(error) = equivocation(&clock, held) {
                    return self.end(error);
                }
                self.peer.get_or_insert_default().merge(&clock);
                self.offer(held);
            }
            LinkMessage::Changes(PeerChanges { pack }) => match pack::decode(&pack.0, held, &self.limits) {
                Ok(unpacked) => self.received(unpacked.changes, held),
                Err(e) => self.end(LinkError::Malformed(e.to_string())),
            },
        }
    }

    fn received(&mut self, changes: Vec<Change>, held: &ChangeTable) {
        let peer = self.peer.get_or_insert_default();
        for change in &changes {
            peer.observe(change.actor(), ClockEntry { seq: change.seq(), hash: change.hash().into() });
        }
        let fork = changes.iter().find(|c| held.hash(c.actor(), c.seq()).is_some_and(|h| h != c.hash()));
        if let Some(change) = fork {
            return self.end(LinkError::Equivocation { actor: change.actor().clone(), seq: change.seq() });
        }
        let fresh: Vec<_> = changes.into_iter().filter(|c| !held.contains(&c.hash())).collect();
        if !fresh.is_empty() {
            self.outputs.push_back(Output::Received(fresh));
        }
    }

    /// Asks for what the peer lacks, if it lacks anything.
    fn offer(&mut self, held: &ChangeTable) {
        let Some(peer) = &self.peer else { return };
        if self.fetching {
            self.grown = true;
            return;
        }
        if held.entries().all(|(actor, entry)| peer.seq(actor) >= entry.seq) {
            return;
        }
        self.fetching = true;
        self.outputs.push_back(Output::Fetch(peer.iter().map(|(actor, entry)| (actor.clone(), entry.seq)).collect()));
    }

    fn fetched(&mut self, changes: &[Change], held: &ChangeTable) {
        self.fetching = false;
        let mut rest = changes;
        while !rest.is_empty() {
            let (mut bytes, mut operations) = (0, 0);
            let fits = rest.iter().take_while(|c| {
                bytes += c.bytes().len();
                operations += c.operations() as u64;
                bytes <= self.message_bytes_max && operations <= self.limits.operations_max
            });
            let (now, later) = rest.split_at(fits.count().max(1));
            rest = later;
            let packed = pack::encode(now, 0, held).expect("all deps of a held change are held");
            self.send(&LinkMessage::Changes(PeerChanges { pack: Blob(packed) }));
        }
        let peer = self.peer.get_or_insert_default();
        for change in changes {
            peer.observe(change.actor(), ClockEntry { seq: change.seq(), hash: change.hash().into() });
        }
        if std::mem::take(&mut self.grown) {
            self.offer(held);
        }
    }

    fn send(&mut self, message: &LinkMessage) {
        self.outputs.push_back(Output::Send(message.encode()));
    }

    fn end(&mut self, error: LinkError) {
        self.ended = true;
        self.outputs.push_back(Output::Ended(error));
    }
}

/// Whether a clock stands for other changes than those held.
fn equivocation(clock: &VectorClock, held: &ChangeTable) -> Option<LinkError> {
    clock.iter().find_map(|(actor, entry)| {
        let ours = held.hash(actor, entry.seq)?;
        (entry.hash != ours.into()).then(|| LinkError::Equivocation { actor: actor.clone(), seq: entry.seq })
    })
}
