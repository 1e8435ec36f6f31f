//! Tabs on one store: how they come, lead, crash, and hear each other.

use sync_core::replica::{self, DocumentId, Replica, TabId};
use sync_core::storage::memory::MemoryLocalStore;

use super::{Client, Net, Step};

impl Net {
    /// Opens a tab on the store of another one, under a number of its own.
    pub(crate) fn tab(&mut self, store: usize, tab: u32) -> usize {
        let tab = Some(TabId(tab));
        let replica = Replica::new(replica::Config { tab, ..replica::Config::default() }, self.rng.bytes());
        self.clients.push(Client { replica, store, tab, session: None, full: false, events: Vec::new() });
        self.settle();
        self.clients.len() - 1
    }

    /// Lets a tab lead, after all that led before it.
    pub(crate) fn lead(&mut self, client: usize, epoch: u64) {
        self.feed(client, replica::Input::Lead(epoch));
    }

    /// A tab ends without a word.
    pub(crate) fn crash_tab(&mut self, client: usize) {
        self.drop_link(client);
        self.steps.retain(|s| !matches!(s, Step::Client(i, _) if *i == client));
        let config = replica::Config { online: false, ..replica::Config::default() };
        let (replica, store) = (Replica::new(config, [0; 32]), self.stores.len());
        self.stores.push(MemoryLocalStore::new());
        self.clients[client] = Client { replica, store, tab: None, session: None, full: false, events: Vec::new() };
    }

    pub(crate) fn feed(&mut self, client: usize, input: replica::Input) {
        self.clients[client].replica.handle_input(self.now, input);
        self.drain_client(client);
        self.settle();
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
