//! A document's conflicts with the answers that stand, and answering them for everybody.
//!
//! Owns filters and what a place is inspected for. What is a conflict, and what an answer writes, is decided in `sync_core`.

use automerge::{Automerge, Prop, ROOT, ReadDoc as _};
use sync_core::conflict::{Conflict, ConflictId, ConflictKind, PathPart, Value, value_at};
use sync_core::id::RESERVED_KEY;
use sync_core::replica::{ChangeId, Listed};
use sync_core::settlement::{self, Answer, ListedState, Seen};
use sync_core::touched;

use crate::document::Document;
use crate::driver::Driver;
use crate::error::{AnswerFailure, NotReady};

/// Which conflicts to list: those for which all that is given is so.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConflictFilter {
    /// Those that stand at or below this place.
    pub path: Vec<PathPart>,
    /// Those of this kind.
    pub kind: Option<ConflictKind>,
    /// Those that stand so.
    pub state: Option<ListedState>,
    /// Those of which a side was written here, or none was.
    pub mine: Option<bool>,
}

impl ConflictFilter {
    /// Those that somebody has to look at.
    pub fn open() -> Self {
        Self { state: Some(ListedState::Open), ..Self::default() }
    }

    /// Whether it asks for a conflict.
    pub fn takes(&self, listed: &Listed) -> bool {
        let conflict = &listed.conflict;
        conflict.path.starts_with(&self.path)
            && self.kind.is_none_or(|kind| kind == conflict.kind)
            && self.state.is_none_or(|state| state == listed.state())
            && self.mine.is_none_or(|mine| conflict.candidates.iter().any(|side| side.mine) == mine)
    }
}

/// A place of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspected {
    /// What stands there; `None` if nothing does.
    pub value: Option<Value>,
    /// The open conflict there, or about something around it.
    pub conflict: Option<Listed>,
    /// Whether something was written there, or in what stands there, that the server is not known to have.
    pub pending: bool,
}

impl Document {
    /// The document's value, own edits included.
    ///
    /// # Errors
    /// As [`Document::read`].
    pub fn value(&self) -> Result<Value, NotReady> {
        self.read(|automerge| stands(automerge, &[]).unwrap_or_else(|| Value::Map(Default::default())))
    }

    /// The conflicts that a filter asks for, each with the answer that stands; settled ones too, which are listed as long as the document has
    /// them. For the rest as [`Document::conflicts`].
    ///
    /// # Errors
    /// As [`Document::read`].
    pub fn conflicts_where(&self, filter: &ConflictFilter) -> Result<Vec<Listed>, NotReady> {
        let listed = self.driver().with(|core, _| core.replica.conflicts_and_answers(self.id()));
        let listed = listed.ok().flatten().ok_or(NotReady)?;
        Ok(listed.into_iter().filter(|listed| filter.takes(listed)).collect())
    }

    /// Answers a conflict, as it was listed, for everybody. Gives an id to wait for.
    ///
    /// # Errors
    /// If the conflict has other sides by now, which the error tells, or is gone, nothing is written.
    pub fn resolve(
        &self,
        seen: impl Into<Seen>,
        answer: &Answer,
        note: Option<&str>,
    ) -> Result<ChangeId, AnswerFailure> {
        let (seen, note) = (seen.into(), note.map(Into::into));
        let done = self
            .driver()
            .with(|core, now| core.replica.resolve(now, Driver::wall(), self.id(), &seen, answer, note))?;
        Ok(done?)
    }

    /// Takes the answer to a conflict back, for everybody: it is open again. What the answer wrote stays until there is another.
    ///
    /// # Errors
    /// If there is no answer, since the conflict is open already or is none of the document's, nothing is written.
    pub fn reopen(&self, conflict: ConflictId) -> Result<ChangeId, AnswerFailure> {
        let done = self.driver().with(|core, now| core.replica.reopen(now, Driver::wall(), self.id(), conflict))?;
        Ok(done?)
    }

    /// What stands at a place, whether there is an open conflict about it, and whether the server has it. The empty path is the whole document.
    ///
    /// # Errors
    /// As [`Document::read`].
    pub fn inspect(&self, path: &[PathPart]) -> Result<Inspected, NotReady> {
        let found = self.driver().with(|core, _| {
            let listed = core.replica.conflicts_and_answers(self.id())?;
            let (value, written) = core.replica.read(self.id(), |automerge| {
                let changes = core.replica.pending(self.id()).map(sync_core::change::Change::automerge);
                (stands(automerge, path), touched::paths(automerge, changes))
            })?;
            let is_here = |one: &Listed| is_within(path, &one.conflict) && !one.conflict.spot.is_gone;
            let conflict = listed.into_iter().find(|one| one.is_open() && is_here(one));
            let pending = written.into_iter().map(steps).any(|at| at.starts_with(path) || path.starts_with(&at));
            Some(Inspected { value, conflict, pending })
        });
        found.ok().flatten().ok_or(NotReady)
    }
}

/// Whether a place is a conflict's, or in it. Marks are the text's, and those of the characters that they lie over.
fn is_within(path: &[PathPart], conflict: &Conflict) -> bool {
    let Some((marking, (_, text))) = conflict.marking.as_ref().zip(conflict.path.split_last()) else {
        return path.starts_with(&conflict.path);
    };
    let is_over = |at: usize| marking.over.iter().any(|(from, until, _)| (*from..*until).contains(&at));
    match path.strip_prefix(text) {
        Some([PathPart::Index(at), ..]) => is_over(*at),
        within => within.is_some(),
    }
}

fn steps(path: Vec<Prop>) -> Vec<PathPart> {
    let step = |prop| match prop {
        Prop::Map(key) => PathPart::Key(key),
        Prop::Seq(index) => PathPart::Index(index),
    };
    path.into_iter().map(step).collect()
}

/// What stands at a path, without what is the engine's own.
fn stands(automerge: &Automerge, path: &[PathPart]) -> Option<Value> {
    match path.first() {
        Some(PathPart::Key(key)) if key == RESERVED_KEY => None,
        Some(_) => settlement::stands(automerge, path, None),
        None => {
            let keys = automerge.keys(ROOT).filter(|key| key != RESERVED_KEY);
            let entry = |key: String| value_at(automerge, &ROOT, key.as_str().into(), None).map(|value| (key, value));
            Some(Value::Map(keys.filter_map(entry).collect()))
        }
    }
}
