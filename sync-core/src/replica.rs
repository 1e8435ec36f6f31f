//! The client's machine: documents that can be edited at any time, an outbox, and a conversation with a server whenever there is one.
//!
//! Owns no socket, file or clock. A driver feeds inputs and **drains `poll_output` after every call that takes `now`**. Local edits
//! are committed to the local store before they are sent; one transaction at a time is on its way there.

mod allowed;
mod branch;
mod conflicts;
mod connection;
mod conversation;
mod edit;
mod identity;
mod kept;
mod local;
mod newcomer;
mod outbox;
mod position;
mod quiet;
mod receive;
mod refused;
mod rows;
mod save;
mod settling;
mod skew;
pub mod tabs;
mod types;

pub use crate::settlement::Listed;
pub use settling::ResolveError;
pub use skew::SKEW_SLACK_MS;
pub use tabs::{TABS_MAX, TabId};
pub use types::{
    ChangeId, Config, DocumentId, EditError, Event, Input, OutboxEntry, OutboxState, Output, State, Status,
};

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::VectorClock;
use crate::document::{InitValue, init_change};
use crate::few::FewMap;
use crate::id::{ChangeHash, ClientId, DocumentName, LogSeq, RESERVED_KEY, TaskId};
use crate::planted::Planted;
use crate::protocol::Assembler;
use crate::rng::Rng;
use crate::storage::{LocalDone, LocalTask, Row, StoreError};
use crate::time::Instant;
use connection::Connection;
use conversation::Conversation;
use local::{Delta, Local, LocalError};
use rows::IdentityRow;
use save::Saves;
use skew::Skew;
use tabs::{DocTabs, Tabs};

/// One document of a replica.
#[derive(Debug)]
struct Doc {
    name: DocumentName,
    phase: DocPhase,
    conversation: Conversation,
    edits: outbox::Edits,
    tabs: DocTabs,
    synced_at: Option<Instant>,
}

#[derive(Debug)]
enum DocPhase {
    /// Waits for the replica's identity, or for its rows.
    Loading,
    Ready(Box<Local>),
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Identity,
    Load(DocumentId),
    /// Read what the outbox holds in the store.
    Look(DocumentId),
    Commit,
}

/// The machine of one client.
#[derive(Debug)]
pub struct Replica {
    config: Config,
    rng: Rng,
    identity: Option<IdentityRow>,
    connection: Connection,
    skew: Skew,
    assembler: Assembler,
    documents: FewMap<DocumentId, Doc>,
    names: FewMap<DocumentName, DocumentId>,
    saves: Saves,
    tabs: Tabs,
    tasks: FewMap<TaskId, Task>,
    next_task: u64,
    next_document: u32,
    next_edit: u64,
    outputs: VecDeque<Output>,
}

impl Replica {
    /// A replica over a local store of which nothing is known yet: it reads who it is first.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut replica = Self {
            connection: Connection::new(config.online),
            skew: Skew::default(),
            tabs: Tabs::new(config.tab),
            config,
            rng: Rng::new(seed),
            identity: None,
            assembler: Assembler::new(),
            documents: FewMap::new(),
            names: FewMap::new(),
            saves: Saves::default(),
            tasks: FewMap::new(),
            next_task: 0,
            next_document: 0,
            next_edit: 0,
            outputs: VecDeque::new(),
        };
        replica.read_identity();
        replica
    }

    /// Feeds what happened. Drain `poll_output` afterwards.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Connected(wall) => self.connected(now, wall),
            Input::Frame(bytes) => self.frame(now, &bytes),
            Input::Disconnected => self.disconnected(now),
            Input::NetworkChanged => self.connect_soon(now),
            Input::StoreDone(task, done) => self.store_done(now, task, done),
            Input::Lead(epoch) => self.lead(now, epoch),
            Input::Deposed => self.deposed(now),
            Input::Told(from, bytes) => self.told(now, from, &bytes),
            Input::Gone(tab) => self.gone(tab),
            Input::Seat(tab) => self.seated(tab),
        }
    }

    /// Fires what is due. Call it at the time that `poll_timeout` gives. Drain `poll_output` afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.connection_timeout(now);
        self.quiet_timeout(now);
        self.conversation_timeout(now);
        self.save_timeout(now);
        self.tabs_timeout(now);
    }

    /// When `handle_timeout` is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let documents = self.documents.values().filter_map(|doc| doc.conversation.next_timeout()).min();
        [self.connection_due(), documents, self.saves.retry_at, self.tabs_due()].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.outputs.is_empty() {
            self.tell_news();
        }
        self.outputs.pop_front()
    }

    /// Who this installation is, once the local store has said so.
    pub fn client_id(&self) -> Option<ClientId> {
        self.identity.as_ref().map(|identity| identity.client)
    }

    /// Opens a document; [`Event::Ready`] or [`Event::Failed`] follows. The same name gives the same id.
    pub fn open(&mut self, now: Instant, name: DocumentName) -> DocumentId {
        if let Some(id) = self.names.get(&name).copied() {
            if self.documents.get(&id).is_some_and(|doc| matches!(doc.phase, DocPhase::Failed)) {
                self.reload(id);
            }
            if self.is_ready_from_tabs(id) {
                self.event(Event::Ready(id));
                self.show(id, self.view(id));
            }
            return id;
        }
        self.next_document += 1;
        let id = DocumentId(self.next_document);
        self.names.insert(name.clone(), id);
        let doc = Doc {
            name,
            phase: DocPhase::Loading,
            conversation: Conversation::default(),
            edits: outbox::Edits::default(),
            tabs: DocTabs::default(),
            synced_at: None,
        };
        self.documents.insert(id, doc);
        let _ = now;
        if self.identity.is_some() {
            self.reload(id);
        }
        id
    }

    /// Closes a document here and on the server. What is unsaved goes on to the local store, what is unsent waits there.
    pub fn close(&mut self, id: DocumentId) {
        if self.is_wanted_by_tabs(id) {
            return;
        }
        self.leave(id);
        if let Some(doc) = self.documents.remove(&id) {
            self.names.remove(&doc.name);
        }
    }

    /// Creates a root key by its fixed change, unless it is held already.
    pub fn init(&mut self, now: Instant, id: DocumentId, key: &str, value: InitValue) -> Result<(), EditError> {
        if key == RESERVED_KEY { Err(EditError::Reserved) } else { self.create(now, id, key, value) }
    }

    fn create(&mut self, now: Instant, id: DocumentId, key: &str, value: InitValue) -> Result<(), EditError> {
        let limits = self.config.change;
        let change = init_change(key, value).map_err(|e| EditError::Application(e.to_string()))?;
        let local = self.local_mut(id).ok_or(EditError::NotReady)?;
        if local.all.contains(&change.hash()) {
            return Ok(());
        }
        let hash = change.hash();
        match local.add(change, &limits) {
            Ok(delta) => {
                self.track(id, hash);
                self.save(now, id, delta, true);
                Ok(())
            }
            Err(LocalError::Mismatch(e)) => Err(EditError::Refused(e)),
            Err(e) => {
                self.reload(id);
                Err(EditError::Damaged(e.to_string()))
            }
        }
    }

    /// The number of a document that is open here, or that another tab has open through this one.
    pub fn document_id(&self, name: &DocumentName) -> Option<DocumentId> {
        self.names.get(name).copied()
    }

    /// Its name.
    pub fn document_name(&self, id: DocumentId) -> Option<&DocumentName> {
        self.documents.get(&id).map(|doc| &doc.name)
    }

    /// Reads a document. `None` until it is ready.
    pub fn read<R>(&self, id: DocumentId, read: impl FnOnce(&automerge::Automerge) -> R) -> Option<R> {
        self.local(id).map(|local| read(local.document.automerge()))
    }

    /// The texts in which there has been a mark, whether or not they are in the document: those of all others need not be asked for marks.
    pub fn marked(&self, id: DocumentId) -> Vec<automerge::ObjId> {
        self.local(id).map(Local::marked).unwrap_or_default()
    }

    /// Whether an author writes this document on this device, in whichever tab. False until the document is ready.
    pub fn is_own(&self, id: DocumentId, actor: &automerge::ActorId) -> bool {
        self.local(id).is_some_and(|local| self.tabs.knows(actor) || local.is_own(actor))
    }

    /// Applies received changes that wait, if the configuration has them wait. What is read then has them.
    pub fn apply_waiting(&mut self, now: Instant, id: DocumentId) {
        let Some(local) = self.local_mut(id) else { return };
        if local.apply_waiting().is_err() {
            self.resync_from_store(now, id);
        }
    }

    /// How far a document is in the server's log without a hole, and which changes make its value, those that wait to be applied too, for whoever
    /// looks into it. `None` until it is ready; no position before the server was first heard.
    pub fn holds(&self, id: DocumentId) -> Option<(Option<LogSeq>, VectorClock)> {
        self.local(id).map(Local::held)
    }

    /// Sends presence (with a lifetime) or a message (without) to whoever has the document open. The last presence is sent again after a
    /// reconnect; a message while offline is lost.
    pub fn emit(&mut self, id: DocumentId, payload: Bytes, ttl: Option<Duration>) {
        let ttl_ms = ttl.map(|ttl| u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX));
        self.send_emit(id, payload, ttl_ms);
    }

    /// Connects, or disconnects and stays so; with all tabs on the store.
    pub fn set_online(&mut self, now: Instant, online: bool) {
        self.tell_switch(online);
        self.switch(now, online);
    }

    fn switch(&mut self, now: Instant, online: bool) {
        if online {
            self.connection.wanted = true;
            self.connect_soon(now);
        } else {
            self.connection.wanted = false;
            self.hang_up(now);
        }
    }

    /// Replaces the token, on a live connection too.
    pub fn set_token(&mut self, token: String) {
        self.config.token = Some(token.clone());
        self.send_token(token);
    }

    fn local(&self, id: DocumentId) -> Option<&Local> {
        match &self.documents.get(&id)?.phase {
            DocPhase::Ready(local) => Some(local),
            _ => None,
        }
    }

    fn local_mut(&mut self, id: DocumentId) -> Option<&mut Local> {
        match &mut self.documents.get_mut(&id)?.phase {
            DocPhase::Ready(local) => Some(local),
            _ => None,
        }
    }

    fn task(&mut self, what: Task, task: LocalTask) {
        self.next_task += 1;
        let id = TaskId(self.next_task);
        self.tasks.insert(id, what);
        self.outputs.push_back(Output::Store(id, task));
    }

    fn event(&mut self, event: Event) {
        if let Event::Status(id) = event
            && let Some(doc) = self.documents.get_mut(&id)
        {
            doc.tabs.tell = true;
        }
        self.outputs.push_back(Output::Event(event));
    }

    /// Loads a document from the local store, the first time or again.
    fn reload(&mut self, id: DocumentId) {
        self.leave(id);
        if let Some(doc) = self.documents.get_mut(&id) {
            doc.phase = DocPhase::Loading;
        }
        self.read_rows(id);
    }

    fn store_done(&mut self, now: Instant, task: TaskId, done: LocalDone) {
        match (self.tasks.remove(&task), done) {
            (Some(Task::Identity), LocalDone::Read(result)) => self.identified(now, result),
            (Some(Task::Load(id)), LocalDone::Read(result)) => self.loaded(now, id, result),
            (Some(Task::Look(id)), LocalDone::Read(result)) => self.looked(id, result),
            (Some(Task::Commit), LocalDone::Committed(result)) => self.committed(now, result),
            _ => {}
        }
    }

    fn loaded(&mut self, now: Instant, id: DocumentId, result: Result<Vec<Vec<Row>>, StoreError>) {
        let Some(identity) = &self.identity else { return };
        let actor = identity.actor.0.clone();
        let tab = self.writes_as();
        let Some(doc) = self.documents.get_mut(&id) else { return };
        match &doc.phase {
            DocPhase::Ready(_) if !doc.tabs.reading => return,
            // What was edited meanwhile is read with the rest. What else is unsaved here is not written any more.
            DocPhase::Ready(_) if self.saves.concerns(&doc.name) => return self.read_rows(id),
            _ => {}
        }
        let result = result.map(|mut tables| {
            if self.config.planted.has(Planted::OutboxLostOnReopen) {
                tables.last_mut().and_then(Vec::pop);
            }
            tables
        });
        match result.and_then(|tables| Local::load(doc.name.clone(), tab, actor, &tables)) {
            Ok((mut local, mut writes)) => {
                local.author = self.config.author.clone();
                if local.would_fork() {
                    local.take_actor(&self.rng.actor());
                    writes.push(local.row_write());
                }
                local.planted = self.config.planted;
                local.holds = self.config.holds;
                doc.edits.replace(&local.written_again());
                if let DocPhase::Ready(before) = &doc.phase {
                    doc.tabs.goes_on_as_another(before, &local);
                }
                doc.phase = DocPhase::Ready(Box::new(local));
                if !self.tabs.follows() {
                    self.save_writes(now, id, writes, Vec::new());
                    self.part_forks(now, id);
                }
                self.event(Event::Ready(id));
                self.event(Event::Changed { document: id, local: false });
                self.is_read(now, id);
                self.report_edits(id);
                self.event(Event::Status(id));
                self.join(now, id);
            }
            Err(error) => {
                doc.phase = DocPhase::Failed;
                self.event(Event::Failed(id, error));
            }
        }
    }

    fn track(&mut self, id: DocumentId, hash: ChangeHash) -> ChangeId {
        self.next_edit += 1;
        let edit = ChangeId(self.next_edit);
        if let Some(doc) = self.documents.get_mut(&id) {
            doc.edits.push(edit, hash);
        }
        edit
    }

    /// Makes a delta durable and tells of it.
    fn save(&mut self, now: Instant, id: DocumentId, mut delta: Delta, local_edit: bool) {
        let (alone, rebuilt) = (self.config.tab.is_none(), delta.rebuilt.then(|| delta.replaced.clone()));
        if let Some(doc) = self.documents.get_mut(&id) {
            doc.edits.replace(&delta.replaced);
            if !alone {
                doc.tabs.uncommitted.extend(delta.enqueued.iter().chain(&delta.received));
                doc.count_rebuild(&mut delta);
            }
        }
        delta.writes.extend(self.note_actor(id));
        if delta.changed {
            self.event(Event::Changed { document: id, local: local_edit });
        }
        let ended = delta.replaced.iter().filter(|(_, new)| new.is_none()).map(|(old, _)| *old);
        self.planted_saved_early(id, &delta.enqueued);
        let safe = delta.enqueued.into_iter().chain(delta.received).chain(ended).collect();
        self.save_set(now, id, delta.writes, safe, rebuilt);
        self.report_edits(id);
        self.event(Event::Status(id));
    }
}
