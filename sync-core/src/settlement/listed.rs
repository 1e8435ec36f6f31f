//! Conflicts as they are listed: each with the answer that stands, and those about answers told as what they are about.
//!
//! Owns what a list says beside the conflicts themselves, on a replica and on a server alike.

use automerge::{Automerge, ObjId};

use super::{Settled, Standing, disputes, is_of_answers, standing, stands};
use crate::conflict::{Conflict, ConflictKind, ConflictState, Value};
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
    /// The change that brought the answer.
    pub settled_by: Option<ChangeHash>,
    /// What stood there once it was answered.
    pub answer: Option<Value>,
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

    /// Two have answered it differently.
    fn disputed(&mut self, said: bool) {
        (self.settled, self.settled_by, self.answer) = (None, None, None);
        self.conflict.state = if said { ConflictState::Superseded } else { ConflictState::Open };
    }
}

/// All conflicts of a document, with the answers that stand. Its changes are those of `table` and `ops`.
pub fn listed(conflicts: Vec<Conflict>, document: &Automerge, table: &ChangeTable, ops: &OpIndex) -> Vec<Listed> {
    let disputes = disputes(&conflicts);
    let others = conflicts.into_iter().filter(|conflict| !is_of_answers(conflict));
    let mut listed: Vec<_> = others.map(|conflict| answered(conflict, document, table, ops)).collect();
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

fn answered(mut conflict: Conflict, document: &Automerge, table: &ChangeTable, ops: &OpIndex) -> Listed {
    match standing(document, &conflict) {
        Standing::Settled(settled) => {
            let settled_by = change_of(&settled.written, table, ops);
            let heads: Vec<ChangeHash> = settled_by.into_iter().collect();
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

/// The change that wrote an operation.
fn change_of(operation: &ObjId, table: &ChangeTable, ops: &OpIndex) -> Option<ChangeHash> {
    let ObjId::Id(counter, actor, _) = operation else { return None };
    let number = table.number(actor)?;
    let seq = ops.past().seq_of(number, u32::try_from(*counter).ok()?);
    table.hash_at(Place { actor: number, seq })
}
