//! The index of a document that is there already, from its history.
//!
//! Owns which changes are read for that. Of who only typed the op index knows all that there is to know: that they worked in a text or a list.
//! To read changes is what costs, since automerge makes each anew.

use std::collections::{BTreeMap, BTreeSet};

use super::ConflictIndex;
use super::index::{History, add_run};
use crate::change::Change;
use crate::document::{Document, DocumentError};
use crate::op_index::{Kind, OpId, OpIndex, Operation, ROOT, Slot};
use crate::planted::Planting;
use crate::table::{ChangeTable, Place};

/// To read one change by itself takes as long as so many take where all are read at once. (58 to 100 measured.)
const READ_ALONE: usize = 64;

/// What an op index tells of a history.
struct Skimmed {
    /// Who typed in which object, with the changes, as runs. Some may do something else too.
    typed: BTreeMap<(u32, u32), Vec<(u32, u32)>>,
    /// Changes that do anything else, each behind those that it has seen: by its last operation, actor and seq.
    others: BTreeSet<(u32, u32, u32)>,
}

impl Skimmed {
    fn of(ops: &OpIndex) -> Self {
        let past = ops.past();
        let runs = || ops.runs().map(|(actor, run)| (actor, run, run.operation(OpId { counter: run.start(), actor })));
        // Objects with objects or counters in them: what is deleted there is lost work, perhaps.
        let mut holders = BTreeSet::new();
        for (_, _, op) in runs().filter(|(_, _, op)| matches!(op.kind, Kind::Make | Kind::Counter)) {
            holders.insert(op.object);
        }
        let mut all = Self { typed: BTreeMap::new(), others: BTreeSet::new() };
        for (actor, run, op) in runs() {
            let (first, last) = (past.seq_of(actor, run.start()), past.seq_of(actor, run.end() - 1));
            if types(op) && !(op.kind == Kind::Delete && holders.contains(&op.object)) {
                add_run(all.typed.entry((op.object, actor)).or_default(), (first, last));
            } else {
                all.others.extend((first..=last).map(|seq| (past.last_op(actor, seq), actor, seq)));
            }
        }
        all
    }

    /// The index of changes in causal order, all or at least those that are to be read.
    fn index<'a>(
        &self,
        changes: impl IntoIterator<Item = &'a Change>,
        history: History<'_>,
        planted: Planting,
    ) -> ConflictIndex {
        let History { table, ops } = history;
        let mut index = ConflictIndex::new().planted(planted);
        for change in changes {
            let other = table.number(change.actor()).map(|actor| (change.max_op() as u32, actor, change.seq()));
            if other.is_some_and(|other| self.others.contains(&other)) {
                index.admit(change, table, ops);
            }
        }
        for ((object, actor), changes) in &self.typed {
            index.worked_before(history, *object, *actor, changes);
        }
        index
    }

    /// The changes that are to be read, one by one, or all of them if that is quicker.
    fn read(&self, document: &Document, table: &ChangeTable) -> Result<Vec<Change>, DocumentError> {
        if document.waiting() > 0 || self.others.len() * READ_ALONE > table.len() {
            return document.changes();
        }
        let hashes = self.others.iter().filter_map(|(_, actor, seq)| table.hash_at(Place { actor: *actor, seq: *seq }));
        hashes.map(|hash| document.change(&hash)).collect()
    }
}

/// Whether an operation puts a value among others, or deletes a character.
fn types(op: Operation) -> bool {
    match (op.kind, op.slot) {
        (Kind::Value | Kind::Counter, Slot::After(_)) => true,
        (Kind::Delete, Slot::Nowhere) => op.object != ROOT,
        _ => false,
    }
}

impl ConflictIndex {
    /// The index of a document, whose changes are those of `table` and `ops`.
    pub fn of(
        document: &Document,
        table: &ChangeTable,
        ops: &OpIndex,
        planted: Planting,
    ) -> Result<Self, DocumentError> {
        let skimmed = Skimmed::of(ops);
        Ok(skimmed.index(&skimmed.read(document, table)?, History { table, ops }, planted))
    }

    /// The same of changes in causal order, all of `table` and `ops`.
    pub fn of_changes(changes: &[Change], table: &ChangeTable, ops: &OpIndex, planted: Planting) -> Self {
        Skimmed::of(ops).index(changes, History { table, ops }, planted)
    }
}
