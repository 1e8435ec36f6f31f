//! Deletion in the simulation: an operator deletes a document, and no copy of it may bring back what was in it.

use std::collections::BTreeSet;

use sync_core::protocol::Open;
use sync_core::replica::OutboxState;
use sync_core::room;

use crate::sim::ledger::Token;
use crate::sim::world::World;

impl World {
    /// Deletes a random document, unless the disk is just writing.
    pub(crate) fn delete_document(&mut self) {
        let names: Vec<_> = self.ledger.logs.keys().cloned().collect();
        if !self.server.up || self.server.is_writing() || names.is_empty() {
            return;
        }
        let name = names[self.rng.below(names.len() as u64) as usize].clone();
        match sync_core::storage::Store::delete(&mut self.server.disk, &name) {
            Ok(true) => self.count("document deleted"),
            _ => return,
        }
        self.ledger.deleted(&name);
        self.inputs += 1;
        if let Some(room) = self.server.rooms.get_mut(&name) {
            room.handle_input(self.now, room::Input::Replaced);
            self.drain_room(&name);
            self.work();
        }
    }

    /// Who never named the incarnation that was deleted does not know of it: what it has to send was not acknowledged to it, is nobody's copy,
    /// and may go to whatever document there is now, though the deleted one had it.
    pub(crate) fn unaware(&mut self, index: usize, open: &Open) {
        let client = &mut self.clients[index];
        client.named.extend(open.cursor.map(|cursor| cursor.incarnation));
        let Some(replica) = client.replica.as_ref().filter(|_| open.clock.is_none()) else { return };
        let Ok(name) = sync_core::id::DocumentName::parse(&open.document) else { return };
        let Some(dead) = self.ledger.dead.get(&name) else { return };
        let outbox = replica.document_id(&name).map(|id| replica.outbox(id)).unwrap_or_default();
        let pending = outbox.iter().filter(|entry| !matches!(entry.state, OutboxState::Rejected { .. }));
        let tokens = pending.filter_map(|entry| self.ledger.contents.get(&entry.change)).flatten().copied();
        let unknown = |token: &Token| dead.get(token).is_some_and(|incarnation| !client.named.contains(incarnation));
        let tokens = tokens.filter(unknown).collect();
        self.ledger.wanted_again(&tokens);
    }
}

impl crate::sim::ledger::Ledger {
    /// A document was deleted with all that its log held. That is no loss, and it stays so.
    fn deleted(&mut self, name: &sync_core::id::DocumentName) {
        let Some(mirror) = self.logs.remove(name) else { return };
        // Also what a log that went back had lost, and nobody had brought again yet.
        for (token, fate) in self.fates.iter_mut().filter(|(_, fate)| fate.document == *name) {
            fate.excused |= self.ever_logged.contains(token);
        }
        // After a restore a copy may be of an incarnation that the server has forgotten, was never deleted, and holds the same edits.
        if !self.restored {
            let incarnation = mirror.log.incarnation();
            let dead = mirror.tokens.into_iter().map(|token| (token, incarnation));
            self.dead.entry(name.clone()).or_default().extend(dead);
        }
    }

    /// The application wants these edits again, whatever became of their document.
    pub(crate) fn wanted_again(&mut self, tokens: &BTreeSet<Token>) {
        self.dead.values_mut().for_each(|dead| dead.retain(|token, _| !tokens.contains(token)));
    }
}
