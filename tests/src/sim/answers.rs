//! Answers to conflicts in simulated worlds: people settle what they see, at random, and take answers back.
//!
//! Owns who answers what, and what must be true of answers in the end: one that stands settles its conflict on every replica, and two
//! different ones settle nothing. Has chance of its own, and only some seeds have answers, so that the others keep their stories.

use std::collections::{BTreeMap, BTreeSet};

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

/// What all must agree on: where a conflict stands, and of each actor what is hidden.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct State {
    id: String,
    version: u64,
    hidden: BTreeMap<String, u32>,
    state: ListedState,
}

impl State {
    pub(crate) fn is_settled(&self) -> bool {
        self.state == ListedState::Settled
    }
}

/// All of them but what was refused of one client's.
pub(crate) fn states(listed: Vec<Listed>) -> Vec<State> {
    let of_all = listed.into_iter().filter(|one| one.conflict.kind != ConflictKind::Rejected);
    let state = |one: Listed| {
        let hidden = one.conflict.hidden.iter().map(|(actor, seq)| (actor.to_string(), *seq)).collect();
        State { id: one.conflict.id.to_string(), version: one.conflict.version, hidden, state: one.state() }
    };
    let mut states: Vec<_> = of_all.map(state).collect();
    states.sort();
    states
}

/// Holds where the conflicts of a log stand against what was written about each, read here without the engine's help.
pub(crate) fn check(name: &DocumentName, document: &Automerge, states: &[State]) -> Result<(), String> {
    for state in states {
        let written = written(document, &state.id);
        let words = written.iter().next().filter(|_| written.len() == 1).map(|entry| entry.split([' ', '\n']));
        let words: Vec<&str> = words.into_iter().flatten().collect();
        let only = match words[..] {
            ["2", version, "settled", _, _, knew, ..] => version.parse().ok().map(|version: u64| (version, knew)),
            _ => None,
        };
        let must = only.is_some_and(|(version, _)| version == state.version);
        // What answers other sides may stand, of an author who knew of all that there are.
        let may = must || only.is_some_and(|(_, knew)| knew_all(knew, &state.hidden));
        if (must && !state.is_settled()) || (state.is_settled() && !may) {
            return Err(format!("P3: conflict of {name} is {state:?}, and its answers are {written:?}"));
        }
    }
    Ok(())
}

fn knew_all(knew: &str, hidden: &BTreeMap<String, u32>) -> bool {
    let known = knew.split(',').filter_map(|one| one.split_once(':'));
    let known: BTreeMap<&str, u32> = known.filter_map(|(actor, seq)| Some((actor, seq.parse().ok()?))).collect();
    hidden.iter().all(|(actor, seq)| known.get(actor.as_str()).is_some_and(|known| known >= seq))
}

/// The different answers that stand for a conflict.
fn written(document: &Automerge, id: &str) -> BTreeSet<String> {
    let Ok(Some((_, entries))) = document.get(ROOT, ROOT_KEY) else { return BTreeSet::new() };
    let all = document.get_all(&entries, id).unwrap_or_default();
    all.iter().filter_map(|(value, _)| value.as_str().map(Into::into)).collect()
}
