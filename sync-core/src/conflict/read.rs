//! Values as they stand in a document now, stood at other heads, or lie hidden in it.
//!
//! Owns reading by operation: also of objects that no path leads to any more. Changes nothing.

use std::collections::BTreeMap;

use automerge::{Automerge, ChangeHash, Cursor, ObjId, ObjType, Prop, ReadDoc, ScalarValue};

use super::index::{At, History};
use super::{Candidate, Value};
use crate::op_index::{OpId, ROOT, Slot};
use crate::table::Place;

/// What stands in an object at a key or index; `None` if nothing does.
pub fn value_at(document: &Automerge, object: &ObjId, prop: Prop, heads: Option<&[ChangeHash]>) -> Option<Value> {
    let found = match heads {
        Some(heads) => document.get_at(object, prop, heads),
        None => document.get(object, prop),
    };
    let (value, id) = found.ok()??;
    Some(read(document, &value, &id, heads))
}

/// The author whom a change names, if its actor names one, and when it was made by their clock.
pub(crate) fn said_by(document: &Automerge, change: &ChangeHash) -> (Option<Vec<u8>>, i64) {
    let said = document.get_change_meta_by_hash(change);
    said.map_or((None, 0), |said| (said.author.map(|author| author.as_bytes().to_vec()), said.timestamp))
}

/// Where the element stands of which an operation is, or if it is gone the next one.
pub(crate) fn position<D: ReadDoc>(
    document: &D,
    list: &ObjId,
    operation: &str,
    heads: Option<&[ChangeHash]>,
) -> Option<usize> {
    document.get_cursor_position(list, &Cursor::try_from(operation).ok()?, heads).ok()
}

/// The operations that show at an index of a list.
pub(crate) fn ids_at<D: ReadDoc>(document: &D, list: &ObjId, at: usize, heads: Option<&[ChangeHash]>) -> Vec<ObjId> {
    let all = match heads {
        Some(heads) => document.get_all_at(list, at, heads),
        None => document.get_all(list, at),
    };
    all.unwrap_or_default().into_iter().map(|(_, id)| id).collect()
}

/// A value that was found with its id.
pub(super) fn read(
    document: &Automerge,
    value: &automerge::Value<'_>,
    id: &ObjId,
    heads: Option<&[ChangeHash]>,
) -> Value {
    match value {
        automerge::Value::Object(kind) => object(document, id, *kind, heads),
        automerge::Value::Scalar(scalar) => Value::Scalar(scalar.as_ref().clone()),
    }
}

/// All that is in an object.
pub(crate) fn object(document: &Automerge, id: &ObjId, kind: ObjType, heads: Option<&[ChangeHash]>) -> Value {
    match kind {
        ObjType::Text => Value::Text(match heads {
            Some(heads) => document.text_at(id, heads).unwrap_or_default(),
            None => document.text(id).unwrap_or_default(),
        }),
        ObjType::List => {
            let length = heads.map_or_else(|| document.length(id), |heads| document.length_at(id, heads));
            Value::List((0..length).filter_map(|index| value_at(document, id, index.into(), heads)).collect())
        }
        ObjType::Map | ObjType::Table => {
            let keys: Vec<String> = match heads {
                Some(heads) => document.keys_at(id, heads).collect(),
                None => document.keys(id).collect(),
            };
            let entry = |key: String| value_at(document, id, key.as_str().into(), heads).map(|value| (key, value));
            // One by one: to collect them would sort what comes sorted.
            let mut map = BTreeMap::new();
            for (key, value) in keys.into_iter().filter_map(entry) {
                map.insert(key, value);
            }
            Value::Map(map)
        }
    }
}

/// A document, and what its operations are called in it.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) document: &'a Automerge,
    pub(super) history: History<'a>,
}

impl Reader<'_> {
    /// automerge's name for an operation, and for the object that it made.
    pub(super) fn id(&self, op: OpId) -> ObjId {
        match self.history.table.actor(op.actor) {
            Some(actor) => ObjId::Id(op.counter.into(), actor.clone(), 0),
            None => ObjId::Root,
        }
    }

    /// An object with its kind, by its maker; the root if it is `None`.
    pub(super) fn object(&self, maker: Option<OpId>) -> Option<(ObjId, ObjType)> {
        let id = maker.map_or(ObjId::Root, |maker| self.id(maker));
        let kind = self.document.object_type(&id).ok()?;
        Some((id, kind))
    }

    /// What the author of the change at a place says.
    pub(super) fn side(&self, place: Place, value: Option<Value>, shown: bool) -> Candidate {
        let actor = self.history.table.actor(place.actor).expect("the index knows the table's actors").clone();
        let change = self.history.table.hash_at(place).unwrap_or(ChangeHash([0; 32]));
        let (author, time) = said_by(self.document, &change);
        Candidate { value, actor, author, time, change, shown, mine: false, object: None }
    }

    /// An element's index, and whether it is there.
    pub(super) fn index(&self, list: &ObjId, element: OpId, heads: Option<&[ChangeHash]>) -> Option<(usize, bool)> {
        let actor = self.history.table.actor(element.actor)?;
        let index = position(self.document, list, &format!("{}@{actor}", element.counter), heads)?;
        let here = ids_at(self.document, list, index, heads).iter().any(|id| self.is_of(id, element));
        Some((index, here))
    }

    /// Whether an operation is an element's own, or put something there later.
    fn is_of(&self, id: &ObjId, element: OpId) -> bool {
        let Some(op) = self.history.op_of(id) else { return false };
        op == element || self.history.ops.run(op).is_some_and(|run| run.operation(op).slot == Slot::At(element))
    }

    /// What a value's operation put at a place, as its own change left it: a look at one place, where asking for the change makes it anew.
    pub(super) fn then(&self, object: &ObjId, at: &At, key: Option<&str>, op: OpId) -> Option<Value> {
        let heads = [self.history.table.hash_at(self.history.place(op))?];
        let prop = self.prop_at(object, at, key, &heads)?;
        let all = self.document.get_all_at(object, prop, &heads).ok()?;
        let ours = self.id(op);
        match all.into_iter().find(|(_, id)| *id == ours)?.0 {
            automerge::Value::Scalar(scalar) => Some(Value::Scalar(scalar.into_owned())),
            automerge::Value::Object(_) => None,
        }
    }

    /// What a value's operation says, whether or not it still shows.
    pub(super) fn said(&self, op: OpId) -> Option<Value> {
        if let Some((id, kind)) = self.object(Some(op)) {
            return Some(object(self.document, &id, kind, None));
        }
        let hash = self.history.table.hash_at(self.history.place(op))?;
        let change = self.document.get_change_by_hash(&hash)?;
        let at = usize::try_from(u64::from(op.counter) - change.start_op().get()).ok()?;
        change.decode().operations.get(at)?.primitive_value().map(Value::Scalar)
    }

    /// What a counter began with.
    pub(super) fn start(&self, counter: OpId) -> i64 {
        match self.said(counter) {
            Some(Value::Scalar(ScalarValue::Counter(counter))) => i64::from(&counter),
            _ => 0,
        }
    }

    /// What stood at a place when all of these changes were still to be made.
    pub(super) fn before(&self, object: &ObjId, at: &At, key: Option<&str>, heads: &[ChangeHash]) -> Option<Value> {
        value_at(self.document, object, self.prop_at(object, at, key, heads)?, Some(heads))
    }

    /// The operations whose values stood at a place when all of these changes were still to be made.
    pub(super) fn ids_before(&self, object: &ObjId, at: &At, key: Option<&str>, heads: &[ChangeHash]) -> Vec<ObjId> {
        let mut ids = Vec::new();
        if let Some(prop) = self.prop_at(object, at, key, heads)
            && let Ok(all) = self.document.get_all_at(object, prop, heads)
        {
            for (_, id) in all {
                ids.push(id);
            }
        }
        ids
    }

    fn prop_at(&self, object: &ObjId, at: &At, key: Option<&str>, heads: &[ChangeHash]) -> Option<Prop> {
        match (at, key) {
            (At::Key(_), Some(key)) => Some(key.into()),
            (At::Element(element), _) => {
                let (index, here) = self.index(object, *element, Some(heads))?;
                here.then(|| index.into())
            }
            _ => None,
        }
    }
}

/// The number that means no object but the document itself.
pub(super) fn is_root(object: u32) -> bool {
    object == ROOT
}
