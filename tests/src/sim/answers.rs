//! Answers to conflicts in simulated worlds: people settle what they see, at random, and take answers back.
//!
//! Owns who answers what, and what must be true of answers in the end: one that stands settles its conflict on every replica, and two
//! different ones settle nothing. Has chance of its own, and only some seeds have answers, so that the others keep their stories.

use std::collections::BTreeSet;

use automerge::{Automerge, ROOT, ReadDoc};
use sync_core::conflict::ConflictKind;
use sync_core::id::DocumentName;
use sync_core::replica::{DocumentId, EditError, ResolveError};
use sync_core::rng::Rng;
use sync_core::settlement::{Answer, AnswerError, Listed, ListedState, ROOT_KEY, Seen};
use sync_core::time::WallTime;

use crate::sim::world::World;

/// Mixed into the seed, so that this chance is not the world's.
const ASIDE: u64 = 0x616e_7377_6572_7300;

/// Who answers conflicts in one run.
#[derive(Debug)]
pub(crate) struct Answers {
    rng: Rng,
}

impl Answers {
    /// Every fourth run has some.
    pub(crate) fn draw(seed: u64) -> Option<Self> {
        (seed % 4 == 3).then(|| Self { rng: Rng::from_number(seed ^ ASIDE) })
    }

    /// What to say to one of the conflicts: `None` for taking the answer back.
    fn say(&mut self, one: &Listed) -> Option<Answer> {
        let side = self.rng.below(one.conflict.candidates.len() as u64) as usize;
        if one.state() == ListedState::Settled && self.rng.chance(400) {
            return None;
        }
        Some(if self.rng.chance(200) { Answer::Both } else { Answer::Pick(one.conflict.candidates[side].change) })
    }
}

impl World {
    /// Perhaps somebody looks at the conflicts of a document, and answers one.
    pub(crate) fn answer(&mut self, index: usize, id: DocumentId, wall: WallTime) {
        let Some(answers) = self.answers.as_mut().filter(|_| self.chaos) else { return };
        let Some(replica) = self.clients[index].replica.as_mut().filter(|_| answers.rng.chance(150)) else { return };
        let Some(mut listed) = replica.conflicts_and_answers(id) else { return };
        listed.retain(|one| one.conflict.kind != ConflictKind::Rejected);
        if listed.is_empty() {
            return;
        }
        let one = &listed[answers.rng.below(listed.len() as u64) as usize];
        self.inputs += 1;
        let (what, done) = match answers.say(one) {
            Some(answer) => ("conflict answered", replica.resolve(self.now, wall, id, &Seen::from(one), &answer, None)),
            None => ("answer taken back", replica.reopen(self.now, wall, id, one.conflict.id)),
        };
        match done {
            Ok(_) => self.count(what),
            Err(ResolveError::Answer(AnswerError::Unfit(_)) | ResolveError::Edit(EditError::NotReady)) => {
                self.count("answer that does not fit");
            }
            // The place of what was hidden is gone as well.
            Err(ResolveError::Edit(_)) => self.count("answer without a place"),
            Err(e) => self.fail(format!("P3: client {index} can't answer what it has just listed: {e}")),
        }
    }
}

/// What all must agree on: where each conflict stands.
pub(crate) fn states(listed: Vec<Listed>) -> Vec<(String, u64, ListedState)> {
    let of_all = listed.into_iter().filter(|one| one.conflict.kind != ConflictKind::Rejected);
    let mut states: Vec<_> =
        of_all.map(|one| (one.conflict.id.to_string(), one.conflict.version, one.state())).collect();
    states.sort();
    states
}

/// Holds where the conflicts of a log stand against what was written about each, read here without the engine's help.
pub(crate) fn check(
    name: &DocumentName,
    document: &Automerge,
    states: &[(String, u64, ListedState)],
) -> Result<(), String> {
    for (id, version, state) in states {
        let written = written(document, id);
        let answers = |entry: &String| {
            let mut words = entry.split([' ', '\n']);
            let version = words.nth(1).and_then(|version| version.parse().ok());
            version.filter(|_: &u64| words.next() == Some("settled"))
        };
        let only = written.iter().next().filter(|_| written.len() == 1).and_then(answers);
        // What answers more sides than there still are may stand.
        let (must, may) = (only == Some(*version), only.is_some_and(|of| of == *version || of >> 32 > version >> 32));
        let is_settled = *state == ListedState::Settled;
        if (must && !is_settled) || (is_settled && !may) {
            return Err(format!("P3: conflict {id} of {name} is {}, and its answers are {written:?}", state.name()));
        }
    }
    Ok(())
}

/// The different answers that stand for a conflict.
fn written(document: &Automerge, id: &str) -> BTreeSet<String> {
    let Ok(Some((_, entries))) = document.get(ROOT, ROOT_KEY) else { return BTreeSet::new() };
    let all = document.get_all(&entries, id).unwrap_or_default();
    all.iter().filter_map(|(value, _)| value.as_str().map(Into::into)).collect()
}
