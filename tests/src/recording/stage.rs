//! A server and clients on their real stores, turned in one thread, with all that goes over their connections written down.
//!
//! Owns the carrying of outputs to inputs. Knows no scenario.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use automerge::transaction::Transaction;
use automerge::{AutoSerde, AutomergeError};
use bytes::Bytes;
use sync_core::id::{DocumentName, RoomNumber, SessionId};
use sync_core::replica::{self, DocumentId, Replica};
use sync_core::room::{self, Room};
use sync_core::scope::Scope;
use sync_core::session::{self, Grant, Session};
use sync_core::storage::{LocalStore, Store};
use sync_core::time::{Instant, WallTime};

use super::{Frame, From};

/// Bytes on their way to one subscriber before it counts as behind: few, so that a scenario can make it so.
const SUBSCRIBER_BYTES_MAX: usize = 400;
/// The largest value that the server takes, so that a scenario can have one refused.
const VALUE_BYTES_MAX: usize = 1_000;

enum Step {
    Session(SessionId, session::Input),
    Room(room::Input),
    Client(usize, replica::Input),
}

struct Client {
    replica: Replica,
    store: Box<dyn LocalStore>,
    document: DocumentId,
    session: Option<SessionId>,
}

/// One server with one document, and its clients.
pub struct Stage {
    now: Instant,
    name: DocumentName,
    store: Box<dyn Store>,
    room: Room,
    sessions: BTreeMap<SessionId, Session>,
    clients: Vec<Client>,
    steps: VecDeque<Step>,
    /// The session whose driver does not get around to writing.
    stuck: Option<SessionId>,
    connections: u64,
    /// All that went over all connections.
    pub frames: Vec<Frame>,
}

impl Stage {
    /// A server over a store.
    pub fn new(store: Box<dyn Store>, document: &str) -> Self {
        let name = DocumentName::parse(document).expect("a name");
        Self {
            now: Instant(1),
            room: room(&*store, &name),
            store,
            name,
            sessions: BTreeMap::new(),
            clients: Vec::new(),
            steps: VecDeque::new(),
            stuck: None,
            connections: 0,
            frames: Vec::new(),
        }
    }

    /// A client over a store of its own, offline. Gives its number.
    pub fn client(&mut self, store: Box<dyn LocalStore>, seed: u8) -> usize {
        let mut replica = Replica::new(replica::Config { online: false, ..replica::Config::default() }, [seed; 32]);
        let document = replica.open(self.now, self.name.clone());
        self.clients.push(Client { replica, store, document, session: None });
        self.settle();
        self.clients.len() - 1
    }

    /// The client as a user of the engine sees it.
    pub fn replica(&self, client: usize) -> (&Replica, DocumentId) {
        (&self.clients[client].replica, self.clients[client].document)
    }

    /// What a client shows.
    pub fn value(&self, client: usize) -> serde_json::Value {
        let (replica, document) = self.replica(client);
        let read = replica.read(document, |doc| serde_json::to_value(AutoSerde::from(doc)).expect("JSON"));
        read.expect("ready")
    }

    /// Edits on a client, and lets the edit go where it can.
    pub fn change(&mut self, client: usize, edit: impl FnOnce(&mut Transaction<'_>) -> Result<(), AutomergeError>) {
        let document = self.clients[client].document;
        let wall = WallTime(1_795_500_000_000 + i64::try_from(self.frames.len()).expect("few"));
        self.clients[client].replica.change(self.now, wall, document, edit).expect("an edit");
        self.settle();
    }

    /// Connects a client or cuts it off.
    pub fn set_online(&mut self, client: usize, online: bool) {
        self.clients[client].replica.set_online(self.now, online);
        self.settle();
    }

    /// Presence of a client.
    pub fn emit(&mut self, client: usize, payload: &'static [u8]) {
        let document = self.clients[client].document;
        let ttl = Some(std::time::Duration::from_secs(30));
        self.clients[client].replica.emit(document, Bytes::from_static(payload), ttl);
        self.settle();
    }

    /// From now on nothing that is sent to this client counts as written.
    pub fn stick(&mut self, client: usize) {
        self.stuck = self.clients[client].session;
    }

    /// Closes the document on a client and ends it; its store is free.
    pub fn end(&mut self, client: usize) {
        let document = self.clients[client].document;
        self.clients[client].replica.close(document);
        self.settle();
        self.set_online(client, false);
        self.clients.remove(client);
    }

    /// The server's store, once the server has ended.
    pub fn into_store(self) -> Box<dyn Store> {
        self.store
    }

    /// Starts the server again over another store. All clients are cut off.
    pub fn restart(&mut self, change: impl FnOnce(Box<dyn Store>) -> Box<dyn Store>) {
        for client in 0..self.clients.len() {
            self.set_online(client, false);
        }
        let nothing = Box::new(sync_core::storage::memory::MemoryStore::new(self.store.store_id()));
        self.store = change(std::mem::replace(&mut self.store, nothing));
        self.room = room(&*self.store, &self.name);
        self.sessions.clear();
    }

    /// A connection that somebody else writes the frames of. Gives what the server says.
    pub fn say(&mut self, connection: u64, frame: Vec<u8>) -> Vec<Vec<u8>> {
        let id = SessionId(connection);
        if !self.sessions.contains_key(&id) {
            self.sessions.insert(id, self.session(id));
        }
        let before = self.frames.len();
        self.steps.push_back(Step::Session(id, session::Input::Frame(frame.into())));
        self.settle();
        let said = self.frames[before..].iter().filter(|f| f.connection == connection && f.from == From::Server);
        said.map(Frame::bytes).collect()
    }

    /// Hands a client that has asked to connect the frames of a server of long ago.
    pub fn hear(&mut self, client: usize, frames: impl IntoIterator<Item = Vec<u8>>) {
        self.clients[client].replica.set_online(self.now, true);
        // The connection is to nobody: what the client says goes nowhere.
        while let Some(output) = self.clients[client].replica.poll_output() {
            self.client_alone(client, output);
        }
        for frame in frames {
            self.clients[client].replica.handle_input(self.now, replica::Input::Frame(frame.into()));
            while let Some(output) = self.clients[client].replica.poll_output() {
                self.client_alone(client, output);
            }
        }
    }

    fn client_alone(&mut self, client: usize, output: replica::Output) {
        match output {
            replica::Output::Connect => {
                self.clients[client].replica.handle_input(self.now, replica::Input::Connected(WallTime(0)));
            }
            replica::Output::Store(task, work) => {
                let done = work.run(&mut *self.clients[client].store);
                self.clients[client].replica.handle_input(self.now, replica::Input::StoreDone(task, done));
            }
            replica::Output::Disconnect => panic!("the client does not understand the server"),
            replica::Output::Send(_)
            | replica::Output::Tell(..)
            | replica::Output::TakeOver
            | replica::Output::Event(_) => {}
        }
    }

    fn session(&self, id: SessionId) -> Session {
        let config = session::Config { report_bytes: 1, ..session::Config::new(self.store.store_id()) };
        Session::new(config, id)
    }

    fn settle(&mut self) {
        loop {
            self.drain();
            match self.steps.pop_front() {
                None => return,
                Some(Step::Room(input)) => self.room.handle_input(self.now, input),
                Some(Step::Client(client, input)) => self.clients[client].replica.handle_input(self.now, input),
                Some(Step::Session(id, input)) => {
                    if let Some(session) = self.sessions.get_mut(&id) {
                        session.handle_input(self.now, input);
                    }
                }
            }
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.room.poll_output() {
            self.room_said(output);
        }
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            while let Some(output) = self.sessions.get_mut(&id).and_then(Session::poll_output) {
                self.session_said(id, output);
            }
        }
        for client in 0..self.clients.len() {
            while let Some(output) = self.clients[client].replica.poll_output() {
                self.client_said(client, output);
            }
        }
    }

    fn room_said(&mut self, output: room::Output) {
        self.steps.push_back(match output {
            room::Output::Deliver(id, message) => Step::Session(id, session::Input::Room(self.name.clone(), message)),
            room::Output::Store(task, what) => Step::Room(room::Input::StoreDone(task, what.run(&mut *self.store))),
        });
    }

    fn session_said(&mut self, id: SessionId, output: session::Output) {
        match output {
            session::Output::Authenticate(_) => {
                let grant = Grant { scopes: vec![Scope::everything()], expires_at: None };
                self.steps.push_back(Step::Session(id, session::Input::Authenticated(Some(grant), WallTime(0))));
            }
            session::Output::Room(_, request) => self.steps.push_back(Step::Room(room::Input::Session(id, request))),
            session::Output::Send { bytes, from } => {
                if let Some((name, count)) = from.filter(|_| self.stuck != Some(id)) {
                    self.steps.push_back(Step::Session(id, session::Input::Written(name, count)));
                }
                self.frames.push(Frame { connection: id.0, from: From::Server, hex: hex::encode(&bytes) });
                if let Some(client) = self.clients.iter().position(|c| c.session == Some(id)) {
                    self.steps.push_back(Step::Client(client, replica::Input::Frame(bytes)));
                }
            }
            session::Output::Close(code, reason) => panic!("connection {} is closed: {code:?} {reason}", id.0),
        }
    }

    fn client_said(&mut self, client: usize, output: replica::Output) {
        match output {
            replica::Output::Connect => {
                self.connections += 1;
                let id = SessionId(self.connections);
                self.sessions.insert(id, self.session(id));
                self.clients[client].session = Some(id);
                self.steps.push_back(Step::Client(client, replica::Input::Connected(WallTime(0))));
            }
            replica::Output::Send(bytes) => {
                let id = self.clients[client].session.expect("connected");
                self.frames.push(Frame { connection: id.0, from: From::Client, hex: hex::encode(&bytes) });
                self.steps.push_back(Step::Session(id, session::Input::Frame(bytes)));
            }
            replica::Output::Disconnect => {
                if let Some(id) = self.clients[client].session.take() {
                    self.steps.push_back(Step::Session(id, session::Input::Disconnected));
                }
            }
            replica::Output::Store(task, work) => {
                let done = work.run(&mut *self.clients[client].store);
                self.steps.push_back(Step::Client(client, replica::Input::StoreDone(task, done)));
            }
            replica::Output::Tell(..) | replica::Output::TakeOver | replica::Output::Event(_) => {}
        }
    }
}

fn room(store: &dyn Store, name: &DocumentName) -> Room {
    let mut config = room::Config::new(store.store_id());
    config.pack.change.value_bytes_max = VALUE_BYTES_MAX;
    config.subscriber_bytes_max = SUBSCRIBER_BYTES_MAX;
    Room::new(config, name.clone(), RoomNumber(1), [9; 32])
}

/// Opens a client's store in a folder.
pub fn client_store(folder: &Path) -> Box<dyn LocalStore> {
    Box::new(sync_client::SqliteStore::open(folder).expect("a client's store opens"))
}

/// Opens a server's store in a folder.
pub fn server_store(folder: &Path) -> Box<dyn Store> {
    let options = sync_server::store::Options::default();
    Box::new(sync_server::store::SqliteStore::open(folder, options).expect("a server's store opens"))
}
