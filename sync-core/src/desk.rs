//! A document read whole, and what the server itself writes into it: answers to conflicts, which a person asks for or a rule gives.
//!
//! Owns by which actor the server writes, and that each change passes the validator on top of what was read. Reads and stores nothing, and knows no
//! clock: what it has written is packed up, for a room or for a store that no server uses.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::transaction::{CommitOptions, Transaction};
use automerge::{Author, Automerge, AutomergeError};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::change::Change;
use crate::conflict::{Conflict, ConflictId, ConflictIndex, ConflictKind, PathPart};
use crate::document::{Document, InitValue, init_change};
use crate::id::{ActorId, ChangeHash, Cursor, Digest, DocumentName, Incarnation, LogSeq, StoreId};
use crate::limits::ChangeLimits;
use crate::log::Log;
use crate::op_index::OpIndex;
use crate::pack;
use crate::planted::{Planted, Planting};
use crate::resolver::{Declaration, Policies, Ruling, Stands};
use crate::settlement::{self, Answer, AnswerError, Known, Listed, Seen};
use crate::storage::{Append, StoredPack};
use crate::time::WallTime;
use crate::validator;

/// Who the server says it is, unless it is told another name.
pub const AUTHOR: &str = "sync-server";

/// Most conflicts that rules settle at a time; the rest follows.
const SETTLED_AT_ONCE_MAX: usize = 100;

/// A side of a conflict as people name it, or another answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Chosen {
    /// The side of this number, from 0.
    Side(usize),
    /// Anything else.
    Answer(Answer),
}

/// An answer that somebody asks for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// To which conflict.
    pub id: ConflictId,
    /// The version that was looked at; `None`: whichever there is.
    pub version: Option<u64>,
    /// The answer.
    pub chosen: Chosen,
    /// Why, for those who look at it later.
    pub note: Option<String>,
    /// Who answers.
    pub author: String,
}

/// Why nothing was written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DeskError {
    /// The answer does not fit. The conflict as it is now comes with it, if there is one.
    #[error("{0}")]
    Answer(AnswerError, Option<Box<Listed>>),
    /// There is no such side.
    #[error("the conflict has no side {0}")]
    NoSide(usize),
    /// An author is a name.
    #[error("an author has at most {0} bytes")]
    LongAuthor(usize),
    /// The document, or what was to be written, makes no sense.
    #[error("{0}")]
    Broken(String),
}

/// What was written, packed up for a room.
#[derive(Clone, Debug)]
pub struct Written {
    /// The end of the log that was read.
    pub cursor: Cursor,
    /// The changes.
    pub pack: Bytes,
    /// How many they are.
    pub count: u32,
    /// The last change.
    pub change: ChangeHash,
}

/// A conflict that a rule has answered in the document.
#[derive(Clone, Debug, PartialEq)]
pub struct ByRule {
    /// Which one.
    pub id: ConflictId,
    /// Its version.
    pub version: u64,
    /// Where it stood when it was answered.
    pub path: Vec<PathPart>,
    /// The rule, such as `max@1`.
    pub policy: String,
}

/// What one look at a document came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Round {
    /// What was settled, in this order.
    pub settled: Vec<ByRule>,
    /// What a rule has an answer to that can't be written: it is left to people.
    pub left: Vec<(ConflictId, DeskError)>,
    /// There may be more to settle.
    pub more: bool,
}

/// A document with all that is known of it, and what was written since it was read.
pub struct Desk {
    name: DocumentName,
    store: StoreId,
    document: Automerge,
    index: ConflictIndex,
    log: Log,
    ops: OpIndex,
    read: (LogSeq, Digest, u32),
    written: Vec<Change>,
    planted: Planting,
}

impl Desk {
    /// The document of these changes, all of a log of this store, with the operations that the validator found in them.
    pub fn new(
        name: &DocumentName,
        store: StoreId,
        changes: Vec<Change>,
        log: Log,
        ops: OpIndex,
    ) -> Result<Self, DeskError> {
        let (index, document) = guarded(|| {
            let index = ConflictIndex::of_changes(&changes, log.table(), &ops, Planting::default());
            let document = Document::from_changes(changes).map_err(broken)?;
            Ok((index, document.automerge().clone()))
        })?;
        let read = (log.head(), log.digest(), log.table().actor_count());
        let (name, planted) = (name.clone(), Planting::default());
        Ok(Self { name, store, document, index, log, ops, read, written: Vec::new(), planted })
    }

    /// The same with a planted bug.
    pub fn planted(self, planted: Planting) -> Self {
        Self { planted, index: self.index.planted(planted), ..self }
    }

    fn known(&self) -> Known<'_> {
        Known { document: &self.document, index: &self.index, table: self.log.table(), ops: &self.ops }
    }

    /// All conflicts, those about answers too.
    fn conflicts(&self) -> Result<Vec<Conflict>, DeskError> {
        Ok(self.index.list_all(&self.name, &self.document, self.log.table(), &self.ops))
    }

    /// The conflicts as people see them.
    pub fn listed(&self) -> Result<Vec<Listed>, DeskError> {
        guarded(|| self.as_seen(self.conflicts()?))
    }

    fn as_seen(&self, conflicts: Vec<Conflict>) -> Result<Vec<Listed>, DeskError> {
        Ok(settlement::listed(conflicts, self.known()))
    }

    /// Answers a conflict for everybody.
    pub fn answer(&mut self, wall: WallTime, wish: &Wish) -> Result<(), DeskError> {
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
        let plan = settlement::plan(self.known(), &now.conflict, &seen, &answer, wish.note.clone(), &conflicts);
        let plan = plan.map_err(|e| DeskError::Answer(e, Some(Box::new(now))))?;
        self.write(wall, &wish.author, |tx| plan.write(tx))
    }

    /// Takes an answer back: the conflict is open again.
    pub fn reopen(&mut self, wall: WallTime, id: ConflictId, author: &str) -> Result<(), DeskError> {
        let mut reopened = None;
        let done = self.write(wall, author, |tx| {
            reopened = Some(settlement::reopen(tx, &id)?);
            Ok(())
        });
        // What makes no sense is no missing answer.
        if reopened != Some(false) {
            return done;
        }
        Err(DeskError::Answer(AnswerError::of_reopening(id, &self.listed()?), None))
    }

    /// Answers all open conflicts for which a rule has an answer. One that was answered in its version before is for people, who may have taken
    /// that answer back or dispute it; so is one for whose place the document declares another rule.
    pub fn settle(&mut self, wall: WallTime, policies: &Policies) -> Result<Round, DeskError> {
        let (mut looked_at, mut round) = (BTreeSet::new(), Round::default());
        // What was written last may have moved the places of the others.
        while let Some(settled) = self.settle_next(wall, policies, &mut looked_at, &mut round.left)? {
            round.settled.push(settled);
            round.more = round.settled.len() == SETTLED_AT_ONCE_MAX;
            if round.more {
                break;
            }
        }
        Ok(round)
    }

    /// Settles the next one, if there is one.
    fn settle_next(
        &mut self,
        wall: WallTime,
        policies: &Policies,
        looked_at: &mut BTreeSet<(ConflictId, u64)>,
        left: &mut Vec<(ConflictId, DeskError)>,
    ) -> Result<Option<ByRule>, DeskError> {
        let conflicts = guarded(|| self.conflicts())?;
        let listed = guarded(|| self.as_seen(conflicts.clone()))?;
        // Where people disagree about an answer, no rule comes between them.
        let disputes = settlement::disputes(&conflicts);
        let disputed = conflicts.iter().filter(|other| disputes.contains(&other.id)).map(|other| &other.path);
        let mut disputed: BTreeSet<&Vec<PathPart>> = disputed.collect();
        let mut declared = settlement::declared(&self.document).and_then(|text| Declaration::parse(&text));
        if self.planted.has(Planted::SettlesDisputed) {
            disputed.clear();
        }
        if self.planted.has(Planted::SettlesBesideDeclared) {
            declared = None;
        }
        for one in listed.iter().filter(|one| !disputed.contains(&one.conflict.path)) {
            let (id, version) = (one.conflict.id, one.conflict.version);
            if !self.is_for_rules(one) || !looked_at.insert((id, version)) {
                continue;
            }
            let ruling = policies.rule_beside(declared.as_ref(), &one.conflict);
            let policy = ruling.policy.clone();
            match self.settle_by_rule(wall, ruling, &one.conflict, &conflicts) {
                Ok(false) => {}
                Ok(true) => return Ok(Some(ByRule { id, version, path: one.conflict.path.clone(), policy })),
                Err(e @ DeskError::Answer(..)) => left.push((id, e)),
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }

    /// Whether nobody has answered a conflict as it is.
    fn is_for_rules(&self, one: &Listed) -> bool {
        let was_answered = settlement::was_answered(&self.document, &one.conflict);
        let is_reopened = one.is_open() && was_answered;
        (one.is_open() && !was_answered)
            || (is_reopened && self.planted.has(Planted::SettlesReopened))
            || (one.settled.is_some() && self.planted.has(Planted::SettlesAnswered))
    }

    /// Settles a conflict if its rule answers it.
    fn settle_by_rule(
        &mut self,
        wall: WallTime,
        ruling: Ruling,
        conflict: &Conflict,
        conflicts: &[Conflict],
    ) -> Result<bool, DeskError> {
        let leaves = conflict.kind == ConflictKind::Register && self.planted.has(Planted::LeavesToPeople);
        let answer = ruling.answer.filter(|_| ruling.is_projected && !leaves);
        let Some(stands) = answer else { return Ok(false) };
        let answer = Answer::Value(match stands {
            Stands::Nothing => None,
            Stands::Value(value) => Some(value),
        });
        let plan = settlement::plan(self.known(), conflict, &Seen::from(conflict), &answer, None, conflicts);
        let plan = plan.map_err(|e| DeskError::Answer(e, None))?.by(ruling.policy);
        self.write(wall, AUTHOR, |tx| plan.write(tx))?;
        Ok(true)
    }

    /// Writes one change, and before it the fixed one that makes the map of answers, if there is none.
    fn write(
        &mut self,
        wall: WallTime,
        author: &str,
        edit: impl FnOnce(&mut Transaction<'_>) -> Result<(), AutomergeError>,
    ) -> Result<(), DeskError> {
        let limits = ChangeLimits::default();
        if author.len() > limits.author_bytes_max {
            return Err(DeskError::LongAuthor(limits.author_bytes_max));
        }
        let (document, changes) = guarded(|| self.made(wall, author, edit))?;
        for change in changes {
            Change::parse(change.bytes(), &limits).map_err(broken)?;
            validator::admit(&change, self.log.table(), &mut self.ops, &ChangeLimits::stored()).map_err(broken)?;
            self.log.append(&change).map_err(broken)?;
            self.index.admit(&change, self.log.table(), &self.ops);
            self.written.push(change);
        }
        self.document = document;
        Ok(())
    }

    fn made(
        &self,
        wall: WallTime,
        author: &str,
        edit: impl FnOnce(&mut Transaction<'_>) -> Result<(), AutomergeError>,
    ) -> Result<(Automerge, Vec<Change>), DeskError> {
        let init = init_change(settlement::ROOT_KEY, InitValue::Map).map_err(broken)?;
        let mut changes = Vec::new();
        let mut document = self.document.clone().with_author(Some(Author::from(author.as_bytes().to_vec())));
        if !self.log.table().contains(&init.hash()) {
            document.apply_changes([init.clone().into_automerge()]).map_err(broken)?;
            changes.push(init);
        }
        document.set_actor(actor(self.store, author));
        let before = document.get_heads();
        let time = |_: &()| CommitOptions::default().with_time(wall.0);
        let unfit = |_| DeskError::Answer(AnswerError::Unfit("there is no place for it any more"), None);
        document.transact_with(time, edit).map_err(unfit)?;
        let change = document.get_last_local_change().filter(|_| document.get_heads() != before);
        let change = change.ok_or_else(|| broken("nothing was written"))?;
        changes.push(Change::from_automerge(change).map_err(broken)?);
        Ok((document, changes))
    }

    /// Of which log this was read, and up to where.
    pub fn read(&self) -> (Incarnation, LogSeq) {
        (self.log.incarnation(), self.read.0)
    }

    /// What was written since, in order.
    pub fn written(&self) -> &[Change] {
        &self.written
    }

    /// What was written, for a room. `None` if nothing was.
    pub fn for_room(&self) -> Result<Option<Written>, DeskError> {
        let Some(last) = self.written.last() else { return Ok(None) };
        let cut = usize::from(self.planted.has(Planted::SettlementCutShort) && self.written.len() > 1);
        let told = &self.written[..self.written.len() - cut];
        let pack = pack::encode(told, 0, self.log.table()).map_err(broken)?;
        let incarnation = self.log.incarnation();
        let cursor = Cursor { store_id: self.store, incarnation, seq: self.read.0, digest: self.read.1 };
        Ok(Some(Written { cursor, pack, count: self.written.len() as u32, change: last.hash() }))
    }

    /// What was written, for a store that no server uses, and its last change.
    pub fn for_store(&self) -> Result<(Append, ChangeHash), DeskError> {
        let last = self.written.last().ok_or_else(|| broken("nothing was written"))?;
        let ((head, digest_before, actors), log) = (self.read, &self.log);
        let bytes = pack::encode(&self.written, actors, log.table()).map_err(broken)?;
        let (first, count) = (head.plus(1), self.written.len() as u32);
        let pack = StoredPack { first, count, digest: log.digest(), bytes, outside: None };
        let append = Append { document: self.name.clone(), incarnation: log.incarnation(), digest_before, pack };
        Ok((append, last.hash()))
    }
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
