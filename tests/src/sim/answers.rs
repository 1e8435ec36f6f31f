//! Answers to conflicts in simulated worlds: people settle what they see, at random, and take answers back.
//!
//! Owns who answers what, and what must be true of answers in the end: one that stands settles its conflict on every replica, and two
//! different ones settle nothing; and right after an answer, that the document shows it. Has chance of its own, and only some seeds have answers, so that the others keep their stories.

use std::collections::{BTreeMap, BTreeSet};

use automerge::{Automerge, ObjId, Prop, ROOT, ReadDoc, ScalarValue};
use sync_core::conflict::{Conflict, ConflictKind, Marking, PathPart, Value, value_at};
use sync_core::id::{ChangeHash, DocumentName};
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
        Some(match self.rng.below(10) {
            0 | 1 => Answer::Both,
            2 if one.conflict.kind == ConflictKind::Mark && self.rng.chance(500) => Answer::Value(None),
            2 => Answer::Value(Some(Value::Scalar(format!("answer {}", self.rng.below(1_000)).into()))),
            _ => Answer::Pick(one.conflict.candidates[side].change),
        })
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
            Some(answer) => {
                let done = replica.resolve(self.now, wall, id, &Seen::from(one), &answer, None);
                let stands = |document: &Automerge| stands(document, &one.conflict, &answer, &document.get_heads());
                let shown = if done.is_ok() { replica.read(id, stands) } else { None };
                match shown {
                    Some(Err(e)) => return self.fail(format!("P3: client {index} answers, {e}")),
                    _ => ("conflict answered", done),
                }
            }
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

/// Holds an answer by a scalar, or by nothing under a key, against what the document shows at the place after these changes.
pub(crate) fn stands(
    document: &Automerge,
    conflict: &Conflict,
    answer: &Answer,
    heads: &[ChangeHash],
) -> Result<(), String> {
    let picked = |change: &ChangeHash| conflict.candidates.iter().find(|side| side.change == *change);
    let said = match answer {
        Answer::Value(value) => value.clone(),
        Answer::Pick(change) => picked(change).and_then(|side| side.value.clone()),
        Answer::Both => return Ok(()),
    };
    if let Some(marking) = &conflict.marking {
        return marked(document, conflict, marking, said.as_ref(), heads);
    }
    // Where an element was another one may stand.
    let tells = matches!((&said, conflict.path.last()), (Some(Value::Scalar(_)), _) | (None, Some(PathPart::Key(_))));
    let shown = shown(document, &conflict.path, heads);
    // Where an element is gone, what an earlier answer has put back may stand elsewhere by now.
    let list = || value_of(document, &conflict.spot.object, heads);
    let is_back = || list().iter().any(|item| Some(item) == said.as_ref());
    if !tells
        || shown == said
        || (conflict.spot.is_gone && is_back())
        || counts(shown.as_ref()).is_some_and(|shown| Some(shown) == counts(said.as_ref()))
    {
        return Ok(());
    }
    Err(format!("{said:?} is the answer, and {shown:?} stands there, to {conflict:#?}"))
}

/// Holds an answer about marks against what the document shows over the characters in dispute: those over which the first side showed, and some of
/// those that answers have changed since.
fn marked(
    document: &Automerge,
    conflict: &Conflict,
    marking: &Marking,
    said: Option<&Value>,
    heads: &[ChangeHash],
) -> Result<(), String> {
    let shows = |at: usize| {
        let marks = document.get_marks(&conflict.spot.object, at, Some(heads)).ok()?;
        let mark = marks.iter().find(|(name, _)| *name == marking.name);
        mark.map(|(_, value)| Value::Scalar(value.clone()))
    };
    let is_said = |from: usize, until: usize| [from, until - 1].iter().all(|at| shows(*at).as_ref() == said);
    let shown = conflict.candidates.first().map(|side| side.change);
    let must =
        marking.over.iter().filter(|(_, _, by)| Some(*by) == shown).all(|(from, until, _)| is_said(*from, *until));
    if must && marking.over.iter().any(|(from, until, _)| is_said(*from, *until)) {
        return Ok(());
    }
    Err(format!("{said:?} is the answer, and the document does not show it over the characters of {conflict:#?}"))
}

/// The elements of a list.
fn value_of(document: &Automerge, list: &ObjId, heads: &[ChangeHash]) -> Vec<Value> {
    let length = document.length_at(list, heads);
    (0..length).filter_map(|at| value_at(document, list, Prop::Seq(at), Some(heads))).collect()
}

/// A counter is brought to any whole number.
fn counts(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Scalar(ScalarValue::Counter(counter)) => Some(i64::from(counter)),
        Value::Scalar(ScalarValue::Int(number)) => Some(*number),
        _ => None,
    }
}

fn shown(document: &Automerge, path: &[PathPart], heads: &[ChangeHash]) -> Option<Value> {
    let prop = |part: &PathPart| match part {
        PathPart::Key(key) => Prop::Map(key.clone()),
        PathPart::Index(index) => Prop::Seq(*index),
    };
    let (last, above) = path.split_last()?;
    let within = |object: ObjId, part: &PathPart| Some(document.get_at(&object, prop(part), heads).ok()??.1);
    value_at(document, &above.iter().try_fold(ROOT, within)?, prop(last), Some(heads))
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
