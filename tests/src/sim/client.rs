//! A simulated client: a replica of the real engine, its disk, an application that edits, crashes and restarts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use automerge::ReadDoc;
use sync_core::id::{ChangeHash, DocumentName, Incarnation, TaskId};
use sync_core::planted::Planting;
use sync_core::replica::{self, ChangeId, DocumentId, Event as Told, OutboxState, Output, Replica};
use sync_core::storage::{LocalDone, LocalStore, LocalTask, StoreError};
use sync_core::time::Instant;

use crate::sim::clocks::Clock;
use crate::sim::conflicts;
use crate::sim::disagree::Disagree;
use crate::sim::disk::{ClientDisk, encode_writes};
use crate::sim::ledger::{Token, tokens_in, tokens_of};
use crate::sim::net::Travelling;
use crate::sim::presence::Presences;
use crate::sim::tabs::Seat;
use crate::sim::world::{Event, World};

/// A document in one life of a client.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) id: DocumentId,
    pub(crate) ready: bool,
    /// Edits of this life that are not settled, oldest first.
    edits: Vec<(ChangeId, Token)>,
}

/// What is said on the wire while the final checks watch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// Bytes of everything but heartbeats.
    pub(crate) bytes: usize,
    /// Messages but heartbeats.
    pub(crate) messages: usize,
    /// Changes received.
    pub(crate) changes: usize,
    /// The client had to say what it holds, or was not resumed.
    pub(crate) reconciled: bool,
}

/// What a client's driver does one after the other.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// Comes with the epoch of the leader that wants it, however long it waits.
    Store(TaskId, LocalTask, Option<u64>),
    /// Makes the store this tab's, for what it has heard of the lock.
    Lead { term: u64, epoch: u64 },
}

/// A client's process and its disk.
pub(crate) struct Client {
    pub(crate) replica: Option<Replica>,
    pub(crate) epoch: u64,
    /// Empty in a tab that is not the first of its browser.
    pub(crate) disk: ClientDisk,
    /// Whose disk it writes to, if not to its own.
    pub(crate) host: Option<usize>,
    /// Where it is one of several tabs.
    pub(crate) seat: Option<Seat>,
    pub(crate) frozen_until: Instant,
    /// Its user does not open it again.
    pub(crate) stays_closed: bool,
    /// Older images, each with the tokens that were saved when it was taken.
    pub(crate) images: Vec<(ClientDisk, BTreeSet<Token>)>,
    pub(crate) names: Vec<DocumentName>,
    pub(crate) documents: BTreeMap<DocumentName, Opened>,
    pub(crate) connection: Option<u64>,
    pub(crate) clock: Clock,
    /// Ends the process after so many further outputs.
    pub(crate) crash_after: Option<u64>,
    pub(crate) heard: Heard,
    pub(crate) refuse_next: bool,
    pub(crate) presences: Presences,
    /// Incarnations that this process has named.
    pub(crate) named: BTreeSet<Incarnation>,
    pub(crate) tasks: VecDeque<Job>,
    /// The commit that is under way comes from a leader that is one no more.
    fenced: bool,
    busy: bool,
    armed: Option<Instant>,
}

impl Client {
    pub(crate) fn new(names: Vec<DocumentName>, disk: ClientDisk) -> Self {
        Self {
            replica: None,
            epoch: 0,
            disk,
            host: None,
            seat: None,
            frozen_until: Instant(0),
            stays_closed: false,
            images: Vec::new(),
            names,
            documents: BTreeMap::new(),
            connection: None,
            clock: Clock::default(),
            crash_after: None,
            heard: Heard::default(),
            refuse_next: false,
            presences: Presences::default(),
            named: BTreeSet::new(),
            tasks: VecDeque::new(),
            fenced: false,
            busy: false,
            armed: None,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.replica.is_some() && self.tasks.is_empty()
    }
}

impl World {
    pub(crate) fn start_client(&mut self, index: usize) {
        if self.clients[index].replica.is_some() || self.clients[index].stays_closed {
            return;
        }
        let mut config = replica::Config { backoff_max: Duration::from_secs(5), ..replica::Config::default() };
        config.planted = Planting::new(self.options.planted);
        config.holds = self.options.holds && index % 2 == 1;
        config.tab = self.clients[index].seat.map(|seat| seat.number);
        let seed = self.rng.bytes();
        let client = &mut self.clients[index];
        let mut replica = Replica::new(config, seed);
        client.documents.clear();
        client.clock.forget();
        for name in client.names.clone() {
            let id = replica.open(self.now, name.clone());
            client.documents.insert(name, Opened { id, ready: false, edits: Vec::new() });
        }
        client.replica = Some(replica);
        self.drain_client(index);
        self.stand(index);
    }

    pub(crate) fn client_input(&mut self, index: usize, input: replica::Input) {
        self.inputs += 1;
        let Some(replica) = self.clients[index].replica.as_mut() else { return };
        replica.handle_input(self.now, input);
        self.note_welcome(index);
        self.drain_client(index);
    }

    pub(crate) fn client_timer(&mut self, index: usize) {
        self.clients[index].armed = None;
        let now = self.now;
        let Some(replica) = self.clients[index].replica.as_mut() else { return };
        if replica.poll_timeout().is_some_and(|at| at <= now) {
            self.inputs += 1;
            replica.handle_timeout(now);
        }
        self.drain_client(index);
    }

    pub(crate) fn drain_client(&mut self, index: usize) {
        while let Some(output) = self.clients[index].replica.as_mut().and_then(Replica::poll_output) {
            let client = &mut self.clients[index];
            match &mut client.crash_after {
                Some(0) => return self.crash_client(index),
                Some(left) => *left -= 1,
                None => {}
            }
            match output {
                Output::Connect => self.dial(index),
                Output::Send(bytes) => {
                    self.trace(b'c', &bytes);
                    self.snoop_client(index, &bytes);
                    if let Some(id) = self.clients[index].connection {
                        self.transmit(id, true, Travelling { frame: Some(bytes), from: None });
                    }
                }
                Output::Disconnect => self.hang_up(index),
                Output::Store(task, what) => {
                    if let LocalTask::Commit(writes) = &what {
                        self.trace(b'w', &encode_writes(writes));
                    }
                    let epoch = self.leads(index);
                    self.clients[index].tasks.push_back(Job::Store(task, what, epoch));
                    self.client_store_begins(index);
                }
                Output::Tell(to, bytes) => self.tell(index, to, &bytes),
                Output::TakeOver => self.take_over(index),
                Output::Event(told) => self.told(index, told),
            }
        }
        self.arm_client(index);
    }

    fn arm_client(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let Some(next) = client.replica.as_ref().and_then(Replica::poll_timeout) else { return };
        if client.armed.is_none_or(|armed| next < armed) {
            client.armed = Some(next);
            self.at(next, Event::ClientTimer(index));
        }
    }

    fn hang_up(&mut self, index: usize) {
        let Some(id) = self.clients[index].connection.take() else { return };
        self.transmit(id, true, Travelling { frame: None, from: None });
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.client_open = false;
        }
        self.sweep(id);
    }

    /// Tasks are done one at a time, in order.
    pub(crate) fn client_store_begins(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if client.busy || client.tasks.is_empty() {
            return;
        }
        client.busy = true;
        let (epoch, time) = (client.epoch, self.sync_time());
        let failed = self.begin_job(index);
        if failed.is_some() {
            self.count("failed client write");
        }
        self.after(time, Event::ClientStored(index, epoch, failed));
    }

    fn begin_job(&mut self, index: usize) -> Option<StoreError> {
        let job = self.clients[index].tasks[0].clone();
        self.clients[index].fenced = false;
        match job {
            Job::Store(_, LocalTask::Read { .. }, _) => None,
            Job::Store(_, LocalTask::Commit(_), epoch) if self.is_fenced(epoch) => {
                self.clients[index].fenced = true;
                None
            }
            Job::Store(_, LocalTask::Commit(writes), _) => {
                let failed = self.disk(index).write(&writes).err();
                if failed.is_none() {
                    self.stored_by_tab(index, &writes);
                }
                failed
            }
            Job::Lead { .. } => {
                let next = self.next_epoch();
                if let Some(Job::Lead { epoch, .. }) = self.clients[index].tasks.front_mut() {
                    *epoch = next;
                }
                None
            }
        }
    }

    /// Whether two clients are the same one, or tabs of one browser.
    pub(crate) fn share_disk(&self, one: usize, other: usize) -> bool {
        self.clients[one].host.unwrap_or(one) == self.clients[other].host.unwrap_or(other)
    }

    /// The disk of a client, which may be that of another tab.
    pub(crate) fn disk(&mut self, index: usize) -> &mut ClientDisk {
        let host = self.clients[index].host.unwrap_or(index);
        &mut self.clients[host].disk
    }

    pub(crate) fn client_stored(&mut self, index: usize, epoch: u64, failed: Option<StoreError>) {
        let client = &mut self.clients[index];
        if client.epoch != epoch {
            return;
        }
        client.busy = false;
        let Some(job) = client.tasks.pop_front() else { return };
        match job {
            Job::Lead { term, epoch } => self.lead(index, term, epoch),
            Job::Store(_, _, epoch) if client.fenced => self.fenced(index, epoch),
            Job::Store(task, what, _) => {
                let disk = self.disk(index);
                let done = match (what, failed) {
                    (LocalTask::Read { tables, prefix }, _) => {
                        LocalDone::Read(tables.iter().map(|table| disk.read(*table, &prefix)).collect())
                    }
                    (LocalTask::Commit(_), Some(e)) => LocalDone::Committed(Err(e)),
                    (LocalTask::Commit(_), None) => {
                        disk.sync();
                        LocalDone::Committed(Ok(()))
                    }
                };
                self.client_input(index, replica::Input::StoreDone(task, done));
            }
        }
        self.client_store_begins(index);
    }

    pub(crate) fn name_of(&self, index: usize, id: DocumentId) -> Option<DocumentName> {
        self.clients[index].documents.iter().find(|(_, d)| d.id == id).map(|(name, _)| name.clone())
    }

    fn told(&mut self, index: usize, told: Told) {
        if self.verbose && !matches!(told, Told::Status(_) | Told::Changed { .. }) {
            eprintln!("{:>12} client {index} tells {told:?}", self.now.0);
        }
        match told {
            Told::Ready(id) => self.ready(index, id),
            Told::Failed(id, e) => self.fail(format!("P2: client {index} can't open document {id:?}: {e}")),
            Told::Saved(id, change) => {
                self.scan(index, id);
                for token in self.edits_until(index, id, change) {
                    self.ledger.fates.get_mut(&token).expect("a token has a fate").saved = true;
                }
            }
            Told::Acknowledged(id, change) => {
                self.scan(index, id);
                for token in self.edits_until(index, id, change) {
                    self.acknowledged(index, id, token);
                }
                // What is settled once may be tried again later: it is looked at once.
                let opened = self.clients[index].documents.values_mut().find(|d| d.id == id);
                opened.into_iter().for_each(|d| d.edits.retain(|(c, _)| *c > change));
            }
            Told::Changed { document, .. } => {
                let missing =
                    self.clients[index].replica.as_ref().and_then(|r| r.read(document, |d| d.get_missing_deps(&[])));
                if missing.is_some_and(|m| !m.is_empty()) {
                    self.fail(format!("P4: client {index} holds changes whose deps it lacks"));
                }
            }
            Told::Emitted { document, from, payload, presence: true } => {
                self.saw_presence(index, document, from, payload);
            }
            Told::Rejected { .. } => self.count("rejected change"),
            Told::Status(id) => self.scan(index, id),
            _ => {}
        }
    }

    fn edits_until(&self, index: usize, id: DocumentId, change: ChangeId) -> Vec<Token> {
        let Some(opened) = self.clients[index].documents.values().find(|d| d.id == id) else { return Vec::new() };
        opened.edits.iter().filter(|(c, _)| *c <= change).map(|(_, t)| *t).collect()
    }

    /// Acknowledged: it was in the log on the server's disk, or is visible as rejected (P1, P2).
    fn acknowledged(&mut self, index: usize, id: DocumentId, token: Token) {
        let fate = &self.ledger.fates[&token];
        if fate.acknowledged {
            return;
        }
        let fine =
            fate.excused || self.ledger.ever_logged.contains(&token) || self.rejected(index, id).contains(&token);
        if !fine {
            self.fail(format!("P1: edit {token} of client {index} was acknowledged, and no log ever held it"));
        }
        let logged = self.ledger.ever_logged.contains(&token);
        self.ledger.fates.get_mut(&token).expect("a token has a fate").acknowledged = logged;
    }

    /// The tokens of what a client shows as rejected.
    pub(crate) fn rejected(&self, index: usize, id: DocumentId) -> BTreeSet<Token> {
        let Some(replica) = &self.clients[index].replica else { return BTreeSet::new() };
        let outbox = replica.outbox(id);
        let rejected = outbox.iter().filter(|e| matches!(e.state, OutboxState::Rejected { .. }));
        rejected.filter_map(|e| self.ledger.contents.get(&e.change)).flatten().copied().collect()
    }

    /// Writes down what the changes that a client holds contain.
    pub(crate) fn scan(&mut self, index: usize, id: DocumentId) {
        let Some(replica) = &self.clients[index].replica else { return };
        let (contents, deps) = (&mut self.ledger.contents, &mut self.ledger.deps);
        let fresh = replica.outbox(id).into_iter().map(|e| e.change).filter(|hash| !contents.contains_key(hash));
        let fresh: Vec<ChangeHash> = fresh.collect();
        if fresh.is_empty() {
            return;
        }
        replica.read(id, |document| {
            for hash in fresh {
                if let Some(change) = document.get_change_by_hash(&hash) {
                    contents.insert(hash, tokens_of(&change));
                    deps.insert(hash, change.deps().to_vec());
                }
            }
        });
    }

    /// What a client shows to who looks now: what it has received and was to apply later is in it then.
    pub(crate) fn shown(&mut self, index: usize, id: DocumentId) -> BTreeSet<Token> {
        let Some(replica) = self.clients[index].replica.as_mut() else { return BTreeSet::new() };
        replica.apply_waiting(self.now, id);
        replica.read(id, tokens_in).unwrap_or_default()
    }

    /// Loaded: all that this disk was told to be saved is visible, or visible as rejected (P2, P4).
    fn ready(&mut self, index: usize, id: DocumentId) {
        let Some(name) = self.name_of(index, id) else { return };
        self.scan(index, id);
        let shown = self.shown(index, id);
        let rejected = self.rejected(index, id);
        if let Some(opened) = self.clients[index].documents.get_mut(&name) {
            opened.ready = true;
        }
        let own = self
            .ledger
            .fates
            .iter()
            .filter(|(_, f)| self.share_disk(f.client, index) && f.document == name && f.saved && !f.excused);
        let lost = own.map(|(t, _)| *t).find(|t| !shown.contains(t) && !rejected.contains(t));
        if let Some(token) = lost {
            self.fail(format!("P2: edit {token} of client {index} was saved, and is not there after the restart"));
        }
    }

    pub(crate) fn crash_client(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if client.replica.take().is_none() {
            return;
        }
        let process = client.epoch;
        client.epoch += 1;
        client.named.clear();
        client.presences = Presences::default();
        client.crash_after = None;
        client.tasks.clear();
        client.busy = false;
        client.armed = None;
        let connection = client.connection.take();
        let alone = client.seat.is_none();
        self.count("client crash");
        if alone {
            self.crash_disk(index);
        }
        self.tab_ended(index, process);
        if let Some(id) = connection {
            let notices = self.rng.chance(700);
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.client_open = false;
            }
            self.cut(id, false, notices);
        }
        let down = Duration::from_millis(self.rng.below(5_000));
        self.after(down, Event::StartClient(index));
    }

    pub(crate) fn crash_disk(&mut self, index: usize) {
        if self.clients[index].disk.crash(&mut self.rng) {
            self.count("client tail lost or torn");
        }
    }

    /// The application edits a document.
    pub(crate) fn edit(&mut self, index: usize) {
        let wall = self.wall(index);
        let ready: Vec<_> =
            self.clients[index].documents.iter().filter(|(_, d)| d.ready).map(|(n, d)| (n.clone(), d.id)).collect();
        if ready.is_empty() {
            return;
        }
        let (name, id) = ready[self.rng.below(ready.len() as u64) as usize].clone();
        self.next_token += 1;
        let token = self.next_token;
        let refuse = std::mem::take(&mut self.clients[index].refuse_next);
        let mut rng = self.rng.fork();
        let disagree = self.disagree.as_mut().map(Disagree::next);
        let Some(replica) = self.clients[index].replica.as_mut() else { return };
        self.inputs += 1;
        let edited =
            replica.change(self.now, wall, id, |tx| crate::sim::edits::edit(tx, &mut rng, token, refuse, disagree));
        let change = match edited {
            Ok(((), change)) => change,
            // The replica loads the document again.
            Err(replica::EditError::NotReady) => return,
            Err(e) => return self.fail(format!("P2: client {index} could not edit: {e}")),
        };
        self.check_time(index, id);
        let shown = self.shown(index, id);
        if !shown.contains(&token) {
            self.fail(format!("P4: client {index} does not see its own edit {token}"));
        }
        self.ledger.write(token, name.clone(), index);
        self.note_number(index, &name, id);
        if let Some(opened) = self.clients[index].documents.get_mut(&name) {
            opened.edits.push((change, token));
            let edits = opened.edits.len();
            if let Some(replica) = self.clients[index].replica.as_mut() {
                conflicts::look(replica, index, id, edits);
            }
        }
        self.check_held(index, &name, id);
        self.answer(index, id, wall);
        self.declare_some(index, id, wall);
        self.check_time(index, id);
        self.write_in_deleted(&name);
        self.drain_client(index);
    }
}
