//! Where changes write: the paths of what they put, removed, inserted or counted, as the document is now.
//!
//! Owns no more than the way from an object to its path. Of a text or list the path is that of the whole.

use automerge::legacy::{Key, ObjectId};
use automerge::{Automerge, Change, ObjId, Prop, ROOT, ReadDoc as _};

/// The paths at which `changes` write. What stands in an object that is not in the document is left out.
pub fn paths<'a>(document: &Automerge, changes: impl Iterator<Item = &'a Change>) -> Vec<Vec<Prop>> {
    let mut touched = Vec::new();
    for operation in changes.flat_map(|change| change.decode().operations) {
        let place = (operation.obj, if let Key::Map(key) = operation.key { Some(key) } else { None });
        // Typing goes on in one place.
        if touched.last() != Some(&place) {
            touched.push(place);
        }
    }
    let found = touched.into_iter().filter_map(|(object, key)| {
        let mut path = path(document, &object)?;
        path.extend(key.map(|key| Prop::Map(key.to_string())));
        Some(path)
    });
    found.collect()
}

fn path(document: &Automerge, object: &ObjectId) -> Option<Vec<Prop>> {
    let object: ObjId = match object {
        ObjectId::Root => ROOT,
        ObjectId::Id(id) => document.import_obj(&id.to_string()).ok()?,
    };
    place(document, &object)
}

/// The path of an object as the document is now; `None` if it is not in it.
pub fn place(document: &Automerge, object: &ObjId) -> Option<Vec<Prop>> {
    let parents: Vec<_> = document.parents(object).ok()?.collect();
    parents.iter().all(|parent| parent.visible).then(|| parents.into_iter().rev().map(|parent| parent.prop).collect())
}

#[cfg(test)]
mod tests {
    use automerge::transaction::Transactable as _;
    use automerge::{AutomergeError, ObjType};

    use super::*;

    #[test]
    fn what_a_change_writes_is_found_where_it_stands_now() {
        let mut document = Automerge::new();
        let made = document.transact(|tx| {
            let list = tx.put_object(ROOT, "list", ObjType::List)?;
            let item = tx.insert_object(&list, 0, ObjType::Map)?;
            let text = tx.put_object(&item, "text", ObjType::Text)?;
            let gone = tx.put_object(ROOT, "gone", ObjType::Map)?;
            Ok::<_, AutomergeError>((list, item, text, gone))
        });
        let (list, item, text, gone) = made.expect("all of it has a place").result;
        let before = document.get_heads();
        let done = document.transact(|tx| {
            tx.put(&item, "done", true)?;
            tx.splice_text(&text, 0, 0, "hello")?;
            tx.put(&gone, "lost", 1)?;
            tx.insert(&list, 0, 1)
        });
        done.expect("all of it has a place");
        let changes = document.get_changes(&before);
        document.transact(|tx| tx.delete(ROOT, "gone")).expect("it is there");
        let mut words: Vec<String> = paths(&document, changes.iter())
            .into_iter()
            .map(|path| path.iter().map(ToString::to_string).collect::<Vec<_>>().join("/"))
            .collect();
        words.sort();
        words.dedup();
        assert_eq!(words, ["list", "list/1/done", "list/1/text"]);
    }
}
