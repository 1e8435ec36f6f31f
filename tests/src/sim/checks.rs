//! What must hold once the world has healed and settled: P1 to P5 and P7, from the ledger and from what replicas show.

use std::time::Duration;

use sync_core::planted::Planting;
use sync_core::replica::State;

use crate::sim::client::Heard;
use crate::sim::disagree::{self, oracle};
use crate::sim::ledger::{tokens_in, value_of};
use crate::sim::net::Connection;
use crate::sim::world::World;
use crate::sim::{answers, conflicts};

/// Bytes that coming back with a cursor may cost beside the changes.
const RESUME_BYTES: usize = 600;
/// Longer than a client's process is away.
const RESTART_WITHIN: Duration = Duration::from_secs(6);
/// Bytes that coming back may cost for each missing change.
const RESUME_BYTES_PER_CHANGE: usize = 700;

/// Why a world is not at rest while frames travel.
pub(crate) const ON_THEIR_WAY: &str = "frames are on their way";

impl World {
    /// Somebody looks at every document of every client.
    pub(crate) fn look_everywhere(&mut self) {
        for index in (0..self.clients.len()).filter(|index| !self.is_frozen(*index)).collect::<Vec<_>>() {
            let ids: Vec<_> = self.clients[index].documents.values().map(|d| d.id).collect();
            for id in ids {
                self.shown(index, id);
            }
            self.drain_client(index);
        }
    }

    /// What is still on its way, in words.
    pub(crate) fn unsettled(&mut self) -> String {
        if !self.server.is_idle() {
            return "the server is busy".into();
        }
        if self.is_settling() {
            return "the server has yet to settle".into();
        }
        // Who has nothing pending does not know of what is on its way to it.
        let travel = |c: &Connection| !c.up.frames.is_empty() || !c.down.frames.is_empty();
        if self.connections.values().any(|c| !c.broken && travel(c)) {
            return ON_THEIR_WAY.into();
        }
        for (index, client) in self.clients.iter().enumerate().filter(|(_, client)| !client.stays_closed) {
            let Some(replica) = client.replica.as_ref().filter(|_| client.is_idle() && !self.is_frozen(index)) else {
                return format!("client {index} is busy");
            };
            for (name, document) in &client.documents {
                let Some(status) = replica.status(document.id) else { return format!("client {index} lacks {name}") };
                // Rejected changes are shown before anything else, also while there is no conversation about the document.
                if client.connection.is_some_and(|connection| self.snoop.is_put_off(connection, name)) {
                    return format!("client {index}: {name} is to be opened again");
                }
                if !matches!(status.state, State::Synced | State::Rejected) || status.pending > 0 || status.unsaved > 0
                {
                    let first = replica.outbox(document.id).first().map(|e| e.state.clone());
                    return format!("client {index}, {name}: {status:?}, first in the outbox {first:?}");
                }
                if let Some(mirror) = self.ledger.logs.get(name) {
                    let shown = replica.read(document.id, tokens_in).unwrap_or_default();
                    if status.state == State::Rejected && shown != mirror.tokens {
                        return format!("client {index}, {name}: rejected, and shows something else");
                    }
                }
            }
        }
        String::new()
    }

    /// All final checks, up to the first that fails.
    pub(crate) fn check_all(&mut self) {
        let checks: [fn(&mut World); 11] = [
            World::check_presence,
            World::check_sessions,
            World::check_promises,
            World::check_replicas,
            World::check_silence,
            World::check_resume,
            World::restart_one,
            World::check_replicas,
            World::check_conflicts,
            World::check_rulings,
            World::check_settling,
        ];
        for check in checks {
            if !self.has_failed() {
                check(self);
            }
        }
    }

    /// P7: the server holds no session that nobody is at.
    fn check_sessions(&mut self) {
        let (held, live) = (self.server.session_count(), self.clients.len());
        if held > live {
            self.fail(format!("P7: {held} sessions of {live} clients, long after the others fell silent"));
        }
    }

    /// P1: what was acknowledged is in the log. P2: what was saved is in the log, or visible as rejected.
    fn check_promises(&mut self) {
        let mut rejected = std::collections::BTreeSet::new();
        for index in 0..self.clients.len() {
            let ids: Vec<_> = self.clients[index].documents.values().map(|d| d.id).collect();
            for id in ids {
                self.scan(index, id);
                self.note_blocked(index, id);
                rejected.extend(self.rejected(index, id));
            }
        }
        if let Some(wrong) = self.ledger.blocked_in_vain() {
            return self.fail(wrong);
        }
        let lost = self.ledger.fates.iter().find_map(|(token, fate)| {
            if self.ledger.in_log(*token) || fate.excused {
                return None;
            }
            if fate.acknowledged {
                return Some(format!(
                    "P1: edit {token} of client {} was acknowledged, and the log lacks it",
                    fate.client
                ));
            }
            let lost = fate.saved && !rejected.contains(token);
            lost.then(|| {
                format!("P2: edit {token} of client {} was saved, and is neither in the log nor rejected", fate.client)
            })
        });
        if let Some(lost) = lost {
            self.fail(lost);
        }
    }

    /// P3: replicas and the log hold the same changes and show the same value.
    fn check_replicas(&mut self) {
        if let Err(e) = self.compare_replicas().and_then(|()| self.compare_held()) {
            self.fail(e);
        }
    }

    fn compare_replicas(&self) -> Result<(), String> {
        for (name, mirror) in &self.ledger.logs {
            let want = mirror.materialise()?;
            let (heads, value) = (want.get_heads(), value_of(&want));
            for (index, client) in self.clients.iter().enumerate() {
                let (Some(opened), Some(replica)) = (client.documents.get(name), &client.replica) else { continue };
                let same = replica.read(opened.id, |document| {
                    let mut held = document.get_heads();
                    held.sort();
                    let mut heads = heads.clone();
                    heads.sort();
                    (held == heads, value_of(document) == value)
                });
                match same {
                    Some((true, true)) => {}
                    Some((false, _)) => {
                        return Err(format!("P3: client {index} and the log of {name} hold different changes"));
                    }
                    Some((_, false)) => {
                        return Err(format!("P3: client {index} shows another value of {name} than the log"));
                    }
                    None => return Err(format!("P3: client {index} can't read {name}")),
                }
            }
        }
        Ok(())
    }

    /// P3: replicas list the conflicts that the log has, with the same answers, and none is missing.
    fn check_conflicts(&mut self) {
        let outcome = self.compare_conflicts();
        self.note(outcome);
    }

    fn compare_conflicts(&mut self) -> Result<Vec<&'static str>, String> {
        let mut seen = Vec::new();
        let planted = Planting::new(self.options.planted);
        for (name, mirror) in &self.ledger.logs {
            let want = mirror.materialise()?;
            let (conflicts, listed) = conflicts::of_log(name, &mirror.changes, planted)?;
            let states = answers::states(listed);
            answers::check(name, &want, &states)?;
            oracle::check(&mirror.changes, &want, &conflicts)
                .map_err(|missed| format!("{} of {name}: {missed}", conflicts::ORACLE))?;
            seen.extend(conflicts.iter().flat_map(disagree::counted));
            for (index, client) in self.clients.iter_mut().enumerate() {
                let (Some(opened), Some(replica)) = (client.documents.get(name), &mut client.replica) else { continue };
                let listed = replica.conflicts(opened.id).unwrap_or_default();
                seen.extend(conflicts::refused(replica, opened.id, &listed)?);
                if conflicts::shared(listed) != conflicts {
                    return Err(format!("P3: client {index} lists other conflicts of {name} than the log has"));
                }
                let seen = replica.conflicts_and_answers(opened.id).map(answers::states).unwrap_or_default();
                if seen != states {
                    let here = seen.iter().find(|one| !states.contains(one));
                    let there = states.iter().find(|one| !seen.contains(one));
                    return Err(format!(
                        "P3: client {index} sees other answers to conflicts of {name} than the log has: {here:?}, there {there:?}"
                    ));
                }
            }
        }
        Ok(seen)
    }

    fn forget_heard(&mut self) {
        self.clients.iter_mut().for_each(|c| c.heard = Heard::default());
    }

    /// P5: once converged, nothing is sent but heartbeats.
    fn check_silence(&mut self) {
        // Longer than it takes to find out that a connection is dead: to come back then is no noise.
        self.run_until(self.now + Duration::from_secs(30));
        self.forget_heard();
        self.run_until(self.now + Duration::from_secs(60));
        let loud = self.clients.iter().position(|c| c.heard.messages > 0);
        if let Some(index) = loud {
            let heard = self.clients[index].heard.clone();
            self.fail(format!("P5: {} messages for client {index} in a minute of silence", heard.messages));
        }
    }

    /// P5: coming back with a cursor costs what is missing, in one round trip.
    fn check_resume(&mut self) {
        let (away, editor) = (0, 1);
        self.set_online(away, false);
        self.run_until(self.now + Duration::from_secs(2));
        let before = self.changes_made();
        for _ in 0..self.rng.below(6) {
            self.edit(editor);
            self.run_until(self.now + Duration::from_millis(200));
        }
        self.settle_but(away);
        self.forget_heard();
        self.set_online(away, true);
        self.settle();
        let heard = self.clients[away].heard.clone();
        let missing = self.changes_made() - before;
        let bound =
            self.clients[away].documents.len() * RESUME_BYTES + RESUME_BYTES + missing * RESUME_BYTES_PER_CHANGE;
        if self.has_failed() {
            return;
        }
        if heard.reconciled {
            self.fail("P5: a client with a valid cursor had to reconcile".into());
        } else if heard.changes > missing {
            self.fail(format!("P5: {} changes came where {missing} were missing", heard.changes));
        } else if heard.bytes > bound {
            self.fail(format!("P5: {} bytes for {missing} missing changes, bound {bound}", heard.bytes));
        }
    }

    /// Edits, and what the server wrote.
    fn changes_made(&self) -> usize {
        self.next_token as usize + self.settling.as_ref().map_or(0, |settling| settling.written.len())
    }

    /// What is checked after this is also checked of a client that has read everything from its disk.
    fn restart_one(&mut self) {
        self.crash_client(1);
        self.run_until(self.now + RESTART_WITHIN);
        self.settle();
    }

    fn settle_but(&mut self, away: usize) {
        let editor_done = |world: &World| {
            let client = &world.clients[1];
            let synced = |d: &crate::sim::client::Opened| {
                client.replica.as_ref().and_then(|r| r.status(d.id)).is_some_and(|s| s.pending == 0 && s.unsaved == 0)
            };
            client.documents.values().all(synced) && world.server.is_idle()
        };
        let _ = away;
        for _ in 0..60 {
            self.run_until(self.now + Duration::from_secs(1));
            if editor_done(self) || self.has_failed() {
                return;
            }
        }
        self.fail("settle: a client's edits were not taken within a minute".into());
    }
}
