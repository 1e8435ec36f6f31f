//! Answering the conflicts of a client's documents, and listing them with the answers that stand.
//!
//! Owns how an answer becomes a change here. What it writes is `settlement`'s.

use automerge::ObjId;

use super::allowed::Writer;
use super::local::Local;
use super::{ChangeId, DocumentId, EditError, Replica};
use crate::conflict::{Conflict, ConflictId, ConflictState, Value};
use crate::document::InitValue;
use crate::id::ChangeHash;
use crate::settlement::{self, Answer, AnswerError, Seen, Settled, Standing};
use crate::table::Place;
use crate::time::{Instant, WallTime};

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

impl Listed {
    /// Whether somebody has to look at it.
    pub fn is_open(&self) -> bool {
        self.settled.is_none() && self.conflict.state == ConflictState::Open
    }

    /// Two have answered it differently.
    fn disputed(&mut self, said: bool) {
        (self.settled, self.settled_by, self.answer) = (None, None, None);
        self.conflict.state = if said { ConflictState::Superseded } else { ConflictState::Open };
    }
}

/// Why a conflict was not answered.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The answer does not fit.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// It can't be written.
    #[error(transparent)]
    Edit(#[from] EditError),
}

impl Replica {
    /// What [`Replica::conflicts`] gives, with the answers that stand.
    pub fn conflicts_and_answers(&mut self, id: DocumentId) -> Option<Vec<Listed>> {
        let conflicts = self.conflicts(id)?;
        let local = self.local(id)?;
        let disputes = settlement::disputes(&conflicts);
        let (_, conflicts): (Vec<_>, Vec<_>) = conflicts.into_iter().partition(settlement::is_of_answers);
        let mut listed: Vec<_> = conflicts.into_iter().map(|conflict| local.answered(conflict)).collect();
        for at in 0..listed.len() {
            if disputes.contains(&listed[at].conflict.id) {
                // What the two answers put there may be a conflict of its own, which says it already.
                let said = listed.iter().any(|other| {
                    other.conflict.path == listed[at].conflict.path
                        && !disputes.contains(&other.conflict.id)
                        && other.is_open()
                });
                listed[at].disputed(said);
            }
        }
        Some(listed)
    }

    /// Answers a conflict of which `seen` was looked at, for everybody.
    pub fn resolve(
        &mut self,
        now: Instant,
        wall: WallTime,
        id: DocumentId,
        seen: &Seen,
        answer: &Answer,
        note: Option<String>,
    ) -> Result<ChangeId, ResolveError> {
        let conflicts = self.conflicts(id).ok_or(EditError::NotReady)?;
        let found = conflicts.iter().find(|known| known.id == seen.id).ok_or(AnswerError::Gone(seen.id))?;
        let plan = settlement::plan(found, seen, answer, note, &conflicts)?;
        // The same change on every device, so that two who answer offline write into one map.
        self.create(now, id, settlement::ROOT_KEY, InitValue::Map)?;
        Ok(self.change_as(Writer::Engine, now, wall, id, |tx| plan.write(tx))?.1)
    }

    /// Takes an answer back: the conflict is open again. What the answer wrote stays until there is another.
    pub fn reopen(
        &mut self,
        now: Instant,
        wall: WallTime,
        id: DocumentId,
        conflict: ConflictId,
    ) -> Result<ChangeId, ResolveError> {
        let (is_reopened, change) =
            self.change_as(Writer::Engine, now, wall, id, |tx| settlement::reopen(tx, &conflict))?;
        if is_reopened { Ok(change) } else { Err(AnswerError::Gone(conflict).into()) }
    }
}

impl Local {
    fn answered(&self, mut conflict: Conflict) -> Listed {
        let document = self.document.automerge();
        match settlement::standing(document, &conflict) {
            Standing::Settled(settled) => {
                let settled_by = self.change_of(&settled.written);
                let heads: Vec<ChangeHash> = settled_by.into_iter().collect();
                let answer = settlement::stands(document, &conflict.path, Some(&heads));
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
    fn change_of(&self, operation: &ObjId) -> Option<ChangeHash> {
        let ObjId::Id(counter, actor, _) = operation else { return None };
        let number = self.all.number(actor)?;
        let seq = self.index.past().seq_of(number, u32::try_from(*counter).ok()?);
        self.all.hash_at(Place { actor: number, seq })
    }
}
