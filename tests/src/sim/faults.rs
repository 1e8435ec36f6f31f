//! Injecting faults: one random fault at a time, of the kinds that the run's options allow.

use std::collections::BTreeSet;
use std::time::Duration;

use sync_core::replica::OutboxState;
use sync_core::storage::Store;

use crate::sim::client::Client;
use crate::sim::disk::{ClientDisk, ServerDisk, Trouble};
use crate::sim::ledger::Token;
use crate::sim::options::Fault;
use crate::sim::world::{Event, World};

/// Older images kept of each disk.
const IMAGES_MAX: usize = 4;
/// Most clients in a world, with clones.
const CLIENTS_MAX: usize = 5;
/// How many more may come that hold nothing.
const NEWCOMERS_MAX: usize = 2;

impl World {
    /// Injects a random fault.
    pub(crate) fn fault(&mut self) {
        let Some(fault) = self.options.fault(&mut self.rng) else { return };
        let client = self.rng.below(self.clients.len() as u64) as usize;
        match fault {
            Fault::Cut | Fault::HalfOpen | Fault::Stall | Fault::Slow => self.trouble_connection(fault),
            Fault::ClientCrash => self.clients[client].crash_after = Some(self.rng.below(30)),
            Fault::ServerCrash => self.server.crash_after = Some(self.rng.below(60)),
            Fault::ClientDisk => {
                self.count("client disk trouble");
                let trouble = self.trouble();
                self.disk(client).trouble = Some(trouble);
                let ends = Duration::from_millis(self.rng.below(5_000));
                self.after(ends, Event::DiskHeals(Some(client)));
            }
            Fault::ServerDisk => {
                self.count("server disk trouble");
                self.server.disk.trouble = Some(self.trouble());
                let ends = Duration::from_millis(self.rng.below(5_000));
                self.after(ends, Event::DiskHeals(None));
            }
            Fault::ClockJump => self.jump(client),
            Fault::Clone => self.clone_client(client),
            Fault::ClientRollback => self.roll_client_back(client),
            Fault::ServerRestore | Fault::ServerSwap => self.roll_server_back(fault == Fault::ServerRestore),
            Fault::Unload => {
                if self.unload() > 0 {
                    self.count("room unloaded");
                }
            }
            Fault::Offline => {
                self.count("application offline");
                self.set_online(client, false);
                let until = Duration::from_millis(500 + self.rng.below(8_000));
                self.after(until, Event::Online(client));
            }
            Fault::Hostile => self.attack(),
            Fault::Delete => self.delete_document(),
            Fault::DiskHang => {
                self.count("server disk hangs");
                self.server.hangs_until = self.now + Duration::from_millis(500 + self.rng.below(5_000));
            }
            Fault::Newcomer => self.newcomer(client),
            Fault::TabFrozen => self.freeze_tab(),
            Fault::TabEnds => self.end_tab(),
            Fault::BrowserEnds => self.end_browser(),
            Fault::Act => self.act(client),
            Fault::Refused => {
                self.count("edit that will be refused");
                self.clients[client].refuse_next = true;
            }
        }
    }

    fn trouble(&mut self) -> Trouble {
        if self.rng.chance(500) { Trouble::Full } else { Trouble::Io(1 + self.rng.below(3) as u32) }
    }

    fn trouble_connection(&mut self, fault: Fault) {
        let live: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, c)| !c.broken && c.server_open && c.client_open)
            .map(|(id, _)| *id)
            .collect();
        if live.is_empty() {
            return;
        }
        let id = live[self.rng.below(live.len() as u64) as usize];
        let (client_side, up) = (self.rng.chance(500), self.rng.chance(500));
        let until = self.now + Duration::from_millis(200 + self.rng.below(15_000));
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let pipe = if up { &mut connection.up } else { &mut connection.down };
        match fault {
            Fault::Stall => {
                pipe.stalled_until = until;
                self.count("direction stalled");
            }
            Fault::Slow => {
                pipe.slow_until = until;
                self.count("direction slow");
            }
            Fault::HalfOpen => {
                self.cut(id, client_side, !client_side);
                self.count("half-open");
            }
            _ => {
                self.cut(id, true, true);
                self.count("cut");
            }
        }
    }

    pub(crate) fn set_online(&mut self, client: usize, online: bool) {
        let now = self.now;
        if self.is_frozen(client) {
            let until = self.clients[client].frozen_until;
            if online {
                self.at(until, Event::Online(client));
            }
            return;
        }
        if let Some(replica) = self.clients[client].replica.as_mut() {
            self.inputs += 1;
            replica.set_online(now, online);
            self.drain_client(client);
        }
    }

    /// Keeps images of all disks for a later rollback.
    pub(crate) fn take_images(&mut self) {
        if self.options.has(Fault::ServerRestore) || self.options.has(Fault::ServerSwap) {
            let image = self.server.disk.image();
            self.server.images.push(image);
            if self.server.images.len() > IMAGES_MAX {
                self.server.images.remove(0);
            }
        }
        if self.options.has(Fault::ClientRollback) {
            for index in (0..self.clients.len()).filter(|i| self.clients[*i].host.is_none()).collect::<Vec<_>>() {
                let saved = self.saved_of(index);
                let client = &mut self.clients[index];
                client.images.push((client.disk.image(), saved));
                if client.images.len() > IMAGES_MAX {
                    client.images.remove(0);
                }
            }
        }
    }

    fn saved_of(&self, index: usize) -> BTreeSet<Token> {
        self.ledger.fates.iter().filter(|(_, f)| self.share_disk(f.client, index) && f.saved).map(|(t, _)| *t).collect()
    }

    fn clone_client(&mut self, index: usize) {
        if self.clients.len() >= CLIENTS_MAX {
            return;
        }
        self.count("client disk cloned");
        let original = &self.clients[index];
        let copy = Client::new(original.names.clone(), self.clients[original.host.unwrap_or(index)].disk.image());
        self.clients.push(copy);
        let copy = self.clients.len() - 1;
        self.start_client(copy);
        self.schedule_edit(copy);
        self.schedule_presence(copy);
    }

    /// A client with an empty disk opens what another one has open.
    fn newcomer(&mut self, like: usize) {
        if self.clients.len() >= CLIENTS_MAX + NEWCOMERS_MAX {
            return;
        }
        self.count("newcomer");
        let names = self.clients[like].names.clone();
        self.clients.push(Client::new(names, ClientDisk::new()));
        let index = self.clients.len() - 1;
        self.start_client(index);
        self.schedule_edit(index);
        self.schedule_presence(index);
    }

    fn roll_client_back(&mut self, index: usize) {
        let index = self.clients[index].host.unwrap_or(index);
        if self.clients[index].images.is_empty() {
            return;
        }
        match self.clients[index].seat {
            Some(_) => self.end_browser(),
            None => self.crash_client(index),
        }
        let (image, saved) = self.clients[index].images.remove(0);
        self.clients[index].images.clear();
        self.clients[index].disk = image;
        self.count("client disk rolled back");
        // What the image lacks and no log held is lost with the disk; the promises leave that out.
        let clients = &self.clients;
        let here = |client: usize| clients[client].host.unwrap_or(client) == index;
        for (token, fate) in self.ledger.fates.iter_mut().filter(|(_, f)| here(f.client)) {
            fate.excused |= !saved.contains(token) && !self.ledger.ever_logged.contains(token);
            fate.saved &= saved.contains(token);
        }
    }

    /// Goes back to an older image of the server's store, where this run knows that at all.
    pub(crate) fn go_back_at_last(&mut self) {
        if let Some(fault) = [Fault::ServerSwap, Fault::ServerRestore].into_iter().find(|fault| self.has(*fault)) {
            self.roll_server_back(fault == Fault::ServerRestore);
        }
    }

    fn roll_server_back(&mut self, restore: bool) {
        if self.server.images.is_empty() {
            return;
        }
        if self.server.up {
            self.crash_server();
        }
        let image = self.server.images.remove(0);
        self.server.images.clear();
        self.count(if restore { "server restored" } else { "server swapped" });
        self.server.disk = if restore { ServerDisk::restored(image, self.rng.store_id()) } else { image };
        self.restored = true;
        debug_assert!(!restore || self.server.disk.store_id() != sync_core::id::StoreId([0; 16]));
    }

    /// The application acts on a rejected change.
    fn act(&mut self, index: usize) {
        if self.is_frozen(index) {
            return;
        }
        let ids: Vec<_> = self.clients[index].documents.values().map(|d| d.id).collect();
        let now = self.now;
        for id in ids {
            self.note_blocked(index, id);
            let Some(replica) = self.clients[index].replica.as_mut() else { return };
            let outbox = replica.outbox(id);
            let rejected = outbox.into_iter().find(|e| matches!(e.state, OutboxState::Rejected { .. }));
            let Some(entry) = rejected else { continue };
            self.inputs += 1;
            let tokens: BTreeSet<_> = self.ledger.contents.get(&entry.change).into_iter().flatten().copied().collect();
            if self.rng.chance(500) {
                self.ledger.wanted_again(&tokens);
                let _ = replica.retry(now, id, entry.change);
                self.count("rejected change tried again");
            } else {
                let _ = replica.discard(now, id, entry.change);
                for token in tokens {
                    if let Some(fate) = self.ledger.fates.get_mut(&token) {
                        fate.excused = true;
                    }
                }
                self.count("rejected change discarded");
            }
            self.drain_client(index);
        }
    }
}
