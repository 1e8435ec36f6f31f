//! Answering the conflicts of a client's documents, listing them with the answers that stand, and declaring the rules in force.
//!
//! Owns how an answer, or a declaration, becomes a change here. What it writes is `settlement`'s.

use automerge::transaction::Transaction;

use super::allowed::Writer;
use super::local::Local;
use super::{ChangeId, DocumentId, EditError, Replica};
use crate::conflict::{Conflict, ConflictId};
use crate::document::InitValue;
use crate::planted::Planted;
use crate::settlement::{self, Answer, AnswerError, Known, Listed, Seen};
use crate::time::{Instant, WallTime};

/// Why a conflict was not answered.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ResolveError {
    /// The answer does not fit.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// It can't be written.
    #[error(transparent)]
    Edit(#[from] EditError),
}

impl Local {
    /// `None` until conflicts were asked for.
    fn known(&self) -> Option<Known<'_>> {
        let index = self.conflicts.as_deref()?;
        Some(Known { document: self.document.automerge(), index, table: &self.all, ops: &self.index })
    }
}

impl Replica {
    /// What [`Replica::conflicts`] gives, with the answers that stand.
    pub fn conflicts_and_answers(&mut self, id: DocumentId) -> Option<Vec<Listed>> {
        let conflicts = self.conflicts_agreed(id)?;
        self.answered(id, conflicts)
    }

    fn answered(&self, id: DocumentId, mut conflicts: Vec<Conflict>) -> Option<Vec<Listed>> {
        if self.config.planted.has(Planted::DisputesUnseen) {
            conflicts.retain(|conflict| !settlement::is_of_answers(conflict));
        }
        let mut listed = settlement::listed(conflicts, self.local(id)?.known()?);
        // A side may be told as it was before an answer.
        for side in listed.iter_mut().flat_map(|one| &mut one.conflict.candidates) {
            side.mine = side.mine || self.is_own(id, &side.actor);
        }
        if self.config.planted.has(Planted::AnswersUnlisted) {
            listed.iter_mut().for_each(|one| one.settled = None);
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
        let conflicts = self.conflicts_agreed(id).ok_or(EditError::NotReady)?;
        // With the sides as they were before an answer that was taken back.
        let listed = self.answered(id, conflicts.clone()).ok_or(EditError::NotReady)?;
        let found = listed.iter().find(|known| known.conflict.id == seen.id).ok_or(AnswerError::Gone(seen.id))?;
        let known = self.local(id).and_then(Local::known).ok_or(EditError::NotReady)?;
        let plan = settlement::plan(known, &found.conflict, seen, answer, note, &conflicts)?;
        // The same change on every device, so that two who answer offline write into one map.
        self.create(now, id, settlement::ROOT_KEY, InitValue::Map)?;
        let mut plan = Some(plan);
        let mut write = |tx: &mut Transaction<'_>| plan.take().map_or(Ok(()), |plan| plan.write(tx));
        Ok(self.change_as(Writer::Engine, now, wall, id, None, &mut write)?)
    }

    /// Takes an answer back: the conflict is open again. What the answer wrote stays until there is another.
    pub fn reopen(
        &mut self,
        now: Instant,
        wall: WallTime,
        id: DocumentId,
        conflict: ConflictId,
    ) -> Result<ChangeId, ResolveError> {
        let mut is_reopened = false;
        let change = self.change_as(Writer::Engine, now, wall, id, None, &mut |tx| {
            is_reopened = settlement::reopen(tx, &conflict)?;
            Ok(())
        })?;
        if is_reopened {
            return Ok(change);
        }
        let listed = self.conflicts_and_answers(id).unwrap_or_default();
        Err(AnswerError::of_reopening(conflict, &listed).into())
    }

    /// The text that declares an application's rules in a document, if there is one.
    pub fn declared(&self, id: DocumentId) -> Option<String> {
        let declared = settlement::declared(self.local(id)?.document.automerge());
        declared.filter(|_| !self.config.planted.has(Planted::DeclarationUnseen))
    }

    /// Declares rules by their text, in place of what is declared. False if that is this text already.
    pub fn declare(&mut self, now: Instant, wall: WallTime, id: DocumentId, text: &str) -> Result<bool, EditError> {
        if self.declared(id).as_deref() == Some(text) {
            return Ok(false);
        }
        self.create(now, id, settlement::ROOT_KEY, InitValue::Map)?;
        self.change_as(Writer::Engine, now, wall, id, None, &mut |tx| settlement::declare(tx, text))?;
        Ok(true)
    }
}
