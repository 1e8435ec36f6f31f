//! A document read whole, and what the server itself writes into it: answers to conflicts, which a person asks for or a rule gives.
//!
//! Owns by which actor the server writes, and that each change passes the validator on top of what was read. Reads and stores nothing: what it
//! has written is packed up, for a room or for a store that no server uses.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::transaction::{CommitOptions, Transaction};
use automerge::{Author, Automerge, AutomergeError};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use sync_core::change::Change;
use sync_core::conflict::{Conflict, ConflictId, ConflictIndex, PathPart};
use sync_core::document::{Document, InitValue, init_change};
use sync_core::id::{ActorId, ChangeHash, Cursor, Digest, DocumentName, LogSeq, StoreId};
use sync_core::limits::ChangeLimits;
use sync_core::op_index::OpIndex;
use sync_core::pack;
use sync_core::resolver::{Declaration, Policies, Ruling, Stands};
use sync_core::settlement::{self, Answer, AnswerError, Listed, Seen};
use sync_core::storage::{Append, StoredPack};

use crate::clock::Clock;
use crate::walk::Walk;

/// Who the server says it is, unless it is told another name.
pub(crate) const AUTHOR: &str = "sync-server";

/// Most conflicts that rules settle at a time; the rest follows.
const SETTLED_AT_ONCE_MAX: usize = 100;

/// A side of a conflict as people name it, or another answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Chosen {
    /// The side of this number, from 0.
    Side(usize),
    /// Anything else.
    Answer(Answer),
}

/// An answer that somebody asks for.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) id: ConflictId,
    /// The version that was looked at; `None`: whichever there is.
    pub(crate) version: Option<u64>,
    pub(crate) chosen: Chosen,
    pub(crate) note: Option<String>,
    pub(crate) author: String,
}

/// Why nothing was written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum DeskError {
    /// The answer does not fit. The conflict as it is now comes with it, if there is one.
    #[error("{0}")]
    Answer(AnswerError, Option<Box<Listed>>),
    /// There is no such side.
    #[error("the conflict has no side {0}")]
    NoSide(usize),
    /// There is nothing to take back.
    #[error("there is no answer to {0}")]
    NoAnswer(ConflictId),
    /// An author is a name.
    #[error("an author has at most {0} bytes")]
    LongAuthor(usize),
    /// The document, or what was to be written, makes no sense.
    #[error("{0}")]
    Broken(String),
}

/// What was written, packed up for a room.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// The end of the log that was read.
    pub(crate) cursor: Cursor,
    pub(crate) pack: Bytes,
    pub(crate) count: u32,
    /// The last change.
    pub(crate) change: ChangeHash,
}

/// A document with all that is known of it, and what was written since it was read.
pub(crate) struct Desk {
    name: DocumentName,
    store: StoreId,
    document: Automerge,
    index: ConflictIndex,
    walk: Walk,
    read: (LogSeq, Digest, u32),
    written: Vec<Change>,
}

impl Desk {
    /// The document of these changes, all of a walk that validated them.
    pub(crate) fn new(
        name: &DocumentName,
        store: StoreId,
        changes: Vec<Change>,
        walk: Walk,
    ) -> Result<Self, DeskError> {
        let (index, document) = guarded(|| {
            let mut index = ConflictIndex::new();
            let ops = ops(&walk)?;
            changes.iter().for_each(|change| index.admit(change, walk.log().table(), ops));
            let document = Document::from_changes(changes).map_err(broken)?;
            Ok((index, document.automerge().clone()))
        })?;
        let read = (walk.log().head(), walk.log().digest(), walk.log().table().actor_count());
        Ok(Self { name: name.clone(), store, document, index, walk, read, written: Vec::new() })
    }

    /// All conflicts, those about answers too.
    fn conflicts(&self) -> Result<Vec<Conflict>, DeskError> {
        Ok(self.index.list(&self.name, &self.document, self.walk.log().table(), ops(&self.walk)?))
    }

    /// The conflicts as people see them.
    pub(crate) fn listed(&self) -> Result<Vec<Listed>, DeskError> {
        guarded(|| self.as_seen(self.conflicts()?))
    }

    fn as_seen(&self, conflicts: Vec<Conflict>) -> Result<Vec<Listed>, DeskError> {
        Ok(settlement::listed(conflicts, &self.document, self.walk.log().table(), ops(&self.walk)?))
    }

    /// Answers a conflict for everybody.
    pub(crate) fn answer(&mut self, wish: &Wish) -> Result<(), DeskError> {
        let conflicts = guarded(|| self.conflicts())?;
        let listed = guarded(|| self.as_seen(conflicts.clone()))?;
        let now = listed.into_iter().find(|listed| listed.conflict.id == wish.id);
        let now = now.ok_or(DeskError::Answer(AnswerError::Gone(wish.id), None))?;
        let mut seen = Seen::from(&now);
        let answer = match &wish.chosen {
            Chosen::Answer(answer) => answer.clone(),
            Chosen::Side(number) => {
                let side = now.conflict.candidates.get(*number);
                Answer::Pick(side.ok_or(DeskError::NoSide(*number))?.change)
            }
        };
        if let Some(version) = wish.version.filter(|version| *version != seen.version) {
            seen = Seen { version, candidates: Vec::new(), ..seen };
        }
        let plan = settlement::plan(&now.conflict, &seen, &answer, wish.note.clone(), &conflicts);
        let plan = plan.map_err(|e| DeskError::Answer(e, Some(Box::new(now))))?;
        self.write(&wish.author, |tx| plan.write(tx))
    }

    /// Takes an answer back: the conflict is open again.
    pub(crate) fn reopen(&mut self, id: ConflictId, author: &str) -> Result<(), DeskError> {
        let mut reopened = None;
        let done = self.write(author, |tx| {
            reopened = Some(settlement::reopen(tx, &id)?);
            Ok(())
        });
        // What makes no sense is no missing answer.
        if reopened == Some(false) { Err(DeskError::NoAnswer(id)) } else { done }
    }

    /// Answers all open conflicts for which a rule has an answer. One that was answered in its version before is for people, who may have taken
    /// that answer back or dispute it; so is one for whose place the document declares another rule. Gives how many were settled, and whether there may be more.
    pub(crate) fn settle(&mut self, policies: &Policies) -> Result<(usize, bool), DeskError> {
        let mut looked_at = BTreeSet::new();
        let mut settled = 0;
        // What was written last may have moved the places of the others.
        while self.settle_next(policies, &mut looked_at)? {
            settled += 1;
            if settled == SETTLED_AT_ONCE_MAX {
                return Ok((settled, true));
            }
        }
        Ok((settled, false))
    }

    /// Settles the next one. False if there is none.
    fn settle_next(
        &mut self,
        policies: &Policies,
        looked_at: &mut BTreeSet<(ConflictId, u64)>,
    ) -> Result<bool, DeskError> {
        let conflicts = guarded(|| self.conflicts())?;
        let listed = guarded(|| self.as_seen(conflicts.clone()))?;
        // Where people disagree about an answer, no rule comes between them.
        let disputes = settlement::disputes(&conflicts);
        let disputed = conflicts.iter().filter(|other| disputes.contains(&other.id)).map(|other| &other.path);
        let disputed: BTreeSet<&Vec<PathPart>> = disputed.collect();
        let declared = settlement::declared(&self.document).and_then(|text| Declaration::parse(&text));
        for one in listed.iter().filter(|one| one.is_open() && !disputed.contains(&one.conflict.path)) {
            let (id, version) = (one.conflict.id, one.conflict.version);
            if settlement::was_answered(&self.document, &one.conflict) || !looked_at.insert((id, version)) {
                continue;
            }
            let ruling = policies.rule_beside(declared.as_ref(), &one.conflict);
            match self.settle_by_rule(ruling, &one.conflict, &conflicts) {
                Ok(false) => {}
                Ok(true) => return Ok(true),
                Err(e @ DeskError::Answer(..)) => {
                    tracing::debug!(document = %self.name, conflict = %id, error = %e, "left to people");
                }
                Err(e) => return Err(e),
            }
        }
        Ok(false)
    }

    /// Settles a conflict if its rule answers it.
    fn settle_by_rule(
        &mut self,
        ruling: Ruling,
        conflict: &Conflict,
        conflicts: &[Conflict],
    ) -> Result<bool, DeskError> {
        let Some(stands) = ruling.answer.filter(|_| ruling.is_projected) else { return Ok(false) };
        let answer = Answer::Value(match stands {
            Stands::Nothing => None,
            Stands::Value(value) => Some(value),
        });
        let plan = settlement::plan(conflict, &Seen::from(conflict), &answer, None, conflicts);
        let plan = plan.map_err(|e| DeskError::Answer(e, None))?.by(ruling.policy);
        self.write(AUTHOR, |tx| plan.write(tx))?;
        Ok(true)
    }

    /// Writes one change, and before it the fixed one that makes the map of answers, if there is none.
    fn write(
        &mut self,
        author: &str,
        edit: impl FnOnce(&mut Transaction<'_>) -> Result<(), AutomergeError>,
    ) -> Result<(), DeskError> {
        let limits = ChangeLimits::default();
        if author.len() > limits.author_bytes_max {
            return Err(DeskError::LongAuthor(limits.author_bytes_max));
        }
        let (document, changes) = guarded(|| self.made(author, edit))?;
        for change in changes {
            Change::parse(change.bytes(), &limits).map_err(broken)?;
            self.walk.append(&change).map_err(broken)?;
            self.index.admit(&change, self.walk.log().table(), ops(&self.walk)?);
            self.written.push(change);
        }
        self.document = document;
        Ok(())
    }

    fn made(
        &self,
        author: &str,
        edit: impl FnOnce(&mut Transaction<'_>) -> Result<(), AutomergeError>,
    ) -> Result<(Automerge, Vec<Change>), DeskError> {
        let init = init_change(settlement::ROOT_KEY, InitValue::Map).map_err(broken)?;
        let mut changes = Vec::new();
        let mut document = self.document.clone().with_author(Some(Author::from(author.as_bytes().to_vec())));
        if !self.walk.log().table().contains(&init.hash()) {
            document.apply_changes([init.clone().into_automerge()]).map_err(broken)?;
            changes.push(init);
        }
        document.set_actor(actor(self.store, author));
        let before = document.get_heads();
        let time = |_: &()| CommitOptions::default().with_time(Clock::wall().0);
        let unfit = |_| DeskError::Answer(AnswerError::Unfit("there is no place for it any more"), None);
        document.transact_with(time, edit).map_err(unfit)?;
        let change = document.get_last_local_change().filter(|_| document.get_heads() != before);
        let change = change.ok_or_else(|| broken("nothing was written"))?;
        changes.push(Change::from_automerge(change).map_err(broken)?);
        Ok((document, changes))
    }

    /// What was written, for a room. `None` if nothing was.
    pub(crate) fn for_room(&self) -> Result<Option<Written>, DeskError> {
        let Some(last) = self.written.last() else { return Ok(None) };
        let pack = pack::encode(&self.written, 0, self.walk.log().table()).map_err(broken)?;
        let incarnation = self.walk.log().incarnation();
        let cursor = Cursor { store_id: self.store, incarnation, seq: self.read.0, digest: self.read.1 };
        Ok(Some(Written { cursor, pack, count: self.written.len() as u32, change: last.hash() }))
    }

    /// What was written, for a store that no server uses, and its last change.
    pub(crate) fn for_store(&self) -> Result<(Append, ChangeHash), DeskError> {
        let last = self.written.last().ok_or_else(|| broken("nothing was written"))?;
        let ((head, digest_before, actors), log) = (self.read, self.walk.log());
        let bytes = pack::encode(&self.written, actors, log.table()).map_err(broken)?;
        let (first, count) = (head.plus(1), self.written.len() as u32);
        let pack = StoredPack { first, count, digest: log.digest(), bytes, outside: None };
        let append = Append { document: self.name.clone(), incarnation: log.incarnation(), digest_before, pack };
        Ok((append, last.hash()))
    }
}

fn ops(walk: &Walk) -> Result<&OpIndex, DeskError> {
    walk.index().ok_or_else(|| broken("its changes were not validated"))
}

fn broken(what: impl ToString) -> DeskError {
    DeskError::Broken(what.to_string())
}

/// Who writes on this server for an author: the same each time, so that actors don't grow with answers, and another in another store. Whoever has
/// the store locked has the actor to itself, and the log says how far it has come.
fn actor(store: StoreId, author: &str) -> ActorId {
    let digest = Sha256::new().chain_update("rejoin answers").chain_update(store.0).chain_update(author).finalize();
    ActorId::from(&digest[..16])
}

/// A document can make automerge panic.
fn guarded<T>(work: impl FnOnce() -> Result<T, DeskError>) -> Result<T, DeskError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(broken("applying its changes panics")))
}
