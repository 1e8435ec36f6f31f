//! One simulated world: virtual time, the event queue, and the phases of a run.
//!
//! Owns the order of events and every draw of chance; a seed decides all of it. Knows nothing of what machines say to each other.

use std::collections::BTreeMap;
use std::time::Duration;

use sync_core::id::{DocumentName, SessionId};
use sync_core::planted::{Planted, Planting};
use sync_core::replica::TabId;
use sync_core::rng::Rng;
use sync_core::storage::StoreError;
use sync_core::time::Instant;

use crate::sim::answers::Answers;
use crate::sim::checks::ON_THEIR_WAY;
use crate::sim::client::Client;
use crate::sim::compaction::Compaction;
use crate::sim::disagree::Disagree;
use crate::sim::disk::{CHECKSUM_START, ClientDisk, ServerDisk, checksum};
use crate::sim::hostile::Refused;
use crate::sim::ledger::Ledger;
use crate::sim::net::Connection;
use crate::sim::options::{Fault, Options};
use crate::sim::server::Server;
use crate::sim::settling::Settling;
use crate::sim::snoop::Snoop;
use crate::sim::tabs::Browser;

/// How long a healed world may take to settle.
const SETTLE_WITHIN: Duration = Duration::from_secs(180);
/// By then both sides have noticed that a connection is dead, and the client has come back.
const SILENCE_NOTICED: Duration = Duration::from_secs(25);
/// Most events at one instant before the run counts as spinning.
const EVENTS_AT_ONCE_MAX: u64 = 20_000;

/// What happens at a time.
#[derive(Debug)]
pub(crate) enum Event {
    Dialled(u64),
    Deliver(u64, bool),
    Notice(u64, bool),
    Authenticated(SessionId),
    StoreBegins(u64),
    Gathered(u64),
    StoreSyncs(u64),
    ServerTimer,
    StartServer,
    /// The server comes to settle conflicts.
    Settle,
    ClientTimer(usize),
    ClientStored(usize, u64, Option<StoreError>),
    StartClient(usize),
    Edit(usize),
    Fault,
    Images,
    DiskHeals(Option<usize>),
    Online(usize),
    Presence(usize),
    /// A tab, in one of its processes, hears that it has the leader's lock.
    LockHeld(usize, u64),
    /// It hears that the lock, given to it as this one, was taken away.
    LockLost(usize, u64, u64),
    /// What one tab says reaches another.
    TabSays {
        from: (usize, u64),
        to: (usize, u64),
        bytes: bytes::Bytes,
    },
    /// A tab's process is over, and the one that led then learns it by its lock.
    TabGone {
        tab: TabId,
        to: (usize, u64),
    },
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The first check that failed, if one did.
    pub failure: Option<String>,
    /// Inputs given to the machines.
    pub inputs: u64,
    /// Edits made.
    pub edits: u64,
    /// Faults injected and things seen, by name.
    pub counts: BTreeMap<&'static str, u64>,
    /// A hash over all that the machines put out.
    pub trace: u64,
}

/// A world under one seed.
pub struct World {
    pub(crate) now: Instant,
    pub(crate) rng: Rng,
    pub(crate) options: Options,
    pub(crate) chaos: bool,
    pub(crate) server: Server,
    pub(crate) clients: Vec<Client>,
    pub(crate) browser: Browser,
    pub(crate) connections: BTreeMap<u64, Connection>,
    pub(crate) next_connection: u64,
    pub(crate) next_token: u64,
    pub(crate) ledger: Ledger,
    pub(crate) snoop: Snoop,
    /// Pushes that must be refused.
    pub(crate) hostile: Refused,
    pub(crate) answers: Option<Answers>,
    pub(crate) disagree: Option<Disagree>,
    pub(crate) settling: Option<Settling>,
    pub(crate) inputs: u64,
    /// The server's disk holds another image since it went down.
    pub(crate) restored: bool,
    /// Prints what is said.
    pub verbose: bool,
    queue: BTreeMap<(Instant, u64), Event>,
    next_event: u64,
    at_once: u64,
    counts: BTreeMap<&'static str, u64>,
    trace: u64,
    failure: Option<String>,
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64, planted: Option<Planted>) -> Self {
        let mut rng = Rng::from_number(seed);
        let mut options = Options::draw(&mut rng, planted);
        options.draw_later(seed);
        let mut world = Self::with(rng, options);
        world.server.compaction = Compaction::draw(seed, Planting::new(planted));
        world.answers = Answers::draw(seed);
        world.disagree = Disagree::draw(seed);
        world.settling = Settling::draw(seed);
        world.add_tabs(seed);
        world
    }

    /// The world of a seed with what was injected from the first day on, and nothing that came later: so that seeds keep their stories.
    pub fn of_old(seed: u64) -> Self {
        let mut rng = Rng::from_number(seed);
        let options = Options::draw(&mut rng, None);
        Self::with(rng, options)
    }

    /// A world with options of the caller's choice.
    pub fn with(mut rng: Rng, options: Options) -> Self {
        let name = |i: usize| DocumentName::parse(&format!("sim/{i}")).expect("a valid name");
        let mut clients = Vec::new();
        for _ in 0..options.clients {
            let names = (0..options.documents).filter(|i| *i == 0 || rng.chance(600)).map(name).collect();
            clients.push(Client::new(names, ClientDisk::new()));
        }
        let disk = ServerDisk::new(rng.store_id());
        Self {
            now: Instant(1_000_000),
            rng,
            options,
            chaos: true,
            server: Server::new(disk),
            clients,
            browser: Browser::default(),
            connections: BTreeMap::new(),
            next_connection: 0,
            next_token: 0,
            ledger: Ledger::default(),
            snoop: Snoop::default(),
            hostile: Refused::new(),
            answers: None,
            disagree: None,
            settling: None,
            inputs: 0,
            restored: false,
            verbose: false,
            queue: BTreeMap::new(),
            next_event: 0,
            at_once: 0,
            counts: BTreeMap::new(),
            trace: CHECKSUM_START,
            failure: None,
        }
    }

    /// Runs the phases: chaos, heal, settle, check.
    pub fn run(mut self, seed: u64) -> Report {
        self.live_through_chaos();
        if self.failure.is_none() {
            self.heal();
            self.close_tabs();
            self.settle();
        }
        if self.failure.is_none() {
            self.check_all();
        }
        Report {
            seed,
            failure: self.failure,
            inputs: self.inputs,
            edits: self.next_token,
            counts: self.counts,
            trace: self.trace,
        }
    }

    fn live_through_chaos(&mut self) {
        for client in 0..self.clients.len() {
            self.start_client(client);
            self.schedule_edit(client);
            self.schedule_presence(client);
        }
        self.after(Duration::from_secs(2), Event::Fault);
        self.after(Duration::from_secs(5), Event::Images);
        self.settle_some();
        let end = self.now + self.options.chaos;
        self.run_until(end);
    }

    fn heal(&mut self) {
        self.chaos = false;
        if self.options.ends_going_back {
            self.go_back_at_last();
        }
        self.server.disk.trouble = None;
        self.server.crash_after = None;
        self.server.hangs_until = self.now;
        self.start_server();
        for index in 0..self.clients.len() {
            self.clients[index].disk.trouble = None;
            self.clients[index].crash_after = None;
            self.start_client(index);
            self.set_online(index, true);
        }
        let now = self.now;
        for connection in self.connections.values_mut() {
            for pipe in [&mut connection.up, &mut connection.down] {
                pipe.stalled_until = now;
                pipe.slow_until = now;
            }
        }
        // Whoever holds one end of a dead connection finds out by its own timeout.
        self.run_until(now + SILENCE_NOTICED);
    }

    /// Runs until all is in sync, within a budget.
    pub(crate) fn settle(&mut self) {
        let end = self.now + SETTLE_WITHIN;
        let mut why = String::new();
        while self.failure.is_none() && self.now < end {
            self.run_until(self.now + Duration::from_secs(1));
            self.look_everywhere();
            let now = self.unsettled();
            if now.is_empty() {
                return;
            }
            // Heartbeats are often on their way; what else kept the world from rest says more.
            if why.is_empty() || now != ON_THEIR_WAY {
                why = now;
            }
        }
        self.fail(format!("settle: not in sync {} s after the world healed: {why}", SETTLE_WITHIN.as_secs()));
    }

    /// Handles events up to a time.
    pub(crate) fn run_until(&mut self, end: Instant) {
        while self.failure.is_none() {
            let Some(entry) = self.queue.first_entry().filter(|e| e.key().0 <= end) else { break };
            let ((at, _), event) = entry.remove_entry();
            self.at_once = if at > self.now { 0 } else { self.at_once + 1 };
            if self.at_once > EVENTS_AT_ONCE_MAX {
                self.fail(format!("P7: {EVENTS_AT_ONCE_MAX} events at one instant, the last {event:?}"));
            }
            self.now = self.now.max(at);
            self.handle(event);
        }
        self.now = self.now.max(end);
    }

    fn handle(&mut self, event: Event) {
        // What comes to a tab that stands still waits for it.
        if let Some(index) = self.runs_in(&event).filter(|index| self.is_frozen(*index)) {
            let until = self.clients[index].frozen_until;
            return self.at(until, event);
        }
        match event {
            Event::LockHeld(client, process) => self.lock_held(client, process),
            Event::LockLost(client, process, given) => self.lock_lost(client, process, given),
            Event::TabSays { from, to, bytes } => self.hear(from, to, bytes),
            Event::TabGone { tab, to } => self.hear_gone(tab, to),
            Event::Dialled(id) => self.dialled(id),
            Event::Deliver(id, up) => self.deliver(id, up),
            Event::Notice(id, client_side) => self.notice(id, client_side),
            Event::Authenticated(session) => self.authenticated(session),
            Event::StoreBegins(epoch) => self.store_begins(epoch),
            Event::Gathered(epoch) => self.gathered(epoch),
            Event::StoreSyncs(epoch) => self.store_syncs(epoch),
            Event::ServerTimer => self.server_timer(),
            Event::StartServer => self.start_server(),
            Event::Settle => self.settle_some(),
            Event::ClientTimer(client) => self.client_timer(client),
            Event::ClientStored(client, epoch, failed) => self.client_stored(client, epoch, failed),
            Event::StartClient(client) => self.start_client(client),
            Event::Edit(client) if self.chaos => {
                for _ in 0..1 + self.rng.below(3) {
                    self.edit(client);
                }
                self.schedule_edit(client);
            }
            Event::Fault if self.chaos => {
                self.fault();
                let gap = Duration::from_micros(self.rng.below(2 * self.options.fault_gap_us));
                self.after(gap, Event::Fault);
            }
            Event::Images if self.chaos => {
                self.take_images();
                self.after(Duration::from_secs(4), Event::Images);
            }
            Event::DiskHeals(Some(client)) => self.disk(client).trouble = None,
            Event::DiskHeals(None) => self.server.disk.trouble = None,
            Event::Online(client) => self.set_online(client, true),
            Event::Presence(client) if self.chaos => self.say_presence(client),
            Event::Edit(_) | Event::Fault | Event::Images | Event::Presence(_) => {}
        }
    }

    pub(crate) fn schedule_edit(&mut self, client: usize) {
        let gap = Duration::from_micros(1_000 + self.rng.below(2 * self.options.edit_gap_us));
        self.after(gap, Event::Edit(client));
    }

    pub(crate) fn at(&mut self, at: Instant, event: Event) {
        self.next_event += 1;
        self.queue.insert((at.max(self.now), self.next_event), event);
    }

    pub(crate) fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    pub(crate) fn sync_time(&mut self) -> Duration {
        Duration::from_micros(self.options.sync_us / 2 + self.rng.below(self.options.sync_us + 1))
    }

    /// Whether a fault exists in this run.
    pub fn has(&self, fault: Fault) -> bool {
        self.options.has(fault)
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        if self.verbose {
            eprintln!("{:>12} {what}", self.now.0);
        }
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn trace(&mut self, kind: u8, bytes: &[u8]) {
        self.trace = checksum(checksum(self.trace, &[kind]), &self.now.0.to_le_bytes());
        self.trace = checksum(self.trace, bytes);
    }

    /// Notes what a check has seen, or why it fails.
    pub(crate) fn note(&mut self, outcome: Result<Vec<&'static str>, String>) {
        match outcome {
            Ok(seen) => seen.into_iter().for_each(|what| self.count(what)),
            Err(e) => self.fail(e),
        }
    }

    /// Notes the first failing check; the run ends there.
    pub(crate) fn fail(&mut self, what: String) {
        let at = self.now.0 as f64 / 1e6;
        self.failure.get_or_insert_with(|| format!("{what} (at {at:.3} s)"));
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }
}
