//! What replicas say that they hold, as an inspector shows it: held against the document that they show, and against the server's log.
//!
//! Owns the comparison. While faults strike a position is looked at only where there has been one log of the document, and what counts in it is
//! therefore known; once all has settled there is one log for everybody.

use std::collections::BTreeSet;

use sync_core::clock::{ClockEntry, VectorClock};
use sync_core::id::{ChangeHash, DocumentName, LogSeq};
use sync_core::replica::{DocumentId, Replica};

use crate::sim::ledger::LogMirror;
use crate::sim::world::World;

/// The changes of a shown document, and the clock that names them.
fn shown(replica: &Replica, id: DocumentId) -> Option<(BTreeSet<ChangeHash>, VectorClock)> {
    replica.read(id, |document| {
        let (mut hashes, mut clock) = (BTreeSet::new(), VectorClock::new());
        for change in document.get_changes_meta(&[]) {
            hashes.insert(change.hash);
            let seq = u32::try_from(change.seq).unwrap_or(u32::MAX);
            clock.observe(&change.actor, ClockEntry { seq, hash: change.hash.into() });
        }
        (hashes, clock)
    })
}

/// The clock names what the document is made of, and all up to the position is part of it. Gives the position.
fn check(replica: &Replica, id: DocumentId, log: Option<&LogMirror>) -> Result<Option<LogSeq>, String> {
    let (Some((position, clock)), Some((hashes, made_of))) = (replica.holds(id), shown(replica, id)) else {
        return Ok(None);
    };
    if clock != made_of {
        return Err(format!("says that it holds {clock:?}, and shows {made_of:?}"));
    }
    let (Some(log), Some(seq)) = (log, position) else { return Ok(position) };
    if seq > log.log.head() {
        return Err(format!("says that it holds all up to {seq} of a log that ends at {}", log.log.head()));
    }
    let before = log.changes.iter().take(seq.0 as usize).zip(1u64..);
    match before.into_iter().find(|(change, _)| !hashes.contains(&change.hash())) {
        Some((_, at)) => Err(format!("says that it holds all up to {seq}, and lacks what stands at {at}")),
        None => Ok(position),
    }
}

impl World {
    /// P4: what a client says it holds of a document is what it shows.
    pub(crate) fn check_held(&mut self, index: usize, name: &DocumentName, id: DocumentId) {
        let Some(replica) = &self.clients[index].replica else { return };
        let one_log = !self.ledger.restored && !self.ledger.dead.contains_key(name);
        let log = self.ledger.logs.get(name).filter(|_| one_log);
        if let Err(e) = check(replica, id, log) {
            self.fail(format!("P4: client {index} {e}, of {name}"));
        }
    }

    /// P4: a client has all up to where it says it is in the log, though it may not show it yet.
    pub(crate) fn check_position(&mut self, index: usize, name: &DocumentName, id: DocumentId) {
        let held = self.clients[index].replica.as_ref().and_then(|replica| replica.holds(id));
        let (Some((Some(position), clock)), false) = (held, self.ledger.restored) else { return };
        let Some(log) = self.ledger.logs.get(name).filter(|_| !self.ledger.dead.contains_key(name)) else { return };
        let before = log.changes.iter().take(position.0 as usize).zip(1u64..);
        let lacks = before.into_iter().find(|(change, _)| clock.seq(change.actor()) < change.seq());
        if let Some((_, at)) = lacks {
            self.fail(format!("P4: tab {index} holds all of {name} up to {position}, and lacks what stands at {at}"));
        }
    }

    /// All of it once all has settled, where everybody holds the whole log and nothing else, and knows it.
    pub(crate) fn compare_held(&self) -> Result<(), String> {
        for (name, mirror) in &self.ledger.logs {
            for (index, client) in self.clients.iter().enumerate() {
                let (Some(opened), Some(replica)) = (client.documents.get(name), &client.replica) else { continue };
                let position = check(replica, opened.id, Some(mirror));
                let position = position.map_err(|e| format!("P4: client {index} {e}, of {name}"))?;
                if position != Some(mirror.log.head()) {
                    let head = mirror.log.head();
                    return Err(format!("P4: client {index} is in sync with {name} at {head}, and says {position:?}"));
                }
            }
        }
        Ok(())
    }
}
