//! Undo as applications make it: the difference back to an earlier state, written as edits of today.

use std::collections::BTreeMap;

use automerge::marks::ExpandMark;
use automerge::transaction::Transactable;
use automerge::{AutoCommit, AutomergeError, ChangeHash, ObjId, Patch, PatchAction, Prop, Value};

/// Edits `doc` back to what it was at `heads`, without a commit. Objects that come back are new ones with what the old ones held.
pub fn undo(doc: &mut AutoCommit, heads: &[ChangeHash]) -> Result<(), AutomergeError> {
    let now = doc.get_heads();
    let patches = doc.diff(&now, heads);
    let mut inverse = Inverse { doc, made: BTreeMap::new() };
    patches.into_iter().try_for_each(|patch| inverse.apply(patch))
}

struct Inverse<'a> {
    doc: &'a mut AutoCommit,
    /// Objects that stand for those that came back.
    made: BTreeMap<ObjId, ObjId>,
}

impl Inverse<'_> {
    fn apply(&mut self, patch: Patch) -> Result<(), AutomergeError> {
        let object = self.made.get(&patch.obj).unwrap_or(&patch.obj).clone();
        match patch.action {
            PatchAction::PutMap { key, value, .. } => self.put(&object, Prop::Map(key), value),
            PatchAction::PutSeq { index, value, .. } => self.put(&object, Prop::Seq(index), value),
            PatchAction::Insert { index, values } => {
                values.iter().enumerate().try_for_each(|(n, (value, id, _))| self.insert(&object, index + n, value, id))
            }
            PatchAction::SpliceText { index, value, .. } => {
                self.doc.splice_text(&object, index, 0, &value.make_string())
            }
            PatchAction::Increment { prop, value } => self.doc.increment(&object, prop, value),
            PatchAction::DeleteMap { key } => self.doc.delete(&object, key),
            PatchAction::DeleteSeq { index, length } => (0..length).try_for_each(|_| self.doc.delete(&object, index)),
            PatchAction::Mark { marks } => {
                marks.into_iter().try_for_each(|mark| self.doc.mark(&object, mark, ExpandMark::None))
            }
            PatchAction::Conflict { .. } => Ok(()),
        }
    }

    fn put(&mut self, object: &ObjId, prop: Prop, (value, id): (Value<'static>, ObjId)) -> Result<(), AutomergeError> {
        match value {
            Value::Object(kind) => {
                let made = self.doc.put_object(object, prop, kind)?;
                self.made.insert(id, made);
                Ok(())
            }
            Value::Scalar(value) => self.doc.put(object, prop, value.into_owned()),
        }
    }

    fn insert(&mut self, object: &ObjId, index: usize, value: &Value<'_>, id: &ObjId) -> Result<(), AutomergeError> {
        match value {
            Value::Object(kind) => {
                let made = self.doc.insert_object(object, index, *kind)?;
                self.made.insert(id.clone(), made);
                Ok(())
            }
            Value::Scalar(value) => self.doc.insert(object, index, value.clone().into_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use automerge::{AutoSerde, ObjType, ROOT};

    use super::*;

    #[test]
    fn what_was_deleted_comes_back_with_all_that_it_held() {
        let mut doc = AutoCommit::new();
        let list = doc.put_object(ROOT, "list", ObjType::List).expect("a new key");
        let inner = doc.insert_object(&list, 0, ObjType::Map).expect("a place in the list");
        doc.put(&inner, "deep", 7).expect("a key of a map");
        let text = doc.put_object(ROOT, "text", ObjType::Text).expect("a new key");
        doc.splice_text(&text, 0, 0, "hello").expect("an empty text");
        let read = |doc: &AutoCommit| serde_json::to_value(AutoSerde::from(doc)).expect("a document reads as JSON");
        let (before, heads) = (read(&doc), doc.get_heads());
        doc.delete(&list, 0).expect("an element of the list");
        doc.splice_text(&text, 1, 3, "ipp").expect("a range of the text");
        doc.delete(ROOT, "list").expect("a key of a map");
        doc.put(ROOT, "new", 1).expect("a key of a map");
        assert_ne!(read(&doc), before);
        undo(&mut doc, &heads).expect("nothing is in the way");
        assert_eq!(read(&doc), before);
    }
}
