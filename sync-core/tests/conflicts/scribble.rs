//! Random edits that make people disagree: anywhere in a document, each value another. The simulation's clients make them too.

use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::{Transactable, Transaction};
use automerge::{AutomergeError, ObjId, ObjType, Prop, ReadDoc as _, ScalarValue, Value as Read};
use sync_core::rng::Rng;

/// One edit somewhere. No two edits may have the same `token`.
pub(crate) fn scribble(tx: &mut Transaction<'_>, rng: &mut Rng, token: u64) -> Result<(), AutomergeError> {
    let mut object = ObjId::Root;
    let mut kind = ObjType::Map;
    // Down into the document, some way.
    while rng.chance(600) {
        let inner: Vec<(ObjId, ObjType)> = match kind {
            ObjType::Map => keys(tx, &object).filter_map(|key| below(tx, &object, key.as_str().into())).collect(),
            ObjType::List => (0..tx.length(&object)).filter_map(|at| below(tx, &object, at.into())).collect(),
            _ => break,
        };
        let Some((next, of)) = inner.get(rng.below(inner.len().max(1) as u64) as usize) else { break };
        (object, kind) = (next.clone(), *of);
    }
    let value = format!("token {token};");
    match kind {
        ObjType::Text => {
            let length = tx.length(&object) as u64;
            if length > 1 && rng.chance(350) {
                return mark(tx, rng, &object, token);
            }
            tx.splice_text(&object, rng.below(length + 1) as usize, 0, &value)
        }
        ObjType::List => {
            let length = tx.length(&object);
            if length == 0 || rng.chance(400) {
                let at = rng.below(length as u64 + 1) as usize;
                return match rng.below(4) {
                    0 => tx.insert_object(&object, at, ObjType::Map).and_then(|made| tx.put(&made, "a", value)),
                    1 => tx.insert(&object, at, ScalarValue::counter(number(token))),
                    _ => tx.insert(&object, at, value),
                };
            }
            let at = rng.below(length as u64) as usize;
            write(tx, rng, &object, at.into(), token)
        }
        _ => {
            let keys = if object == ObjId::Root { ["x", "y", "z"] } else { ["a", "b", "c"] };
            let key = keys[rng.below(3) as usize];
            write(tx, rng, &object, key.into(), token)
        }
    }
}

/// Those that are an application's own.
fn keys(tx: &Transaction<'_>, object: &ObjId) -> impl Iterator<Item = String> {
    tx.keys(object).filter(|key| !key.starts_with('$'))
}

fn below(tx: &Transaction<'_>, object: &ObjId, prop: Prop) -> Option<(ObjId, ObjType)> {
    match tx.get(object, prop).ok()?? {
        (Read::Object(kind), id) => Some((id, kind)),
        _ => None,
    }
}

/// A link, another one than everybody's, over some of a text.
pub(crate) fn mark(tx: &mut Transaction<'_>, rng: &mut Rng, text: &ObjId, token: u64) -> Result<(), AutomergeError> {
    let length = tx.length(text) as u64;
    let from = rng.below(length - 1);
    let until = from + 1 + rng.below(length - from);
    // Now and then somebody takes one away.
    let value = if rng.chance(150) { ScalarValue::Null } else { ScalarValue::Str(format!("link {token};").into()) };
    let mark = Mark::new("link".to_owned(), value, from as usize, until.min(length) as usize);
    tx.mark(text, mark, if rng.chance(500) { ExpandMark::After } else { ExpandMark::None })
}

fn write(
    tx: &mut Transaction<'_>,
    rng: &mut Rng,
    object: &ObjId,
    prop: Prop,
    token: u64,
) -> Result<(), AutomergeError> {
    let value = format!("token {token};");
    let held = tx
        .get(object, prop.clone())?
        .map(|(value, _)| matches!(value, Read::Scalar(s) if matches!(*s, ScalarValue::Counter(_))));
    match (rng.below(8), held) {
        (0 | 1, Some(_)) => tx.delete(object, prop),
        (2 | 3, Some(true)) => tx.increment(object, prop, 1 + rng.below(5) as i64),
        (4, _) => match rng.below(3) {
            0 => tx.put_object(object, prop, ObjType::Map).and_then(|made| tx.put(&made, "a", value)),
            1 => tx.put_object(object, prop, ObjType::List).and_then(|made| tx.insert(&made, 0, value)),
            _ => tx.put_object(object, prop, ObjType::Text).and_then(|made| tx.splice_text(&made, 0, 0, &value)),
        },
        (5, _) => tx.put(object, prop, ScalarValue::counter(number(token))),
        _ => tx.put(object, prop, value),
    }
}

/// Far enough from all others that steps don't reach them.
fn number(token: u64) -> i64 {
    1_000 * token as i64
}
