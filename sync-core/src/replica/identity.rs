//! Who this replica is: its row in the store, the actors that it writes under, and those that it knows of other tabs on the store.
//!
//! Owns which rows of [`Table::Meta`] are read and written. That no two tabs have one number at a time is the driver's business; where a number
//! is lost to another tab all the same, this one goes on under a number and actors of its own.

use automerge::Author;

use crate::id::ActorId;
use crate::planted::Planted;
use crate::reissue::hand;
use crate::replica::local::Local;
use crate::replica::rows::{self, ActorBytes, IDENTITY_KEY, IdentityRow};
use crate::replica::tabs::messages::{Greeting, TabMessage};
use crate::replica::{DocPhase, DocumentId, Event, Replica, TabId, Task};
use crate::storage::{LocalTask, Row, StoreError, Table, Write};
use crate::time::Instant;

/// Most actors of one tab that the store keeps beside the first; the oldest go first.
const TAKEN_MAX: usize = 32;

impl Replica {
    pub(super) fn tab(&self) -> TabId {
        self.config.tab.unwrap_or(TabId::FIRST)
    }

    /// The tab whose actors this one writes under: its own number, which no other tab has at the same time.
    pub(super) fn writes_as(&self) -> TabId {
        if self.config.planted.has(Planted::TabsShareActor) { TabId::FIRST } else { self.tab() }
    }

    pub(super) fn read_identity(&mut self) {
        self.task(Task::Identity, LocalTask::Read { tables: vec![Table::Meta], prefix: IDENTITY_KEY.to_vec() });
    }

    pub(super) fn identified(&mut self, now: Instant, result: Result<Vec<Vec<Row>>, StoreError>) {
        let rows = match result {
            Ok(tables) => tables.into_iter().next().unwrap_or_default(),
            Err(error) => return self.event(Event::StorageFailed(error)),
        };
        // Also where only another tab's row is: nothing is written beside what this version can't read.
        let newer = |value| rows::body(value).err().filter(|error| matches!(error, StoreError::Newer { .. }));
        if let Some(error) = rows.iter().find_map(|(_, value)| newer(value)) {
            return self.event(Event::StorageFailed(error));
        }
        let key = rows::identity_key(self.writes_as());
        let of = |key: &[u8]| rows.iter().find(|(k, _)| k == key).map(|(_, value)| rows::parse::<IdentityRow>(value));
        let identity = match of(&key) {
            Some(Ok(identity)) => identity,
            Some(Err(error)) => return self.event(Event::StorageFailed(error)),
            None => {
                // All tabs are one client.
                let client = of(IDENTITY_KEY).and_then(Result::ok).map(|first| first.client);
                let client = client.unwrap_or_else(|| self.rng.client_id());
                let identity = IdentityRow { client, actor: ActorBytes(self.rng.actor()), taken: None };
                let write = rows::put(Table::Meta, key, &identity);
                self.save_writes(now, DocumentId(0), vec![write], Vec::new());
                identity
            }
        };
        let tabs = rows.iter().filter(|(key, _)| key.starts_with(IDENTITY_KEY));
        for row in tabs.filter_map(|(_, value)| rows::parse::<IdentityRow>(value).ok()) {
            self.tabs.know(&row.actor.0);
            row.taken.iter().flatten().for_each(|actor| self.tabs.know(&actor.0));
        }
        self.identity = Some(identity);
        let waiting: Vec<_> = self.documents.keys().copied().collect();
        for id in waiting {
            self.read_again(id);
        }
        self.greet(now);
        self.connect_soon(now);
    }

    /// The number that this tab had is another's: nothing more is written under its actors, and what is held is read again as another tab.
    pub(super) fn seated(&mut self, tab: TabId) {
        self.config.tab = Some(tab);
        let fresh = self.rng.actor();
        for doc in self.documents.values_mut() {
            if let DocPhase::Ready(local) = &mut doc.phase {
                local.goes_on_as(tab, &fresh);
            }
        }
        self.read_identity();
    }

    /// Where a document is written under another actor from now on: the other tabs are told before they see its work, and the write that this
    /// gives tells those to come.
    pub(super) fn note_actor(&mut self, id: DocumentId) -> Option<Write> {
        let key = rows::identity_key(self.writes_as());
        let local = self.local_mut(id)?;
        if local.untold.is_empty() {
            return None;
        }
        let untold = std::mem::take(&mut local.untold);
        for actor in &untold {
            self.tabs.know(actor);
            if self.config.tab.is_some() {
                self.tell_all(&TabMessage::Writes(Greeting { actor: Some(ActorBytes(actor.clone())) }));
            }
        }
        let identity = self.identity.as_mut()?;
        let taken = identity.taken.get_or_insert_default();
        for actor in untold {
            if !taken.iter().any(|known| known.0 == actor) {
                taken.push(ActorBytes(actor));
            }
        }
        taken.drain(..taken.len().saturating_sub(TAKEN_MAX));
        Some(rows::put(Table::Meta, key, identity))
    }
}

impl Local {
    /// Who the next edit is by: our actor, unless its first change has said that it writes for another author, or for none. Then it is one that
    /// is always the same for the author here, so that there are no more actors than authors on a device.
    pub(super) fn hand(&self) -> ActorId {
        let author = self.author.as_ref().map(|author| author.as_str().as_bytes());
        let named = self.document.author(&self.actor);
        if named.as_ref().map(Author::as_bytes) == author || self.all.seq(&self.actor) == 0 {
            return self.actor.clone();
        }
        hand(&self.actor, author)
    }

    /// Whether the next edit would take the number of a change that is kept as rejected, and is not held.
    pub(super) fn would_fork(&self) -> bool {
        if self.rejected.is_empty() {
            return false;
        }
        let hand = self.hand();
        let last = self.all.seq(&hand);
        self.rejected.iter().any(|rejected| *rejected.change.actor() == hand && rejected.change.seq() > last)
    }
}
