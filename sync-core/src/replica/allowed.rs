//! What an application may not write: the engine's own root key, and objects that are deleted already.
//!
//! Owns these two refusals, which are about who writes and from where. What no replica may hold at all, is the validator's.

use std::collections::BTreeSet;

use automerge::legacy::{Key, ObjectId, OpId};
use automerge::{Automerge, ObjId, Prop, ROOT, ReadDoc as _};

use super::EditError;
use crate::change::Change;
use crate::id::RESERVED_KEY;

/// Who writes a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// A program or page that uses the engine.
    Application,
    /// The engine itself.
    Engine,
}

/// Why an application may not have made the last change of `document`.
pub(super) fn refusal(document: &Automerge, change: &Change) -> Option<EditError> {
    let operations = change.automerge().decode().operations;
    let reserved = |key: &Key| matches!(key, Key::Map(key) if key == RESERVED_KEY);
    let mut objects: BTreeSet<&OpId> = BTreeSet::new();
    for op in &operations {
        match &op.obj {
            ObjectId::Root if reserved(&op.key) => return Some(EditError::Reserved),
            ObjectId::Root => {}
            // What this change has made was not deleted before.
            ObjectId::Id(id) if id.actor() == change.actor() && id.counter() >= change.start_op() => {}
            ObjectId::Id(id) => drop(objects.insert(id)),
        }
    }
    // A change may write in what it then deletes itself.
    let takes = |gone: &ObjId| operations.iter().flat_map(|op| op.pred.iter()).any(|pred| named(pred) == *gone);
    objects.into_iter().find_map(|id| match standing(document, id)? {
        Standing::Reserved => Some(EditError::Reserved),
        Standing::Gone(gone) => (!takes(&gone)).then_some(EditError::InDeleted),
        Standing::Shown => None,
    })
}

fn named(id: &OpId) -> ObjId {
    ObjId::Id(id.counter(), id.actor().clone(), 0)
}

#[derive(Clone, Debug, PartialEq)]
enum Standing {
    /// A path leads to it, or it is one of several objects at a place.
    Shown,
    /// This object, which is it or is around it, stands nowhere.
    Gone(ObjId),
    /// It is in the engine's own map.
    Reserved,
}

fn standing(document: &Automerge, id: &OpId) -> Option<Standing> {
    let mut object = named(id);
    for parent in document.parents(&object).ok()? {
        if parent.obj == ROOT && parent.prop == Prop::Map(RESERVED_KEY.into()) {
            return Some(Standing::Reserved);
        }
        // One of several at a place shows, and the others can be edited as well.
        let is_beside = || {
            let all = document.get_all(&parent.obj, parent.prop.clone()).unwrap_or_default();
            all.iter().any(|(_, id)| *id == object)
        };
        if !parent.visible && !is_beside() {
            return Some(Standing::Gone(object));
        }
        object = parent.obj;
    }
    Some(Standing::Shown)
}
