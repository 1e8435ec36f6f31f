//! A server in one thread: real sessions and rooms over a store in memory, with every output carried out at once but those that the
//! target wants to hold back: storage tasks, what is sent, and time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use sync_core::change::Change;
use sync_core::id::{DocumentName, LogSeq, RoomNumber, SessionId, TaskId};
use sync_core::limits::PackLimits;
use sync_core::log::Log;
use sync_core::pack;
use sync_core::protocol::{CloseCode, WireLimits};
use sync_core::rng::Rng;
use sync_core::room::{self, Room};
use sync_core::scope::Scope;
use sync_core::session::{self, Grant, Session};
use sync_core::storage::memory::MemoryStore;
use sync_core::storage::{Append, Store as _, StoreDone, StoreError, StoreTask, StoredPack};
use sync_core::time::{Instant, WallTime};

use crate::gate::Gate;

/// The document that has a history when a target starts.
pub const DOCUMENT: &str = "doc";

/// Most bytes of pushes that a room keeps for the store.
const STAGED_BYTES_MAX: usize = 20_000;

enum Step {
    Session(SessionId, session::Input),
    Room(DocumentName, room::Input),
}

/// The server.
pub struct Host {
    /// Virtual time.
    pub now: Instant,
    /// What is committed.
    pub store: MemoryStore,
    /// What tokens allow.
    pub grant: Option<Vec<Scope>>,
    /// What was sent and not taken yet.
    pub sent: VecDeque<(SessionId, Bytes)>,
    /// How sessions ended.
    pub closed: BTreeMap<SessionId, CloseCode>,
    rng: Rng,
    rooms: BTreeMap<DocumentName, Room>,
    sessions: BTreeMap<SessionId, Session>,
    tasks: VecDeque<(DocumentName, TaskId, StoreTask)>,
    steps: VecDeque<Step>,
    /// What was sent of a room's and not reported as written.
    unwritten: VecDeque<(SessionId, DocumentName, usize)>,
    next: u64,
}

impl Host {
    /// A server whose store holds `history` under [`DOCUMENT`], one pack for three changes.
    pub fn new(history: &[Change]) -> Self {
        let mut rng = Rng::from_number(5);
        let mut store = MemoryStore::new(rng.store_id());
        let incarnation = rng.incarnation();
        let mut log = Log::new(incarnation);
        for changes in history.chunks(3) {
            let (first, digest_before) = (log.head().plus(1), log.digest());
            let bytes = pack::encode(changes, log.table().actor_count(), log.table()).expect("a history packs");
            for change in changes {
                log.append(change).expect("a causal order");
            }
            let pack = StoredPack { first, count: changes.len() as u32, digest: log.digest(), bytes, outside: None };
            let append = Append { document: document(), incarnation, digest_before, pack };
            store.append(&append).expect("the next pack");
        }
        Self {
            now: Instant(1),
            store,
            grant: Some(vec![Scope::everything()]),
            sent: VecDeque::new(),
            closed: BTreeMap::new(),
            rng,
            rooms: BTreeMap::new(),
            sessions: BTreeMap::new(),
            tasks: VecDeque::new(),
            steps: VecDeque::new(),
            unwritten: VecDeque::new(),
            next: 0,
        }
    }

    /// Bounds low enough to be met in a short conversation.
    fn wire() -> WireLimits {
        WireLimits {
            frame_bytes_max: 1_500,
            message_bytes_max: 12_000,
            pending_batches_max: 5,
            documents_max: 3,
            emit_bytes_max: 64,
        }
    }

    /// A new connection.
    pub fn connect(&mut self) -> SessionId {
        self.next += 1;
        let id = SessionId(self.next);
        let config =
            session::Config { limits: Self::wire(), report_bytes: 500, ..session::Config::new(self.store.store_id()) };
        self.sessions.insert(id, Session::new(config, id));
        id
    }

    /// Bytes of a client.
    pub fn frame(&mut self, id: SessionId, bytes: Bytes) {
        self.input(id, session::Input::Frame(bytes));
    }

    /// Anything that happens to a session.
    pub fn input(&mut self, id: SessionId, input: session::Input) {
        self.steps.push_back(Step::Session(id, input));
        self.run();
    }

    /// The document was replaced underneath.
    pub fn replaced(&mut self) {
        if self.rooms.contains_key(&document()) {
            self.steps.push_back(Step::Room(document(), room::Input::Replaced));
            self.run();
        }
    }

    /// Does the oldest storage task, or fails it. Whether there was one.
    pub fn store_step(&mut self, fails: Option<StoreError>) -> bool {
        let Some((name, task, what)) = self.tasks.pop_front() else { return false };
        let done = match (what, fails) {
            // No append, so that it expected no head.
            (StoreTask::Load { .. } | StoreTask::Open { .. }, Some(StoreError::HeadMoved { .. })) => {
                StoreDone::Loaded(Err(StoreError::Io("the cable is out".into())))
            }
            (StoreTask::Load { .. } | StoreTask::Open { .. }, Some(e)) => StoreDone::Loaded(Err(e)),
            (StoreTask::Pieces { .. }, Some(e)) => StoreDone::Pieces(Err(e)),
            (StoreTask::Append(_), Some(e)) => StoreDone::Appended(Err(e)),
            (what, None) => what.run(&mut self.store),
        };
        self.steps.push_back(Step::Room(name, room::Input::StoreDone(task, done)));
        self.run();
        true
    }

    /// Reports the oldest bytes as written to a client. Whether there were any.
    pub fn written(&mut self) -> bool {
        let Some((id, name, bytes)) = self.unwritten.pop_front() else { return false };
        self.input(id, session::Input::Written(name, bytes));
        true
    }

    /// When something is due next.
    pub fn due(&self) -> Option<Instant> {
        let sessions = self.sessions.values().filter_map(Session::poll_timeout);
        sessions.chain(self.rooms.values().filter_map(Room::poll_timeout)).min()
    }

    /// Fires what is due at `now`.
    pub fn timeout(&mut self) {
        let now = self.now;
        self.sessions.values_mut().for_each(|session| session.handle_timeout(now));
        self.rooms.values_mut().for_each(|room| room.handle_timeout(now));
        self.run();
    }

    /// Drops rooms that nobody needs, as a server does when they are idle.
    pub fn unload(&mut self) {
        self.rooms.retain(|_, room| !room.is_idle());
    }

    /// Why a document is quarantined, if one is.
    pub fn quarantined(&self) -> Option<String> {
        self.rooms.values().find_map(|room| room.failure().map(str::to_owned))
    }

    /// The log of a document as the store has it, with every change admitted again by a validator that starts from nothing.
    pub fn log(&mut self, name: &DocumentName) -> Option<Log> {
        let loaded = self.store.load(name, LogSeq(0), usize::MAX).expect("a store in memory");
        let record = loaded.record?;
        let mut log = Log::new(record.incarnation?);
        let mut gate = Gate::default();
        for stored in loaded.packs {
            let unpacked = pack::decode(&stored.bytes, log.table(), &PackLimits::stored()).expect("a stored pack");
            assert_eq!(unpacked.changes.len(), stored.count as usize);
            for change in &unpacked.changes {
                let admitted = gate.admit_parsed(change);
                assert!(admitted.is_ok(), "the log holds what the validator refuses: {admitted:?}");
                log.append(change).expect("a causal order");
            }
            assert_eq!(log.digest(), stored.digest);
        }
        assert_eq!((log.head(), log.digest()), (record.head, record.digest));
        Some(log)
    }

    fn run(&mut self) {
        while let Some(step) = self.steps.pop_front() {
            match step {
                Step::Session(id, input) => {
                    if let Some(session) = self.sessions.get_mut(&id) {
                        session.handle_input(self.now, input);
                    }
                }
                Step::Room(name, input) => {
                    let now = self.now;
                    self.room(&name).handle_input(now, input);
                }
            }
            self.drain();
        }
        self.drain();
        if !self.steps.is_empty() {
            self.run();
        }
    }

    fn room(&mut self, name: &DocumentName) -> &mut Room {
        let store_id = self.store.store_id();
        let number = RoomNumber(self.rooms.len() as u32 + 1);
        let seed = self.rng.bytes();
        self.rooms.entry(name.clone()).or_insert_with(|| {
            let config = room::Config {
                wire: Self::wire(),
                subscriber_bytes_max: 2_000,
                tail_bytes_max: 1_000,
                read_bytes_max: 2_000,
                staged_bytes_max: STAGED_BYTES_MAX,
                presence_max: 2,
                waiting_bytes_max: 4_000,
                ..room::Config::new(store_id)
            };
            Room::new(config, name.clone(), number, seed)
        })
    }

    fn drain(&mut self) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            self.drain_session(id);
        }
        for (name, room) in &mut self.rooms {
            while let Some(output) = room.poll_output() {
                match output {
                    room::Output::Store(task, what) => self.tasks.push_back((name.clone(), task, what)),
                    room::Output::Deliver(id, message) => {
                        self.steps.push_back(Step::Session(id, session::Input::Room(name.clone(), message)));
                    }
                }
            }
            let (_, staged) = room.load_bytes();
            // The last push that fits may be as large as a message.
            assert!(staged <= STAGED_BYTES_MAX + 256_000, "{staged} bytes staged");
        }
    }

    fn drain_session(&mut self, id: SessionId) {
        while let Some(output) = self.sessions.get_mut(&id).and_then(Session::poll_output) {
            match output {
                session::Output::Send { bytes, from } => {
                    assert!(bytes.len() <= Self::wire().frame_bytes_max as usize, "a frame of {} bytes", bytes.len());
                    assert!(!self.closed.contains_key(&id), "sent after the end");
                    self.unwritten.extend(from.map(|(name, bytes)| (id, name, bytes)));
                    self.sent.push_back((id, bytes));
                }
                session::Output::Authenticate(_) => {
                    let grant = self.grant.clone().map(|scopes| Grant { scopes, expires_at: None });
                    self.steps.push_back(Step::Session(id, session::Input::Authenticated(grant, WallTime(0))));
                }
                session::Output::Room(name, request) => {
                    self.steps.push_back(Step::Room(name, room::Input::Session(id, request)));
                }
                session::Output::Close(code, _) => drop(self.closed.insert(id, code)),
            }
        }
    }

    /// Time to the next due point, or a while if nothing is due.
    pub fn pause(&self) -> Duration {
        self.due().map_or(Duration::from_secs(1), |at| at.since(self.now))
    }
}

/// The name of [`DOCUMENT`].
pub fn document() -> DocumentName {
    DocumentName::parse(DOCUMENT).expect("a name")
}
