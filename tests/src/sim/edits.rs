//! Random edits of every kind, each with a token of its own.

use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::{Transactable, Transaction};
use automerge::{AutomergeError, ObjId, ObjType, ROOT, ReadDoc, ScalarValue, Value};
use sync_core::rng::Rng;

use crate::sim::disagree;
use crate::sim::ledger::{Token, token_key};

/// Length of a text that the server refuses.
const REFUSED_BYTES: usize = 1_000;

/// Makes one random edit and writes its token. With `refuse` the edit holds a value larger than the server takes; with other chance to
/// `disagree`, what others may be writing at the same time.
pub(crate) fn edit(
    tx: &mut Transaction<'_>,
    rng: &mut Rng,
    token: Token,
    refuse: bool,
    disagree: Option<Rng>,
) -> Result<(), AutomergeError> {
    tx.put(ROOT, token_key(token), token as i64)?;
    if refuse {
        return tx.put(ROOT, "large", "x".repeat(REFUSED_BYTES));
    }
    if let Some(mut rng) = disagree {
        disagree::edit(tx, &mut rng, token)?;
    }
    for _ in 0..1 + rng.below(3) {
        match rng.below(8) {
            0 => tx.put(ROOT, format!("k{}", rng.below(5)), rng.below(100) as i64)?,
            1 => remove(tx, &format!("k{}", rng.below(5)))?,
            2 => nest(tx, rng)?,
            3 | 4 => write_text(tx, rng)?,
            5 => edit_list(tx, rng)?,
            6 => count(tx, rng)?,
            _ => mark(tx, rng)?,
        }
    }
    Ok(())
}

fn remove(tx: &mut Transaction<'_>, key: &str) -> Result<(), AutomergeError> {
    match tx.get(ROOT, key)? {
        Some(_) => tx.delete(ROOT, key),
        None => Ok(()),
    }
}

fn object(tx: &mut Transaction<'_>, parent: &ObjId, key: &str, kind: ObjType) -> Result<ObjId, AutomergeError> {
    match tx.get(parent, key)? {
        Some((Value::Object(held), id)) if held == kind => Ok(id),
        _ => tx.put_object(parent, key, kind),
    }
}

fn nest(tx: &mut Transaction<'_>, rng: &mut Rng) -> Result<(), AutomergeError> {
    let outer = object(tx, &ROOT, "map", ObjType::Map)?;
    let inner = object(tx, &outer, &format!("m{}", rng.below(3)), ObjType::Map)?;
    if rng.chance(150) {
        return tx.delete(&outer, format!("m{}", rng.below(3)));
    }
    tx.put(&inner, "v", rng.below(1_000) as i64)
}

fn write_text(tx: &mut Transaction<'_>, rng: &mut Rng) -> Result<(), AutomergeError> {
    let text = object(tx, &ROOT, "text", ObjType::Text)?;
    let len = tx.length(&text) as u64;
    let at = rng.below(len + 1) as usize;
    let gone = rng.below(4).min(len - at as u64) as isize;
    let words = ["a", "word ", "é", "two words ", ""];
    tx.splice_text(&text, at, gone, words[rng.below(5) as usize])
}

fn edit_list(tx: &mut Transaction<'_>, rng: &mut Rng) -> Result<(), AutomergeError> {
    let list = object(tx, &ROOT, "list", ObjType::List)?;
    let len = tx.length(&list) as u64;
    let at = rng.below(len.max(1)) as usize;
    match rng.below(4) {
        0 if len > 0 => tx.delete(&list, at),
        1 if len > 0 => tx.put(&list, at, rng.below(100) as i64),
        _ => tx.insert(&list, rng.below(len + 1) as usize, rng.below(100) as i64),
    }
}

fn count(tx: &mut Transaction<'_>, rng: &mut Rng) -> Result<(), AutomergeError> {
    match tx.get(ROOT, "counter")? {
        Some((Value::Scalar(held), _)) if matches!(*held, ScalarValue::Counter(_)) => {
            tx.increment(ROOT, "counter", 1 + rng.below(5) as i64)
        }
        _ => tx.put(ROOT, "counter", ScalarValue::counter(0)),
    }
}

fn mark(tx: &mut Transaction<'_>, rng: &mut Rng) -> Result<(), AutomergeError> {
    let text = object(tx, &ROOT, "text", ObjType::Text)?;
    let len = tx.length(&text) as u64;
    if len < 2 {
        return Ok(());
    }
    let start = rng.below(len - 1);
    let end = start + 1 + rng.below(len - start);
    let mark = Mark::new("bold".to_string(), true, start as usize, end.min(len) as usize);
    tx.mark(&text, mark, ExpandMark::After)
}
