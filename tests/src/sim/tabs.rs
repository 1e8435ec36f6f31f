//! Several tabs on one store in the simulation: what they say to each other, who holds the leader's lock, and the fence in the store.
//!
//! Owns the driver's part of it, as the browser's driver has it: a lock that goes to who waits longest or takes it away, an epoch that each
//! leader raises, and commits of a leader that fail under another's epoch. What tabs say and what leading means is the replica's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use sync_core::id::ChangeHash;
use sync_core::planted::Planted;
use sync_core::replica::{self, Replica, TabId};
use sync_core::rng::Rng;
use sync_core::storage::{Table, Write};
use sync_core::time::Instant;

use crate::sim::client::{Client, Job};
use crate::sim::disk::ClientDisk;
use crate::sim::ledger::{Token, tokens_in};
use crate::sim::options::Fault;
use crate::sim::standing::Word;
use crate::sim::world::{Event, World};

/// Parts the chance of tabs from that of all else.
const TABS_SALT: u64 = 0x7461_6273_0000_0001;
/// Most time that a tab stands still.
const FROZEN_MS_MAX: u64 = 60_000;
/// A tab that is closed for good ends before so many more outputs, and within this time.
const ENDS_AFTER_MAX: u64 = 8;
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// The tabs of one browser.
#[derive(Debug, Default)]
pub(crate) struct Browser {
    /// Clients that are its tabs; the first of them has the disk.
    pub(crate) tabs: Vec<usize>,
    /// Who holds the leader's lock, by client and process.
    holder: Option<(usize, u64)>,
    waiting: VecDeque<(usize, u64)>,
    /// How often the lock was given to somebody.
    given: u64,
    /// What the store counts leaders by.
    epoch: u64,
    /// When the last message from one tab to another comes.
    last: BTreeMap<(usize, usize), Instant>,
    /// Processes whose messages on their way were lost with them.
    muted: BTreeSet<(usize, u64)>,
    /// Tokens of changes that the store holds or held.
    stored: BTreeSet<Token>,
    /// What tabs have heard of the one that leads.
    pub(crate) words: BTreeMap<usize, Word>,
}

/// What a client's driver knows as a tab.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    pub(crate) number: TabId,
    /// The epoch under which it leads.
    leads: Option<u64>,
    /// Counts what it hears of the lock.
    term: u64,
    /// When it was given the lock last, as the browser counts that.
    given: u64,
}

impl World {
    /// Some worlds have a browser with several tabs: the last of the clients, and more on its disk.
    pub(crate) fn add_tabs(&mut self, seed: u64) {
        let mut rng = Rng::from_number(seed ^ TABS_SALT);
        if !rng.chance(400) {
            return;
        }
        let first = self.clients.len() - 1;
        let more = 1 + rng.below(2) as usize;
        let names = self.clients[first].names.clone();
        for _ in 0..more {
            let names = names.iter().enumerate().filter(|(i, _)| *i == 0 || rng.chance(700));
            let mut client = Client::new(names.map(|(_, name)| name.clone()).collect(), ClientDisk::new());
            client.host = Some(first);
            self.clients.push(client);
        }
        self.browser.tabs = (first..=first + more).collect();
        for (number, tab) in self.browser.tabs.clone().into_iter().enumerate() {
            self.clients[tab].seat = Some(Seat { number: TabId(number as u32), leads: None, term: 0, given: 0 });
        }
        // What one tab says of where its user is goes out for that tab only while it leads.
        self.options.presence = false;
        for fault in Fault::TABS {
            self.options.weights.push((fault, 1 + rng.below(if fault == Fault::TabFrozen { 12 } else { 4 })));
        }
    }

    pub(crate) fn is_tab(&self, index: usize, process: u64) -> bool {
        self.clients[index].epoch == process && self.clients[index].replica.is_some()
    }

    /// A tab wants the lock as soon as it is free.
    pub(crate) fn stand(&mut self, index: usize) {
        if self.clients[index].seat.is_some() {
            self.browser.waiting.push_back((index, self.clients[index].epoch));
            self.grant();
        }
    }

    fn grant(&mut self) {
        while self.browser.holder.is_none() {
            let Some((index, process)) = self.browser.waiting.pop_front() else { return };
            if self.is_tab(index, process) {
                self.hold(index);
            }
        }
    }

    fn hold(&mut self, index: usize) {
        let process = self.clients[index].epoch;
        self.browser.holder = Some((index, process));
        self.browser.given += 1;
        self.clients[index].seat.as_mut().expect("a tab").given = self.browser.given;
        let delay = self.tab_delay();
        self.after(delay, Event::LockHeld(index, process));
    }

    /// A tab hears that it has the lock: once all before is done it makes the store its own.
    pub(crate) fn lock_held(&mut self, index: usize, process: u64) {
        if self.is_tab(index, process) {
            // It was taken away before, if it had it.
            self.depose(index);
            let term = self.next_term(index);
            self.clients[index].tasks.push_back(Job::Lead { term, epoch: 0 });
            self.client_store_begins(index);
        }
    }

    fn next_term(&mut self, index: usize) -> u64 {
        let seat = self.clients[index].seat.as_mut().expect("a tab");
        seat.term += 1;
        seat.term
    }

    /// The store counts a new leader: what any before still has to write fails.
    pub(crate) fn next_epoch(&mut self) -> u64 {
        self.browser.epoch += 1;
        self.browser.epoch
    }

    /// The store is a tab's, unless it has heard meanwhile that its lock was taken away.
    pub(crate) fn lead(&mut self, index: usize, term: u64, epoch: u64) {
        let seat = self.clients[index].seat.as_mut().expect("a tab");
        if seat.term == term {
            seat.leads = Some(epoch);
            self.browser.words.remove(&index);
            self.count("tab leads");
            self.client_input(index, replica::Input::Lead(epoch));
        }
    }

    /// A tab hears that its lock was taken away, unless it was given it anew.
    pub(crate) fn lock_lost(&mut self, index: usize, process: u64, given: u64) {
        let has = self.clients[index].seat.map(|seat| seat.given);
        if self.is_tab(index, process) && has == Some(given) {
            self.next_term(index);
            self.depose(index);
            self.stand(index);
        }
    }

    /// The epoch under which a client leads other tabs.
    pub(crate) fn leads(&self, index: usize) -> Option<u64> {
        self.clients[index].seat.and_then(|seat| seat.leads)
    }

    /// A leader's commit has failed, since another tab leads. A lock that it has it lets go, unless it has heard of that already.
    pub(crate) fn fenced(&mut self, index: usize, epoch: Option<u64>) {
        self.count("commit of an old leader refused");
        if self.leads(index) != epoch {
            return;
        }
        self.next_term(index);
        self.browser.holder = self.browser.holder.filter(|(holder, _)| *holder != index);
        self.browser.waiting.retain(|(waiting, _)| *waiting != index);
        self.depose(index);
        self.stand(index);
    }

    /// The driver learns that another tab leads.
    fn depose(&mut self, index: usize) {
        if self.clients[index].seat.as_mut().and_then(|seat| seat.leads.take()).is_some() {
            self.count("leader deposed");
            self.clients[index].clock.forget();
            self.client_input(index, replica::Input::Deposed);
        }
    }

    /// A tab takes the lock from whoever has it.
    pub(crate) fn take_over(&mut self, index: usize) {
        self.count("lead taken over");
        self.browser.waiting.retain(|(waiting, _)| *waiting != index);
        if let Some((old, process)) = self.browser.holder.take() {
            let delay = Duration::from_millis(self.rng.below(500));
            let given = self.clients[old].seat.expect("a tab").given;
            self.after(delay, Event::LockLost(old, process, given));
        }
        self.hold(index);
    }

    /// Whether a commit comes from a leader that is one no more.
    pub(crate) fn is_fenced(&self, epoch: Option<u64>) -> bool {
        epoch.is_some_and(|epoch| epoch != self.browser.epoch) && self.options.planted != Some(Planted::FenceIgnored)
    }

    /// A tab says something to another one, or to all.
    pub(crate) fn tell(&mut self, from: usize, to: Option<TabId>, bytes: &Bytes) {
        self.trace(b't', bytes);
        let process = self.clients[from].epoch;
        for tab in self.browser.tabs.clone() {
            let client = &self.clients[tab];
            let number = client.seat.expect("a tab").number;
            if tab == from || client.replica.is_none() || to.is_some_and(|to| to != number) {
                continue;
            }
            let listener = client.epoch;
            let at = self.now + self.tab_delay();
            let last = self.browser.last.entry((from, tab)).or_default();
            *last = at.max(*last);
            let at = *last;
            self.at(at, Event::TabSays { from: (from, process), to: (tab, listener), bytes: bytes.clone() });
        }
    }

    /// It arrives, unless it was lost with either. What the tab shows then of other tabs' edits must be in the store.
    pub(crate) fn hear(&mut self, from: (usize, u64), (index, process): (usize, u64), bytes: Bytes) {
        if !self.is_tab(index, process) || self.browser.muted.contains(&from) {
            return;
        }
        let number = self.clients[from.0].seat.expect("a tab").number;
        let told = self.note_word(from.0, (index, process), &bytes);
        self.client_input(index, replica::Input::Told(number, bytes));
        self.check_word(index, told);
        let Some(replica) = &self.clients[index].replica else { return };
        for opened in self.clients[index].documents.values() {
            let shown = replica.read(opened.id, tokens_in).unwrap_or_default();
            let early = shown.into_iter().find(|token| {
                let writer = self.ledger.fates.get(token).map(|fate| fate.client);
                writer.is_some_and(|writer| writer != index && self.browser.tabs.contains(&writer))
                    && !self.browser.stored.contains(token)
                    && !self.ledger.ever_logged.contains(token)
            });
            if let Some(token) = early {
                return self.fail(format!("P4: tab {index} heard of edit {token}, which is not in the store"));
            }
        }
    }

    /// Notes what a commit of a tab brings to the store.
    pub(crate) fn stored_by_tab(&mut self, index: usize, writes: &[Write]) {
        if self.clients[index].seat.is_none() {
            return;
        }
        let ids: Vec<_> = self.clients[index].documents.values().map(|d| d.id).collect();
        ids.into_iter().for_each(|id| self.scan(index, id));
        for write in writes {
            if let Write::Put { table: Table::Outbox, key, .. } = write
                && let Some(hash) = key.last_chunk::<32>()
            {
                let tokens = self.ledger.contents.get(&ChangeHash(*hash));
                self.browser.stored.extend(tokens.into_iter().flatten());
            }
        }
    }

    /// A tab stands still for long: nothing runs in it, and what comes to it waits. Mostly it is the one that leads. Or another one takes that for
    /// standing still, and the lead from it while it goes on.
    pub(crate) fn freeze_tab(&mut self) {
        let Some(index) = self.some_tab() else { return };
        if self.rng.chance(500) {
            let runs = |world: &Self, tab: usize| world.clients[tab].replica.is_some() && !world.is_frozen(tab);
            let holder = self.browser.holder.map(|(holder, _)| holder);
            let other = self.browser.tabs.iter().copied().find(|tab| Some(*tab) != holder && runs(self, *tab));
            return other.into_iter().for_each(|other| self.take_over(other));
        }
        let span = if self.rng.chance(700) { FROZEN_MS_MAX } else { 3_000 };
        let span = Duration::from_millis(500 + self.rng.below(span));
        if self.is_frozen(index) {
            return;
        }
        self.clients[index].frozen_until = self.now + span;
        self.count("tab frozen");
    }

    /// A tab is closed, or ends without a word, and is opened again later.
    pub(crate) fn end_tab(&mut self) {
        let Some(index) = self.some_tab() else { return };
        if self.rng.chance(500) && !self.is_frozen(index) {
            self.count("tab closed");
            self.clients[index].replica.as_mut().map(Replica::leave_tabs);
            self.drain_client(index);
        }
        self.crash_client(index);
    }

    /// All tabs end at once, and the browser with them.
    pub(crate) fn end_browser(&mut self) {
        self.count("browser crash");
        for tab in self.browser.tabs.clone() {
            self.crash_client(tab);
        }
        self.crash_disk(self.browser.tabs[0]);
    }

    fn some_tab(&mut self) -> Option<usize> {
        let any = self.rng.below(self.browser.tabs.len() as u64) as usize;
        let leader = self.browser.holder.filter(|_| self.rng.chance(600)).map(|(index, _)| index);
        Some(leader.unwrap_or(self.browser.tabs[any])).filter(|index| self.clients[*index].replica.is_some())
    }

    /// A tab's process is over: its locks are free, and it hears nothing more.
    pub(crate) fn tab_ended(&mut self, index: usize, process: u64) {
        let Some(seat) = &mut self.clients[index].seat else { return };
        seat.leads = None;
        let tab = seat.number;
        self.clients[index].frozen_until = Instant(0);
        if self.rng.chance(500) {
            self.browser.muted.insert((index, process));
        }
        if self.browser.holder == Some((index, process)) {
            self.browser.holder = None;
            self.grant();
        }
        // It waits for the lock of each that it has heard of.
        if let Some(to) = self.browser.holder.filter(|(leader, _)| self.leads(*leader).is_some()) {
            self.at(self.now, Event::TabGone { tab, to });
        }
    }

    /// The tab that leads learns that another one is over.
    pub(crate) fn hear_gone(&mut self, tab: TabId, (index, process): (usize, u64)) {
        if self.is_tab(index, process) {
            self.client_input(index, replica::Input::Gone(tab));
        }
    }

    /// Some users edit in a tab once more and it ends, to be opened never again: what is in the store by then is for the other tabs to send, which
    /// it may have told nothing of that.
    pub(crate) fn close_tabs(&mut self) {
        let more = self.browser.tabs.get(1..).unwrap_or_default().to_vec();
        for tab in more {
            if self.is_frozen(tab) || !self.rng.chance(500) {
                continue;
            }
            self.edit(tab);
            self.clients[tab].stays_closed = true;
            self.clients[tab].crash_after = Some(self.rng.below(ENDS_AFTER_MAX));
            self.run_until(self.now + ENDS_WITHIN);
            self.crash_client(tab);
            self.count("tab closed for good");
        }
    }

    pub(crate) fn is_frozen(&self, index: usize) -> bool {
        self.clients[index].frozen_until > self.now
    }

    /// Whose client an event would run in.
    pub(crate) fn runs_in(&self, event: &Event) -> Option<usize> {
        match event {
            Event::ClientTimer(index)
            | Event::ClientStored(index, ..)
            | Event::Edit(index)
            | Event::Online(index)
            | Event::LockHeld(index, _)
            | Event::LockLost(index, ..)
            | Event::TabSays { to: (index, _), .. }
            | Event::TabGone { to: (index, _), .. } => Some(*index),
            Event::Dialled(id) | Event::Deliver(id, false) | Event::Notice(id, true) => {
                self.connections.get(id).map(|connection| connection.client)
            }
            _ => None,
        }
    }

    fn tab_delay(&mut self) -> Duration {
        Duration::from_micros(100 + self.rng.below(5_000))
    }
}
