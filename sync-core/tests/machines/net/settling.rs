//! Conflicts of a network's clients, and answers to them.

use automerge::AutomergeError;
use automerge::transaction::Transaction;
use sync_core::conflict::ConflictId;
use sync_core::document::InitValue;
use sync_core::replica::{DocumentId, EditError, Listed, ResolveError};
use sync_core::settlement::{Answer, Seen};
use sync_core::time::WallTime;

use super::Net;

impl Net {
    pub(crate) fn listed(&mut self, client: usize, id: DocumentId) -> Vec<Listed> {
        self.clients[client].replica.conflicts_and_answers(id).expect("ready")
    }

    pub(crate) fn resolve(
        &mut self,
        client: usize,
        id: DocumentId,
        seen: &Seen,
        answer: &Answer,
    ) -> Result<(), ResolveError> {
        let done = self.clients[client].replica.resolve(self.now, WallTime(1), id, seen, answer, None);
        self.drain_client(client);
        done.map(drop)
    }

    pub(crate) fn reopen(&mut self, client: usize, id: DocumentId, conflict: ConflictId) -> Result<(), ResolveError> {
        let done = self.clients[client].replica.reopen(self.now, WallTime(1), id, conflict);
        self.drain_client(client);
        done.map(drop)
    }

    pub(crate) fn try_change<R>(
        &mut self,
        client: usize,
        id: DocumentId,
        edit: impl FnOnce(&mut Transaction<'_>) -> Result<R, AutomergeError>,
    ) -> Result<R, EditError> {
        let done = self.clients[client].replica.change(self.now, WallTime(1), id, edit);
        self.drain_client(client);
        done.map(|(result, _)| result)
    }

    pub(crate) fn try_init(&mut self, client: usize, id: DocumentId, key: &str) -> Result<(), EditError> {
        self.clients[client].replica.init(self.now, id, key, InitValue::Map)
    }
}
