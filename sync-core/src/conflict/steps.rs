//! Which steps the sides of a conflict between numbers have in common, so that a sum over all sides counts each of them once.
//!
//! Owns what a step is, and what one was made from. Sums nothing: that is a rule's. A step is from what was there to what somebody put there.
//! What was there is what their change had seen: one value; of several that one of them replaced the last; values that say the same
//! are one; of others what all steps up to there add up to; a deletion is a zero where nothing else stood.
//!
//! So a value that somebody put is what all steps up to there add up to, and only numbers count at which sides parted or met.

use automerge::ScalarValue;

use super::index::{Slot, SlotId};
use super::list::Lister;
use super::{Candidate, Steps, Value};
use crate::op_index::{Kind, OpId};
use crate::table::Place;

/// Most puts that are looked at: as many as a mask has bits.
const PUTS_MAX: usize = 64;
/// Most sides of which each two are looked at.
const PAIRED_MAX: usize = 16;
/// Stands for what is no number.
const NO_NUMBER: Value = Value::Scalar(ScalarValue::Null);

/// What one change put at the place, or what several that say the same come to.
struct Put {
    /// `None` of several.
    place: Option<Place>,
    /// `None` if it was a deletion.
    value: Option<Value>,
    /// What its change had seen of the others.
    seen: u64,
    /// What it was put over, with what that was put over, and so on.
    below: u64,
    /// Which ones say the same.
    same: u64,
}

impl Lister<'_> {
    /// The steps of a conflict with these sides.
    pub(super) fn steps(&self, id: SlotId, candidates: &[Candidate]) -> Steps {
        let numbers = candidates.iter().all(|side| side.value.as_ref().is_some_and(is_number));
        match self.index.slots.get(&id).filter(|_| numbers) {
            Some(slot) => self.counted_once(id, slot),
            None => Steps::FromBase,
        }
    }

    fn counted_once(&self, id: SlotId, slot: &Slot) -> Steps {
        let saw = |by: OpId, op: OpId| self.history.saw(self.history.place(by), op);
        let sides = |op: OpId| slot.visible.iter().filter(move |side| saw(**side, op)).count();
        let mut ops: Vec<OpId> = slot.gone.iter().chain(&slot.visible).copied().filter(|op| sides(*op) > 0).collect();
        ops.sort_by(|a, b| self.history.key(*a).cmp(&self.history.key(*b)));
        // Whatever came before one that all others knew, or that knew them, is in it.
        let past = self.history.ops.past();
        let first = (0..ops.len()).rev().find(|at| {
            let place = self.history.place(ops[*at]);
            ops[..*at].iter().all(|below| self.history.saw(place, *below))
                && ops[*at + 1..].iter().all(|above| saw(*above, ops[*at]))
                && slot.earlier.iter().all(|(actor, seq)| past.seen(place, *actor) >= *seq)
        });
        let above = &ops[first.map_or(0, |first| first + 1)..];
        let is_whole = first.is_some() || slot.earlier.is_empty();
        if is_whole && above.iter().all(|op| sides(*op) == 1) {
            return Steps::FromBase;
        }
        let shared = if is_whole { self.shared(id, slot, &ops[first.unwrap_or(0)..]) } else { None };
        match shared {
            Some(shared) => Steps::Shared(shared),
            None if self.part_at_once(id, slot) => Steps::FromBase,
            None => Steps::TooMany,
        }
    }

    /// The values that count, and how often: each as often as leaves what was put below it counted once. `None` if there are too many.
    fn shared(&self, id: SlotId, slot: &Slot, ops: &[OpId]) -> Option<Vec<(Value, i64)>> {
        let mut puts: Vec<Put> = Vec::new();
        for op in ops {
            let place = self.history.place(*op);
            let value = self.put_there(id, slot, *op);
            // Of what one change put there the last counts.
            if let Some(put) = puts.iter_mut().find(|put| put.place == Some(place)) {
                put.value = value;
                continue;
            }
            let knows = |other: &Place| self.history.ops.past().seen(place, other.actor) >= other.seq;
            let seen = mask((0..puts.len()).filter(|at| puts[*at].place.as_ref().is_some_and(knows)));
            let below = over(&mut puts, seen);
            puts.push(Put { place: Some(place), value, seen, below, same: 0 });
            if puts.len() > PUTS_MAX {
                return None;
            }
        }
        let all = mask((0..puts.len()).filter(|at| puts[*at].place.is_some()));
        let all = over(&mut puts, all);
        if puts.len() > PUTS_MAX {
            return None;
        }
        let mut times = vec![0; puts.len()];
        for at in each(all).rev() {
            let above: i64 = (at + 1..puts.len()).filter(|put| has(puts[*put].below, at)).map(|put| times[put]).sum();
            times[at] = 1 - above;
        }
        let counted = puts.into_iter().zip(times).filter(|(_, times)| *times != 0);
        Some(counted.filter_map(|(put, times)| Some((put.value?, times))).collect())
    }

    fn put_there(&self, id: SlotId, slot: &Slot, op: OpId) -> Option<Value> {
        let value = match self.history.kind(op) {
            Some(Kind::Delete) => return None,
            _ if slot.visible.contains(&op) => self.value(id, op),
            // How far it had come depends on who put something over it.
            Some(Kind::Counter) if self.index.steps.contains_key(&op) => None,
            _ => self.then(id, op),
        };
        Some(value.filter(is_number).unwrap_or(NO_NUMBER))
    }

    /// Whether no two sides have anything in common that not all have, and all have at most one value.
    fn part_at_once(&self, id: SlotId, slot: &Slot) -> bool {
        let Some((object, _)) = self.reader.object(self.maker(id.0)) else { return false };
        let held = |places: &[Place]| self.reader.ids_before(&object, &id.1, self.key(id), &self.meet(places));
        let sides: Vec<Place> = slot.visible.iter().map(|op| self.history.place(*op)).collect();
        let all = held(&sides);
        let mut pairs =
            sides.iter().enumerate().flat_map(|(at, side)| sides[..at].iter().map(move |other| [*side, *other]));
        all.len() <= 1 && sides.len() <= PAIRED_MAX && pairs.all(|pair| held(&pair) == all)
    }
}

/// What was there for somebody who had seen these, with what it was put over.
fn over(puts: &mut Vec<Put>, seen: u64) -> u64 {
    let gone = each(seen).fold(0, |gone, at| gone | puts[at].seen);
    let mut last: Vec<usize> = each(seen & !gone).collect();
    if last.iter().any(|at| puts[*at].value.is_some()) {
        last.retain(|at| puts[*at].value.is_some());
    }
    let down = |puts: &[Put], to: u64| each(to).fold(to, |below, at| below | puts[at].below);
    let mut below = down(puts, mask(last.iter().copied()));
    for at in &last {
        let same = mask(last.iter().copied().filter(|other| puts[*other].value == puts[*at].value));
        if same.count_ones() < 2 {
            continue;
        }
        let known = puts.iter().position(|put| put.same == same);
        let joint = known.unwrap_or_else(|| {
            let fewer = mask((0..puts.len()).filter(|other| puts[*other].same != 0 && puts[*other].same & !same == 0));
            let value = puts[*at].value.clone();
            puts.push(Put { place: None, value, seen: 0, below: down(puts, same | fewer), same });
            puts.len() - 1
        });
        below |= mask([joint]) | puts[joint].below;
    }
    below
}

/// What is beyond the mask is too much already.
fn mask(bits: impl IntoIterator<Item = usize>) -> u64 {
    bits.into_iter().filter(|at| *at < PUTS_MAX).fold(0, |mask, at| mask | 1 << at)
}

fn has(mask: u64, at: usize) -> bool {
    mask >> at & 1 == 1
}

fn each(mask: u64) -> impl DoubleEndedIterator<Item = usize> {
    (0..PUTS_MAX).filter(move |at| has(mask, *at))
}

fn is_number(value: &Value) -> bool {
    use ScalarValue::{Counter, F64, Int, Uint};
    matches!(value, Value::Scalar(Int(_) | Uint(_) | F64(_) | Counter(_)))
}
