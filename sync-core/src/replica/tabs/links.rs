//! The links between tabs, one for each document and follower.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::change::Change;
use crate::id::{ChangeHash, DocumentName};
use crate::limits::{ChangeLimits, PackLimits};
use crate::link::{self, Link};
use crate::planted::Planted;
use crate::protocol::Blob;
use crate::replica::local::Delta;
use crate::replica::tabs::TabId;
use crate::replica::tabs::messages::{Again, Blocked, Leave, LinkFrame, TabMessage};
use crate::replica::{Doc, DocPhase, DocumentId, Replica, Task};
use crate::time::Instant;

/// Bytes of raw changes in one message to another tab, unless a single change is larger.
const LINK_BYTES_MAX: usize = 1 << 20;

impl Doc {
    /// The document becomes another one than other tabs have read. What they say of that is not heard any more; they read it again once it
    /// is in the store, or once another leader has found it there.
    pub(in crate::replica) fn count_rebuild(&mut self, delta: &mut Delta) {
        let (true, DocPhase::Ready(local)) = (delta.rebuilt, &mut self.phase) else { return };
        local.rebuilds += 1;
        delta.writes.push(local.row_write());
        self.tabs.links.clear();
    }

    fn is_alike(&self, rebuilds: u64) -> bool {
        matches!(&self.phase, DocPhase::Ready(local) if local.rebuilds == rebuilds)
    }
}

impl Replica {
    /// A document was read: whoever waits for it is served.
    pub(in crate::replica) fn is_read(&mut self, now: Instant, id: DocumentId) {
        let fresh = self.rng.actor();
        let follows = self.tabs.follows();
        let Some(doc) = self.documents.get_mut(&id) else { return };
        doc.tabs.reading = false;
        let taken = std::mem::take(&mut doc.tabs.fresh_actor);
        let waiting = std::mem::take(&mut doc.tabs.waiting);
        if let (true, true, DocPhase::Ready(local)) = (taken, follows, &mut doc.phase) {
            local.actor = fresh.clone();
            local.untold.push(fresh);
        }
        let write = self.note_actor(id).into_iter().collect();
        self.save_writes(now, DocumentId(0), write, Vec::new());
        self.begin_link(now, id);
        self.settle_acked(now, id);
        for (tab, ()) in waiting {
            self.tell_again(tab, id);
        }
    }

    /// Begins the link to the leader, if there is one and the document is read.
    pub(super) fn begin_link(&mut self, now: Instant, id: DocumentId) {
        let (true, Some((leader, _))) = (self.tabs.follows(), self.tabs.leader) else { return };
        self.new_link(now, id, leader, true);
    }

    pub(super) fn new_link(&mut self, now: Instant, id: DocumentId, tab: TabId, first: bool) {
        let Some(doc) = self.documents.get_mut(&id) else { return };
        if doc.tabs.reading || !matches!(doc.phase, DocPhase::Ready(_)) {
            return;
        }
        doc.tabs.links.insert(tab, Link::new(PackLimits::stored(), LINK_BYTES_MAX));
        self.feed_link(now, id, tab, link::Input::Connected, first);
        if first {
            self.tell_blocked(id, tab);
        }
    }

    /// Only the tab that leads may mark in the store what can't stand on what is there.
    fn tell_blocked(&mut self, id: DocumentId, leader: TabId) {
        let Some(doc) = self.documents.get(&id) else { return };
        let DocPhase::Ready(local) = &doc.phase else { return };
        if local.blocked.is_empty() {
            return;
        }
        let changes = local.blocked.iter().map(|change| Blob(Bytes::copy_from_slice(change.bytes()))).collect();
        let blocked = Blocked { document: doc.name.as_str().to_owned(), rebuilds: local.rebuilds, changes };
        self.tell(leader, &TabMessage::Blocked(blocked));
    }

    pub(super) fn told_blocked(&mut self, now: Instant, from: TabId, blocked: Blocked) {
        let Some(id) = self.by_name(&blocked.document) else { return };
        // While it is not read here, the follower says it again once it is.
        let Some(doc) = self.documents.get(&id).filter(|doc| !doc.tabs.reading) else { return };
        if !matches!(doc.phase, DocPhase::Ready(_)) {
            return;
        }
        if !doc.is_alike(blocked.rebuilds) {
            return self.refuse_copy(from, id);
        }
        let changes = blocked.changes.iter().filter_map(|bytes| Change::parse(&bytes.0, &ChangeLimits::stored()).ok());
        self.absorb(now, id, changes.collect());
    }

    pub(super) fn link_frame_to_leader(&mut self, now: Instant, from: TabId, frame: LinkFrame) {
        let LinkFrame { document, first, frame, rebuilds } = frame;
        let id = match self.by_name(&document) {
            Some(id) => id,
            None => {
                let Ok(name) = DocumentName::parse(&document) else { return };
                let id = self.open(now, name);
                if let Some(doc) = self.documents.get_mut(&id) {
                    doc.tabs.only_theirs = true;
                }
                id
            }
        };
        let Some(doc) = self.documents.get_mut(&id) else { return };
        if doc.tabs.reading || !matches!(doc.phase, DocPhase::Ready(_)) {
            doc.tabs.waiting.add(from);
            return;
        }
        if !doc.is_alike(rebuilds) {
            return self.refuse_copy(from, id);
        }
        if first {
            self.new_link(now, id, from, false);
        } else if !doc.tabs.links.contains_key(&from) {
            return self.tell_again(from, id);
        }
        self.feed_link(now, id, from, link::Input::Frame(frame.0), false);
        if first {
            self.tell_standing(Some(from), id, self.view(id));
        }
    }

    /// A follower's copy is of a document that is not in the store any more, or not yet: what it holds may have been let go since.
    fn refuse_copy(&mut self, from: TabId, id: DocumentId) {
        // Once that is in the store all tabs are told.
        if self.saves.rebuilds(id) {
            return;
        }
        if let Some(doc) = self.documents.get(&id) {
            let again = Again::new(&doc.name, true, &[]);
            self.tell(from, &TabMessage::Again(again));
        }
    }

    pub(super) fn link_frame_to_follower(&mut self, now: Instant, from: TabId, frame: LinkFrame) {
        let LinkFrame { document, frame, rebuilds, .. } = frame;
        let Some(id) = self.by_name(&document) else { return };
        // One from before the document became another one says nothing of this copy.
        if self.documents.get(&id).is_some_and(|doc| doc.is_alike(rebuilds)) {
            self.feed_link(now, id, from, link::Input::Frame(frame.0), false);
        }
    }

    /// Feeds a link and does what it wants.
    pub(super) fn feed_link(&mut self, now: Instant, id: DocumentId, tab: TabId, input: link::Input, first: bool) {
        let Some(doc) = self.documents.get_mut(&id) else { return };
        let DocPhase::Ready(local) = &mut doc.phase else { return };
        let Some(mut link) = doc.tabs.links.remove(&tab) else { return };
        let (name, rebuilds) = (doc.name.as_str().to_owned(), local.rebuilds);
        link.handle_input(input, &local.all);
        let (mut frames, mut received, mut ended) = (Vec::new(), Vec::new(), false);
        let none = BTreeSet::new();
        let early = self.config.planted.has(Planted::UnstoredToldToTabs);
        let uncommitted = if early { &none } else { &doc.tabs.uncommitted };
        while let Some(output) = link.poll_output() {
            match output {
                link::Output::Send(frame) => frames.push(frame),
                link::Output::Fetch(after) => match local.changes_after(&after, uncommitted) {
                    Ok(changes) => link.handle_input(link::Input::Fetched(changes), &local.all),
                    Err(_) => ended = true,
                },
                link::Output::Received(changes) => received.extend(changes),
                link::Output::Ended(_) => ended = true,
            }
        }
        if !ended {
            doc.tabs.links.insert(tab, link);
        }
        for frame in frames {
            let message = LinkFrame { document: name.clone(), first, frame: Blob(frame), rebuilds };
            self.tell(tab, &TabMessage::Link(message));
        }
        if ended {
            return self.link_ended(id);
        }
        if !received.is_empty() {
            self.absorb(now, id, received);
        }
    }

    /// What the two hold does not fit together. The store decides: both read it again.
    fn link_ended(&mut self, id: DocumentId) {
        if self.tabs.leads() {
            let again = self.documents.get(&id).map(|doc| Again::new(&doc.name, true, &[]));
            self.reload(id);
            again.into_iter().for_each(|again| self.tell_all(&TabMessage::Again(again)));
        } else {
            self.read_again(id);
        }
    }

    /// Reads a document again, which stays as it is until then. What was read before does not count.
    pub(in crate::replica) fn read_again(&mut self, id: DocumentId) {
        let Some(doc) = self.documents.get_mut(&id) else { return };
        doc.tabs.links.clear();
        doc.tabs.reading = matches!(doc.phase, DocPhase::Ready(_));
        if matches!(doc.phase, DocPhase::Failed) || self.identity.is_none() {
            return;
        }
        self.tasks.retain(|_, task| *task != Task::Load(id));
        self.read_rows(id);
    }

    /// Takes in what another tab has written to the store, or received.
    fn absorb(&mut self, now: Instant, id: DocumentId, changes: Vec<Change>) {
        let fresh = self.rng.actor();
        let leads = self.tabs.leads();
        let Some(local) = self.local_mut(id) else { return };
        match local.absorb(changes, leads, &fresh) {
            Ok((delta, fits)) => {
                self.save(now, id, delta, false);
                self.settle_acked(now, id);
                self.grown(now, id);
                self.flush(now, id);
                if !fits {
                    self.link_ended(id);
                }
            }
            Err(_) => self.reload(id),
        }
    }

    /// What was read from the store and two tabs have written under one actor is put apart.
    pub(in crate::replica) fn part_forks(&mut self, now: Instant, id: DocumentId) {
        if !self.local_mut(id).is_some_and(|local| local.has_forks()) {
            return;
        }
        let (fresh, mut delta) = (self.rng.actor(), Delta::default());
        let Some(local) = self.local_mut(id) else { return };
        // What can't be written again stays where it can be seen.
        if local.part_forks(&fresh, &mut delta).is_ok() {
            self.save(now, id, delta, false);
        }
    }

    /// More of a document is in the store: the others are told.
    pub(in crate::replica) fn grown(&mut self, now: Instant, id: DocumentId) {
        let Some(doc) = self.documents.get(&id) else { return };
        let tabs: Vec<_> = doc.tabs.links.keys().copied().collect();
        for tab in tabs {
            self.feed_link(now, id, tab, link::Input::Grown, false);
        }
    }

    /// A document in the store is another than before: the others read it again.
    pub(in crate::replica) fn rebuilt(&mut self, id: DocumentId, replaced: &[(ChangeHash, Option<ChangeHash>)]) {
        let (true, Some(doc)) = (self.tabs.leads(), self.documents.get_mut(&id)) else { return };
        doc.tabs.links.clear();
        let again = Again::new(&doc.name, true, replaced);
        self.tell_all(&TabMessage::Again(again));
    }

    /// The page closes a document. Whether other tabs still want it here.
    pub(in crate::replica) fn is_wanted_by_tabs(&mut self, id: DocumentId) -> bool {
        let Some(doc) = self.documents.get_mut(&id) else { return false };
        if self.tabs.leads() {
            doc.tabs.only_theirs = !doc.tabs.links.is_empty() || !doc.tabs.waiting.is_empty();
            return doc.tabs.only_theirs;
        }
        let leave = Leave { document: doc.name.as_str().to_owned() };
        if let Some((leader, _)) = self.tabs.leader {
            self.tell(leader, &TabMessage::Leave(leave));
        }
        false
    }

    /// The page opens a document that this tab had open for others. Whether it is ready already.
    pub(in crate::replica) fn is_ready_from_tabs(&mut self, id: DocumentId) -> bool {
        let Some(doc) = self.documents.get_mut(&id) else { return false };
        let theirs = std::mem::take(&mut doc.tabs.only_theirs);
        theirs && matches!(doc.phase, DocPhase::Ready(_))
    }

    pub(super) fn drop_tab(&mut self, tab: TabId) {
        let names: Vec<_> = self.names.keys().map(|name| name.as_str().to_owned()).collect();
        names.iter().for_each(|name| self.drop_link(tab, name));
    }

    pub(super) fn drop_link(&mut self, tab: TabId, document: &str) {
        let Some(id) = self.by_name(document) else { return };
        let Some(doc) = self.documents.get_mut(&id) else { return };
        doc.tabs.links.remove(&tab);
        doc.tabs.waiting.remove(&tab);
        if doc.tabs.only_theirs && doc.tabs.links.is_empty() && doc.tabs.waiting.is_empty() {
            self.close(id);
        }
    }
}
