//! A device must not fall out with itself: edits that a client keeps as rejected since they do not fit what it holds, and tabs that write under
//! one number.
//!
//! Owns which edits those were, and the check that each stood on something that was let go. What the server refuses is its own business.

use sync_core::id::DocumentName;
use sync_core::protocol::RejectCode;
use sync_core::replica::{DocumentId, OutboxState};

use crate::sim::ledger::Ledger;
use crate::sim::world::World;

impl World {
    /// Notes which edits of a client are blocked: an application may do away with them before anything is checked.
    pub(crate) fn note_blocked(&mut self, index: usize, id: DocumentId) {
        let (Some(name), Some(replica)) = (self.name_of(index, id), &self.clients[index].replica) else { return };
        for entry in replica.outbox(id) {
            if let OutboxState::Rejected { code: RejectCode::Blocked, reason } = entry.state
                && self.ledger.blocked.insert(entry.change, (name.clone(), reason)).is_none()
            {
                self.count("blocked edit");
            }
        }
    }
}

impl World {
    /// P2: no two tabs that run have written the same change of an actor. One writes it again where the document was deleted.
    pub(crate) fn note_number(&mut self, index: usize, name: &DocumentName, id: DocumentId) {
        let client = &self.clients[index];
        let Some(change) = client.replica.as_ref().and_then(|replica| replica.pending(id).last()) else { return };
        let (actor, seq, hash) = (change.actor().clone(), change.seq(), change.hash());
        let before = self.ledger.numbers.insert((name.clone(), actor.clone(), seq), (index, client.epoch, hash));
        if let Some((other, process, held)) = before
            && other != index
            && held != hash
            && self.share_disk(index, other)
            && self.is_tab(other, process)
        {
            self.fail(format!(
                "P2: tabs {other} and {index} have both written change {seq} of actor {actor} in {name}"
            ));
        }
    }
}

impl Ledger {
    /// P2: an edit is blocked only where something that it stands on was refused or let go. If the log has all of that, two writers of one
    /// device have taken the same number, or one has written on what the others did not get.
    pub(crate) fn blocked_in_vain(&self) -> Option<String> {
        self.blocked.iter().find_map(|(hash, (name, reason))| {
            let table = self.logs.get(name)?.log.table();
            let all = self.deps.get(hash)?.iter().all(|dep| table.contains(dep));
            all.then(|| format!("P2: change {hash} of {name} is blocked ({reason}), and the log has all it stands on"))
        })
    }
}
