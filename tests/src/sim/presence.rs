//! Presence in the simulation: every application says where it is, and in the end everybody knows where everybody is.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use sync_core::id::{DocumentName, SessionId};
use sync_core::replica::DocumentId;

use crate::sim::world::{Event, World};

/// Longer than a run, so that nobody's presence ends by itself.
const TTL: Duration = Duration::from_secs(3_600);

/// What one client says of itself, and sees of others.
#[derive(Debug, Default)]
pub(crate) struct Presences {
    said: BTreeMap<DocumentName, Bytes>,
    seen: BTreeMap<DocumentName, BTreeMap<SessionId, Bytes>>,
}

impl World {
    pub(crate) fn schedule_presence(&mut self, index: usize) {
        if self.options.presence {
            let gap = Duration::from_millis(500 + self.rng.below(4_000));
            self.after(gap, Event::Presence(index));
        }
    }

    /// The application says where its user is.
    pub(crate) fn say_presence(&mut self, index: usize) {
        let ready: Vec<_> =
            self.clients[index].documents.iter().filter(|(_, d)| d.ready).map(|(n, d)| (n.clone(), d.id)).collect();
        if !ready.is_empty() {
            let (name, id) = ready[self.rng.below(ready.len() as u64) as usize].clone();
            let payload = Bytes::from(format!("client {index} at {}", self.now.0));
            if let Some(replica) = self.clients[index].replica.as_mut() {
                replica.emit(id, payload.clone(), Some(TTL));
                self.clients[index].presences.said.insert(name, payload);
                self.inputs += 1;
                self.count("presence said");
                self.drain_client(index);
            }
        }
        self.schedule_presence(index);
    }

    pub(crate) fn saw_presence(&mut self, index: usize, id: DocumentId, from: SessionId, payload: Bytes) {
        let Some(name) = self.name_of(index, id) else { return };
        let seen = self.clients[index].presences.seen.entry(name).or_default();
        if payload.is_empty() {
            seen.remove(&from);
        } else {
            seen.insert(from, payload);
        }
    }

    /// Everybody sees the latest presence of everybody else, and of nobody who has gone.
    pub(crate) fn check_presence(&mut self) {
        for (index, client) in self.clients.iter().enumerate() {
            for name in client.documents.keys() {
                let others = self.clients.iter().enumerate().filter(|(i, _)| *i != index);
                let mut there: Vec<_> = others.filter_map(|(_, c)| c.presences.said.get(name)).collect();
                let mut seen: Vec<_> = client.presences.seen.get(name).into_iter().flat_map(BTreeMap::values).collect();
                there.sort();
                seen.sort();
                if there != seen {
                    let what = format!("presence: client {index} sees {seen:?} at {name}, and there are {there:?}");
                    return self.fail(what);
                }
            }
        }
    }
}
