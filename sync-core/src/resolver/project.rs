//! A document's value with what rules answer in the places of their conflicts.
//!
//! Owns where an answer is put, in step with `packages/client/src/conflicts/project.ts`. The document is not changed.

use std::cmp::Reverse;

use super::Stands;
use crate::conflict::{Conflict, PathPart, Value};

/// A rule's answer and its place.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    /// Where.
    pub path: &'a [PathPart],
    /// Whether the element that it is about is not in its list any more: then the path is another one's.
    pub is_gone: bool,
    /// What is to stand there.
    pub stands: &'a Stands,
}

impl<'a> Placed<'a> {
    /// The answer to a conflict.
    pub fn of(conflict: &'a Conflict, stands: &'a Stands) -> Self {
        Self { path: &conflict.path, is_gone: conflict.spot.is_gone, stands }
    }
}

/// Puts answers into a value. One whose place is gone is left out.
pub fn project<'a>(value: &mut Value, answers: impl IntoIterator<Item = Placed<'a>>) {
    let is_put = |answer: &Placed<'_>| matches!(answer.stands, Stands::Value(_)) && !answer.is_gone;
    let (mut put, mut moving): (Vec<_>, Vec<_>) = answers.into_iter().partition(is_put);
    // From the root down, so that an answer for a whole object does not hide those for what is in it.
    put.sort_by_key(|answer| answer.path.len());
    // What takes away, or puts back, comes last and from behind, so that no place moves before its turn.
    moving.sort_by_key(|answer| (Reverse(answer.path), answer.is_gone));
    put.into_iter().chain(moving).for_each(|answer| stand(value, answer));
}

fn stand(root: &mut Value, Placed { path, is_gone, stands }: Placed<'_>) {
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
        (Some(Value::List(items)), PathPart::Index(index), Stands::Value(value)) if is_gone => {
            items.insert((*index).min(items.len()), value.clone());
        }
        _ if is_gone => {}
        (Some(Value::List(items)), PathPart::Index(index), stands) if *index < items.len() => match stands {
            Stands::Value(value) => items[*index] = value.clone(),
            Stands::Nothing => drop(items.remove(*index)),
        },
        // What stood above it is gone.
        _ => {}
    }
}
