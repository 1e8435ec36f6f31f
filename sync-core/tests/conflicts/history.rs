//! Histories made by several people on automerge documents, and what the index lists of them.

use std::collections::BTreeSet;

use automerge::transaction::Transaction;
use automerge::{ActorId, Automerge, AutomergeError, ChangeHash, TextEncoding};
use sync_core::change::Change;
use sync_core::conflict::{Conflict, ConflictIndex};
use sync_core::document::{Document, InitValue, init_change};
use sync_core::id::DocumentName;
use sync_core::limits::ChangeLimits;
use sync_core::op_index::OpIndex;
use sync_core::planted::Planting;
use sync_core::rng::Rng;
use sync_core::table::ChangeTable;
use sync_core::validator;

/// Several people, each with a document.
#[derive(Clone)]
pub(crate) struct People {
    pub(crate) documents: Vec<Automerge>,
    pub(crate) time: i64,
}

impl People {
    /// So many people, who share root keys: `map`, `list` and `text`.
    pub(crate) fn new(count: u8) -> Self {
        let documents = (0..count)
            .map(|number| {
                let mut document = Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint);
                for (key, value) in [("map", InitValue::Map), ("list", InitValue::List), ("text", InitValue::Text)] {
                    let change = init_change(key, value).expect("a change");
                    document.apply_changes([change.into_automerge()]).expect("it applies");
                }
                document.set_actor(ActorId::from([number + 1; 16]));
                document
            })
            .collect();
        Self { documents, time: 0 }
    }

    /// One change of one of them.
    pub(crate) fn edit<R>(
        &mut self,
        who: usize,
        edit: impl FnOnce(&mut Transaction<'_>) -> Result<R, AutomergeError>,
    ) -> R {
        self.time += 1_000;
        let time = self.time;
        let options = |_: &R| automerge::transaction::CommitOptions::default().with_time(time);
        let done = self.documents[who].transact_with(options, edit);
        done.unwrap_or_else(|failure| panic!("the edit fails: {}", failure.error)).result
    }

    /// `to` gets all that `from` has.
    pub(crate) fn merge(&mut self, to: usize, from: usize) {
        let mut other = self.documents[from].clone();
        self.documents[to].merge(&mut other).expect("they merge");
    }

    /// Everybody gets everything.
    pub(crate) fn meet(&mut self) {
        for other in 1..self.documents.len() {
            self.merge(0, other);
        }
        for other in 1..self.documents.len() {
            self.merge(other, 0);
        }
    }

    /// All changes that one has.
    pub(crate) fn changes(&self, who: usize) -> Vec<Change> {
        let all = self.documents[who].get_changes(&[]);
        all.into_iter().map(|change| Change::from_automerge(change).expect("a change")).collect()
    }

    /// What a replica lists that got the changes in causal order.
    pub(crate) fn conflicts(&self) -> Vec<Conflict> {
        list(&self.changes(0))
    }
}

/// What a replica lists that got the changes in this order. Each way to make the index gives the same.
pub(crate) fn list(changes: &[Change]) -> Vec<Conflict> {
    let (mut table, mut ops) = (ChangeTable::new(), OpIndex::new());
    let mut index = ConflictIndex::new();
    for change in changes {
        validator::admit(change, &table, &mut ops, &ChangeLimits::default()).expect("an honest change");
        table.insert(change).expect("it follows");
        index.admit(change, &table, &ops);
    }
    let document = Document::from_changes(changes.to_vec()).expect("they apply");
    let name = DocumentName::parse("a/document").expect("a name");
    let listed = index.list(&name, document.automerge(), &table, &ops);
    let kept = OpIndex::from_bytes(&ops.to_bytes(), table.actor_count()).expect("readable");
    assert_eq!(kept.entries(), ops.entries(), "what bounds its size");
    for ops in [&ops, &kept] {
        let made = ConflictIndex::of_changes(changes, &table, ops, Planting::default());
        assert_eq!(format!("{made:?}"), format!("{index:?}"), "of changes as they came");
        let made = ConflictIndex::of(&document, &table, ops, Planting::default()).expect("readable");
        assert_eq!(made.list(&name, document.automerge(), &table, ops), listed);
        // The order may be the document's or, where few are read, that of last operations.
        let own = document.changes().expect("readable");
        let mut by_last = own.clone();
        by_last.sort_by_key(|change| (change.max_op(), table.number(change.actor()), change.seq()));
        let replayed = [own, by_last].map(|changes| {
            let mut index = ConflictIndex::new();
            changes.iter().for_each(|change| index.admit(change, &table, ops));
            format!("{index:?}")
        });
        assert!(replayed.contains(&format!("{made:?}")), "of a document: {made:?}\nreplayed: {}", replayed[0]);
    }
    listed
}

/// The changes in another causal order.
pub(crate) fn shuffled(changes: &[Change], rng: &mut Rng) -> Vec<Change> {
    let mut left: Vec<&Change> = changes.iter().collect();
    let mut held: BTreeSet<ChangeHash> = BTreeSet::new();
    let mut out = Vec::new();
    while !left.is_empty() {
        let ready = |change: &&Change| {
            let earlier = changes.iter().any(|other| {
                other.actor() == change.actor() && other.seq() < change.seq() && !held.contains(&other.hash())
            });
            !earlier && change.deps().iter().all(|dep| held.contains(dep))
        };
        let ready: Vec<usize> = (0..left.len()).filter(|at| ready(&left[*at])).collect();
        let change = left.remove(ready[rng.below(ready.len() as u64) as usize]);
        held.insert(change.hash());
        out.push(change.clone());
    }
    out
}
