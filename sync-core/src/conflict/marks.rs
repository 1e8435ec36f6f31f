//! Marks of one name on the same characters, made by people who did not know of each other's: one of them shows, the other does not.
//!
//! Owns which of them show where, which do not although nobody formatted there who knew of them, and on which characters. Where they lie is read as
//! of all other operations.

use std::collections::BTreeMap;

use automerge::marks::ExpandMark;
use automerge::{Automerge, ObjId, ReadDoc as _, ScalarValue};

use super::index::{At, ConflictIndex, History, Mark};
use super::list::{Draft, Lister};
use super::read::Reader;
use super::{ConflictKind, ConflictState, Marking, Value};
use crate::op_index::OpIndex;
use crate::table::ChangeTable;

/// Marks, by their numbers, of which on the same characters the first one shows and hides the others.
#[derive(Default)]
struct Dispute {
    /// The last first.
    sides: Vec<usize>,
    /// It is so now, and not only for somebody who has formatted there since.
    is_open: bool,
    /// What all authors had found there.
    base: Option<usize>,
    /// From which character, until which, and the mark that shows there.
    over: Vec<(usize, usize, usize)>,
}

/// The sides on some characters, and which those are: twice their number, and one more if it is so now.
type Lost = Vec<(Vec<usize>, usize)>;

/// How often it is asked in one text, for marks of one name, whether the author of one knew of another; of a text with more, what is further behind is
/// not told.
const LOOKS_MAX: usize = 1_000_000;
/// Most characters of those in dispute that are told.
const WORDS_MAX: usize = 80;

impl Mark {
    /// What takes a mark away says nothing.
    fn says(&self) -> Option<Value> {
        Some(Value::Scalar(self.value.clone())).filter(|_| self.value != ScalarValue::Null)
    }
}

impl ConflictIndex {
    /// The marks of a text, with how each takes in what is written beside it.
    pub(crate) fn marks_of(
        &self,
        document: &Automerge,
        table: &ChangeTable,
        ops: &OpIndex,
        text: &ObjId,
    ) -> Vec<(automerge::marks::Mark, ExpandMark)> {
        let history = History { table, ops };
        let reader = Reader { document, history };
        let number = reader.history.op_of(text).and_then(|op| ops.object_number(op));
        let (Some(number), Ok(marks)) = (number, document.marks(text)) else { return Vec::new() };
        let mut placed = Vec::new();
        for ((_, name), marks) in self.marks.iter().filter(|((of, _), _)| *of == number) {
            for mark in marks {
                if let (Some((from, _)), Some((until, _))) =
                    (reader.index(text, mark.begin, None), reader.index(text, mark.end, None))
                {
                    placed.push((name, from, until, mark));
                }
            }
        }
        let expand = |mark: &automerge::marks::Mark, character: usize| {
            let mut last: Option<&Mark> = None;
            for (name, from, until, other) in &placed {
                let is_here = ***name == *mark.name && (*from..*until).contains(&character);
                if is_here && last.is_none_or(|last| history.key(last.begin) < history.key(other.begin)) {
                    last = Some(other);
                }
            }
            last.map(|mark| mark.expand).unwrap_or_default()
        };
        // Those that touch and say the same are told as one.
        let told = marks.into_iter().map(|mark| {
            let expand = ExpandMark::from(expand(&mark, mark.start).before(), expand(&mark, mark.end - 1).after());
            (mark, expand)
        });
        told.collect()
    }
}

impl Lister<'_> {
    /// Marks of one name in a text.
    pub(super) fn marks(&self, text: u32, name: &str, marks: &[Mark]) -> Vec<Draft> {
        let Some((id, _)) = self.reader.object(self.maker(text)).filter(|_| marks.len() > 1 && self.is_shown(text))
        else {
            return Vec::new();
        };
        let disputes = disputes(&self.reader, &id, marks);
        let words = if disputes.is_empty() { Ok(String::new()) } else { self.reader.document.text(&id) };
        let words = words.unwrap_or_default();
        let mut drafts = Vec::new();
        for dispute in disputes {
            let Some(marking) = self.marking(name, marks, &dispute, &words) else { continue };
            let (mut candidates, mut begins, mut lost) = (Vec::new(), Vec::new(), BTreeMap::new());
            for side in dispute.sides.iter().map(|side| &marks[*side]) {
                let is_shown = begins.is_empty();
                if !is_shown {
                    let place = self.history.place(side.begin);
                    lost.insert(place.actor, place.seq);
                }
                begins.push(side.begin);
                candidates.push(self.candidate(side.begin, side.says(), is_shown));
            }
            let [shown, first, others @ ..] = &begins[..] else { continue };
            let state = if dispute.is_open { ConflictState::Open } else { ConflictState::Superseded };
            drafts.push(Draft {
                // All are in the id.
                version: self.version(candidates.len() as u64, std::iter::empty()),
                base: dispute.base.and_then(|base| marks[base].says()),
                candidates,
                others: others.to_vec(),
                hidden: lost,
                marking: Some(Box::new(marking)),
                ..Draft::of(ConflictKind::Mark, (text, At::Element(*first)), *shown, state)
            });
        }
        drafts
    }

    fn marking(&self, name: &str, marks: &[Mark], dispute: &Dispute, words: &str) -> Option<Marking> {
        let mut over = Vec::new();
        for (from, until, by) in &dispute.over {
            over.push((*from, *until, self.history.table.hash_at(self.history.place(marks[*by].begin))?));
        }
        let place = dispute.over.iter().position(|(_, _, by)| *by == dispute.sides[0]).unwrap_or(0);
        let (from, until, by) = *dispute.over.get(place)?;
        Some(Marking {
            name: name.into(),
            over,
            place,
            words: words.chars().skip(from).take((until - from).min(WORDS_MAX)).collect(),
            shows: marks[by].says(),
            expand: dispute.sides.iter().map(|side| marks[*side].expand).collect(),
        })
    }
}

/// Marks of one name in a text of which one hides others, whose authors it did not know of: those that meet on the same characters together.
fn disputes(reader: &Reader<'_>, text: &ObjId, marks: &[Mark]) -> Vec<Dispute> {
    let history = reader.history;
    let saw = |by: usize, mark: usize| history.saw(history.place(marks[by].begin), marks[mark].begin);
    let mut placed: Vec<(usize, usize, usize)> = Vec::new();
    for (number, mark) in marks.iter().enumerate() {
        if let (Some((start, _)), Some((end, _))) =
            (reader.index(text, mark.begin, None), reader.index(text, mark.end, None))
            && start < end
        {
            placed.push((start, end, number));
        }
    }
    placed.sort();
    // Those that lie over a character, in automerge's order, with where they end.
    let mut here: Vec<(usize, usize)> = Vec::new();
    let (mut next, mut looks) = (0, 0);
    // What shows with what does not, and over which characters; odd if it is so now.
    let (mut lost, mut over): (Lost, Vec<_>) = (Vec::new(), Vec::new());
    let turn = |here: &[(usize, usize)], next: usize| {
        let start = placed.get(next).map_or(usize::MAX, |mark| mark.0);
        here.iter().fold(start, |turn, (end, _)| turn.min(*end))
    };
    loop {
        let at = turn(&here, next);
        if at == usize::MAX {
            break;
        }
        here.retain(|(end, _)| *end > at);
        while let Some((_, end, mark)) = placed.get(next).filter(|mark| mark.0 == at) {
            let key = |mark: usize| history.key(marks[mark].begin);
            let below = here.partition_point(|(_, other)| key(*other) < key(*mark));
            here.insert(below, (*end, *mark));
            next += 1;
        }
        looks += here.len();
        if here.windows(2).all(|pair| saw(pair[1].1, pair[0].1)) {
            continue;
        }
        looks += here.len() * here.len();
        if looks > LOOKS_MAX {
            break;
        }
        let number = 2 * over.len();
        over.push((at, turn(&here, next), here[here.len() - 1].1));
        for (below, (_, by)) in here.iter().enumerate() {
            lose(marks, &saw, &here[..below], (Some(*by), number), &mut lost);
        }
        lose(marks, &saw, &here, (None, number + 1), &mut lost);
    }
    let found = |sides: &[usize], at: usize| {
        let mut base: Option<usize> = None;
        for (_, _, mark) in placed.iter().filter(|(start, end, _)| (*start..*end).contains(&at)) {
            let is_last = base.is_none_or(|base| history.key(marks[base].begin) < history.key(marks[*mark].begin));
            if is_last && sides.iter().all(|side| saw(*side, *mark)) {
                base = Some(*mark);
            }
        }
        base
    };
    told(lost, &over, &found)
}

/// Each set of marks once, with what all of them had `found` at the first character, and all characters over which it is so.
fn told(
    mut lost: Lost,
    over: &[(usize, usize, usize)],
    found: &dyn Fn(&[usize], usize) -> Option<usize>,
) -> Vec<Dispute> {
    let mut out: Vec<Dispute> = Vec::new();
    // By the first two, as a kind of sort that is there already.
    let mut order: Vec<(usize, usize, usize)> = (0..lost.len()).map(|at| (lost[at].0[0], lost[at].0[1], at)).collect();
    order.sort();
    // From where on the first two are these.
    let mut begin = 0;
    for (shown, first, at) in order {
        if out.last().is_some_and(|last| last.sides[..2] != [shown, first]) {
            begin = out.len();
        }
        let (sides, number) = std::mem::take(&mut lost[at]);
        let (at, until, by) = over[number / 2];
        let held = out[begin..].iter().position(|held| held.sides == sides).map(|held| begin + held);
        let held = held.unwrap_or_else(|| {
            let base = found(&sides, at);
            out.push(Dispute { sides, base, ..Dispute::default() });
            out.len() - 1
        });
        let dispute = &mut out[held];
        dispute.is_open |= number % 2 == 1;
        match dispute.over.last_mut() {
            Some(last) if last.1 == until => {}
            Some(last) if last.1 == at && last.2 == by => last.1 = until,
            _ => dispute.over.push((at, until, by)),
        }
    }
    out
}

/// Of the marks on one character, in automerge's order, of which one author `knew`, or of all: the last shows, and of the others those are lost that
/// no author of any other knew of, and that say something else than the last and than each other.
fn lose(
    marks: &[Mark],
    saw: &dyn Fn(usize, usize) -> bool,
    here: &[(usize, usize)],
    (knew, number): (Option<usize>, usize),
    lost: &mut Lost,
) {
    let mut last: Vec<usize> = Vec::new();
    for (_, mark) in here.iter().rev() {
        let is_known = knew.is_none_or(|by| saw(by, *mark));
        if is_known && !last.iter().any(|above| saw(*above, *mark)) {
            last.push(*mark);
        }
    }
    let mut sides: Vec<usize> = Vec::new();
    for mark in last {
        if sides.iter().all(|other| marks[*other].value != marks[mark].value) {
            sides.push(mark);
        }
    }
    if sides.len() > 1 {
        lost.push((sides, number));
    }
}
