//! Who said what stood at a conflict's place before somebody answered it.
//!
//! Owns that alone: an answer may put back what was taken away, and is then no side of what it answers.

use automerge::{Automerge, ReadDoc as _};

use super::index::{At, ConflictIndex, History, SlotId, last_until};
use super::read::{Reader, read};
use super::{Candidate, Conflict, PathPart};
use crate::id::ChangeHash;
use crate::op_index::{Kind, OpId, OpIndex, ROOT};
use crate::table::{ChangeTable, Place};

impl ConflictIndex {
    /// The side of what stood at a conflict's place while the change at `place`, which stands on `heads`, was still to be made: whose that
    /// was, or who had deleted what was there. `None` if nobody is known for it.
    pub(crate) fn side_before(
        &self,
        document: &Automerge,
        conflict: &Conflict,
        (place, heads): (Place, &[ChangeHash]),
        table: &ChangeTable,
        ops: &OpIndex,
    ) -> Option<Candidate> {
        let history = History { table, ops };
        let reader = Reader { document, history };
        let prop = conflict.prop(document, Some(heads));
        let stood = prop.and_then(|prop| document.get_at(&conflict.spot.object, prop, heads).ok()?);
        let Some((value, id)) = stood else {
            let lost = conflict.hidden_sides().iter().find_map(|side| history.op_of(side.object.as_ref()?));
            let by = self.deleted(history, lost).or_else(|| self.last_deleted(history, conflict, place))?;
            return Some(reader.side(history.place(by), None, true));
        };
        let side =
            reader.side(history.place(history.op_of(&id)?), Some(read(document, &value, &id, Some(heads))), true);
        Some(Candidate { object: value.is_object().then_some(id), ..side })
    }

    /// What deleted an object, unless something else hides it.
    fn deleted(&self, history: History<'_>, lost: Option<OpId>) -> Option<OpId> {
        history.highest(self.killers.get(&lost?)?).filter(|by| history.kind(*by) == Some(Kind::Delete))
    }

    /// The last deletion at the place that a change had seen.
    fn last_deleted(&self, history: History<'_>, conflict: &Conflict, by: Place) -> Option<OpId> {
        let past = history.ops.past();
        let slot = self.slots.get(&slot(history, conflict)?)?;
        let last = slot
            .deletes
            .iter()
            .filter_map(|(actor, deletes)| last_until(history, deletes, past.seen_before(by, *actor)));
        history.highest(&last.collect::<Vec<_>>())
    }
}

/// Where a conflict is, as the index knows places.
fn slot(history: History<'_>, conflict: &Conflict) -> Option<SlotId> {
    let object = match &conflict.spot.object {
        automerge::ObjId::Root => ROOT,
        id => history.ops.object_number(history.op_of(id)?)?,
    };
    let at = match (&conflict.spot.element, conflict.path.last()?) {
        (Some(element), _) => At::Element(history.op_of(element)?),
        (None, PathPart::Key(key)) => At::Key(history.ops.key(key)?),
        (None, PathPart::Index(_)) => return None,
    };
    Some((object, at))
}
