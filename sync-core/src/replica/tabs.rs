//! Several tabs on one store: one leads and speaks with the server, the others follow it over a channel that the driver owns.
//!
//! Owns who leads, as the driver's lock has decided it, and what tabs say to each other beside the [`link`](crate::link) that brings the
//! changes of each document. A tab writes nothing to the store but its own edits, unless it leads. Nothing is sent to another tab before
//! it is in the store, so that what the store holds is always causally closed, whoever leads next.

mod links;
pub mod messages;
mod watch;

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::clock::VectorClock;
use crate::few::{FewMap, FewSet};
use crate::id::{ActorId, ChangeHash, DocumentName, LogSeq};
use crate::link::Link;
use crate::planted::Planted;
use crate::protocol::{Blob, Hash};
use crate::replica::local::Local;
use crate::replica::rows::{self, ActorBytes};
use crate::replica::{DocPhase, DocumentId, Event, Output, Replica, Task};
use crate::storage::{LocalTask, Row, StoreError, Table};
use crate::time::Instant;
pub use watch::{ASK_AFTER, ASKS_MAX};

use messages::{Again, Empty, Greeting, Lead, Leave, Settle, Standing, Switch, TabMessage};

/// Most tabs that a leader keeps in mind. What further ones have written reaches it through the store when they are closed.
pub const TABS_MAX: u32 = 256;

/// A tab on a store, by the number that it holds a lock on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TabId(pub u32);

impl TabId {
    /// The first one, under whose name a replica alone writes.
    pub const FIRST: Self = Self(0);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// No other tab can be on this store.
    Alone,
    Leads {
        epoch: u64,
    },
    Follows,
}

/// What a tab knows of the others.
#[derive(Debug)]
pub(super) struct Tabs {
    role: Role,
    /// Tabs that follow this one.
    others: FewSet<TabId>,
    /// The tab that this one follows, and its epoch.
    leader: Option<(TabId, u64)>,
    /// Whether the leader's connection stands; in the leader, what the others were told of it.
    online: bool,
    /// In a follower: whether the leader is still heard of.
    watch: watch::Watch,
    /// Who writes on this device, in whichever tab, where none took another actor. The last to come are left out beyond a bound.
    actors: Vec<ActorId>,
}

/// What a tab knows of one document in the others.
#[derive(Debug, Default)]
pub(super) struct DocTabs {
    /// In the leader one link for each tab that has the document open; in a follower that to the leader.
    links: FewMap<TabId, Link>,
    /// Tabs that want a link as soon as the document is read.
    waiting: FewSet<TabId>,
    /// The page does not have it open, another tab does.
    only_theirs: bool,
    /// Held, and not yet known to be in the store.
    pub(super) uncommitted: BTreeSet<ChangeHash>,
    /// The store may hold another document than this one: it is being read again, and stays as it is until then.
    pub(super) reading: bool,
    /// A fresh actor is to be taken then, since changes of ours were written again.
    fresh_actor: bool,
    /// The others are to be told how the document stands.
    pub(super) tell: bool,
    acked: VectorClock,
    /// Up to where in the log `acked` is all.
    seq: Option<LogSeq>,
    current: bool,
    refused: bool,
}

impl DocTabs {
    /// Whether a follower has all that the leader says is in the log: it may say so before that has come.
    fn has_all(&self, local: &Local) -> bool {
        local.planted.has(Planted::LeaderBelieved)
            || self.acked.iter().all(|(actor, entry)| local.all.has(actor, entry))
    }

    /// Where changes of ours are in the store no more, nothing is written again under their numbers.
    pub(super) fn goes_on_as_another(&mut self, before: &Local, now: &Local) {
        let hand = before.hand();
        self.fresh_actor |= before.all.seq(&hand) > now.all.seq(&hand);
    }
}

impl Tabs {
    pub(super) fn new(tab: Option<TabId>) -> Self {
        let role = if tab.is_some() { Role::Follows } else { Role::Alone };
        Self {
            role,
            others: FewSet::new(),
            leader: None,
            online: false,
            watch: watch::Watch::default(),
            actors: Vec::new(),
        }
    }

    pub(super) fn know(&mut self, actor: &ActorId) {
        if !self.knows(actor) && self.actors.len() < TABS_MAX as usize {
            self.actors.push(actor.clone());
        }
    }

    /// Whether an actor is that of a tab on this store.
    pub(super) fn knows(&self, actor: &ActorId) -> bool {
        self.actors.contains(actor)
    }

    pub(super) fn follows(&self) -> bool {
        self.role == Role::Follows
    }

    pub(super) fn leads(&self) -> bool {
        matches!(self.role, Role::Leads { .. })
    }
}

impl Replica {
    /// This tab leads from now on. `epoch` is higher than that of any leader before, of which nothing is written any more.
    pub(super) fn lead(&mut self, now: Instant, epoch: u64) {
        self.tabs.role = Role::Leads { epoch };
        self.tabs.leader = None;
        self.tabs.others.clear();
        self.tabs.online = false;
        self.tabs.watch.ends();
        self.read_all_again();
        self.tell_all(&TabMessage::Lead(self.lead_message(epoch)));
        self.connect_soon(now);
    }

    /// Another tab leads. What this one had to write as the leader is not written any more; its own edits are.
    pub(super) fn deposed(&mut self, now: Instant) {
        if !self.tabs.leads() {
            return;
        }
        self.hang_up(now);
        self.tabs.role = Role::Follows;
        self.tabs.online = false;
        self.tasks.retain(|_, task| *task != Task::Commit);
        self.keep_own_saves();
        self.read_all_again();
        self.all_documents_status();
        self.greet(now);
    }

    /// Whoever led before has written last: what was read before does not count.
    fn read_all_again(&mut self) {
        let all: Vec<_> = self.documents.keys().copied().collect();
        for id in all {
            if let Some(doc) = self.documents.get_mut(&id) {
                doc.tabs.waiting.clear();
            }
            self.read_again(id);
        }
    }

    /// A tab has ended: what it has written to the store last it may have told nobody.
    pub(super) fn gone(&mut self, tab: TabId) {
        if !self.tabs.leads() || self.config.planted.has(Planted::TabsEndUnheard) {
            return;
        }
        self.drop_tab(tab);
        self.tabs.others.remove(&tab);
        let all: Vec<_> = self.documents.iter().map(|(id, doc)| (*id, rows::prefix(&doc.name))).collect();
        for (id, prefix) in all {
            self.task(Task::Look(id), LocalTask::Read { tables: vec![Table::Outbox], prefix });
        }
    }

    /// The rows of a document's outbox: if one is of a change that is not known here, all is read again.
    pub(super) fn looked(&mut self, id: DocumentId, result: Result<Vec<Vec<Row>>, StoreError>) {
        let Some(local) = self.local(id) else { return };
        let known =
            |hash: &ChangeHash| local.all.contains(hash) || local.rejected.iter().any(|r| r.change.hash() == *hash);
        let untold = |(key, _): &Row| key.last_chunk::<32>().is_some_and(|hash| !known(&ChangeHash(*hash)));
        if !result.is_ok_and(|tables| tables.iter().flatten().any(untold)) {
            return;
        }
        let Some(doc) = self.documents.get_mut(&id) else { return };
        // They begin anew once it is read.
        let linked: Vec<_> = doc.tabs.links.keys().copied().collect();
        for tab in linked {
            doc.tabs.waiting.add(tab);
        }
        // Opened anew then, it is pushed with the rest.
        self.leave(id);
        self.read_again(id);
    }

    /// Says that this tab has come, once it knows who it is. One that leads says under which number.
    pub(super) fn greet(&mut self, now: Instant) {
        if let Role::Leads { epoch } = self.tabs.role {
            self.tell_all(&TabMessage::Lead(self.lead_message(epoch)));
        }
        if self.tabs.follows() {
            self.tabs.watch.heard(now);
            let actor = self.identity.as_ref().map(|identity| identity.actor.clone());
            self.tell_all(&TabMessage::Hello(Greeting { actor }));
        }
    }

    /// Tells the other tabs that this one ends. Nothing is to be fed any more.
    pub fn leave_tabs(&mut self) {
        if self.tabs.role != Role::Alone {
            self.tell_all(&TabMessage::Bye(Empty {}));
        }
    }

    /// Whether a connection to the server stands, be it the leader's.
    pub fn is_online(&self) -> bool {
        if self.tabs.follows() { self.tabs.online } else { self.connection.is_online() }
    }

    /// Whether this device holds all that the server has said it has.
    pub(super) fn is_current(&self, id: DocumentId) -> bool {
        let Some(doc) = self.documents.get(&id) else { return false };
        let DocPhase::Ready(local) = &doc.phase else { return false };
        if self.tabs.follows() {
            doc.tabs.current && doc.tabs.has_all(local)
        } else {
            doc.conversation.is_current(local)
        }
    }

    /// Whether the server will not open the document.
    pub(super) fn is_refused(&self, id: DocumentId) -> bool {
        let Some(doc) = self.documents.get(&id) else { return false };
        if self.tabs.follows() { doc.tabs.refused } else { doc.conversation.refused.is_some() }
    }

    /// What another tab said.
    pub(super) fn told(&mut self, now: Instant, from: TabId, bytes: &[u8]) {
        // A tab of another version says it anew once it is this version's.
        let Ok(messages) = TabMessage::decode_all(bytes) else { return };
        self.heard_tab(now, from);
        for message in messages {
            if let TabMessage::Hello(Greeting { actor: Some(actor) })
            | TabMessage::Writes(Greeting { actor: Some(actor) }) = &message
            {
                self.tabs.know(&actor.0);
            }
            match &self.tabs.role {
                Role::Alone => return,
                Role::Leads { epoch } => self.told_as_leader(now, *epoch, from, message),
                Role::Follows => self.told_as_follower(now, from, message),
            }
        }
    }

    fn told_as_leader(&mut self, now: Instant, epoch: u64, from: TabId, message: TabMessage) {
        if !self.tabs.others.contains(&from) && self.tabs.others.len() >= TABS_MAX as usize {
            return;
        }
        self.tabs.others.add(from);
        match message {
            TabMessage::Hello(_) => {
                self.drop_tab(from);
                self.tell_lead(now, from, epoch);
                for actor in self.tabs.actors.clone() {
                    self.tell(from, &TabMessage::Writes(Greeting { actor: Some(ActorBytes(actor)) }));
                }
            }
            TabMessage::Link(frame) => self.link_frame_to_leader(now, from, frame),
            TabMessage::Blocked(blocked) => self.told_blocked(now, from, blocked),
            TabMessage::Leave(Leave { document }) => self.drop_link(from, &document),
            TabMessage::Bye(_) => {
                self.drop_tab(from);
                self.tabs.others.remove(&from);
            }
            TabMessage::Settle(Settle { document, change, retry }) => {
                let Some(id) = self.by_name(&document) else { return };
                // What can't be done is still to be seen in the outbox.
                let _ = if retry { self.retry(now, id, change.0) } else { self.discard(now, id, change.0) };
            }
            TabMessage::Switch(Switch { on }) => self.switch(now, on),
            TabMessage::Ask(ask) => self.asked(now, epoch, from, &ask),
            _ => {}
        }
    }

    fn told_as_follower(&mut self, now: Instant, from: TabId, message: TabMessage) {
        if let TabMessage::Lead(lead) = &message {
            if self.tabs.leader.is_none_or(|(_, epoch)| epoch <= lead.epoch) {
                self.follow(now, from, lead);
            }
            return;
        }
        if let TabMessage::Switch(Switch { on }) = message {
            return self.switch(now, on);
        }
        if self.tabs.leader.is_none_or(|(leader, _)| leader != from) {
            return;
        }
        match message {
            TabMessage::Link(frame) => self.link_frame_to_follower(now, from, frame),
            TabMessage::Standing(standing) => self.stands(now, standing),
            TabMessage::Again(again) => self.told_again(now, from, &again),
            TabMessage::Clock(clock) => self.told_skew(now, &clock),
            TabMessage::Online(Switch { on }) => {
                self.tabs.online = on;
                self.all_documents_status();
            }
            _ => {}
        }
    }

    fn follow(&mut self, now: Instant, leader: TabId, lead: &Lead) {
        self.tabs.leader = Some((leader, lead.epoch));
        self.tabs.watch.heard(now);
        self.tabs.online = lead.online;
        self.connection.wanted = lead.wanted;
        let all: Vec<_> = self.documents.keys().copied().collect();
        for id in all {
            // What the one before said of the server, this one has yet to hear.
            self.documents.get_mut(&id).into_iter().for_each(|doc| doc.tabs.current = false);
            self.begin_link(now, id);
        }
        self.all_documents_status();
    }

    fn told_again(&mut self, now: Instant, leader: TabId, again: &Again) {
        let Some(id) = self.by_name(&again.document) else { return };
        if !again.read {
            return self.new_link(now, id, leader, true);
        }
        let replaced: Vec<_> = again.replaced.iter().map(|r| (r.old.0, r.new.map(|new| new.0))).collect();
        if let Some(doc) = self.documents.get_mut(&id) {
            doc.edits.replace(&replaced);
            doc.tabs.fresh_actor |= !replaced.is_empty();
        }
        self.read_again(id);
    }

    fn stands(&mut self, now: Instant, standing: Standing) {
        let Some(id) = self.by_name(&standing.document) else { return };
        let Some(doc) = self.documents.get_mut(&id) else { return };
        doc.tabs.acked = standing.acked;
        doc.tabs.seq = standing.seq.filter(|_| standing.view.is_none());
        doc.tabs.current = standing.current;
        doc.tabs.refused = standing.refused;
        // A document that is not read yet is told again with its link.
        let shows = standing.view.filter(|_| matches!(doc.phase, DocPhase::Ready(_)));
        self.settle_acked(now, id);
        self.show(id, standing.seq.zip(shows.map(|view| view.0)));
        self.event(Event::Status(id));
    }

    /// Takes what the leader knows to be in the log out of a follower's outbox.
    fn settle_acked(&mut self, now: Instant, id: DocumentId) {
        if !self.tabs.follows() {
            return;
        }
        let Some(doc) = self.documents.get_mut(&id) else { return };
        let DocPhase::Ready(local) = &mut doc.phase else { return };
        if doc.tabs.reading {
            return;
        }
        local.take_acked(&doc.tabs.acked);
        if doc.tabs.has_all(local) {
            local.position = doc.tabs.seq.or(local.position);
            if local.outbox.is_empty() && doc.tabs.current && self.tabs.online {
                doc.synced_at = Some(now);
            }
        }
        self.report_edits(id);
    }

    /// In a follower: asks the leader to retry or to discard. `None` in a tab that does it itself.
    pub(super) fn ask_to_settle(&mut self, id: DocumentId, change: ChangeHash, retry: bool) -> Option<bool> {
        if !self.tabs.follows() {
            return None;
        }
        let doc = self.documents.get(&id)?;
        let DocPhase::Ready(local) = &doc.phase else { return None };
        let rejected = local.rejected.iter().any(|r| r.change.hash() == change);
        let known = rejected || !retry && local.outbox.iter().any(|p| p.change.hash() == change);
        let (Some((leader, _)), true) = (self.tabs.leader, known) else { return Some(false) };
        let document = doc.name.as_str().to_owned();
        self.tell(leader, &TabMessage::Settle(Settle { document, change: Hash(change), retry }));
        Some(true)
    }

    /// Passes on that the application wants a connection, or none.
    pub(super) fn tell_switch(&mut self, on: bool) {
        if self.tabs.role != Role::Alone {
            self.tell_all(&TabMessage::Switch(Switch { on }));
        }
    }

    /// Tells the other tabs what has changed since they were told last, once all else is done.
    pub(super) fn tell_news(&mut self) {
        if !self.tabs.leads() {
            return;
        }
        let online = self.connection.is_online();
        if self.tabs.online != online {
            self.tabs.online = online;
            self.tell_all(&TabMessage::Online(Switch { on: online }));
        }
        if self.tabs.others.is_empty() {
            return;
        }
        let news: Vec<_> = self.documents.iter().filter(|(_, doc)| doc.tabs.tell).map(|(id, _)| *id).collect();
        for id in news {
            self.documents.get_mut(&id).into_iter().for_each(|doc| doc.tabs.tell = false);
            self.tell_standing(None, id, None);
        }
    }

    /// Tells one tab, or all, how a document stands, and what the server shows of it if that is news to them.
    pub(super) fn tell_standing(&mut self, to: Option<TabId>, id: DocumentId, view: Option<(LogSeq, Bytes)>) {
        let (current, refused) = (self.is_current(id), self.is_refused(id));
        let Some(doc) = self.documents.get(&id) else { return };
        let (DocPhase::Ready(local), false) = (&doc.phase, doc.tabs.links.is_empty()) else { return };
        let document = doc.name.as_str().to_owned();
        let (seq, view) = view.unzip();
        let seq = seq.or(local.cursor.map(|cursor| cursor.seq));
        let standing = Standing { document, acked: local.acked_clock(), current, refused, seq, view: view.map(Blob) };
        self.outputs.push_back(Output::Tell(to, TabMessage::Standing(standing).encode()));
    }

    fn lead_message(&self, epoch: u64) -> Lead {
        Lead { epoch, wanted: self.connection.wanted, online: self.connection.is_online() }
    }

    fn tell_lead(&mut self, now: Instant, tab: TabId, epoch: u64) {
        self.tell(tab, &TabMessage::Lead(self.lead_message(epoch)));
        if let Some(skew) = self.skew_of_lead(now) {
            self.tell(tab, &skew);
        }
    }

    fn tell_again(&mut self, tab: TabId, id: DocumentId) {
        if let Some(doc) = self.documents.get(&id) {
            let again = Again::new(&doc.name, false, &[]);
            self.tell(tab, &TabMessage::Again(again));
        }
    }

    fn tell(&mut self, to: TabId, message: &TabMessage) {
        self.outputs.push_back(Output::Tell(Some(to), message.encode()));
    }

    /// Says something to all other tabs.
    pub(super) fn tell_all(&mut self, message: &TabMessage) {
        self.outputs.push_back(Output::Tell(None, message.encode()));
    }

    fn by_name(&self, document: &str) -> Option<DocumentId> {
        self.names.get(&DocumentName::parse(document).ok()?).copied()
    }
}

/// The actors of a document that are not those of their tabs.
pub(super) type OwnActors = FewMap<TabId, ActorId>;
