//! What the tab that leads has told another one of the server's log, and that no tab says it is in sync before it holds all of that.
//!
//! Owns what each tab has heard. Which leader a tab follows is decided as the replica does: by the epochs that leaders name.

use std::collections::BTreeMap;

use sync_core::clock::VectorClock;
use sync_core::replica::State;
use sync_core::replica::tabs::messages::TabMessage;

use crate::sim::world::World;

/// What one process of a tab has heard of the leader that it follows.
#[derive(Debug, Default)]
pub(crate) struct Word {
    process: u64,
    /// Which client leads, and its epoch.
    leader: Option<(usize, u64)>,
    /// By document what is in the log, and whether that is all that the server has said it has.
    logs: BTreeMap<String, (VectorClock, bool)>,
}

impl World {
    /// A tab hears something of another one. Gives whether it was how a document stands.
    pub(crate) fn note_word(&mut self, from: usize, (index, process): (usize, u64), bytes: &[u8]) -> bool {
        if self.leads(index).is_some() {
            return false;
        }
        let word = self.browser.words.entry(index).or_default();
        if word.process != process {
            *word = Word { process, ..Word::default() };
        }
        let mut told = false;
        for message in TabMessage::decode_all(bytes).unwrap_or_default() {
            match message {
                TabMessage::Lead(lead) if word.leader.is_none_or(|(_, epoch)| epoch <= lead.epoch) => {
                    word.leader = Some((from, lead.epoch));
                    word.logs.clear();
                }
                TabMessage::Standing(standing) if word.leader.is_some_and(|(leader, _)| leader == from) => {
                    word.logs.insert(standing.document, (standing.acked, standing.current));
                    told = true;
                }
                _ => {}
            }
        }
        told
    }

    /// P4: a tab that follows and says that it is in sync holds all that its leader says is in the log; and the leader says that this is all there
    /// is. After it was told how a document stands its position is looked at, too.
    pub(crate) fn check_word(&mut self, index: usize, told: bool) {
        let Some(replica) = self.clients[index].replica.as_ref().filter(|_| self.leads(index).is_none()) else {
            return;
        };
        let logs = self.browser.words.get(&index).map(|word| &word.logs);
        let mut documents = Vec::new();
        for (name, opened) in &self.clients[index].documents {
            documents.push((name.clone(), opened.id));
            let Some((_, clock)) = replica.holds(opened.id) else { continue };
            if replica.status(opened.id).is_none_or(|status| status.state != State::Synced) {
                continue;
            }
            match logs.and_then(|logs| logs.get(name.as_str())) {
                Some((log, true)) if clock >= *log => {}
                heard => {
                    let what = format!("P4: tab {index} is in sync with {name}, holds {clock:?}, and heard {heard:?}");
                    return self.fail(what);
                }
            }
        }
        for (name, id) in documents.into_iter().filter(|_| told) {
            self.check_position(index, &name, id);
        }
    }
}
