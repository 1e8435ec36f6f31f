//! The simulated server: sessions and rooms of the real engine, a store with latency and group commit, crashes and restarts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use sync_core::id::{DocumentName, RoomNumber, SessionId, TaskId};
use sync_core::planted::Planting;
use sync_core::protocol::CloseCode;
use sync_core::room::{self, Room};
use sync_core::scope::Scope;
use sync_core::session::{self, Grant, Session};
use sync_core::storage::{Append, DocumentSnapshot, Store, StoreDone, StoreTask};
use sync_core::time::Instant;

use crate::sim::compaction::Compaction;
use crate::sim::disk::ServerDisk;
use crate::sim::net::Travelling;
use crate::sim::world::{Event, World};

type Task = (DocumentName, RoomNumber, TaskId, StoreTask);
type Done = (DocumentName, RoomNumber, TaskId, StoreDone);

enum Work {
    Room(DocumentName, SessionId, room::Request),
    Session(SessionId, DocumentName, room::ToSession),
}

/// The server's process and its disk.
pub(crate) struct Server {
    pub(crate) up: bool,
    pub(crate) epoch: u64,
    pub(crate) disk: ServerDisk,
    pub(crate) images: Vec<ServerDisk>,
    pub(crate) rooms: BTreeMap<DocumentName, Room>,
    /// Ends the process after so many further outputs.
    pub(crate) crash_after: Option<u64>,
    sessions: BTreeMap<SessionId, (u64, Session)>,
    pub(crate) next_session: u64,
    next_room: u32,
    waiting: Vec<Task>,
    busy: Option<Vec<Done>>,
    /// The largest frame a room has delivered.
    largest_frame: usize,
    /// No sync ends before this time.
    pub(crate) hangs_until: Instant,
    work: VecDeque<Work>,
    /// Rooms that were pushed to and are drained later, with whatever has come by then.
    gathering: BTreeSet<DocumentName>,
    armed: Option<Instant>,
    pub(crate) compaction: Option<Compaction>,
    /// A snapshot for newcomers that has been made and not kept.
    pub(crate) made: Option<DocumentSnapshot>,
}

impl Server {
    pub(crate) fn new(disk: ServerDisk) -> Self {
        Self {
            up: true,
            epoch: 0,
            disk,
            images: Vec::new(),
            rooms: BTreeMap::new(),
            crash_after: None,
            sessions: BTreeMap::new(),
            next_session: 0,
            next_room: 0,
            waiting: Vec::new(),
            busy: None,
            largest_frame: 0,
            hangs_until: Instant::default(),
            work: VecDeque::new(),
            gathering: BTreeSet::new(),
            armed: None,
            compaction: None,
            made: None,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.up && self.waiting.is_empty() && self.busy.is_none()
    }

    pub(crate) fn is_writing(&self) -> bool {
        self.busy.is_some()
    }

    /// Sessions that the server has not ended.
    pub(crate) fn session_count(&self) -> usize {
        self.sessions.len()
    }
}

impl World {
    pub(crate) fn accept(&mut self, connection: u64) -> SessionId {
        self.server.next_session += 1;
        let id = SessionId(self.server.next_session);
        let mut config = session::Config::new(self.server.disk.store_id());
        config.heartbeat = Duration::from_secs(5);
        config.report_bytes = self.options.subscriber_bytes_max / 4;
        config.limits.frame_bytes_max = self.options.frame_bytes_max;
        (config.opens, config.pushes) = self.options.rates;
        config.planted = Planting::new(self.options.planted);
        let mut session = Session::new(config, id);
        session.handle_timeout(self.now);
        self.server.sessions.insert(id, (connection, session));
        self.arm_server();
        id
    }

    pub(crate) fn session_input(&mut self, id: SessionId, input: session::Input) {
        self.inputs += 1;
        let Some((_, session)) = self.server.sessions.get_mut(&id) else { return };
        session.handle_input(self.now, input);
        self.drain_session(id);
        self.work();
    }

    pub(crate) fn end_session(&mut self, id: SessionId) {
        self.session_input(id, session::Input::Disconnected);
        self.server.sessions.remove(&id);
    }

    pub(crate) fn authenticated(&mut self, id: SessionId) {
        let grant = Grant { scopes: vec![Scope::everything()], expires_at: None };
        let wall = self.time();
        self.session_input(id, session::Input::Authenticated(Some(grant), wall));
    }

    /// Whether the process ends at this output.
    fn server_ends(&mut self) -> bool {
        match &mut self.server.crash_after {
            Some(0) => {
                self.crash_server();
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    fn drain_session(&mut self, id: SessionId) {
        while let Some((connection, session)) = self.server.sessions.get_mut(&id) {
            let connection = *connection;
            let Some(output) = session.poll_output() else { break };
            if self.server_ends() {
                return;
            }
            match output {
                session::Output::Send { bytes, from } => {
                    self.trace(b's', &bytes);
                    self.snoop_server(connection, &bytes, from.as_ref().map(|(d, _)| d));
                    self.transmit(connection, false, Travelling { frame: Some(bytes), from });
                    self.check_in_flight(connection);
                }
                session::Output::Authenticate(_) => self.after(Duration::from_millis(1), Event::Authenticated(id)),
                session::Output::Room(document, request) => {
                    self.server.work.push_back(Work::Room(document, id, request));
                }
                session::Output::Close(code, reason) => {
                    let honest = self.connections.contains_key(&connection);
                    if honest && !matches!(code, CloseCode::Timeout | CloseCode::Restarting | CloseCode::Normal) {
                        self.fail(format!("an honest client was closed with {code:?}: {reason}"));
                    }
                    self.transmit(connection, false, Travelling { frame: None, from: None });
                    if let Some(c) = self.connections.get_mut(&connection) {
                        c.server_open = false;
                    }
                }
            }
        }
    }

    pub(crate) fn work(&mut self) {
        while let Some(work) = self.server.work.pop_front() {
            self.inputs += 1;
            match work {
                Work::Room(document, session, request) => {
                    if !self.server.rooms.contains_key(&document) {
                        let room = self.new_room(document.clone());
                        self.server.rooms.insert(document.clone(), room);
                    }
                    let room = self.server.rooms.get_mut(&document).expect("made above");
                    let is_push = matches!(request, room::Request::Push { .. });
                    let pushed = if let room::Request::Push { pack, .. } = &request { pack.len() } else { 0 };
                    let before = room.load_bytes().1;
                    room.handle_input(self.now, room::Input::Session(session, request));
                    let staged = room.load_bytes().1;
                    let bound = self.options.staged_bytes_max;
                    if before + pushed > bound && staged > before {
                        self.fail(format!(
                            "P7: {staged} bytes wait for the disk, {before} before the last push, bound {bound}"
                        ));
                    }
                    let waits = self.server.compaction.as_mut().filter(|_| is_push).and_then(Compaction::gathers);
                    if let Some(within) = waits {
                        self.count("push that waits for others");
                        self.server.gathering.insert(document);
                        self.after(within, Event::Gathered(self.server.epoch));
                    } else {
                        self.drain_room(&document);
                    }
                }
                Work::Session(id, document, message) => {
                    if let Some((_, session)) = self.server.sessions.get_mut(&id) {
                        session.handle_input(self.now, session::Input::Room(document, message));
                        self.drain_session(id);
                    } else {
                        self.settler_hears(id, &message);
                    }
                }
            }
        }
        self.arm_server();
    }

    /// A session of the server's own asks a room.
    pub(crate) fn ask_room(&mut self, document: DocumentName, session: SessionId, request: room::Request) {
        self.server.work.push_back(Work::Room(document, session, request));
        self.work();
    }

    /// Drains the rooms that were pushed to.
    pub(crate) fn gathered(&mut self, epoch: u64) {
        if epoch != self.server.epoch || !self.server.up {
            return;
        }
        while let Some(document) = self.server.gathering.first().cloned() {
            self.drain_room(&document);
        }
        self.work();
    }

    fn new_room(&mut self, document: DocumentName) -> Room {
        let mut config = room::Config::new(self.server.disk.store_id());
        config.subscriber_bytes_max = self.options.subscriber_bytes_max;
        config.tail_bytes_max = self.options.tail_bytes_max;
        config.coalesce_packs_min = if self.options.tail_bytes_max == 4 << 10 { 2 } else { config.coalesce_packs_min };
        config.read_bytes_max = self.options.read_bytes_max;
        config.staged_bytes_max = self.options.staged_bytes_max;
        // The first seeds keep their stories: nothing is read for newcomers in them.
        config.snapshot_changes_min = if self.server.compaction.is_some() { 1 } else { u64::MAX };
        config.wire.frame_bytes_max = self.options.frame_bytes_max;
        config.pack.change.planted = Planting::new(self.options.planted);
        config.pack.change.value_bytes_max = self.options.value_bytes_max;
        config.planted = Planting::new(self.options.planted);
        self.server.next_room += 1;
        Room::new(config, document, RoomNumber(self.server.next_room), self.rng.bytes())
    }

    pub(crate) fn drain_room(&mut self, document: &DocumentName) {
        self.server.gathering.remove(document);
        while let Some(room) = self.server.rooms.get_mut(document) {
            let number = room.number();
            let Some(output) = room.poll_output() else { break };
            if self.server_ends() {
                return;
            }
            match output {
                room::Output::Deliver(session, message) => {
                    self.server.largest_frame = self.server.largest_frame.max(message.message.len());
                    self.server.work.push_back(Work::Session(session, document.clone(), message));
                }
                room::Output::Store(task, what) => {
                    self.server.waiting.push((document.clone(), number, task, what));
                    self.wake_store();
                }
            }
        }
        let in_flight = self.server.rooms.get(document).map_or(0, |room| room.load_bytes().0);
        let bound = self.options.subscriber_bytes_max;
        if in_flight > bound.max(bound / 2 + self.server.largest_frame) {
            self.fail(format!("P7: {in_flight} bytes of {document} on their way to one subscriber, bound {bound}"));
        }
        let failure = self.server.rooms.get(document).and_then(|r| r.failure().map(str::to_string));
        if let Some(reason) = failure {
            self.fail(format!("P1: {document} was quarantined: {reason}"));
        }
    }

    fn wake_store(&mut self) {
        if self.server.busy.is_none() && self.server.waiting.len() == 1 {
            let gather = Duration::from_micros(self.rng.below(2_000));
            self.after(gather, Event::StoreBegins(self.server.epoch));
        }
    }

    /// The store takes all that waits and writes it, unsynced.
    pub(crate) fn store_begins(&mut self, epoch: u64) {
        if epoch != self.server.epoch || !self.server.up {
            return;
        }
        self.compact_some();
        self.make_some();
        // Telling the room may have been the last that this process did.
        if epoch != self.server.epoch {
            return;
        }
        let (mut appends, mut done): (Vec<(usize, Append)>, Vec<Done>) = Default::default();
        for (index, (document, number, task, what)) in std::mem::take(&mut self.server.waiting).into_iter().enumerate()
        {
            let result = match what {
                StoreTask::Load { document, after, bytes_max } => {
                    StoreDone::Loaded(self.server.disk.load(&document, after, bytes_max))
                }
                StoreTask::Open { document, bytes_max } => {
                    StoreDone::Loaded(self.server.disk.open(&document, bytes_max))
                }
                StoreTask::Pieces { document, from, bytes_max } => {
                    StoreDone::Pieces(self.server.disk.pieces(&document, from, bytes_max))
                }
                StoreTask::Append(append) => {
                    self.trace(b'a', &append.pack.bytes);
                    appends.push((index, append));
                    StoreDone::Appended(Ok(sync_core::storage::Durability::Durable))
                }
            };
            done.push((document, number, task, result));
        }
        let batch: Vec<Append> = appends.iter().map(|(_, a)| a.clone()).collect();
        if !batch.is_empty() {
            match self.server.disk.write(&batch) {
                Ok(results) => {
                    for ((index, _), result) in appends.iter().zip(results) {
                        done[*index].3 = StoreDone::Appended(result);
                    }
                }
                Err(e) => {
                    self.count("failed server write");
                    appends.iter().for_each(|(index, _)| done[*index].3 = StoreDone::Appended(Err(e.clone())));
                }
            }
        }
        self.server.busy = Some(done);
        let sync = self.sync_time();
        let at = self.server.hangs_until.max(self.now + sync);
        self.at(at, Event::StoreSyncs(epoch));
    }

    /// What the store wrote becomes durable, and the rooms are told.
    pub(crate) fn store_syncs(&mut self, epoch: u64) {
        if epoch != self.server.epoch || !self.server.up {
            return;
        }
        self.gathered(epoch);
        if epoch != self.server.epoch {
            return;
        }
        self.server.disk.sync();
        if let Err(e) = self.ledger.read_disk(&mut self.server.disk) {
            self.fail(e);
        }
        let done = self.server.busy.take().unwrap_or_default();
        if !self.server.waiting.is_empty() {
            self.after(Duration::ZERO, Event::StoreBegins(epoch));
        }
        for (document, number, task, result) in done {
            self.inputs += 1;
            if self.server.epoch != epoch {
                return;
            }
            let Some(room) = self.server.rooms.get_mut(&document).filter(|r| r.number() == number) else { continue };
            room.handle_input(self.now, room::Input::StoreDone(task, result));
            self.drain_room(&document);
            self.work();
        }
    }

    /// The process and the machine end: what was not synced may be lost.
    pub(crate) fn crash_server(&mut self) {
        self.count("server crash");
        self.server.crash_after = None;
        self.server.up = false;
        self.server.epoch += 1;
        self.server.sessions.clear();
        self.server.rooms.clear();
        self.server.waiting.clear();
        self.server.busy = None;
        self.server.made = None;
        self.settler_ends();
        self.server.work.clear();
        self.server.gathering.clear();
        self.server.armed = None;
        if self.server.disk.crash(&mut self.rng) {
            self.count("server tail lost or torn");
        }
        let live: Vec<u64> = self.connections.iter().filter(|(_, c)| c.server_open).map(|(id, _)| *id).collect();
        for id in live {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.server_open = false;
            }
            let notices = self.rng.chance(800);
            self.cut(id, notices, false);
        }
        let down = Duration::from_millis(self.rng.below(4_000));
        self.after(down, Event::StartServer);
    }

    pub(crate) fn start_server(&mut self) {
        if self.server.up {
            return;
        }
        self.server.up = true;
        let checked = if std::mem::take(&mut self.restored) {
            self.ledger.read_restored(&mut self.server.disk)
        } else {
            self.ledger.survived(&mut self.server.disk)
        };
        if let Err(e) = checked {
            self.fail(e);
        }
        self.check_whole();
    }

    pub(crate) fn server_timer(&mut self) {
        self.server.armed = None;
        let due = |at: Option<Instant>, now| at.is_some_and(|at| at <= now);
        let now = self.now;
        let sessions: Vec<_> =
            self.server.sessions.iter().filter(|(_, (_, s))| due(s.poll_timeout(), now)).map(|(i, _)| *i).collect();
        for id in sessions {
            self.inputs += 1;
            let Some((connection, session)) = self.server.sessions.get_mut(&id) else { continue };
            let connection = *connection;
            session.handle_timeout(now);
            self.drain_session(id);
            let over = self.connections.get(&connection).is_none_or(|c| !c.server_open);
            if over {
                self.server.sessions.remove(&id);
                self.sweep(connection);
            }
        }
        self.work();
    }

    pub(crate) fn arm_server(&mut self) {
        let Some(next) = self.server.sessions.values().filter_map(|(_, s)| s.poll_timeout()).min() else { return };
        if self.server.armed.is_none_or(|armed| next < armed) {
            self.server.armed = Some(next);
            self.at(next, Event::ServerTimer);
        }
    }

    /// Unloads rooms that nobody uses. Returns how many.
    pub(crate) fn unload(&mut self) -> usize {
        let before = self.server.rooms.len();
        self.server.rooms.retain(|_, room| !room.is_idle());
        before - self.server.rooms.len()
    }
}
