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
        let sides = |op: OpId| slot.visible.iter().filter(|side| saw(**side, op)).count();
        let mut ops = slot.gone.clone();
        slot.visible.iter().for_each(|op| self.history.place_in(&mut ops, *op));
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
            let knows = |other: Place| self.history.ops.past().seen(place, other.actor) >= other.seq;
            let seen = known(&puts, knows);
            let below = over(&mut puts, seen)?;
            puts.push(Put { place: Some(place), value, seen, below, same: 0 });
            if puts.len() > PUTS_MAX {
                return None;
            }
        }
        let all = known(&puts, |_| true);
        let all = over(&mut puts, all)?;
        if puts.len() > PUTS_MAX {
            return None;
        }
        let mut times = [0; PUTS_MAX];
        let mut counted = Vec::new();
        for at in (0..puts.len()).rev().filter(|at| has(all, *at)) {
            times[at] = 1;
            for above in at + 1..puts.len() {
                if has(puts[above].below, at) {
                    times[at] -= times[above];
                }
            }
            if times[at] != 0 {
                counted.extend(puts[at].value.take().map(|value| (value, times[at])));
            }
        }
        Some(counted)
    }

    /// What a change left at the place: who puts what shows over several deletes the others alone.
    fn put_there(&self, id: SlotId, slot: &Slot, op: OpId) -> Option<Value> {
        let value = match self.history.kind(op) {
            _ if slot.visible.contains(&op) => self.value(id, op),
            // How far it had come depends on who put something over it.
            Some(Kind::Counter) if self.index.steps.contains_key(&op) => Some(NO_NUMBER),
            _ => self.left(id, op),
        };
        value.map(|value| if is_number(&value) { value } else { NO_NUMBER })
    }

    /// Whether no two sides have anything in common that not all have, and all have at most one value.
    fn part_at_once(&self, id: SlotId, slot: &Slot) -> bool {
        let Some((object, _)) = self.reader.object(self.maker(id.0)) else { return false };
        let held = |places: &[Place]| self.reader.ids_before(&object, &id.1, self.key(id), &self.meet(places));
        let sides: Vec<Place> = slot.visible.iter().map(|op| self.history.place(*op)).collect();
        let all = held(&sides);
        if all.len() > 1 || sides.len() > PAIRED_MAX {
            return false;
        }
        for (at, side) in sides.iter().enumerate() {
            if sides[..at].iter().any(|other| held(&[*side, *other]) != all) {
                return false;
            }
        }
        true
    }
}

/// Those of a change that somebody knows.
fn known(puts: &[Put], knows: impl Fn(Place) -> bool) -> u64 {
    let mut known = 0;
    for (at, put) in puts.iter().enumerate() {
        known |= if put.place.is_some_and(&knows) { bit(at) } else { 0 };
    }
    known
}

/// What was there for somebody who had seen these, with what it was put over. `None` if some of several that say the same were met after all
/// of them were: those would have to be in what is there already.
fn over(puts: &mut Vec<Put>, seen: u64) -> Option<u64> {
    let with_below = |puts: &[Put], mut to: u64| {
        for (at, put) in puts.iter().enumerate() {
            if has(to, at) {
                to |= put.below;
            }
        }
        to
    };
    let (mut gone, mut values) = (0, 0);
    for (at, put) in puts.iter().enumerate() {
        gone |= if has(seen, at) { put.seen } else { 0 };
        values |= if put.value.is_some() { bit(at) } else { 0 };
    }
    let mut last = seen & !gone;
    if last & values != 0 {
        last &= values;
    }
    let mut below = with_below(puts, last);
    for at in 0..puts.len() {
        let same = alike(puts, at, last);
        if !has(last, at) || same.count_ones() < 2 {
            continue;
        }
        if !puts.iter().any(|put| put.same == same) {
            if puts.iter().any(|put| put.same & same == same) {
                return None;
            }
            let mut from = same;
            for (other, put) in puts.iter().enumerate() {
                from |= if put.same != 0 && put.same & !same == 0 { bit(other) } else { 0 };
            }
            let (value, below) = (puts[at].value.clone(), with_below(puts, from));
            puts.push(Put { place: None, value, seen: 0, below, same });
        }
        for (joint, put) in puts.iter().enumerate() {
            below |= if put.same == same { bit(joint) | put.below } else { 0 };
        }
    }
    Some(below)
}

/// Which of those say what one of them says.
fn alike(puts: &[Put], one: usize, of: u64) -> u64 {
    let mut same = 0;
    for (at, put) in puts.iter().enumerate() {
        same |= if put.value == puts[one].value { of & bit(at) } else { 0 };
    }
    same
}

/// None for what is beyond the mask, which is too much already.
fn bit(at: usize) -> u64 {
    if at < PUTS_MAX { 1 << at } else { 0 }
}

fn has(mask: u64, at: usize) -> bool {
    mask & bit(at) != 0
}

fn is_number(value: &Value) -> bool {
    use ScalarValue::{Counter, F64, Int, Uint};
    matches!(value, Value::Scalar(Int(_) | Uint(_) | F64(_) | Counter(_)))
}
