//! Tabs on one store: how they come, lead, crash, and hear each other.

use automerge::AutomergeError;
use automerge::transaction::Transaction;
use sync_core::id::{ActorId, AuthorName, SessionId};
use sync_core::replica::{self, ChangeId, DocumentId, Replica, TabId};
use sync_core::storage::memory::MemoryLocalStore;
use sync_core::storage::{LocalStore as _, Row, Table};

use super::{Client, Net, Step};

impl Client {
    pub(super) fn new(replica: Replica, store: usize, tab: Option<TabId>) -> Self {
        let (session, frozen, events) = (None, None, Vec::new());
        Self { replica, store, tab, session, ahead_ms: 0, full: false, frozen, took_over: 0, events }
    }
}

impl Net {
    /// A tab's page is frozen: nothing runs in it, and what comes waits.
    pub(crate) fn freeze(&mut self, client: usize) {
        self.clients[client].frozen = Some(Vec::new());
    }

    /// It goes on: its timers fire first, then what has waited comes.
    pub(crate) fn wake(&mut self, client: usize) {
        let held = self.clients[client].frozen.take().expect("it is frozen");
        self.clients[client].replica.handle_timeout(self.now);
        self.drain_client(client);
        self.steps.extend(held.into_iter().map(|input| Step::Client(client, input)));
    }

    pub(super) fn fire_clients(&mut self) {
        for client in 0..self.clients.len() {
            if self.clients[client].frozen.is_none() {
                self.clients[client].replica.handle_timeout(self.now);
                self.drain_client(client);
            }
        }
    }

    /// The server ends the session of a tab that is frozen.
    pub(super) fn hear_later_of_the_end(&mut self, client: usize, id: SessionId) {
        self.server.sessions.remove(&id);
        self.steps.push_back(Step::Client(client, replica::Input::Disconnected));
    }

    /// How often a tab has wanted to take the lead over since one was last given it.
    pub(crate) fn took_over(&self, client: usize) -> u32 {
        self.clients[client].took_over
    }

    /// Opens a tab on the store of another one, under a number of its own.
    pub(crate) fn tab(&mut self, store: usize, tab: u32) -> usize {
        let tab = Some(TabId(tab));
        let replica = Replica::new(replica::Config { tab, ..replica::Config::default() }, self.rng.bytes());
        self.clients.push(Client::new(replica, store, tab));
        self.settle();
        self.clients.len() - 1
    }

    /// Starts a client anew, with somebody else signed in, or nobody, and opens a document.
    pub(crate) fn restart_as(&mut self, client: usize, author: Option<&str>, online: bool, name: &str) -> DocumentId {
        self.drop_link(client);
        let config = replica::Config { online, author: author.map(named), ..replica::Config::default() };
        self.clients[client].replica = Replica::new(config, self.rng.bytes());
        self.settle();
        self.open(client, name)
    }

    /// Starts a client anew with other bounds.
    pub(crate) fn restart_bounded(&mut self, client: usize, unsaved_bytes_max: usize) {
        self.drop_link(client);
        let config = replica::Config { unsaved_bytes_max, ..replica::Config::default() };
        self.clients[client].replica = Replica::new(config, self.rng.bytes());
        self.settle();
    }

    /// As [`Net::tab`], with somebody signed in.
    pub(crate) fn tab_as(&mut self, store: usize, tab: u32, author: &str) -> usize {
        let tab = Some(TabId(tab));
        let config = replica::Config { tab, author: Some(named(author)), ..replica::Config::default() };
        let replica = Replica::new(config, self.rng.bytes());
        self.clients.push(Client::new(replica, store, tab));
        self.settle();
        self.clients.len() - 1
    }

    /// A tab has another number from now on.
    pub(crate) fn seat(&mut self, client: usize, tab: u32) {
        self.seat_soon(client, tab);
        self.settle();
    }

    /// A tab has another number from now on, and has yet to read what is kept under it.
    pub(crate) fn seat_soon(&mut self, client: usize, tab: u32) {
        self.clients[client].tab = Some(TabId(tab));
        self.clients[client].replica.handle_input(self.now, replica::Input::Seat(TabId(tab)));
        self.drain_client(client);
    }

    /// A client's machine.
    pub(crate) fn replica(&mut self, client: usize) -> &mut Replica {
        &mut self.clients[client].replica
    }

    /// Lets a tab lead, after all that led before it. How often tabs have wanted to is counted anew.
    pub(crate) fn lead(&mut self, client: usize, epoch: u64) {
        self.clients.iter_mut().for_each(|c| c.took_over = 0);
        self.feed(client, replica::Input::Lead(epoch));
    }

    /// Tabs that want to take the lead over are given it from now on.
    pub(crate) fn allow_take_over(&mut self, epoch: u64) {
        self.next_epoch = Some(epoch);
    }

    pub(super) fn wants_lead(&mut self, index: usize) {
        self.clients[index].took_over += 1;
        if let Some(epoch) = &mut self.next_epoch {
            self.steps.push_back(Step::Client(index, replica::Input::Lead(*epoch)));
            *epoch += 1;
        }
    }

    pub(crate) fn change_beside(
        &mut self,
        client: usize,
        id: DocumentId,
        row: Row,
        edit: &mut dyn FnMut(&mut Transaction<'_>) -> Result<(), AutomergeError>,
    ) {
        let wall = self.wall(client);
        self.clients[client].replica.change_beside(self.now, wall, id, Some(row), edit).expect("an edit");
        self.drain_client(client);
    }

    /// A row of the outbox in a client's store.
    pub(crate) fn own_row(&mut self, client: usize, key: &[u8]) -> Option<Vec<u8>> {
        let store = self.clients[client].store;
        self.stores[store].read(Table::Outbox, key).expect("it reads").pop().map(|(_, value)| value)
    }

    /// A tab ends without a word.
    pub(crate) fn crash_tab(&mut self, client: usize) {
        self.drop_link(client);
        self.steps.retain(|s| !matches!(s, Step::Client(i, _) if *i == client));
        let config = replica::Config { online: false, ..replica::Config::default() };
        let (replica, store) = (Replica::new(config, [0; 32]), self.stores.len());
        self.stores.push(MemoryLocalStore::new());
        self.clients[client] = Client::new(replica, store, None);
    }

    pub(crate) fn feed(&mut self, client: usize, input: replica::Input) {
        self.feed_soon(client, input);
        self.settle();
    }

    /// Feeds a client, of which nothing else has heard yet.
    pub(crate) fn feed_soon(&mut self, client: usize, input: replica::Input) {
        self.clients[client].replica.handle_input(self.now, input);
        self.drain_client(client);
    }

    /// Takes back all that has not been sent.
    pub(crate) fn discard_unsent(&mut self, client: usize, id: DocumentId) {
        let replica = &mut self.clients[client].replica;
        for entry in replica.outbox(id) {
            assert!(replica.discard(self.now, id, entry.change).expect("ready"));
        }
        self.drain_client(client);
    }

    pub(crate) fn acknowledged_up_to(&self, client: usize, id: DocumentId) -> ChangeId {
        self.clients[client].replica.acknowledged_up_to(id).expect("it is open")
    }

    /// Who wrote what is in the outbox, oldest first.
    pub(crate) fn writers(&self, client: usize, id: DocumentId) -> Vec<ActorId> {
        self.clients[client].replica.outbox(id).into_iter().map(|entry| entry.actor).collect()
    }

    /// Whether the tab knows of a connection.
    pub(crate) fn is_online(&self, client: usize) -> bool {
        self.clients[client].replica.is_online()
    }

    pub(crate) fn close(&mut self, client: usize, id: DocumentId) {
        self.clients[client].replica.close(id);
        self.drain_client(client);
    }

    pub(super) fn tell_tabs(&mut self, from: usize, to: Option<TabId>, bytes: &bytes::Bytes) {
        let (Some(tab), false) = (self.clients[from].tab, self.deaf) else { return };
        let hears = |c: &Client| c.store == self.clients[from].store && c.tab.is_some_and(|t| t != tab);
        for (index, client) in self.clients.iter().enumerate() {
            if hears(client) && (to.is_none() || to == client.tab) {
                self.steps.push_back(Step::Client(index, replica::Input::Told(tab, bytes.clone())));
            }
        }
    }
}

fn named(author: &str) -> AuthorName {
    AuthorName::parse(author).expect("a name")
}
