//! Where an edit belongs, said by neighbouring characters instead of positions, so that it can be made on a text that has gone another way.

use super::Concurrent;

/// One inserted character: the transaction that brought it, and its index among what that one inserted.
pub type Element = (usize, usize);

/// One character's worth of a transaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PlacedEdit {
    /// Puts a character behind another, or at the start.
    Insert {
        /// Its left neighbour when it was typed.
        after: Option<Element>,
        /// It.
        element: Element,
        /// What it is.
        character: char,
    },
    /// Removes a character.
    Delete(Element),
}

/// A transaction whose edits name their neighbours.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacedTransaction {
    /// Number of the author.
    pub agent: usize,
    /// Its edits in order.
    pub edits: Vec<PlacedEdit>,
}

/// A character that somebody inserted, visible or not.
#[derive(Clone, Copy)]
struct Cell {
    element: Element,
    character: char,
    deleted: bool,
}

/// One author's text with its deleted characters.
#[derive(Clone, Default)]
struct Sheet {
    cells: Vec<Cell>,
    seen: Vec<usize>,
    /// Index of the last touched cell and the number of visible cells before it: typing goes on where it was.
    finger: (usize, usize),
}

impl Sheet {
    /// Index of the visible cell at `position`, or the end.
    fn visible(&mut self, position: usize) -> usize {
        let (mut index, mut before) = self.finger;
        while before > position || index > self.cells.len() {
            index -= 1;
            before -= usize::from(!self.cells[index].deleted);
        }
        while index < self.cells.len() && (before < position || self.cells[index].deleted) {
            before += usize::from(!self.cells[index].deleted);
            index += 1;
        }
        self.finger = (index, before);
        index
    }

    /// Makes an edit that comes from somewhere else, or from here.
    fn apply(&mut self, edit: PlacedEdit) {
        let find = |element: Element| {
            let (near, len) = (self.finger.0, self.cells.len());
            // Most edits are near the last one.
            let outward = (0..=len).flat_map(|d| [near.checked_sub(d), near.checked_add(d)]).flatten();
            outward
                .into_iter()
                .find(|i| self.cells.get(*i).is_some_and(|c| c.element == element))
                .expect("its past is here")
        };
        match edit {
            PlacedEdit::Insert { after, element, character } => {
                let at = after.map_or(0, |after| find(after) + 1);
                self.cells.insert(at, Cell { element, character, deleted: false });
                self.finger.1 += usize::from(at < self.finger.0);
                self.finger.0 += usize::from(at < self.finger.0);
            }
            PlacedEdit::Delete(element) => {
                let at = find(element);
                let was_visible = !std::mem::replace(&mut self.cells[at].deleted, true);
                self.finger.1 -= usize::from(at < self.finger.0 && was_visible);
            }
        }
    }

    fn text(&self) -> String {
        self.cells.iter().filter(|c| !c.deleted).map(|c| c.character).collect()
    }
}

/// Every transaction of a history with its edits placed, and the text that they give together.
pub fn place(trace: &Concurrent) -> (Vec<PlacedTransaction>, String) {
    let by_agent = trace.by_agent();
    let mut sheets = vec![Sheet { seen: vec![0; trace.num_agents], ..Sheet::default() }; trace.num_agents];
    let mut placed: Vec<PlacedTransaction> = Vec::with_capacity(trace.txns.len());
    let catch_up = |sheet: &mut Sheet, placed: &[PlacedTransaction], agent: usize, seen: &[usize]| {
        // In the order of the history, which is causal.
        let others = by_agent.iter().filter(|(a, _)| **a != agent);
        let mut missing: Vec<usize> = others
            .flat_map(|(a, indexes)| indexes.get(sheet.seen[*a]..seen[*a]).unwrap_or_default().to_vec())
            .collect();
        missing.sort_unstable();
        missing.iter().flat_map(|i| placed[*i].edits.clone()).for_each(|edit| sheet.apply(edit));
        sheet.seen.iter_mut().zip(seen).for_each(|(have, seen)| *have = (*have).max(*seen));
    };
    for (index, (txn, seen)) in trace.txns.iter().zip(trace.seen()).enumerate() {
        let sheet = &mut sheets[txn.agent];
        catch_up(sheet, &placed, txn.agent, &seen);
        let mut edits = Vec::new();
        let mut inserted = 0;
        for patch in &txn.patches {
            for _ in 0..patch.deleted {
                let at = sheet.visible(patch.position);
                edits.push(PlacedEdit::Delete(sheet.cells[at].element));
                sheet.apply(edits[edits.len() - 1]);
            }
            for (offset, character) in patch.inserted.chars().enumerate() {
                let position = patch.position + offset;
                let left = position.checked_sub(1).map(|left| sheet.visible(left));
                let after = left.map(|left| sheet.cells[left].element);
                edits.push(PlacedEdit::Insert { after, element: (index, inserted), character });
                sheet.apply(edits[edits.len() - 1]);
                inserted += 1;
            }
        }
        sheet.seen[txn.agent] += 1;
        placed.push(PlacedTransaction { agent: txn.agent, edits });
    }
    let all: Vec<usize> = (0..trace.num_agents).map(|a| by_agent.get(&a).map_or(0, Vec::len)).collect();
    let mut last = sheets.swap_remove(0);
    catch_up(&mut last, &placed, 0, &all);
    (placed, last.text())
}
