//! A document's value with what rules answer in the places of their conflicts.
//!
//! Owns where an answer is put, in step with `packages/client/src/conflicts/project.ts`. The document is not changed.

use std::cmp::Reverse;

use super::Stands;
use crate::conflict::{PathPart, Value};

/// Puts answers into a value. One whose place is gone is left out.
pub fn project<'a>(value: &mut Value, answers: impl IntoIterator<Item = (&'a [PathPart], &'a Stands)>) {
    let all = answers.into_iter();
    let (mut put, mut gone): (Vec<_>, Vec<_>) = all.partition(|(_, stands)| matches!(stands, Stands::Value(_)));
    // From the root down, so that an answer for a whole object does not hide those for what is in it.
    put.sort_by_key(|(path, _)| path.len());
    // What takes away comes last and from behind, so that no place moves before its turn.
    gone.sort_by_key(|(path, _)| Reverse(*path));
    put.into_iter().chain(gone).for_each(|(path, stands)| stand(value, path, stands));
}

fn stand(root: &mut Value, path: &[PathPart], stands: &Stands) {
    let Some((last, above)) = path.split_last() else { return };
    let holder = above.iter().try_fold(root, |at, step| match (at, step) {
        (Value::Map(entries), PathPart::Key(key)) => entries.get_mut(key),
        (Value::List(items), PathPart::Index(index)) => items.get_mut(*index),
        _ => None,
    });
    match (holder, last, stands) {
        (Some(Value::Map(entries)), PathPart::Key(key), Stands::Value(value)) => {
            entries.insert(key.clone(), value.clone());
        }
        (Some(Value::Map(entries)), PathPart::Key(key), Stands::Nothing) => {
            entries.remove(key);
        }
        (Some(Value::List(items)), PathPart::Index(index), stands) if *index < items.len() => match stands {
            Stands::Value(value) => items[*index] = value.clone(),
            Stands::Nothing => drop(items.remove(*index)),
        },
        // What stood above it is gone.
        _ => {}
    }
}
