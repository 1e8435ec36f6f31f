//! What tests of document snapshots need of the network: making them, damaging them, and telling what was sent.

use sync_core::compact::Alone;
use sync_core::id::DocumentName;
use sync_core::newcomer::{self, Options};
use sync_core::protocol::ServerMessage;
use sync_core::replica::{self, Event, Replica};
use sync_core::storage::{DocumentSnapshot, Store as _};

use super::Net;

/// Snapshots of documents of any size, with views, in small pieces.
pub(crate) fn small() -> Options {
    Options { changes_min: 1, view_changes_min: 1, piece_bytes: 40, read_bytes_max: 100, ..Options::default() }
}

impl Net {
    /// Makes a snapshot of a document as the server's store has it.
    pub(crate) fn make_snapshot(&mut self, name: &str, options: &Options) -> DocumentSnapshot {
        let document = DocumentName::parse(name).expect("a name");
        let mut source = Alone { store: &mut self.server.store, document: &document };
        newcomer::make(&document, options, &mut source).expect("can be made").expect("long enough")
    }

    /// Makes one and keeps it.
    pub(crate) fn keep_snapshot(&mut self, name: &str) -> DocumentSnapshot {
        let snapshot = self.make_snapshot(name, &small());
        self.server.store.keep_snapshot(&snapshot).expect("it fits");
        snapshot
    }

    /// Keeps one that may be damaged.
    pub(crate) fn keep_damaged(&mut self, snapshot: &DocumentSnapshot) {
        self.server.store.keep_snapshot(snapshot).expect("the store does not look into pieces");
    }

    pub(super) fn count_said(&mut self, said: &[ServerMessage]) {
        for message in said {
            match message {
                ServerMessage::Snapshot(_) => self.server.pieces_said += 1,
                ServerMessage::Changes(_) => self.server.ranges_said += 1,
                _ => {}
            }
        }
    }

    /// What a client was told since it was last asked.
    pub(crate) fn events(&mut self, client: usize) -> Vec<Event> {
        std::mem::take(&mut self.clients[client].events)
    }

    /// Starts a client anew as one that takes packs alone.
    pub(crate) fn restart_without_snapshots(&mut self, client: usize) {
        self.drop_link(client);
        let config = replica::Config { snapshots: false, ..replica::Config::default() };
        self.clients[client].replica = Replica::new(config, self.rng.bytes());
        self.settle();
    }

    /// Carries out a number of steps and leaves the rest waiting.
    pub(crate) fn some_steps(&mut self, count: usize) {
        for _ in 0..count {
            let Some(step) = self.steps.pop_front() else { return };
            self.step(step);
        }
    }

    /// Opens a document and carries nothing out.
    pub(crate) fn begin_to_open(&mut self, client: usize, name: &str) -> replica::DocumentId {
        let name = DocumentName::parse(name).expect("a name");
        let id = self.clients[client].replica.open(self.now, name);
        self.drain_client(client);
        id
    }

    /// Rows that a client's store has for the history of its documents.
    pub(crate) fn chunks(&mut self, client: usize) -> Vec<sync_core::storage::Row> {
        use sync_core::storage::{LocalStore as _, Table};
        let store = self.clients[client].store;
        self.stores[store].read(Table::Chunk, &[]).expect("in memory")
    }
}
