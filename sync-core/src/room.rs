//! The server's machine of one document: its log's head, who is subscribed, and what is on its way to the store.
//!
//! Owns order and durability: nothing is acknowledged or shown before the store has it. Owns no socket and no file. A driver
//! feeds inputs and **drains `poll_output` after every call that takes `now`**, or after several pushes, which then are stored as one.

mod coalesced;
mod deliver;

mod load;
mod lookup;
mod newcomers;
mod open;
mod presence;
mod push;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::clock::VectorClock;
use crate::id::{
    ActorId, BatchId, DocumentHandle, DocumentName, Incarnation, LogSeq, RoomNumber, SessionId, StoreId, TaskId,
};
use crate::limits::{PackLimits, SNAPSHOT_CHANGES_MIN};
use crate::planted::Planting;
use crate::presence::Presence;
use crate::protocol::{CloseCode, Open, Reject, RejectCode, ServerMessage, WireLimits};
use crate::rng::Rng;
use crate::scope::Access;
use crate::storage::{StoreDone, StoreTask, StoredPack};
use crate::time::Instant;

/// What a room is told when it is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// The store whose logs cursors count in.
    pub store_id: StoreId,
    /// What clients must keep to.
    pub wire: WireLimits,
    /// Bounds on what is pushed.
    pub pack: PackLimits,
    /// Bytes on their way to one subscriber before it counts as behind; it then catches up from the log.
    pub subscriber_bytes_max: usize,
    /// Bytes of recent packs kept in memory for subscribers that are a little behind.
    pub tail_bytes_max: usize,
    /// So many small packs in a row, from two on, go to whoever is behind as one.
    pub coalesce_packs_min: usize,
    /// Bytes of one read from the store.
    pub read_bytes_max: usize,
    /// Bytes of pushes accepted but not yet durable before further pushes are refused as unavailable.
    pub staged_bytes_max: usize,
    /// The store is not asked for a snapshot of documents of fewer changes: see [`crate::newcomer::Options::changes_min`].
    pub snapshot_changes_min: u64,
    /// Most presences kept; a further session's presence is left out.
    pub presence_max: usize,
    /// Bytes of requests kept while the document loads; further ones are refused as unavailable.
    pub waiting_bytes_max: usize,
    /// After a failed commit or load, pushes and opens are answered "retry after this many milliseconds".
    pub retry_after_ms: u32,
    /// The bug planted in this run, if one is.
    pub planted: Planting,
}

impl Config {
    /// The bounds a server starts with.
    pub fn new(store_id: StoreId) -> Self {
        Self {
            store_id,
            wire: WireLimits::default(),
            pack: PackLimits::default(),
            subscriber_bytes_max: 256 << 10,
            tail_bytes_max: 256 << 10,
            coalesce_packs_min: 8,
            read_bytes_max: 512 << 10,
            staged_bytes_max: 16 << 20,
            snapshot_changes_min: SNAPSHOT_CHANGES_MIN,
            presence_max: 1_000,
            waiting_bytes_max: 16 << 20,
            retry_after_ms: 1_000,
            planted: Planting::default(),
        }
    }
}

/// What a session asks of a room.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Subscribe.
    Join {
        /// What the client said. Apart, since it is much larger than all other requests.
        open: Box<Open>,
        /// What its scopes allow, at most what it asked for.
        access: Access,
        /// What the client takes beside packs: [`crate::protocol::accepts`].
        accepts: u32,
    },
    /// Append changes.
    Push {
        /// The client's number for it.
        batch: BatchId,
        /// The pack.
        pack: Bytes,
    },
    /// What the client holds.
    Have(VectorClock),
    /// Presence or a message.
    Emit {
        /// The application's bytes.
        payload: Bytes,
        /// Lifetime of a presence in milliseconds; `None` for a message.
        ttl_ms: Option<u32>,
    },
    /// This many bytes from this room have been written to the client.
    Flushed(usize),
    /// Unsubscribe.
    Leave,
}

impl Request {
    /// About what it takes in memory while it waits.
    pub fn bytes(&self) -> usize {
        let body = match self {
            Self::Push { pack, .. } => pack.len(),
            Self::Have(clock) => clock.len() * 64,
            Self::Emit { payload, .. } => payload.len(),
            Self::Join { open, .. } => open.clock.as_ref().map_or(0, |c| c.len() * 64),
            Self::Flushed(_) | Self::Leave => 0,
        };
        body + 256
    }
}

/// What a room has for a session.
#[derive(Clone, Debug, PartialEq)]
pub struct ToSession {
    /// One encoded server message, or several acknowledgements. Shared between sessions where it is the same for all.
    pub message: Bytes,
    /// How the session goes on.
    pub then: Then,
}

/// How a session goes on after a room's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// As before.
    Continue,
    /// The room has ended this subscription: the handle is free.
    Ended,
    /// The client broke the protocol: close the connection.
    Close(CloseCode),
}

/// What happens to a room.
#[derive(Clone, Debug)]
pub enum Input {
    /// A session asks.
    Session(SessionId, Request),
    /// A storage task is done.
    StoreDone(TaskId, StoreDone),
    /// The document was deleted or restored underneath: end all subscriptions and read it again.
    Replaced,
    /// The store has a newer snapshot: let go of what lies before it, as soon as nothing is under way.
    Compacted,
}

/// What a room wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Hand this to the session.
    Deliver(SessionId, ToSession),
    /// Do this and answer with [`Input::StoreDone`].
    Store(TaskId, StoreTask),
}

/// One session's subscription.
#[derive(Debug)]
struct Subscriber {
    handle: DocumentHandle,
    /// The last position delivered, or known to be held.
    position: LogSeq,
    /// Bytes delivered and not reported as written.
    in_flight: usize,
    /// Pushes not answered.
    pending: usize,
    /// A load on its behalf is under way.
    loading: bool,
    /// Nothing is delivered before the client has said what it holds.
    awaits_have: bool,
    /// While it reconciles: what it holds, and how many actors it was told of.
    reconcile: Option<Reconcile>,
    /// While it gets a document snapshot: nothing of the log is delivered before that has ended.
    receiving: Option<newcomers::Receiving>,
    /// Whose presence, or end of it, did not fit its bound: told once it does.
    missed_presence: BTreeSet<SessionId>,
}

#[derive(Debug)]
struct Reconcile {
    /// Highest seq held of each actor, as far as its hash fits ours.
    held: BTreeMap<ActorId, u32>,
    /// Actors that the client was told of.
    actors: u32,
    /// Positions up to here may be left out of packs.
    until: LogSeq,
    /// The end of the last range sent: what is left out whole is sent with the next.
    told: LogSeq,
}

/// The machine of one document.
#[derive(Debug)]
pub struct Room {
    config: Config,
    document: DocumentName,
    number: RoomNumber,
    rng: Rng,
    phase: load::Phase,
    /// What subscribers were told that the log is of, which the store does not know before its first change.
    told: Option<Incarnation>,
    lookups: lookup::Lookups,
    newcomers: newcomers::Newcomers,
    /// There is a newer snapshot than the one that the log stands on.
    compacted: bool,
    subscribers: BTreeMap<SessionId, Subscriber>,
    staging: push::Staging,
    tail: deliver::Tail,
    /// Small packs of the log that were last put together.
    coalesced: Option<StoredPack>,
    presence: Presence,
    /// Loads on behalf of subscribers that are behind.
    loads: BTreeMap<TaskId, SessionId>,
    next_task: u64,
    outputs: VecDeque<Output>,
}

impl Room {
    /// The room of a document that nobody has opened yet. `number` is unique among the server's rooms.
    pub fn new(config: Config, document: DocumentName, number: RoomNumber, seed: [u8; 32]) -> Self {
        Self {
            tail: deliver::Tail::new(config.tail_bytes_max),
            coalesced: None,
            config,
            document,
            number,
            rng: Rng::new(seed),
            phase: load::Phase::Unloaded,
            told: None,
            lookups: lookup::Lookups::default(),
            newcomers: newcomers::Newcomers::default(),
            compacted: false,
            subscribers: BTreeMap::new(),
            staging: push::Staging::default(),
            presence: Presence::new(),
            loads: BTreeMap::new(),
            next_task: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Feeds what happened. Drain `poll_output` afterwards.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Session(session, request) => self.request(now, session, request),
            Input::StoreDone(task, StoreDone::Loaded(result)) => match self.loads.remove(&task) {
                Some(session) => self.caught_up_to(session, result),
                None if self.lookups.is_for(task) => self.looked_up(now, result),
                None => self.loaded(now, task, result),
            },
            Input::StoreDone(task, StoreDone::Pieces(result)) => self.pieces_read(task, result),
            Input::StoreDone(task, StoreDone::Appended(result)) => self.appended(task, result),
            Input::Replaced => self.replaced(),
            Input::Compacted => self.compacted = self.phase.is_ready(),
        }
        if self.compacted && self.phase.is_ready() && self.staging.is_empty() && self.lookups.is_empty() {
            self.begin_load();
        }
    }

    /// Fires what is due. Call it at the time that `poll_timeout` gives. Drain `poll_output` afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.expire_presence(now);
    }

    /// When `handle_timeout` is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.presence.next_expiry()
    }

    /// The next thing to do. What was pushed since the last draining goes to the store as one.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.outputs.is_empty() {
            self.begin_append();
        }
        self.outputs.pop_front()
    }

    /// Whether the room may be dropped: nobody is here and nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.subscribers.is_empty() && !self.phase.is_loading() && self.staging.is_empty() && self.lookups.is_empty()
    }

    /// Why the document is quarantined, if it is.
    pub fn failure(&self) -> Option<&str> {
        match &self.phase {
            load::Phase::Quarantined(reason) => Some(reason),
            _ => None,
        }
    }

    /// The document's name.
    pub fn document(&self) -> &DocumentName {
        &self.document
    }

    /// The room's number.
    pub fn number(&self) -> RoomNumber {
        self.number
    }

    /// Most bytes on their way to any one subscriber, and bytes staged: the two bounds a check may hold against [`Config`].
    pub fn load_bytes(&self) -> (usize, usize) {
        (self.subscribers.values().map(|s| s.in_flight).max().unwrap_or(0), self.staging.bytes())
    }

    fn request(&mut self, now: Instant, session: SessionId, request: Request) {
        if let Request::Leave = request {
            return self.leave(session);
        }
        if !self.phase.is_ready() {
            return self.wait(session, request);
        }
        let flushes = matches!(request, Request::Flushed(_));
        if self.lookups.holds(session) && !flushes {
            return self.park(session, request);
        }
        self.attend(now, session, request);
    }

    fn handle_request(&mut self, now: Instant, session: SessionId, request: Request) {
        match request {
            Request::Join { open, accepts, .. } => self.join(session, *open, accepts),
            Request::Push { batch, pack } => self.push(session, batch, &pack),
            Request::Have(clock) => self.have(session, &clock),
            Request::Emit { payload, ttl_ms } => self.emit(now, session, payload, ttl_ms),
            Request::Flushed(bytes) => self.flushed(session, bytes),
            Request::Leave => {}
        }
    }

    fn leave(&mut self, session: SessionId) {
        self.phase.forget(session);
        self.lookups.forget(session);
        if self.subscribers.remove(&session).is_some() {
            self.loads.retain(|_, s| *s != session);
            self.forget_frames();
            self.staging.forget(session);
            self.goodbye(session);
        }
    }

    fn task(&mut self, task: StoreTask) -> TaskId {
        self.next_task += 1;
        let id = TaskId(self.next_task);
        self.outputs.push_back(Output::Store(id, task));
        id
    }

    fn send(&mut self, session: SessionId, message: &ServerMessage, then: Then) {
        self.outputs.push_back(Output::Deliver(session, ToSession { message: message.encode(), then }));
    }

    /// Ends a subscription, or refuses to begin one.
    fn end(&mut self, session: SessionId, handle: DocumentHandle, code: RejectCode, reason: &str) {
        self.leave(session);
        let reject = self.rejection(handle, None, code, reason);
        self.send(session, &reject, Then::Ended);
    }

    fn rejection(
        &self,
        handle: DocumentHandle,
        batch: Option<BatchId>,
        code: RejectCode,
        reason: &str,
    ) -> ServerMessage {
        let retry_after_ms = code.is_retryable().then_some(self.config.retry_after_ms);
        ServerMessage::Reject(Reject { handle, batch, code, reason: reason.into(), verdicts: None, retry_after_ms })
    }
}
