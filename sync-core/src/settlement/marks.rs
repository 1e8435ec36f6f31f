//! Marks that an answer writes: over the characters that two disputed, and in texts that it puts back.
//!
//! Owns over which characters, and that these have no others. What an answer comes to is planned above.

use automerge::legacy::{Key, Op, OpType};
use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::{Transactable, Transaction};
use automerge::{Automerge, AutomergeError, ObjId, ObjType, Prop, ReadDoc, ScalarValue};

use super::Known;
use crate::conflict::{Candidate, Conflict, Marking, Value};
use crate::id::ChangeHash;

/// What an answer puts somewhere.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) value: Value,
    /// The object that says so; nothing if somebody has given it by hand.
    pub(super) look: Option<Look>,
}

/// How the texts in an object look.
#[derive(Clone, Debug)]
pub(super) struct Look {
    kind: ObjType,
    length: usize,
    /// Of a text, each with how it takes in what is written beside it.
    marks: Vec<(Mark, ExpandMark)>,
    inner: Vec<(Prop, Look)>,
}

/// The characters over which nobody has formatted who knew of both marks, but in answers to this conflict; where there are none, all.
pub(super) fn in_dispute(document: &Automerge, conflict: &Conflict, marking: &Marking) -> Vec<(usize, usize)> {
    let shown = conflict.candidates.first().map(|side| side.change);
    let is_left = |by: &ChangeHash| Some(*by) == shown || written(document, conflict, marking, by).is_some();
    let is_any_left = marking.over.iter().any(|(_, _, by)| is_left(by));
    let mut over: Vec<(usize, usize)> = Vec::new();
    for (from, until, by) in &marking.over {
        match over.last_mut() {
            _ if is_any_left && !is_left(by) => {}
            Some(last) if last.1 == *from => last.1 = *until,
            _ => over.push((*from, *until)),
        }
    }
    over
}

/// Whether what shows over some of the characters is what an answer to this conflict has put there.
pub(super) fn is_answered(document: &Automerge, conflict: &Conflict, marking: &Marking) -> bool {
    marking.over.iter().any(|(_, _, by)| written(document, conflict, marking, by).is_some())
}

/// What an answer says that this change wrote.
pub(super) fn answer(
    document: &Automerge,
    conflict: &Conflict,
    marking: &Marking,
    change: Option<&ChangeHash>,
) -> Option<Value> {
    match written(document, conflict, marking, change?)? {
        Some(value) => Some(Value::Scalar(value)).filter(|value| *value != Value::Scalar(ScalarValue::Null)),
        // What showed anyway.
        None => conflict.candidates.first()?.value.clone(),
    }
}

/// Of a change that answers a conflict the value of the mark that it wrote for that.
fn written(
    document: &Automerge,
    conflict: &Conflict,
    marking: &Marking,
    change: &ChangeHash,
) -> Option<Option<ScalarValue>> {
    let operations = document.get_change_by_hash(change)?.decode().operations;
    let id = conflict.id.to_string();
    operations.iter().find(|op| matches!(&op.key, Key::Map(key) if *key == id))?;
    let marks = |op: &Op| match &op.action {
        OpType::MarkBegin(data) if data.name == marking.name => Some(data.value.clone()),
        _ => None,
    };
    Some(operations.iter().find_map(marks))
}

impl Known<'_> {
    /// What a side that does not show says.
    pub(super) fn content(&self, side: &Candidate) -> Option<Content> {
        let look = side.object.as_ref().and_then(|object| self.look(object));
        Some(Content { value: side.value.clone()?, look })
    }

    fn look(&self, object: &ObjId) -> Option<Look> {
        let document = self.document;
        let (kind, length) = (document.object_type(object).ok()?, document.length(object));
        let (mut marks, mut inner) = (Vec::new(), Vec::new());
        let mut take = |prop: Prop| {
            if let Ok(Some((automerge::Value::Object(_), id))) = document.get(object, prop.clone()) {
                inner.extend(self.look(&id).map(|look| (prop, look)));
            }
        };
        match kind {
            ObjType::Text => marks = self.index.marks_of(document, self.table, self.ops, object),
            ObjType::List => (0..length).for_each(|index| take(index.into())),
            _ => document.keys(object).for_each(|key| take(key.into())),
        }
        Some(Look { kind, length, marks, inner })
    }
}

impl Content {
    /// What somebody has given by hand.
    pub(super) fn plain(value: Value) -> Self {
        Self { value, look: None }
    }

    /// Gives the texts of what was put somewhere, or added to what is there, its marks, and no others.
    pub(super) fn format(&self, tx: &mut Transaction<'_>, object: &ObjId, prop: Prop) -> Result<(), AutomergeError> {
        match (&self.look, tx.get(object, prop)?) {
            (Some(look), Some((_, object))) => look.give(tx, &object),
            _ => Ok(()),
        }
    }
}

impl Look {
    fn give(&self, tx: &mut Transaction<'_>, object: &ObjId) -> Result<(), AutomergeError> {
        // What is added to something stands at its end, unless something else stays there.
        let Some(from) = tx.length(object).checked_sub(self.length).filter(|_| tx.object_type(object) == Ok(self.kind))
        else {
            return Ok(());
        };
        for (prop, look) in &self.inner {
            let prop = if let Prop::Seq(index) = prop { Prop::Seq(from + index) } else { prop.clone() };
            if let Some((automerge::Value::Object(_), inner)) = tx.get(object, prop)? {
                look.give(tx, &inner)?;
            }
        }
        if self.kind == ObjType::Text { self.mark(tx, object, from) } else { Ok(()) }
    }

    /// Gives the characters from one on these marks and no others.
    fn mark(&self, tx: &mut Transaction<'_>, text: &ObjId, from: usize) -> Result<(), AutomergeError> {
        let (mut held, mut wanted) = (tx.marks(text)?, Vec::new());
        held.retain(|mark| mark.end > from);
        held.iter_mut().for_each(|mark| mark.start = mark.start.max(from));
        for (mark, expand) in &self.marks {
            let mark = Mark { start: mark.start + from, end: mark.end + from, ..mark.clone() };
            match held.iter().position(|held| *held == mark) {
                Some(at) => drop(held.remove(at)),
                None => wanted.push((mark, *expand)),
            }
        }
        for mark in held {
            // What is written behind it later is to look like it.
            tx.mark(text, Mark { value: ScalarValue::Null, ..mark }, ExpandMark::After)?;
        }
        wanted.into_iter().try_for_each(|(mark, expand)| tx.mark(text, mark, expand))
    }
}
