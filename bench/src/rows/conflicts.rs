//! What it costs to merge what two wrote apart, and to list what they disagree about.
//!
//! In this process, as a client does it: validator, tables, index of conflicts, automerge, list. The changes are parsed before, on both sides of
//! the comparison.

use std::time::Instant;

use automerge::transaction::Transactable as _;
use automerge::{ROOT, ReadDoc as _};
use sync_core::change::Change;
use sync_core::conflict::{Conflict, ConflictIndex, ConflictState};
use sync_core::document::{Document, InitValue, init_change};
use sync_core::id::{ActorId, DocumentName};
use sync_core::limits::ChangeLimits;
use sync_core::op_index::OpIndex;
use sync_core::table::ChangeTable;
use sync_core::validator;

use crate::figures::{Error, Figures, heading, line, median};
use crate::rows::{Bench, first_list};
use crate::text;

/// Keys of the map that everybody writes to.
const KEYS: usize = 1_000;
/// Changes of each of the two.
const APART: usize = 100;
/// Merges of which the middle is told.
const MERGES: usize = 21;

/// What a client holds of a document whose conflicts have been asked for.
#[derive(Clone)]
struct Held {
    name: DocumentName,
    document: Document,
    table: ChangeTable,
    ops: OpIndex,
    conflicts: ConflictIndex,
}

impl Held {
    fn admit(&mut self, change: &Change) -> Result<(), Error> {
        let operations = validator::admit_and_keep(change, &self.table, &mut self.ops, &ChangeLimits::default())?;
        self.table.insert(change)?;
        self.conflicts.admit_decoded(change, &operations, &self.table, &self.ops);
        Ok(())
    }

    fn put(&mut self, actor: &ActorId, key: usize, value: i64) -> Result<Change, Error> {
        let edit = self.document.edit(actor, 1_750_000_000_000 + value, |tx| {
            let (_, map) = tx.get(ROOT, "stock")?.ok_or(automerge::AutomergeError::Fail)?;
            tx.put(&map, format!("item {key}"), value)
        });
        let change = edit.map_err(|e| e.to_string())?.1.ok_or("an edit makes a change")?;
        self.admit(&change)?;
        Ok(change)
    }

    fn merge(&mut self, changes: Vec<Change>) -> Result<(), Error> {
        changes.iter().try_for_each(|change| self.admit(change))?;
        Ok(self.document.apply(changes)?)
    }

    fn list(&self) -> Vec<Conflict> {
        self.conflicts.list(&self.name, self.document.automerge(), &self.table, &self.ops)
    }
}

/// A document of so many changes, one put each.
fn long(changes: usize) -> Result<Held, Error> {
    let mut held = Held {
        name: DocumentName::parse("bench/stock")?,
        document: Document::new(),
        table: ChangeTable::new(),
        ops: OpIndex::new(),
        conflicts: ConflictIndex::new(),
    };
    held.merge(vec![init_change("stock", InitValue::Map)?])?;
    let actor = ActorId::from([1; 16]);
    for number in 1..changes {
        held.put(&actor, number % KEYS, number as i64)?;
    }
    Ok(held)
}

/// What somebody writes apart, to keys from `first` on: what is held then, and the changes.
fn apart(held: &Held, actor: u8, first: usize) -> Result<(Held, Vec<Change>), Error> {
    let mut theirs = held.clone();
    let (author, from) = (ActorId::from([actor; 16]), i64::from(actor) * 1_000_000);
    let changes = (0..APART).map(|number| theirs.put(&author, first + number, from + number as i64));
    let changes = changes.collect::<Result<_, _>>()?;
    Ok((theirs, changes))
}

pub(crate) fn run(bench: &Bench, figures: &mut Figures) -> Result<(), Error> {
    let changes = bench.size(20_000, 2 * KEYS);
    heading(
        "conflicts",
        &format!("a map of {KEYS} keys and {changes} changes; {APART} changes here and {APART} there"),
    );
    let held = long(changes)?;
    let (ours, _) = apart(&held, 2, 0)?;
    let (_, same) = apart(&held, 3, 0)?;
    let (_, others) = apart(&held, 4, 2 * APART)?;
    let (mut merge_ms, mut list_ms, mut passed_ms, mut ratios) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..bench.size(MERGES, 1) {
        let mut merged = ours.clone();
        let theirs = same.clone();
        let start = Instant::now();
        merged.merge(theirs)?;
        let listing = Instant::now();
        let conflicts = merged.list();
        list_ms.push(listing.elapsed().as_secs_f64() * 1e3);
        merge_ms.push(start.elapsed().as_secs_f64() * 1e3);
        check(&conflicts, ConflictState::Open)?;
        let (merged, _) = apart(&merged, 5, 0)?;
        let listing = Instant::now();
        let conflicts = merged.list();
        passed_ms.push(listing.elapsed().as_secs_f64() * 1e3);
        check(&conflicts, ConflictState::Superseded)?;
        ratios.push(beside_automerge(&ours, &others, round % 2 == 0)?);
    }
    figures.put("conflicts_merge_ms", median(&merge_ms));
    line("of which the list", median(&list_ms), "ms", "");
    line("the list once all are superseded", median(&passed_ms), "ms", "");
    figures.put("conflicts_floor_ratio", median(&ratios));
    first_lists(bench, ours, same, figures)
}

/// The first list after a start, of the map on which two disagree and of a long text that one has typed.
fn first_lists(bench: &Bench, mut map: Held, theirs: Vec<Change>, figures: &mut Figures) -> Result<(), Error> {
    let starts = bench.size(usize::MAX, 1);
    map.merge(theirs)?;
    let cost = first_list::measure(&map.document, &map.table, starts)?;
    check(&cost.conflicts, ConflictState::Open)?;
    figures.put("conflicts_load_map_ms", cost.load_ms);
    figures.put("conflicts_first_map_ms", cost.first_ms);
    beside(&cost);
    let (_, changes) = if bench.quick { text::typed(2_000)? } else { text::paper(usize::MAX)? };
    let (mut table, mut document) = (ChangeTable::new(), Document::new());
    changes.iter().try_for_each(|change| table.insert(change).map(drop))?;
    document.apply(changes)?;
    let cost = first_list::measure(&document, &table, starts)?;
    if !cost.conflicts.is_empty() {
        return Err("one author disagrees with nobody, and conflicts are listed".into());
    }
    figures.put("conflicts_load_text_ms", cost.load_ms);
    figures.put("conflicts_first_text_ms", cost.first_ms);
    beside(&cost);
    Ok(())
}

fn beside(cost: &first_list::Cost) {
    line("the list after it", cost.again_ms, "ms", "");
    line("a newcomer takes it in", cost.taken_ms, "ms", "");
    line("a newcomer's first list", cost.newcomer_ms, "ms", "");
}

/// Each key is listed with both sides and what was there before.
fn check(conflicts: &[Conflict], state: ConflictState) -> Result<(), Error> {
    let sides = |conflict: &Conflict| conflict.candidates.iter().filter(|side| side.value.is_some()).count();
    let is_whole = |conflict: &Conflict| conflict.state == state && sides(conflict) == 2 && conflict.base.is_some();
    if conflicts.len() == APART && conflicts.iter().all(is_whole) {
        return Ok(());
    }
    Err(format!("{} conflicts are listed, or not with all of their sides", conflicts.len()).into())
}

/// A merge in which nobody disagrees, beside automerge's own of the same changes, taking turns at being first: how many times as long.
fn beside_automerge(ours: &Held, others: &[Change], first: bool) -> Result<f64, Error> {
    let merge = || -> Result<f64, Error> {
        let (mut merged, theirs) = (ours.clone(), others.to_vec());
        let start = Instant::now();
        merged.merge(theirs)?;
        let listed = merged.list();
        let took = start.elapsed().as_secs_f64();
        if listed.is_empty() { Ok(took) } else { Err("nobody disagrees, and conflicts are listed".into()) }
    };
    let alone = || -> Result<f64, Error> {
        let mut alone = ours.document.automerge().clone();
        let theirs: Vec<_> = others.iter().cloned().map(Change::into_automerge).collect();
        let start = Instant::now();
        alone.apply_changes(theirs)?;
        Ok(start.elapsed().as_secs_f64())
    };
    if first {
        let merged = merge()?;
        return Ok(merged / alone()?);
    }
    let alone = alone()?;
    Ok(merge()? / alone)
}
