//! Conflicts as they are listed: each with the answer that stands, and those about answers told as what they are about.
//!
//! Owns what a list says beside the conflicts themselves, on a replica and on a server alike.

use automerge::{Automerge, ObjId};

use super::{Settled, Standing, disputes, is_of_answers, read, standing, stands};
use crate::conflict::{Candidate, Conflict, ConflictIndex, ConflictKind, ConflictState, Steps, Value};
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
        let Conflict { id, version, path, kind, candidates, hidden, state, .. } = &self.conflict;
        let conflict = Conflict {
            id: *id,
            version: *version,
            path: path.clone(),
            kind: *kind,
            base: None,
            candidates: candidates.iter().map(side).collect(),
            steps: Steps::FromBase,
            hidden: hidden.clone(),
            state: *state,
        };
        Self { conflict, settled: self.settled.clone(), settled_by: self.settled_by.clone(), answer: None }
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

/// All conflicts of a document, found by `index`, with the answers that stand. Its changes are those of `table` and `ops`.
pub fn listed(
    conflicts: Vec<Conflict>,
    document: &Automerge,
    index: &ConflictIndex,
    table: &ChangeTable,
    ops: &OpIndex,
) -> Vec<Listed> {
    let disputes = disputes(&conflicts);
    let others = conflicts.into_iter().filter(|conflict| !is_of_answers(conflict));
    let mut listed: Vec<_> = others.map(|conflict| answered(conflict, document, index, table, ops)).collect();
    for at in 0..listed.len() {
        if disputes.contains(&listed[at].conflict.id) {
            // What the two answers put there may be a conflict of its own, which says it already. What was refused is only this client's.
            let said = listed.iter().any(|other| {
                other.conflict.kind != ConflictKind::Rejected
                    && other.conflict.path == listed[at].conflict.path
                    && !disputes.contains(&other.conflict.id)
                    && other.is_open()
            });
            listed[at].disputed(said);
        }
    }
    listed
}

fn answered(
    mut conflict: Conflict,
    document: &Automerge,
    index: &ConflictIndex,
    table: &ChangeTable,
    ops: &OpIndex,
) -> Listed {
    let standing = match standing(document, &conflict) {
        Standing::Unanswered => of_more(document, &conflict, table, ops),
        standing => standing,
    };
    match standing {
        Standing::Settled(settled) => {
            let settled_by = place_of(&settled.written, table, ops).and_then(|place| {
                let (author, time) = index.said_by(place);
                Some(Settler { change: table.hash_at(place)?, author: author.map(Into::into), time })
            });
            let heads: Vec<ChangeHash> = settled_by.iter().map(|by| by.change).collect();
            let answer = stands(document, &conflict.path, Some(&heads));
            Listed { conflict, settled: Some(settled), settled_by, answer }
        }
        standing => {
            if standing == Standing::Reopened {
                conflict.state = ConflictState::Open;
            }
            Listed { conflict, settled: None, settled_by: None, answer: None }
        }
    }
}

/// An answer to more sides than there still are stands if its author knew of all that are left: only what came since opens a conflict again.
/// (Where its change was written again on top of more, what it did not know makes them no fewer.)
fn of_more(document: &Automerge, conflict: &Conflict, table: &ChangeTable, ops: &OpIndex) -> Standing {
    let Some((entry, written)) = read(document, &conflict.id) else { return Standing::Unanswered };
    let knew = |place: Place| {
        let mut hidden = conflict.hidden.iter();
        hidden.all(|(actor, seq)| table.number(actor).is_some_and(|number| ops.past().seen(place, number) >= *seq))
    };
    // How many there are stands above a digest of them.
    if entry.version >> 32 > conflict.version >> 32 && place_of(&written, table, ops).is_some_and(knew) {
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
