//! Marks of one name on the same characters, made by people who did not know of each other's: one of them shows, the other does not.
//!
//! Owns which of them show where, and which do not although nobody formatted there who knew of them. What they say and who made them is read as of
//! all other operations.

use std::collections::{BTreeMap, BTreeSet};

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
type Lost = BTreeMap<OpId, BTreeSet<OpId>>;

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
    placed.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| history.key(a.2).cmp(&history.key(b.2))));
    let mut placed = placed.into_iter().peekable();
    let (mut now, mut before) = (Lost::new(), Lost::new());
    // Those that lie over a character, in automerge's order, with where they end.
    let mut here: Vec<(usize, OpId)> = Vec::new();
    let mut looks = 0;
    while let Some(at) = here.iter().map(|mark| mark.0).chain(placed.peek().map(|mark| mark.0)).min() {
        here.retain(|(end, _)| *end > at);
        while let Some((_, end, mark)) = placed.next_if(|mark| mark.0 == at) {
            let below = here.partition_point(|(_, other)| history.key(*other) < history.key(mark));
            here.insert(below, (end, mark));
        }
        looks += here.len();
        if here.windows(2).all(|pair| saw(history, pair[1].1, pair[0].1)) {
            continue;
        }
        looks += here.len() * here.len();
        if looks > LOOKS_MAX {
            break;
        }
        let here = || here.iter().map(|(_, mark)| *mark);
        lose(history, here(), &mut now);
        for (at, by) in here().enumerate() {
            lose(history, here().take(at).filter(|mark| saw(history, by, *mark)), &mut before);
        }
    }
    for (shown, hidden) in &now {
        before.entry(*shown).or_default().retain(|mark| !hidden.contains(mark));
    }
    let told = |lost: Lost, state: ConflictState| {
        lost.into_iter()
            .flat_map(move |(shown, hidden)| hidden.into_iter().map(move |hidden| Overlap { shown, hidden, state }))
    };
    told(now, ConflictState::Open).chain(told(before, ConflictState::Superseded)).collect()
}

/// Of marks on one character, in automerge's order, the last shows; of the others those are lost that no author of any other knew of.
fn lose(history: History<'_>, marks: impl DoubleEndedIterator<Item = OpId>, lost: &mut Lost) {
    let mut last: Vec<OpId> = Vec::new();
    for mark in marks.rev() {
        if !last.iter().any(|above| saw(history, *above, mark)) {
            last.push(mark);
        }
    }
    if let [shown, hidden @ ..] = &last[..]
        && !hidden.is_empty()
    {
        lost.entry(*shown).or_default().extend(hidden);
    }
}

fn saw(history: History<'_>, by: OpId, mark: OpId) -> bool {
    history.saw(history.place(by), mark)
}
