//! Writing an answer: what it needs in the document, and its entry.
//!
//! Owns that an answer given again, or by two at once, can be told from one that was given before, and does not add up with it: an entry names what
//! answers have done that is not the same when it is done twice. What an answer comes to is planned above.

use std::collections::BTreeMap;

use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::{Transactable, Transaction};
use automerge::{AutomergeError, ObjId, Prop, ReadDoc, ScalarValue};

use super::entry::{Entry, claim, name_of, read, write};
use super::marks::Content;
use super::values::{insert, merge, put};
use super::{BOTH, counter};
use crate::conflict::{Conflict, ConflictId, PathPart, Value, ids_at, position};
use crate::id::{ActorId, ChangeHash};

/// What is to be written for an answer, checked against what the conflict is now.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) conflict: Conflict,
    pub(super) note: Option<String>,
    pub(super) effect: Effect,
    pub(super) answer: String,
    pub(super) policy: String,
    /// What is there to know.
    pub(super) knew: BTreeMap<ActorId, u32>,
    /// Conflicts at the same place with two answers, of which this makes one.
    pub(super) also: Vec<ConflictId>,
    /// Two have answered it at once.
    pub(super) is_disputed: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Effect {
    Nothing,
    Put(Option<Content>),
    /// What is on other sides is to be added to what shows, or where answers have changed that, to what did.
    Merge {
        to: Option<Value>,
        sides: Vec<Content>,
    },
    /// A counter is to have these steps on top of what it was put to.
    Count {
        steps: i64,
    },
    /// A counter is to hold this.
    CountTo(i64),
    /// Elements that are to stand `after` places behind the conflict's, and no others that an answer has put there.
    Stand {
        after: usize,
        values: Vec<Content>,
    },
    /// These characters are to have the mark that is in dispute with this value.
    Format {
        over: Vec<(usize, usize)>,
        value: ScalarValue,
        expand: ExpandMark,
    },
}

impl Plan {
    /// The answer is a rule's, of this name and version.
    pub fn by(self, policy: String) -> Self {
        Self { policy, ..self }
    }

    /// Writes the answer.
    pub fn write(self, tx: &mut Transaction<'_>) -> Result<(), AutomergeError> {
        let (id, version) = (self.conflict.id, self.conflict.version);
        let before = read(tx, &id);
        let mut done = before.as_ref().map(|(entry, _)| entry.done.clone()).unwrap_or_default();
        // An answer may make all sides agree, which is another version with nothing new in it.
        let is_of_these = |entry: &Entry| entry.version == version || entry.knew(&self.knew);
        let first = before.as_ref().filter(|(entry, _)| is_of_these(entry));
        let first = first.map(|(entry, written)| {
            entry.first.clone().or_else(|| entry.taken.clone()).unwrap_or_else(|| name_of(written))
        });
        // What is above the place may be gone: the answer is known, and there is no place for it.
        tx.object_type(&self.conflict.spot.object)?;
        let again =
            before.is_some_and(|(entry, _)| entry.answer == BOTH && entry.knew(&self.knew)) && !self.is_disputed;
        let adds = self.take_effect(tx, &mut done, again)?;
        let claimed = claim(tx, &id)?;
        if let Some(steps) = adds {
            done.insert(claimed, steps);
        }
        let (policy, note, answer, knew) = (self.policy, self.note, self.answer, self.knew);
        let entry = Entry { version, policy, note, is_reopened: false, done, answer, knew, first, taken: None };
        for id in &self.also {
            if let Some((entry, _)) = read(tx, id) {
                write(tx, id, &entry)?;
            }
        }
        write(tx, &id, &entry)
    }

    /// Does what the answer needs; if that would add up with the same done elsewhere, what it has added to a counter.
    fn take_effect(
        &self,
        tx: &mut Transaction<'_>,
        done: &mut BTreeMap<String, i64>,
        again: bool,
    ) -> Result<Option<i64>, AutomergeError> {
        let object = &self.conflict.spot.object;
        if let (Some(_), Effect::Put(_) | Effect::Stand { .. }) = (&self.conflict.spot.element, &self.effect) {
            let (after, values) = match &self.effect {
                Effect::Stand { after, values } => (*after, values.as_slice()),
                _ => (1, &[][..]),
            };
            self.stand(tx, done, after, values)?;
        }
        // Copies that were taken away may have stood before it.
        let prop = self.conflict.prop(tx, None);
        match (&self.effect, prop) {
            (Effect::Put(content), Some(prop)) => {
                let adds = put(tx, object, prop.clone(), content.as_ref().map(|content| &content.value))?;
                content.iter().try_for_each(|content| content.format(tx, object, prop.clone()))?;
                return Ok(adds.then_some(0));
            }
            // What is merged in a second time would stand there twice.
            (Effect::Merge { .. }, Some(_)) if again => {}
            (Effect::Merge { to, sides }, Some(prop)) => {
                let stands = tx.get(object, prop.clone())?.map(|(_, id)| id);
                let is_same = self.conflict.candidates.first().is_some_and(|shown| shown.object == stands);
                let mut adds = match to {
                    Some(_) if is_same => put(tx, object, prop.clone(), to.as_ref())?,
                    _ => false,
                };
                for side in sides {
                    adds |= merge(tx, object, prop.clone(), &side.value, 0)?;
                    side.format(tx, object, prop.clone())?;
                }
                return Ok(adds.then_some(0));
            }
            (Effect::Count { .. } | Effect::CountTo(_), Some(prop)) => {
                let now = value_in(tx, object, &prop).ok_or(AutomergeError::Fail)?;
                let counted = done.values().try_fold(0i64, |sum, steps| sum.checked_add(*steps));
                let more = match self.effect {
                    Effect::Count { steps } => counted.and_then(|counted| steps.checked_sub(counted)),
                    Effect::CountTo(target) => target.checked_sub(now),
                    _ => Some(0),
                };
                let more = more.filter(|more| now.checked_add(*more).is_some()).ok_or(AutomergeError::Fail)?;
                if more != 0 {
                    tx.increment(object, prop, more)?;
                    return Ok(Some(more));
                }
            }
            (Effect::Format { over, value, expand }, _) => {
                let name = self.conflict.marking.as_ref().map(|marking| marking.name.clone()).unwrap_or_default();
                for (from, until) in over {
                    tx.mark(object, Mark::new(name.clone(), value.clone(), *from, *until), *expand)?;
                }
            }
            (Effect::Nothing | Effect::Stand { .. }, _) => {}
            (_, None) => return Err(AutomergeError::InvalidIndex(0)),
        }
        Ok(None)
    }

    /// Makes these values the elements that answers have put beside the place, or where its own was: those that are there already stay.
    fn stand(
        &self,
        tx: &mut Transaction<'_>,
        done: &mut BTreeMap<String, i64>,
        after: usize,
        values: &[Content],
    ) -> Result<(), AutomergeError> {
        let list = &self.conflict.spot.object;
        let there = |tx: &Transaction<'_>, name: &String| index_of(tx, list, name, None).map(|at| (at, name.clone()));
        let mut copies: Vec<(usize, String)> = done.keys().filter_map(|name| there(tx, name)).collect();
        copies.sort();
        let begin = match (self.conflict.prop(tx, None), self.conflict.path.last()) {
            (Some(Prop::Seq(index)), _) => index + after,
            (_, Some(PathPart::Index(index))) => index + after,
            _ => return Err(AutomergeError::InvalidIndex(0)),
        };
        // From behind, so that no place moves before its turn.
        for (at, name) in copies.drain(values.len().min(copies.len())..).rev() {
            tx.delete(list, at)?;
            done.remove(&name);
        }
        let mut next = begin;
        for (number, content) in values.iter().enumerate() {
            let value = &content.value;
            let at = copies.get(number).map_or(next.min(tx.length(list)), |(at, _)| *at);
            match copies.get(number) {
                Some(_) if says(tx, list, at, value) => {}
                Some((_, name)) => {
                    put(tx, list, Prop::Seq(at), Some(value))?;
                    done.remove(name);
                }
                None => insert(tx, list, at, value)?,
            }
            content.format(tx, list, at.into())?;
            done.insert(name_at(tx, list, at)?, 0);
            next = at + 1;
        }
        Ok(())
    }
}

/// The index of the element that an operation put where it still shows.
pub(super) fn index_of<D: ReadDoc>(
    document: &D,
    list: &ObjId,
    name: &str,
    heads: Option<&[ChangeHash]>,
) -> Option<usize> {
    let at = position(document, list, name, heads)?;
    ids_at(document, list, at, heads).iter().any(|id| name_of(id) == name).then_some(at)
}

fn name_at(tx: &Transaction<'_>, list: &ObjId, at: usize) -> Result<String, AutomergeError> {
    let (_, written) = tx.get(list, at)?.ok_or(AutomergeError::InvalidIndex(at))?;
    Ok(name_of(&written))
}

/// Whether an element is this scalar.
fn says(tx: &Transaction<'_>, list: &ObjId, at: usize, value: &Value) -> bool {
    let held = tx.get(list, at).ok().flatten();
    matches!((held, value), (Some((automerge::Value::Scalar(held), _)), Value::Scalar(scalar)) if *held == *scalar)
}

/// What a counter holds.
fn value_in(tx: &Transaction<'_>, object: &ObjId, prop: &Prop) -> Option<i64> {
    match tx.get(object, prop.clone()).ok()?? {
        (automerge::Value::Scalar(scalar), _) => counter(&Value::Scalar(ScalarValue::clone(&scalar))),
        _ => None,
    }
}
