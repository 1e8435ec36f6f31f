//! Conflicts as they are listed: each with the answer that stands, and those about answers told as what they are about.
//!
//! Owns what a list says beside the conflicts themselves, on a replica and on a server alike.

use automerge::{Automerge, ObjId, ReadDoc as _};

use super::entry::{Entry, all_of, name_of, operation};
use super::writing::index_of;
use super::{Known, Settled, Standing, disputes, is_of_answers, keeps_both, marks, now, read, standing_of};
use crate::conflict::{
    Candidate, Conflict, ConflictKind, ConflictState, Marking, Steps, Value, object_at, said_by, value_at,
};
use crate::id::ChangeHash;
use crate::op_index::OpIndex;
use crate::table::{ChangeTable, Place};

/// A conflict, and the answer that stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// What has met.
    pub conflict: Conflict,
    /// The answer, if it has one.
    pub settled: Option<Settled>,
    /// What brought the answer.
    pub settled_by: Option<Settler>,
    /// What stood there once it was answered.
    pub answer: Option<Value>,
    /// Whether [`Answer::Both`](super::Answer::Both) can be given.
    pub keeps_both: bool,
}

/// The change that brought an answer: whose it is, and when it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Settler {
    /// Its hash.
    pub change: ChangeHash,
    /// The author that it names, if it names one.
    pub author: Option<Vec<u8>>,
    /// The author's clock, in milliseconds since 1970.
    pub time: i64,
}

/// Where a conflict stands, answers counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ListedState {
    /// Somebody has to look at it.
    Open,
    /// Somebody who held all sides wrote there later, without having settled it.
    Superseded,
    /// It is answered.
    Settled,
}

impl ListedState {
    /// Its name, as it is written everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Superseded => "superseded",
            Self::Settled => "settled",
        }
    }
}

impl Listed {
    /// Whether somebody has to look at it.
    pub fn is_open(&self) -> bool {
        self.state() == ListedState::Open
    }

    /// Where it stands, answers counted.
    pub fn state(&self) -> ListedState {
        match (&self.settled, self.conflict.state) {
            (Some(_), _) => ListedState::Settled,
            (None, ConflictState::Superseded) => ListedState::Superseded,
            (None, ConflictState::Open) => ListedState::Open,
        }
    }

    fn value_bytes(&self) -> usize {
        let sides = self.conflict.candidates.iter().filter_map(|side| side.value.as_ref());
        sides.chain(&self.conflict.base).chain(&self.answer).map(Value::bytes).sum()
    }

    /// The same without what was said.
    pub fn without_values(&self) -> Self {
        let side = |side: &Candidate| Candidate {
            value: None,
            actor: side.actor.clone(),
            author: side.author.clone(),
            object: side.object.clone(),
            ..*side
        };
        let Conflict { id, version, path, kind, candidates, hidden, agreeing, state, spot, marking, agrees, .. } =
            &self.conflict;
        let conflict = Conflict {
            id: *id,
            version: *version,
            path: path.clone(),
            kind: *kind,
            base: None,
            candidates: candidates.iter().map(side).collect(),
            steps: Steps::FromBase,
            hidden: hidden.clone(),
            agreeing: agreeing.clone(),
            state: *state,
            spot: spot.clone(),
            marking: marking.clone(),
            agrees: *agrees,
        };
        let (settled, settled_by, keeps_both) = (self.settled.clone(), self.settled_by.clone(), self.keeps_both);
        Self { conflict, settled, settled_by, answer: None, keeps_both }
    }

    /// Two have answered it differently.
    fn disputed(&mut self, said: bool) {
        (self.settled, self.settled_by, self.answer) = (None, None, None);
        self.conflict.state = if said { ConflictState::Superseded } else { ConflictState::Open };
    }
}

/// How much of a conflict a bounded list tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// All of it.
    Whole,
    /// What has met, where, who and when, without what was said.
    WithoutValues,
    /// That there is one more.
    Counted,
}

/// How much to tell of each conflict, so that all values take about `bytes_max` bytes and no more than `count_max` are told: open ones come
/// first, and those of one state in their order.
pub fn telling(listed: &[Listed], bytes_max: usize, count_max: usize) -> Vec<Telling> {
    let mut out = vec![Telling::Counted; listed.len()];
    let (mut left, mut told) = (bytes_max, 0);
    for state in [ListedState::Open, ListedState::Superseded, ListedState::Settled] {
        for (one, telling) in listed.iter().zip(&mut out).filter(|(one, _)| one.state() == state) {
            if told == count_max {
                return out;
            }
            told += 1;
            let fits = left.checked_sub(one.value_bytes());
            left = fits.unwrap_or(left);
            *telling = if fits.is_some() { Telling::Whole } else { Telling::WithoutValues };
        }
    }
    out
}

/// All conflicts of a document, with the answers that stand.
pub fn listed(conflicts: Vec<Conflict>, known: Known<'_>) -> Vec<Listed> {
    let disputes = disputes(&conflicts);
    let others = conflicts.into_iter().filter(|conflict| !is_of_answers(conflict));
    let mut listed: Vec<_> = others.filter_map(|conflict| answered(conflict, known)).collect();
    for at in 0..listed.len() {
        if disputes.contains(&listed[at].conflict.id) {
            // What the two answers put there may be a conflict of its own, which says it already. What was refused is only this client's.
            let said = listed.iter().any(|other| {
                other.conflict.kind != ConflictKind::Rejected
                    && other.conflict.is_where(&listed[at].conflict)
                    && !disputes.contains(&other.conflict.id)
                    && other.is_open()
            });
            listed[at].disputed(said);
        }
    }
    listed
}

/// With the answer that stands; nothing if there is neither an answer nor anything to be answered.
fn answered(mut conflict: Conflict, known: Known<'_>) -> Option<Listed> {
    let Known { document, table, ops, .. } = known;
    let entry = read(document, &conflict.id);
    if entry.is_none() && conflict.agrees {
        return None;
    }
    let standing = match standing_of(entry.clone(), &conflict) {
        Standing::Unanswered => of_known(entry.clone(), &conflict, table, ops),
        standing => standing,
    };
    if standing != Standing::Unanswered {
        as_it_was(&mut conflict, known);
    }
    let reopens = |marking: &Marking| marks::is_answered(document, &conflict, marking);
    if standing == Standing::Reopened && conflict.marking.as_deref().is_none_or(reopens) {
        conflict.state = ConflictState::Open;
    }
    if (entry.is_some() || conflict.state == ConflictState::Superseded) && conflict.kind != ConflictKind::Rejected {
        let now = match &conflict.marking {
            Some(marking) => marking.shows.clone(),
            None => now(document, &conflict, None),
        };
        conflict.candidates.iter_mut().for_each(|side| side.shown = side.value == now);
    }
    let keeps_both = keeps_both(document, &conflict);
    let Standing::Settled(settled) = standing else {
        return Some(Listed { conflict, settled: None, settled_by: None, answer: None, keeps_both });
    };
    let settled_by = place_of(&settled.written, table, ops).and_then(|place| {
        let change = table.hash_at(place)?;
        let (author, time) = said_by(document, &change);
        Some(Settler { change, author, time })
    });
    let heads: Vec<ChangeHash> = settled_by.iter().map(|by| by.change).collect();
    let beside = || put_beside(document, &conflict, &entry?.0, &heads);
    let answer = match &conflict.marking {
        Some(marking) => marks::answer(document, &conflict, marking, heads.first()),
        None => now(document, &conflict, Some(&heads)).or_else(beside),
    };
    Some(Listed { conflict, settled: Some(settled), settled_by, answer, keeps_both })
}

/// Of an element that is gone, what an answer put in its place.
fn put_beside(document: &Automerge, conflict: &Conflict, entry: &Entry, heads: &[ChangeHash]) -> Option<Value> {
    let list = &conflict.spot.object;
    let mut stands = entry.done.keys().filter_map(|name| index_of(document, list, name, Some(heads)));
    value_at(document, list, stands.next()?.into(), Some(heads)).filter(|_| conflict.spot.is_gone)
}

/// An answer may have changed what it was an answer to: an object that shows was edited, or what was taken away was put back. The side that shows is told
/// as it was before the first answer, unless somebody has written there after the last, or the last ones.
fn as_it_was(conflict: &mut Conflict, Known { document, index, table, ops }: Known<'_>) {
    let answers = all_of(document, &conflict.id);
    let last = |(entry, written): &(Entry, ObjId)| entry.taken.clone().unwrap_or_else(|| name_of(written));
    let first = answers.last().map(|answer| answer.0.first.clone().unwrap_or_else(|| last(answer)));
    let place = |name: String| operation(&name).and_then(|operation| place_of(&operation, table, ops));
    let heads: Vec<ChangeHash> = answers.iter().filter_map(|answer| table.hash_at(place(last(answer))?)).collect();
    let Some(first) = first.and_then(place) else { return };
    let Some(shown) = conflict.candidates.first() else { return };
    // A deletion that hides what somebody put elsewhere says so itself.
    let is_lost = conflict.kind == ConflictKind::CounterOverwrite
        || conflict.hidden_sides().first().is_some_and(|hidden| hidden.value.is_some());
    // What was taken away may have been put back as another object.
    let shown = Some(shown).filter(|_| conflict.kind == ConflictKind::Container);
    let of_object = shown
        .and_then(|shown| shown.object.as_ref())
        .and_then(|object| Some((object, document.object_type(object).ok()?)));
    let value = |heads: Option<&[ChangeHash]>| match of_object {
        Some((object, kind)) => Some(object_at(document, object, kind, heads)),
        None => now(document, conflict, heads),
    };
    let is_told = match conflict.kind {
        ConflictKind::Container => of_object.is_some(),
        ConflictKind::DeleteUpdate | ConflictKind::CounterOverwrite => is_lost && !conflict.spot.is_gone,
        ConflictKind::EditInDeleted => !conflict.spot.is_gone,
        ConflictKind::Register | ConflictKind::Mark | ConflictKind::Rejected => false,
    };
    if is_told && value(Some(&heads)) == value(None) {
        let before = before(first, table, ops);
        // Who put something there as an answer is no side of what it answers.
        match index.side_before(document, conflict, (first, &before), table, ops).filter(|_| of_object.is_none()) {
            Some(side) => conflict.candidates[0] = side,
            None => conflict.candidates[0].value = value(Some(&before)),
        }
    }
}

/// The heads of what a change stands on.
fn before(place: Place, table: &ChangeTable, ops: &OpIndex) -> Vec<ChangeHash> {
    let past = ops.past();
    let known = (0..past.actor_count()).map(|actor| Place { actor, seq: past.seen_before(place, actor) });
    known.filter(|place| place.seq > 0).filter_map(|place| table.hash_at(place)).collect()
}

/// An answer to other sides than there are stands if its author knew of all of these: only what came since opens a conflict again. That the
/// author looked at them is what the entry says, and its change shows that they were there: anybody can write anything, and a
/// change may have been written again on top of more.
fn of_known(entry: Option<(Entry, ObjId)>, conflict: &Conflict, table: &ChangeTable, ops: &OpIndex) -> Standing {
    let Some((entry, written)) = entry else { return Standing::Unanswered };
    let stands_on = |place: Place| {
        let mut hidden = conflict.hidden.iter();
        hidden.all(|(actor, seq)| table.number(actor).is_some_and(|number| ops.past().seen(place, number) >= *seq))
    };
    // Where all sides agree by now, nothing is hidden.
    if (conflict.agrees || entry.knew(&conflict.hidden)) && place_of(&written, table, ops).is_some_and(stands_on) {
        return Standing::Settled(Settled { policy: entry.policy, note: entry.note, written });
    }
    Standing::Unanswered
}

/// Where the change stands that wrote an operation.
fn place_of(operation: &ObjId, table: &ChangeTable, ops: &OpIndex) -> Option<Place> {
    let ObjId::Id(counter, actor, _) = operation else { return None };
    let number = table.number(actor)?;
    Some(Place { actor: number, seq: ops.past().seq_of(number, u32::try_from(*counter).ok()?) })
}
