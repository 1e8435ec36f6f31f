//! A network of machines in one thread: every output is carried out at once, in order.

mod clocks;
pub(crate) mod newcomers;
mod settling;
mod tabs;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use automerge::transaction::Transaction;
use automerge::{Automerge, AutomergeError};
use sync_core::compact::{self, Options};
use sync_core::document::InitValue;
use sync_core::id::{DocumentName, LogSeq, RoomNumber, SessionId};
use sync_core::protocol::{ClientMessage, ServerMessage};
use sync_core::reading::Reading;
use sync_core::replica::{self, ChangeId, DocumentId, OutboxState, Replica, Status, TabId};
use sync_core::rng::Rng;
use sync_core::room::{self, Room};
use sync_core::session::{self, Grant, Session};
use sync_core::storage::memory::{MemoryLocalStore, MemoryStore};
use sync_core::storage::{LocalDone, LocalTask, Store, StoreDone, StoreError, StoreTask};
use sync_core::time::Instant;

pub(crate) struct Server {
    pub(crate) store: MemoryStore,
    sessions: BTreeMap<SessionId, (Session, usize)>,
    rooms: BTreeMap<DocumentName, Room>,
    next: u64,
    pub(crate) full: bool,
    value_bytes_max: Option<usize>,
    /// How fast a connection may open and push, where it is not the usual.
    pub(crate) rates: Option<(session::Rate, session::Rate)>,
    /// Nothing can be read from the server's store.
    pub(crate) unreadable: bool,
    /// After how long clients may try again what a room refused for now.
    pub(crate) retry_after_ms: u32,
    /// Openings that clients have asked for.
    pub(crate) opens: usize,
    /// From how many changes on a room asks for a document snapshot.
    pub(crate) snapshot_changes_min: u64,
    /// Pieces of snapshots, and ranges of logs, that were said.
    pub(crate) pieces_said: usize,
    pub(crate) ranges_said: usize,
    /// Its clock at the beginning.
    began_ms: i64,
}

impl Server {
    pub(crate) fn value_bytes_max(&mut self, max: usize) {
        self.value_bytes_max = Some(max);
    }
}

struct Client {
    replica: Replica,
    /// Its store; tabs share one.
    store: usize,
    tab: Option<TabId>,
    session: Option<SessionId>,
    /// By how much its clock is ahead.
    ahead_ms: i64,
    full: bool,
    /// What comes while its page is frozen is kept for later.
    frozen: Option<Vec<replica::Input>>,
    /// How often it wanted to take the lead over.
    took_over: u32,
    events: Vec<replica::Event>,
}

enum Step {
    Server(SessionId, session::Input),
    Room(DocumentName, room::Input),
    Client(usize, replica::Input),
}

pub(crate) struct Net {
    now: Instant,
    rng: Rng,
    clients: Vec<Client>,
    stores: Vec<MemoryLocalStore>,
    pub deaf: bool,
    pub(crate) next_epoch: Option<u64>,
    /// Ranges of the log do not reach the clients.
    pub(crate) ranges_lost: bool,
    pub server: Server,
    steps: VecDeque<Step>,
}

impl Net {
    pub(crate) fn new(clients: usize) -> Self {
        let mut rng = Rng::from_number(1);
        let server = Server {
            store: MemoryStore::new(rng.store_id()),
            sessions: BTreeMap::new(),
            rooms: BTreeMap::new(),
            next: 0,
            full: false,
            value_bytes_max: None,
            rates: None,
            unreadable: false,
            retry_after_ms: 1_000,
            opens: 0,
            snapshot_changes_min: 1,
            pieces_said: 0,
            ranges_said: 0,
            began_ms: 0,
        };
        let mut net = Self {
            now: Instant(1),
            rng,
            clients: Vec::new(),
            stores: Vec::new(),
            deaf: false,
            next_epoch: None,
            ranges_lost: false,
            server,
            steps: VecDeque::new(),
        };
        for _ in 0..clients {
            let replica = Replica::new(replica::Config::default(), net.rng.bytes());
            let store = net.stores.len();
            net.stores.push(MemoryLocalStore::new());
            net.clients.push(Client::new(replica, store, None));
        }
        net.settle();
        net
    }

    pub(crate) fn open(&mut self, client: usize, name: &str) -> DocumentId {
        let name = DocumentName::parse(name).expect("a name");
        let id = self.clients[client].replica.open(self.now, name);
        self.settle();
        id
    }

    /// Opens a document, and lets no time pass.
    pub(crate) fn open_soon(&mut self, client: usize, name: &str) -> DocumentId {
        let name = DocumentName::parse(name).expect("a name");
        let id = self.clients[client].replica.open(self.now, name);
        self.settle_for(0);
        id
    }

    pub(crate) fn change<R>(
        &mut self,
        client: usize,
        id: DocumentId,
        edit: impl FnOnce(&mut Transaction<'_>) -> Result<R, AutomergeError>,
    ) -> R {
        let wall = self.wall(client);
        let (result, _) = self.clients[client].replica.change(self.now, wall, id, edit).expect("an edit");
        self.drain_client(client);
        result
    }

    pub(crate) fn init(&mut self, client: usize, id: DocumentId, key: &str, value: InitValue) {
        self.clients[client].replica.init(self.now, id, key, value).expect("an init");
        self.drain_client(client);
    }

    /// Lets the server say something to a client that it does not say of its own.
    pub(crate) fn tell(&mut self, client: usize, message: &ServerMessage) {
        self.steps.push_back(Step::Client(client, replica::Input::Frame(message.encode())));
    }

    pub(crate) fn set_online(&mut self, client: usize, online: bool) {
        self.clients[client].replica.set_online(self.now, online);
        self.drain_client(client);
    }

    /// Fills a client's disk, or frees it.
    pub(crate) fn fill_client(&mut self, client: usize, full: bool) {
        self.clients[client].full = full;
    }

    pub(crate) fn restart_client(&mut self, client: usize, online: bool) {
        self.drop_link(client);
        let config = replica::Config { online, ..replica::Config::default() };
        self.clients[client].replica = Replica::new(config, self.rng.bytes());
        self.settle();
    }

    pub(crate) fn clone_client(&mut self, from: usize, to: usize) {
        let (from, store) = (self.clients[from].store, self.clients[to].store);
        self.stores[store] = self.stores[from].clone();
        self.restart_client(to, false);
    }

    pub(crate) fn restart_server(&mut self) {
        self.server.rooms.clear();
        self.server.sessions.clear();
        self.steps.clear();
        for client in 0..self.clients.len() {
            self.clients[client].session = None;
            self.steps.push_back(Step::Client(client, replica::Input::Disconnected));
        }
        self.settle();
    }

    pub(crate) fn lose_server_store(&mut self) {
        self.server.store = MemoryStore::new(self.rng.store_id());
        self.restart_server();
    }

    /// Compacts a document of the server's store, and tells its room. Whether there was something to do.
    pub(crate) fn compact(&mut self, name: &str, options: &Options) -> bool {
        let document = DocumentName::parse(name).expect("a name");
        let mut source = compact::Alone { store: &mut self.server.store, document: &document };
        let done = compact::compact(&document, options, &mut source).expect("compacts");
        if self.server.rooms.contains_key(&document) {
            self.steps.push_back(Step::Room(document, room::Input::Compacted));
        }
        done.is_some()
    }

    /// Everything that the server's log of a document holds, read from its start; nothing if it is deleted.
    pub(crate) fn server_log(&mut self, name: &str) -> Vec<sync_core::change::Change> {
        let name = DocumentName::parse(name).expect("a name");
        let loaded = self.server.store.load(&name, LogSeq(0), usize::MAX).expect("readable");
        let Some(incarnation) = loaded.record.and_then(|r| r.incarnation) else { return Vec::new() };
        let mut reading = Reading::new(incarnation);
        let mut all = Vec::new();
        for stored in &loaded.packs {
            all.extend(reading.unpack(stored).expect("unpacks"));
            reading.absorb(stored).expect("fits");
        }
        all
    }

    /// All packs of a document.
    pub(crate) fn stored_from_start(&mut self, name: &str) -> Vec<sync_core::storage::StoredPack> {
        let name = DocumentName::parse(name).expect("a name");
        self.server.store.load(&name, LogSeq(0), usize::MAX).expect("readable").packs
    }

    /// What a room of the document begins with.
    pub(crate) fn stored(&mut self, name: &str) -> sync_core::storage::Loaded {
        let name = DocumentName::parse(name).expect("a name");
        self.server.store.open(&name, usize::MAX).expect("readable")
    }

    /// How many connections there have been.
    pub(crate) fn sessions(&self) -> u64 {
        self.server.next
    }

    /// What the server's store holds now.
    pub(crate) fn server_image(&self) -> MemoryStore {
        self.server.store.clone()
    }

    /// Goes back to an image, as a restore from backup does.
    pub(crate) fn restore_server(&mut self, mut image: MemoryStore) {
        image.set_store_id(self.rng.store_id());
        self.swap_server(image);
    }

    /// Puts an image in the place of the server's store, which does not know that it went back.
    pub(crate) fn swap_server(&mut self, image: MemoryStore) {
        self.server.store = image;
        self.restart_server();
    }

    /// Deletes a document, as an operator does.
    pub(crate) fn delete(&mut self, name: &str) {
        let name = DocumentName::parse(name).expect("a name");
        assert!(self.server.store.delete(&name).expect("writable"), "there was one");
        self.steps.push_back(Step::Room(name, room::Input::Replaced));
    }

    /// Tries all refused changes again. Gives for each whether it was written.
    pub(crate) fn retry_rejected(&mut self, client: usize, id: DocumentId) -> Vec<bool> {
        let outbox = self.clients[client].replica.outbox(id);
        let rejected = outbox.iter().filter(|e| matches!(e.state, OutboxState::Rejected { .. }));
        let replica = &mut self.clients[client].replica;
        let done = rejected.map(|e| replica.retry(self.now, id, e.change).expect("ready")).collect();
        self.drain_client(client);
        done
    }

    pub(crate) fn discard_rejected(&mut self, client: usize, id: DocumentId) {
        let outbox = self.clients[client].replica.outbox(id);
        for entry in outbox.iter().filter(|e| matches!(e.state, OutboxState::Rejected { .. })) {
            assert!(self.clients[client].replica.discard(self.now, id, entry.change).expect("ready"));
        }
        self.drain_client(client);
    }

    pub(crate) fn status(&self, client: usize, id: DocumentId) -> Status {
        self.clients[client].replica.status(id).expect("open")
    }

    pub(crate) fn saved_up_to(&self, client: usize, id: DocumentId) -> ChangeId {
        self.clients[client].replica.saved_up_to(id).expect("it is open")
    }

    pub(crate) fn outbox(&self, client: usize, id: DocumentId) -> usize {
        self.clients[client].replica.outbox(id).len()
    }

    pub(crate) fn value(&self, client: usize, id: DocumentId) -> String {
        self.clients[client].replica.read(id, json).expect("ready")
    }

    pub(crate) fn server_changes(&mut self, name: &str) -> usize {
        self.server_log(name).len()
    }

    /// Carries out all that is due within a minute of virtual time.
    pub(crate) fn settle(&mut self) {
        self.settle_for(60);
    }

    pub(crate) fn settle_for(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        loop {
            for client in 0..self.clients.len() {
                self.drain_client(client);
            }
            while let Some(step) = self.steps.pop_front() {
                self.step(step);
            }
            let awake = self.clients.iter().filter(|c| c.frozen.is_none());
            let due = awake.filter_map(|c| c.replica.poll_timeout());
            let due = due.chain(self.server.sessions.values().filter_map(|(s, _)| s.poll_timeout())).min();
            match due.filter(|at| *at <= end) {
                Some(at) => self.now = self.now.max(at),
                None => break,
            }
            self.fire_clients();
            let sessions: Vec<_> = self.server.sessions.keys().copied().collect();
            for id in sessions {
                if let Some((session, _)) = self.server.sessions.get_mut(&id) {
                    session.handle_timeout(self.now);
                }
                self.drain_session(id);
            }
        }
        self.now = end;
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Server(id, input) => {
                if let Some((session, _)) = self.server.sessions.get_mut(&id) {
                    session.handle_input(self.now, input);
                    self.drain_session(id);
                }
            }
            Step::Room(name, input) => {
                let now = self.now;
                self.room(&name).handle_input(now, input);
                self.drain_room(&name);
            }
            Step::Client(client, input) => {
                if let Some(held) = &mut self.clients[client].frozen {
                    return held.push(input);
                }
                self.clients[client].replica.handle_input(self.now, input);
                self.drain_client(client);
            }
        }
    }

    fn room(&mut self, name: &DocumentName) -> &mut Room {
        let mut config = room::Config::new(self.server.store.store_id());
        config.retry_after_ms = self.server.retry_after_ms;
        config.snapshot_changes_min = self.server.snapshot_changes_min;
        if let Some(max) = self.server.value_bytes_max {
            config.pack.change.value_bytes_max = max;
        }
        let number = RoomNumber(self.server.rooms.len() as u32 + 1);
        let seed = self.rng.bytes();
        self.server.rooms.entry(name.clone()).or_insert_with(|| Room::new(config, name.clone(), number, seed))
    }

    fn drain_client(&mut self, index: usize) {
        while let Some(output) = self.clients[index].replica.poll_output() {
            match output {
                replica::Output::Connect => {
                    self.server.next += 1;
                    let id = SessionId(self.server.next);
                    let mut config = session::Config::new(self.server.store.store_id());
                    if let Some((opens, pushes)) = self.server.rates {
                        (config.opens, config.pushes) = (opens, pushes);
                    }
                    self.server.sessions.insert(id, (Session::new(config, id), index));
                    self.clients[index].session = Some(id);
                    self.steps.push_back(Step::Client(index, replica::Input::Connected(self.wall(index))));
                }
                replica::Output::Send(bytes) => {
                    let session = self.clients[index].session.expect("connected");
                    let said = ClientMessage::decode_all(&bytes).expect("clients speak clearly");
                    self.server.opens += said.iter().filter(|m| matches!(m, ClientMessage::Open(_))).count();
                    self.steps.push_back(Step::Server(session, session::Input::Frame(bytes)));
                }
                replica::Output::Disconnect => self.drop_link(index),
                replica::Output::Store(task, work) => {
                    let client = &mut self.clients[index];
                    let done = match work {
                        LocalTask::Commit(_) if client.full => LocalDone::Committed(Err(StoreError::Full)),
                        work => work.run(&mut self.stores[client.store]),
                    };
                    self.steps.push_back(Step::Client(index, replica::Input::StoreDone(task, done)));
                }
                replica::Output::Tell(to, bytes) => self.tell_tabs(index, to, &bytes),
                replica::Output::TakeOver => self.wants_lead(index),
                replica::Output::Event(event) => self.clients[index].events.push(event),
            }
        }
    }

    fn drop_link(&mut self, index: usize) {
        if let Some(session) = self.clients[index].session.take() {
            self.steps.push_back(Step::Server(session, session::Input::Disconnected));
        }
        self.steps.retain(|s| !matches!(s, Step::Client(i, replica::Input::Frame(_)) if *i == index));
    }

    fn drain_session(&mut self, id: SessionId) {
        loop {
            let Some((session, client)) = self.server.sessions.get_mut(&id) else { return };
            let client = *client;
            match session.poll_output() {
                None => return,
                Some(session::Output::Authenticate(_)) => {
                    let grant = Grant { scopes: vec![sync_core::scope::Scope::everything()], expires_at: None };
                    let input = session::Input::Authenticated(Some(grant), self.time());
                    self.steps.push_back(Step::Server(id, input));
                }
                Some(session::Output::Room(name, request)) => {
                    self.steps.push_back(Step::Room(name, room::Input::Session(id, request)));
                }
                Some(session::Output::Send { bytes, from }) => {
                    if let Some((name, bytes)) = from {
                        self.steps.push_back(Step::Server(id, session::Input::Written(name, bytes)));
                    }
                    let said = ServerMessage::decode_all(&bytes).expect("servers speak clearly");
                    self.count_said(&said);
                    let lost = self.ranges_lost && said.iter().any(|m| matches!(m, ServerMessage::Changes(_)));
                    if self.clients[client].session == Some(id) && !lost {
                        self.steps.push_back(Step::Client(client, replica::Input::Frame(bytes)));
                    }
                }
                Some(session::Output::Close(..)) if self.clients[client].frozen.is_some() => {
                    self.hear_later_of_the_end(client, id);
                }
                Some(session::Output::Close(code, reason)) => {
                    assert!(self.clients[client].session != Some(id), "{code:?} {reason}");
                }
            }
        }
    }

    fn drain_room(&mut self, name: &DocumentName) {
        while let Some(output) = self.room(name).poll_output() {
            match output {
                room::Output::Deliver(session, message) => {
                    self.steps.push_back(Step::Server(session, session::Input::Room(name.clone(), message)));
                }
                room::Output::Store(task, work) => {
                    let done = match work {
                        StoreTask::Append(_) if self.server.full => StoreDone::Appended(Err(StoreError::Full)),
                        StoreTask::Open { .. } if self.server.unreadable => {
                            StoreDone::Loaded(Err(StoreError::Io("the disk does not answer".into())))
                        }
                        work => work.run(&mut self.server.store),
                    };
                    self.steps.push_back(Step::Room(name.clone(), room::Input::StoreDone(task, done)));
                }
            }
        }
    }
}

fn json(document: &Automerge) -> String {
    let value = document.hydrate(None);
    render(&value)
}

fn render(value: &automerge::hydrate::Value) -> String {
    use automerge::hydrate::Value;
    match value {
        Value::Scalar(s) => s.to_string().replace("Int(", "").replace(')', ""),
        Value::Map(map) => {
            let mut entries: Vec<_> = map.iter().map(|(k, v)| format!("\"{k}\":{}", render(&v.value))).collect();
            entries.sort();
            format!("{{{}}}", entries.join(","))
        }
        Value::List(list) => {
            let items: Vec<_> = list.iter().map(|v| render(&v.value)).collect();
            format!("[{}]", items.join(","))
        }
        Value::Text(text) => format!("{text:?}"),
    }
}
