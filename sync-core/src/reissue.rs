//! Re-issue: writes the surviving operations of a losing branch again, under a fresh actor, on top of everything held.
//!
//! The one primitive behind equivocation, rejection and discard. Owns how references to lost operations are mended, and promises
//! that what it gives passes the validator. Stores nothing and decides nothing: which changes lose and which are dropped is told.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use automerge::legacy::{ElementId, Key, ObjectId, Op, OpId, OpType};
use automerge::{ExpandedChange, ScalarValue};
use sha2::{Digest as _, Sha256};

use crate::change::{Change, ChangeError};
use crate::id::{ActorId, ChangeHash};
use crate::limits::ChangeLimits;
use crate::op_index::{self, OpIndex};
use crate::pack::leb::put_prefixed;
use crate::table::ChangeTable;
use crate::validator;

/// What the surviving operations are put on top of: a causally closed set of changes without any losing one.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// The changes held.
    pub table: &'a ChangeTable,
    /// Their operations.
    pub index: &'a OpIndex,
    /// Their highest operation counter; 0 if there is none.
    pub max_op: u64,
    /// The authors that actors name, held and losing ones.
    pub authors: &'a [(ActorId, Vec<u8>)],
}

/// A losing branch written again.
#[derive(Clone, Debug, Default)]
pub struct Reissued {
    /// The new changes, each on top of the one before, the first on top of the base's heads: seq 1, 2, 3 … of the fresh actor, or, where the losing
    /// ones name several authors, of one actor for each, the fresh one for the first.
    pub changes: Vec<Change>,
    /// The actors that write, but for the fresh one.
    pub others: Vec<ActorId>,
    /// Each losing change that was not dropped, with the change that replaces it; `None` if no operation of it survived.
    pub replaced: Vec<(ChangeHash, Option<ChangeHash>)>,
    /// Operations of changes that were not dropped which could not survive, since they refer to what was dropped.
    pub skipped_operations: u64,
}

/// Why a branch can't be written again: the caller mixed things up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReissueError {
    /// The actor that should write has changes already.
    #[error("actor {0} is not fresh")]
    ActorInUse(ActorId),
    /// A losing change stands in the base.
    #[error("change {0} is in the base")]
    InBase(ChangeHash),
    /// A change can't be written.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Writes again what survives of `losing` (in causal order: the losing changes and all their descendants). Operations of the
/// changes in `dropped` do not survive, nor does what can't exist without them. Times, messages and authors stay.
///
/// - In an object, or on an element, that a dropped operation made: skipped.
/// - Text or elements behind a dropped one: put behind what that one was put behind.
/// - What overwrote or deleted a dropped value: now of what the dropped value had overwritten; a deletion of nothing else is skipped.
/// - What refers to operations that neither the base nor the branch has: as if those were dropped.
/// - Increments of a dropped counter, and marks whose end was at a dropped character: skipped.
pub fn reissue(
    losing: &[Change],
    dropped: &BTreeSet<ChangeHash>,
    base: Base<'_>,
    actor: ActorId,
    limits: &ChangeLimits,
) -> Result<Reissued, ReissueError> {
    if base.table.seq(&actor) > 0 || losing.iter().any(|change| *change.actor() == actor) {
        return Err(ReissueError::ActorInUse(actor));
    }
    if let Some(held) = losing.iter().find(|change| base.table.contains(&change.hash())) {
        return Err(ReissueError::InBase(held.hash()));
    }
    let mut writer = Writer {
        table: base.table.clone(),
        index: base.index.clone(),
        limits,
        max_op: base.max_op,
        authors: base.authors,
        hands: vec![Hand { actor, author: None, seq: 0 }],
        hand: 0,
        fates: BTreeMap::new(),
        out: Reissued::default(),
    };
    // Concurrent branches are taken by their counters, so that what was written where comes out much as it was. A descendant
    // never starts below its ancestors, so the order stays causal.
    let mut ordered: Vec<&Change> = losing.iter().collect();
    ordered.sort_by_key(|change| change.start_op());
    for change in ordered {
        writer.change(change, dropped.contains(&change.hash()))?;
    }
    Ok(writer.out)
}

/// What became of a losing operation.
#[derive(Clone, Debug)]
enum Fate {
    /// It is this operation now.
    Moved { now: OpId, makes_counter: bool },
    /// It is gone. What referred to it goes by what it referred to itself, in terms of what is there now.
    Gone { anchor: Option<ElementId>, preds: BTreeSet<OpId>, makes_counter: bool },
}

/// How much of a change is tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    All,
    AllButMarks,
    Nothing,
}

/// An actor that writes again what one author wrote.
struct Hand {
    actor: ActorId,
    author: Option<Vec<u8>>,
    seq: u64,
}

struct Writer<'a> {
    table: ChangeTable,
    index: OpIndex,
    limits: &'a ChangeLimits,
    max_op: u64,
    authors: &'a [(ActorId, Vec<u8>)],
    hands: Vec<Hand>,
    /// The one that writes now.
    hand: usize,
    fates: BTreeMap<OpId, Fate>,
    out: Reissued,
}

impl Writer<'_> {
    fn change(&mut self, losing: &Change, dropped: bool) -> Result<(), ReissueError> {
        let expanded = losing.automerge().decode();
        if dropped {
            self.operations(&expanded, Keep::Nothing);
            return Ok(());
        }
        self.take_hand(losing.actor());
        self.miss(&expanded);
        for keep in [Keep::All, Keep::AllButMarks] {
            let operations = self.operations(&expanded, keep);
            if operations.is_empty() {
                break;
            }
            let kept = operations.len() as u64;
            let change = self.write(&expanded, operations)?;
            // On another base a mark can end before it begins, if its ends were concurrent with what stands there now.
            if validator::admit(&change, &self.table, &mut self.index, self.limits).is_err() {
                continue;
            }
            self.table.insert(&change).expect("the validator checked its place");
            self.max_op = change.max_op();
            self.hands[self.hand].seq += 1;
            self.out.skipped_operations += expanded.operations.len() as u64 - kept;
            self.out.replaced.push((losing.hash(), Some(change.hash())));
            self.out.changes.push(change);
            return Ok(());
        }
        self.operations(&expanded, Keep::Nothing);
        self.out.skipped_operations += expanded.operations.len() as u64;
        self.out.replaced.push((losing.hash(), None));
        Ok(())
    }

    /// Writes under the actor that stands for the author whom a losing actor names, if it names one.
    fn take_hand(&mut self, losing: &ActorId) {
        let author = self.authors.iter().find(|(actor, _)| actor == losing).map(|(_, author)| author);
        if self.hands[0].seq == 0 {
            self.hands[0].author = author.cloned();
        }
        let known = self.hands.iter().position(|hand| hand.author.as_ref() == author);
        self.hand = known.unwrap_or_else(|| {
            let actor = hand(&self.hands[0].actor, author.map(Vec::as_slice));
            self.out.others.push(actor.clone());
            self.hands.push(Hand { actor, author: author.cloned(), seq: 0 });
            self.hands.len() - 1
        });
    }

    /// What the change names that neither the base nor the losing branch has is gone: it went with an earlier change, or with its document.
    fn miss(&mut self, losing: &ExpandedChange) {
        let named = losing.operations.iter().flat_map(|op| {
            let object = if let ObjectId::Id(id) = &op.obj { Some(id) } else { None };
            let element = if let Key::Seq(ElementId::Id(id)) = &op.key { Some(id) } else { None };
            object.into_iter().chain(element).chain(op.pred.iter())
        });
        for id in named {
            let own = *id.actor() == losing.actor_id && id.counter() >= losing.start_op.get();
            if !own && !self.fates.contains_key(id) && !self.holds(id) {
                self.fates
                    .insert(id.clone(), Fate::Gone { anchor: None, preds: BTreeSet::new(), makes_counter: false });
            }
        }
    }

    fn holds(&self, id: &OpId) -> bool {
        let place = self.table.number(id.actor()).zip(u32::try_from(id.counter()).ok());
        place.is_some_and(|(actor, counter)| self.index.run(op_index::OpId { counter, actor }).is_some())
    }

    fn write(&self, losing: &ExpandedChange, operations: Vec<Op>) -> Result<Change, ChangeError> {
        let Hand { actor, author, seq } = &self.hands[self.hand];
        let seq = seq + 1;
        let start_op = NonZeroU64::new(self.max_op + 1).ok_or(ChangeError::OutOfRange("operation counter"))?;
        Change::from_automerge(automerge::Change::from(ExpandedChange {
            operations,
            actor_id: actor.clone(),
            hash: None,
            seq,
            start_op,
            time: losing.time,
            message: losing.message.clone(),
            deps: match self.out.changes.last() {
                Some(before) => vec![before.hash()],
                None => self.table.heads().copied().collect(),
            },
            // The claim of authorship stands in an actor's first change only.
            extra_bytes: author.as_ref().filter(|_| seq == 1).map(|author| footer(author)).unwrap_or_default(),
            author: None,
        }))
    }

    /// The surviving operations of a change in terms of what is there now. Settles the fate of each.
    fn operations(&mut self, losing: &ExpandedChange, keep: Keep) -> Vec<Op> {
        let mut kept = Vec::new();
        let mut at = 0;
        while let Some(op) = losing.operations.get(at) {
            let is_mark = matches!(op.action, OpType::MarkBegin(_) | OpType::MarkEnd(_));
            // The two ends of a mark stand or fall together.
            let wide = matches!(op.action, OpType::MarkBegin(_)) && at + 1 < losing.operations.len();
            let group = &losing.operations[at..at + 1 + usize::from(wide)];
            let first = OpId::new(losing.start_op.get() + at as u64, &losing.actor_id);
            let wanted = keep == Keep::All || (keep == Keep::AllButMarks && !is_mark);
            if !wanted || !self.keep_group(group, &first, &mut kept) {
                for (i, op) in group.iter().enumerate() {
                    let fate = self.gone(op);
                    self.fates.insert(first.increment_by(i as u64), fate);
                }
            }
            at += group.len();
        }
        kept
    }

    /// Adds the operations to `kept` and says so, or leaves `kept` as it is.
    fn keep_group(&mut self, group: &[Op], first: &OpId, kept: &mut Vec<Op>) -> bool {
        let length = kept.len();
        for (i, op) in group.iter().enumerate() {
            let Some(translated) = self.translate(op) else {
                kept.truncate(length);
                return false;
            };
            let counter = self.max_op + 1 + kept.len() as u64;
            let now = OpId::new(counter, &self.hands[self.hand].actor);
            let fate = Fate::Moved { now, makes_counter: makes_counter(op) };
            self.fates.insert(first.increment_by(i as u64), fate);
            kept.push(translated);
        }
        true
    }

    /// An operation in terms of what is there now, if it can exist.
    fn translate(&self, op: &Op) -> Option<Op> {
        let obj = match &op.obj {
            ObjectId::Root => ObjectId::Root,
            ObjectId::Id(id) => ObjectId::Id(self.survivor(id)?),
        };
        let key = match &op.key {
            Key::Map(key) => Key::Map(key.clone()),
            Key::Seq(ElementId::Id(id)) if !op.insert => Key::Seq(ElementId::Id(self.survivor(id)?)),
            Key::Seq(anchor) => {
                let moved = self.anchor(anchor);
                // Where the last marked character was is not known any more.
                let lost = matches!(anchor, ElementId::Id(id) if matches!(self.fates.get(id), Some(Fate::Gone { .. })));
                if lost && matches!(op.action, OpType::MarkEnd(_)) {
                    return None;
                }
                Key::Seq(moved)
            }
        };
        let pred = match op.action {
            OpType::Increment(_) => self.counters(op)?,
            _ => self.preds(op),
        };
        let needs_pred = matches!(op.action, OpType::Delete) || (!op.insert && matches!(key, Key::Seq(_)));
        if needs_pred && pred.is_empty() {
            return None;
        }
        Some(Op { action: op.action.clone(), obj, key, pred: pred.into_iter().collect(), insert: op.insert })
    }

    /// What an object or element is now, unless it is gone.
    fn survivor(&self, id: &OpId) -> Option<OpId> {
        match self.fates.get(id) {
            None => Some(id.clone()),
            Some(Fate::Moved { now, .. }) => Some(now.clone()),
            Some(Fate::Gone { .. }) => None,
        }
    }

    /// What an insert goes behind now.
    fn anchor(&self, anchor: &ElementId) -> ElementId {
        let ElementId::Id(id) = anchor else { return ElementId::Head };
        match self.fates.get(id) {
            None => anchor.clone(),
            Some(Fate::Moved { now, .. }) => ElementId::Id(now.clone()),
            Some(Fate::Gone { anchor, .. }) => anchor.clone().unwrap_or(ElementId::Head),
        }
    }

    /// What an operation replaces now: in place of what is gone, what that had replaced.
    fn preds(&self, op: &Op) -> BTreeSet<OpId> {
        let mut preds = BTreeSet::new();
        for id in op.pred.iter() {
            match self.fates.get(id) {
                None => {
                    preds.insert(id.clone());
                }
                Some(Fate::Moved { now, .. }) => {
                    preds.insert(now.clone());
                }
                Some(Fate::Gone { preds: own, .. }) => preds.extend(own.iter().cloned()),
            }
        }
        preds
    }

    /// What an increment counts on now. An increment of a counter that is gone is not moved to another value.
    fn counters(&self, op: &Op) -> Option<BTreeSet<OpId>> {
        let mut preds = BTreeSet::new();
        let (mut lost_counter, mut has_counter) = (false, false);
        for id in op.pred.iter() {
            match self.fates.get(id) {
                None => {
                    preds.insert(id.clone());
                }
                Some(Fate::Moved { now, makes_counter }) => {
                    has_counter |= makes_counter;
                    preds.insert(now.clone());
                }
                Some(Fate::Gone { makes_counter, .. }) => lost_counter |= makes_counter,
            }
        }
        // Among what remains from the base, nobody here knows which are counters.
        (!preds.is_empty() && (has_counter || !lost_counter)).then_some(preds)
    }

    fn gone(&self, op: &Op) -> Fate {
        let anchor = match &op.key {
            Key::Seq(anchor) if op.insert => Some(self.anchor(anchor)),
            _ => None,
        };
        Fate::Gone { anchor, preds: self.preds(op), makes_counter: makes_counter(op) }
    }
}

/// The actor that writes for an author, or for none, in place of one that writes for somebody else: always the same, so that there are no more
/// actors than authors.
pub fn hand(actor: &ActorId, author: Option<&[u8]>) -> ActorId {
    let hasher = Sha256::new().chain_update("rejoin author").chain_update(actor.to_bytes());
    let named = [u8::from(author.is_some())];
    let digest = hasher.chain_update(named).chain_update(author.unwrap_or_default()).finalize();
    ActorId::from(&digest[..16])
}

/// An author as automerge writes it behind a change: the number 1, a length and the name.
fn footer(author: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1];
    put_prefixed(&mut bytes, author);
    bytes
}

fn makes_counter(op: &Op) -> bool {
    matches!(&op.action, OpType::Put(ScalarValue::Counter(_)))
}
