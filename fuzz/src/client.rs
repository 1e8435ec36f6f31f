//! A client in one thread: a real replica over a store in memory, whose frames and storage tasks a target carries where it likes.

use std::collections::VecDeque;

use automerge::{ObjType, ROOT, ReadDoc as _, transaction::Transactable as _};
use bytes::Bytes;
use sync_core::id::{ChangeHash, TaskId};
use sync_core::replica::{Config, DocumentId, Event, Input, Output, Replica};
use sync_core::storage::memory::MemoryLocalStore;
use sync_core::storage::{LocalDone, LocalTask, StoreError};
use sync_core::time::{Instant, WallTime};

use crate::choices::Choices;
use crate::host::document;

/// The client.
pub struct Client {
    /// The machine.
    pub replica: Replica,
    /// What is committed.
    pub store: MemoryLocalStore,
    /// The document it has open.
    pub id: DocumentId,
    /// What it wants sent.
    pub sent: VecDeque<Bytes>,
    /// Whether it asked for a connection and has not got one.
    pub dials: bool,
    /// Whether it believes to be connected.
    pub connected: bool,
    /// Why its store's rows were refused, if they were.
    pub failed: Option<StoreError>,
    tasks: VecDeque<(TaskId, LocalTask)>,
}

impl Client {
    /// A client that opens [`document`] over a store.
    pub fn new(now: Instant, store: MemoryLocalStore, online: bool) -> Self {
        Self::in_life(3, now, store, online)
    }

    /// The same with chance of another life: no process draws the actors of an earlier one.
    pub fn in_life(life: u8, now: Instant, store: MemoryLocalStore, online: bool) -> Self {
        let config = Config { online, unsaved_bytes_max: 20_000, outbox_changes_max: 40, ..Config::default() };
        let mut replica = Replica::new(config, [life; 32]);
        let id = replica.open(now, document());
        let mut client = Self {
            replica,
            store,
            id,
            sent: VecDeque::new(),
            dials: false,
            connected: false,
            failed: None,
            tasks: VecDeque::new(),
        };
        client.drain();
        client
    }

    /// Feeds what happened.
    pub fn input(&mut self, now: Instant, input: Input) {
        self.replica.handle_input(now, input);
        self.drain();
    }

    /// The connection that it asked for is there.
    pub fn connect(&mut self, now: Instant) {
        self.dials = false;
        self.connected = true;
        self.input(now, Input::Connected(WallTime(1)));
    }

    /// The connection is gone, or the attempt failed.
    pub fn disconnect(&mut self, now: Instant) {
        if std::mem::take(&mut self.connected) || std::mem::take(&mut self.dials) {
            self.dials = false;
            self.sent.clear();
            self.input(now, Input::Disconnected);
        }
    }

    /// Fires what is due.
    pub fn timeout(&mut self, now: Instant) {
        self.replica.handle_timeout(now);
        self.drain();
    }

    /// Does the oldest storage task, or fails it. Whether there was one.
    pub fn store_step(&mut self, now: Instant, fails: Option<StoreError>) -> bool {
        let Some((task, what)) = self.tasks.pop_front() else { return false };
        let done = match (what, fails) {
            (LocalTask::Read { .. }, Some(e)) => LocalDone::Read(Err(e)),
            (LocalTask::Commit(_), Some(e)) => LocalDone::Committed(Err(e)),
            (what, None) => what.run(&mut self.store),
        };
        self.input(now, Input::StoreDone(task, done));
        true
    }

    /// Edits the document, if it can be edited.
    pub fn edit(&mut self, now: Instant, choices: &mut impl Choices) {
        let (key, value) = (choices.pick(&["a", "b", "title"]), choices.below(4));
        let edited = self.replica.change(now, WallTime(1), self.id, |tx| match value {
            0 => tx.delete(ROOT, key),
            1 => tx.put_object(ROOT, key, ObjType::List).map(drop),
            2 => match tx.get(ROOT, "text")? {
                Some((value, text)) if value.is_object() => tx.splice_text(&text, 0, 0, "ab"),
                _ => tx.put(ROOT, key, 1),
            },
            _ => tx.put(ROOT, key, "x".repeat(200)),
        });
        drop(edited);
        self.drain();
    }

    /// The heads that it shows, if it shows anything.
    pub fn heads(&self) -> Option<Vec<ChangeHash>> {
        let mut heads = self.replica.read(self.id, |document| document.get_heads())?;
        heads.sort();
        Some(heads)
    }

    fn drain(&mut self) {
        while let Some(output) = self.replica.poll_output() {
            match output {
                Output::Connect => self.dials = true,
                Output::Send(bytes) => self.sent.push_back(bytes),
                Output::Disconnect => {
                    self.connected = false;
                    self.dials = false;
                    self.sent.clear();
                }
                Output::Store(task, what) => self.tasks.push_back((task, what)),
                Output::Event(Event::Failed(_, error)) => self.failed = Some(error),
                Output::Tell(..) | Output::TakeOver | Output::Event(_) => {}
            }
        }
    }
}
