//! The way to the local store: one transaction at a time, everything that has gathered, in order, until it is there.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use automerge::ReadDoc;

use crate::change::Change;
use crate::id::{ChangeHash, DocumentName};
use crate::limits::ChangeLimits;
use crate::planted::Planted;
use crate::replica::{DocumentId, Event, Replica, Task, rows};
use crate::storage::{LocalTask, StoreError, Table, Write};
use crate::time::Instant;

/// After a failed commit the same writes are tried again after this time.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Writes of one document that belong together.
#[derive(Clone, Debug)]
struct WriteSet {
    document: DocumentId,
    /// Its name, which outlives the id when the document is closed and opened again.
    name: Option<DocumentName>,
    writes: Vec<Write>,
    /// Changes that are safe once this is committed.
    changes: Vec<ChangeHash>,
    /// Changes written again, where the document is another one once this is committed.
    rebuilt: Option<Vec<(ChangeHash, Option<ChangeHash>)>>,
}

/// What is on its way to the local store. Local edits are bounded by the outbox; beyond `unsaved_bytes_max` nothing more is received.
#[derive(Debug, Default)]
pub(super) struct Saves {
    waiting: VecDeque<WriteSet>,
    /// Bytes of all that waits or is on its way.
    bytes: usize,
    flight: VecDeque<WriteSet>,
    pub(super) retry_at: Option<Instant>,
    pub(super) failing: Option<StoreError>,
    /// Documents that are to be read once their writes are there.
    reads: Vec<DocumentId>,
}

impl WriteSet {
    fn bytes(&self) -> usize {
        let size = |write: &Write| match write {
            Write::Put { key, value, .. } => key.len() + value.len(),
            Write::Delete { key, .. } | Write::DeletePrefix { prefix: key, .. } => key.len(),
        };
        self.writes.iter().map(size).sum()
    }
}

impl Saves {
    /// Bytes not yet in the local store.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lets go of all but edits made here, and gives the rest.
    fn keep_edits(&mut self) -> Vec<WriteSet> {
        let flight = std::mem::take(&mut self.flight);
        let waiting = std::mem::take(&mut self.waiting);
        let edit = |write: &Write| matches!(write, Write::Put { table: Table::Outbox | Table::Meta, .. });
        let (kept, gone): (Vec<_>, _) = flight.into_iter().chain(waiting).partition(|set| set.writes.iter().all(edit));
        self.waiting = kept.into();
        self.retry_at = None;
        gone
    }

    /// Whether a document is about to become another one in the store.
    pub(super) fn rebuilds(&self, document: DocumentId) -> bool {
        self.waiting.iter().chain(&self.flight).any(|set| set.document == document && set.rebuilt.is_some())
    }

    /// Whether something of a document is on its way to the store.
    pub(super) fn concerns(&self, document: &DocumentName) -> bool {
        self.waiting.iter().chain(&self.flight).any(|set| set.name.as_ref() == Some(document))
    }
}

impl Replica {
    pub(super) fn save_writes(
        &mut self,
        now: Instant,
        document: DocumentId,
        writes: Vec<Write>,
        changes: Vec<ChangeHash>,
    ) {
        self.save_set(now, document, writes, changes, None);
    }

    pub(super) fn save_set(
        &mut self,
        now: Instant,
        document: DocumentId,
        writes: Vec<Write>,
        changes: Vec<ChangeHash>,
        rebuilt: Option<Vec<(ChangeHash, Option<ChangeHash>)>>,
    ) {
        if !writes.is_empty() {
            let name = self.documents.get(&document).map(|doc| doc.name.clone());
            let set = WriteSet { document, name, writes, changes, rebuilt };
            self.saves.bytes += set.bytes();
            self.saves.waiting.push_back(set);
        }
        if self.saves.retry_at.is_none_or(|at| at <= now) {
            self.push_saves();
        }
    }

    /// Another tab leads: only edits made here are still to be written, with the received changes that they stand on.
    pub(super) fn keep_own_saves(&mut self) {
        let gone = self.saves.keep_edits();
        let mut rebuilt = BTreeSet::new();
        for set in gone.into_iter().rev() {
            let (Some(replaced), Some(doc)) = (set.rebuilt, self.documents.get_mut(&set.document)) else { continue };
            rebuilt.insert(set.document);
            // What was written again is not: its edits are in what it was before.
            let back: Vec<_> = replaced.into_iter().filter_map(|(old, new)| Some((new?, Some(old)))).collect();
            doc.edits.replace(&back);
        }
        let edited: BTreeSet<_> = self.saves.waiting.iter().map(|set| set.document).collect();
        for id in edited.difference(&rebuilt) {
            if let Some(below) = self.below_edits(*id) {
                self.saves.waiting.push_front(below);
            }
        }
        self.saves.bytes = self.saves.waiting.iter().map(WriteSet::bytes).sum();
        let ours: BTreeSet<_> = self.saves.waiting.iter().flat_map(|set| &set.changes).copied().collect();
        // What is not written from here is held by others, or comes again: once this tab holds it again it is in the store.
        self.documents.values_mut().for_each(|doc| doc.tabs.uncommitted.retain(|hash| ours.contains(hash)));
        if self.saves.waiting.is_empty() {
            // Nothing is tried any more that could end the trouble.
            self.saves.failing = None;
        }
        self.push_saves();
    }

    /// Received changes that are not in the store, as rows of the outbox: whoever leads finds them in the log, or brings them there.
    fn below_edits(&self, id: DocumentId) -> Option<WriteSet> {
        let doc = self.documents.get(&id)?;
        let local = self.local(id)?;
        let ours: BTreeSet<_> = self.saves.waiting.iter().flat_map(|set| &set.changes).collect();
        let below = doc.tabs.uncommitted.iter().filter(|hash| !ours.contains(hash));
        let below = below.filter_map(|hash| local.document.automerge().get_change_by_hash(hash));
        let below = below.filter_map(|change| Change::parse(change.raw_bytes(), &ChangeLimits::stored()).ok());
        let log = local.cursor.map(|cursor| cursor.incarnation);
        let (changes, writes): (Vec<_>, Vec<_>) =
            below.map(|change| (change.hash(), rows::put_received(&local.name, &change, log))).unzip();
        let name = Some(doc.name.clone());
        (!writes.is_empty()).then_some(WriteSet { document: id, name, writes, changes, rebuilt: None })
    }

    /// Sends all that has gathered, unless something is on its way.
    pub(super) fn push_saves(&mut self) {
        if !self.saves.flight.is_empty() || self.saves.waiting.is_empty() {
            return;
        }
        self.saves.retry_at = None;
        self.saves.flight = std::mem::take(&mut self.saves.waiting);
        let writes = self.saves.flight.iter().flat_map(|set| set.writes.iter().cloned()).collect();
        self.task(Task::Commit, LocalTask::Commit(writes));
    }

    /// Reads a document's rows, as soon as what is on its way to them is there.
    pub(super) fn read_rows(&mut self, id: DocumentId) {
        let Some(doc) = self.documents.get(&id) else { return };
        if self.saves.concerns(&doc.name) {
            if !self.saves.reads.contains(&id) {
                self.saves.reads.push(id);
            }
            return;
        }
        let prefix = rows::prefix(&doc.name);
        let tables = vec![Table::Document, Table::Chunk, Table::Outbox];
        self.task(Task::Load(id), LocalTask::Read { tables, prefix });
    }

    pub(super) fn committed(&mut self, now: Instant, result: Result<(), StoreError>) {
        let flight = std::mem::take(&mut self.saves.flight);
        if let Err(error) = result
            && !self.config.planted.has(Planted::FailedSaveTakenAsSaved)
        {
            self.saves.waiting = flight.into_iter().chain(std::mem::take(&mut self.saves.waiting)).collect();
            self.saves.retry_at = Some(now + RETRY_AFTER);
            self.saves.failing = Some(error.clone());
            self.event(Event::StorageFailed(error));
            return self.all_statuses();
        }
        if self.saves.failing.take().is_some() {
            self.all_statuses();
        }
        let mut touched = Vec::new();
        for set in flight {
            self.saves.bytes -= set.bytes();
            self.mark_saved(set.document, &set.changes);
            if let Some(replaced) = set.rebuilt {
                self.rebuilt(set.document, &replaced);
            }
            touched.push(set.document);
        }
        touched.dedup();
        self.push_saves();
        for document in touched {
            self.report_edits(document);
            self.event(Event::Status(document));
            self.flush(now, document);
            self.grown(now, document);
        }
        for id in std::mem::take(&mut self.saves.reads) {
            self.read_rows(id);
        }
    }

    fn mark_saved(&mut self, document: DocumentId, changes: &[ChangeHash]) {
        let saved: BTreeSet<_> = changes.iter().copied().collect();
        if let Some(local) = self.local_mut(document) {
            let first = local.outbox.len() - local.unsaved();
            // What is not saved is the outbox's end. A row that was written anew since, before others, waits for its own transaction.
            for pending in local.outbox[first..].iter_mut().take_while(|p| saved.contains(&p.change.hash())) {
                pending.saved = true;
            }
        }
        if let Some(doc) = self.documents.get_mut(&document) {
            doc.edits.saved(&saved);
            doc.tabs.uncommitted.retain(|hash| !saved.contains(hash));
        }
    }

    pub(super) fn save_timeout(&mut self, now: Instant) {
        if self.saves.retry_at.is_some_and(|at| at <= now) {
            self.saves.retry_at = None;
            self.push_saves();
        }
    }

    fn all_statuses(&mut self) {
        let all: Vec<_> = self.documents.keys().copied().collect();
        for document in all {
            self.event(Event::Status(document));
        }
    }
}
