//! Marks of one name on the same characters, made by people who did not know of each other's: one of them shows, the other does not.
//!
//! Owns which of them show where, and which do not although nobody formatted there who knew of them. What they say and who made them is read as of
//! all other operations.

use std::collections::BTreeSet;

use super::ConflictState;
use super::index::{History, Mark};
use super::read::Reader;
use crate::op_index::OpId;

/// A mark that lost on some characters to another.
pub(super) struct Overlap {
    pub(super) shown: OpId,
    pub(super) hidden: OpId,
    /// Open if it is so now; superseded if it was so for somebody who has formatted there since.
    pub(super) state: ConflictState,
}

/// What shows with what does not.
type Lost = BTreeSet<(OpId, OpId)>;

/// How often it is asked in one text, for marks of one name, whether the author of one knew of another; of a text with more, what is further behind is
/// not told.
const LOOKS_MAX: usize = 1_000_000;

/// Marks of one name in a text of which one hides another, whose author it did not know of.
pub(super) fn overlaps(reader: &Reader<'_>, text: &automerge::ObjId, marks: &[Mark]) -> Vec<Overlap> {
    let history = reader.history;
    let mut placed: Vec<(usize, usize, OpId)> = marks
        .iter()
        .filter_map(|mark| {
            let (start, _) = reader.index(text, mark.begin, None)?;
            let (end, _) = reader.index(text, mark.end, None)?;
            (start < end).then_some((start, end, mark.begin))
        })
        .collect();
    placed.sort_by_key(|mark| mark.0);
    let (mut now, mut before) = (Lost::new(), Lost::new());
    // Those that lie over a character, in automerge's order, with where they end.
    let mut here: Vec<(usize, OpId)> = Vec::new();
    let (mut next, mut looks) = (0, 0);
    loop {
        let mut at = placed.get(next).map_or(usize::MAX, |mark| mark.0);
        for (end, _) in &here {
            at = at.min(*end);
        }
        if at == usize::MAX {
            break;
        }
        here.retain(|(end, _)| *end > at);
        while let Some((_, end, mark)) = placed.get(next).filter(|mark| mark.0 == at) {
            let below = here.partition_point(|(_, other)| history.key(*other) < history.key(*mark));
            here.insert(below, (*end, *mark));
            next += 1;
        }
        looks += here.len();
        if here.windows(2).all(|pair| saw(history, pair[1].1, pair[0].1)) {
            continue;
        }
        looks += here.len() * here.len();
        if looks > LOOKS_MAX {
            break;
        }
        lose(history, &here, None, &mut now);
        for (below, (_, by)) in here.iter().enumerate() {
            lose(history, &here[..below], Some(*by), &mut before);
        }
    }
    let told = |state| move |&(shown, hidden): &(OpId, OpId)| Overlap { shown, hidden, state };
    let open = now.iter().map(told(ConflictState::Open));
    open.chain(before.difference(&now).map(told(ConflictState::Superseded))).collect()
}

/// Of the marks on one character, in automerge's order, of which one author knew, or of all: the last shows, and of the others those are lost that
/// no author of any other knew of.
fn lose(history: History<'_>, here: &[(usize, OpId)], known: Option<OpId>, lost: &mut Lost) {
    let mut last: Vec<OpId> = Vec::new();
    for (_, mark) in here.iter().rev() {
        let is_known = known.is_none_or(|by| saw(history, by, *mark));
        if is_known && !last.iter().any(|above| saw(history, *above, *mark)) {
            last.push(*mark);
        }
    }
    if let Some((shown, hidden)) = last.split_first() {
        lost.extend(hidden.iter().map(|hidden| (*shown, *hidden)));
    }
}

fn saw(history: History<'_>, by: OpId, mark: OpId) -> bool {
    history.saw(history.place(by), mark)
}
