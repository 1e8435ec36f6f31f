//! Marks of one name on the same characters, made by people who did not know of each other's: one of them shows, the other does not.
//!
//! Owns which marks overlap. What they say and who made them is read as of all other operations.

use super::index::{History, Mark};
use super::read::Reader;
use crate::op_index::OpId;

/// A mark that lost on some characters to another.
pub(super) struct Overlap {
    pub(super) shown: OpId,
    pub(super) hidden: OpId,
}

/// Most pairs of marks of one name in one text that are looked at; of a text with more, what is further behind is not told.
const PAIRS_MAX: usize = 200_000;

/// Pairs of marks of one name in a text that overlap, neither of whose authors knew of the other.
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
    let mut out = Vec::new();
    let mut open: Vec<(usize, OpId)> = Vec::new();
    let mut pairs = 0;
    for (start, end, mark) in placed {
        open.retain(|(end, _)| *end > start);
        out.extend(open.iter().filter(|(_, other)| are_apart(history, mark, *other)).map(|(_, other)| {
            let (shown, hidden) = if history.key(mark) > history.key(*other) { (mark, *other) } else { (*other, mark) };
            Overlap { shown, hidden }
        }));
        pairs += open.len();
        if pairs > PAIRS_MAX {
            break;
        }
        open.push((end, mark));
    }
    out
}

fn are_apart(history: History<'_>, a: OpId, b: OpId) -> bool {
    !history.saw(history.place(a), b) && !history.saw(history.place(b), a)
}
