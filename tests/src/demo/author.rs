//! An author who follows one side of a recorded history on a live text, which need not have gone the recorded way.
//!
//! A recorded edit names the characters beside it. Where such a character is not here yet (it was typed by somebody on the other side
//! of a cut), the edit goes behind the nearest one to its left that is, and a deletion waits until its character has come.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use sync_client::automerge::transaction::{Transactable, Transaction};
use sync_client::automerge::{AutomergeError, ObjId, ROOT, ReadDoc};

use crate::traces::{Element, PlacedEdit, PlacedTransaction};

/// Which recorded character a character of the live document is, as its author noted when typing it.
pub(super) type Notes = Arc<Mutex<BTreeMap<ObjId, Element>>>;

/// One author.
#[derive(Debug)]
pub(super) struct Author {
    /// Own transactions with their indexes in the history, those to come last first.
    script: Vec<(usize, PlacedTransaction)>,
    /// What each recorded character was typed behind.
    left: Arc<BTreeMap<Element, Option<Element>>>,
    notes: Notes,
    waiting: Vec<Element>,
}

impl Author {
    /// The author with a number in the history.
    pub(super) fn new(
        agent: usize,
        history: &[PlacedTransaction],
        left: Arc<BTreeMap<Element, Option<Element>>>,
        notes: Notes,
    ) -> Self {
        let own = history.iter().enumerate().filter(|(_, t)| t.agent == agent);
        let script = own.rev().map(|(i, t)| (i, t.clone())).collect();
        Self { script, left, notes, waiting: Vec::new() }
    }

    /// Whether something before `index` of the history, or a deletion, is left to do.
    pub(super) fn has_work(&self, index: usize) -> bool {
        !self.waiting.is_empty() || self.script.last().is_some_and(|(i, _)| *i < index)
    }

    /// Makes the own edits before `index` of the history, at most `count_max`. Gives how many were made.
    pub(super) fn write(
        &mut self,
        tx: &mut Transaction<'_>,
        index: usize,
        count_max: usize,
    ) -> Result<usize, AutomergeError> {
        let Some((_, text)) = tx.get(ROOT, "text")? else { return Ok(0) };
        let notes = self.notes.clone();
        let mut notes = notes.lock().expect("nobody panics while noting");
        let ids = tx.list_range(&text, ..).map(|item| item.id());
        let mut sheet = Sheet { cells: ids.map(|id| notes.get(&id).copied()).collect(), near: 0 };
        let mut made = 0;
        let waiting = std::mem::take(&mut self.waiting);
        for element in waiting {
            made += self.delete(tx, &text, &mut sheet, element)?;
        }
        let mut run = Run::default();
        while made < count_max {
            let Some((_, transaction)) = self.script.pop_if(|(i, _)| *i < index) else { break };
            for edit in transaction.edits {
                match edit {
                    PlacedEdit::Delete(element) => {
                        run.type_out(tx, &text, &mut notes)?;
                        made += self.delete(tx, &text, &mut sheet, element)?;
                    }
                    PlacedEdit::Insert { after, element, character } => {
                        let at = self.behind(&mut sheet, after);
                        if at != run.at + run.elements.len() {
                            run.type_out(tx, &text, &mut notes)?;
                            run.at = at;
                        }
                        run.text.push(character);
                        run.elements.push(element);
                        sheet.cells.insert(at, Some(element));
                        sheet.near = at;
                        made += 1;
                    }
                }
            }
        }
        run.type_out(tx, &text, &mut notes)?;
        Ok(made)
    }

    fn behind(&self, sheet: &mut Sheet, mut after: Option<Element>) -> usize {
        while let Some(element) = after {
            if let Some(at) = sheet.find(element) {
                return at + 1;
            }
            after = self.left.get(&element).copied().flatten();
        }
        0
    }

    fn delete(
        &mut self,
        tx: &mut Transaction<'_>,
        text: &ObjId,
        sheet: &mut Sheet,
        element: Element,
    ) -> Result<usize, AutomergeError> {
        let Some(at) = sheet.find(element) else {
            self.waiting.push(element);
            return Ok(0);
        };
        tx.splice_text(text, at, 1, "")?;
        sheet.cells.remove(at);
        sheet.near = at;
        Ok(1)
    }
}

/// Characters typed one behind the other: automerge takes a run in about the time of one character.
#[derive(Default)]
struct Run {
    at: usize,
    text: String,
    elements: Vec<Element>,
}

impl Run {
    /// Makes the edit and notes which character of the live document is which.
    fn type_out(
        &mut self,
        tx: &mut Transaction<'_>,
        text: &ObjId,
        notes: &mut BTreeMap<ObjId, Element>,
    ) -> Result<(), AutomergeError> {
        if self.elements.is_empty() {
            return Ok(());
        }
        tx.splice_text(text, self.at, 0, &std::mem::take(&mut self.text))?;
        for (offset, element) in self.elements.drain(..).enumerate() {
            let (_, id) = tx.get(text, self.at + offset)?.expect("it was just typed");
            notes.insert(id, element);
        }
        Ok(())
    }
}

/// The live text as recorded characters.
struct Sheet {
    cells: Vec<Option<Element>>,
    /// Where the last edit was: the next is likely to be near.
    near: usize,
}

impl Sheet {
    fn find(&mut self, element: Element) -> Option<usize> {
        let outward = (0..=self.cells.len()).flat_map(|d| [self.near.checked_sub(d), self.near.checked_add(d)]);
        let found = outward.flatten().find(|i| self.cells.get(*i) == Some(&Some(element)))?;
        self.near = found;
        Some(found)
    }
}
