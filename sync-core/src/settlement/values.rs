//! Writing values where an answer wants them.
//!
//! Owns how a value comes to stand in a document so that what others write there meanwhile stays visible. Knows nothing of conflicts.

use automerge::transaction::{Transactable, Transaction};
use automerge::{AutomergeError, ObjId, ObjType, Prop, ReadDoc, ScalarValue};

use crate::conflict::Value;

/// Deepest nesting of a value that is put back.
const DEPTH_MAX: usize = 100;

/// Puts a value where several may stand. Of one that is equal to what shows a new operation must come to be, or somebody who puts
/// another one at the same time would win unseen. Whether it has lengthened a list or a text, as [`merge`] says it.
pub(super) fn put(
    tx: &mut Transaction<'_>,
    object: &ObjId,
    prop: Prop,
    value: Option<&Value>,
) -> Result<bool, AutomergeError> {
    let held = tx.get(object, prop.clone())?;
    let done = match (value, held, &prop) {
        (None, None, _) => Ok(()),
        (None, Some(_), _) => tx.delete(object, prop),
        (Some(value), None, Prop::Seq(index)) => insert(tx, object, (*index).min(tx.length(object)), value),
        (Some(Value::Scalar(scalar)), Some(_), _) => {
            let other = if *scalar == ScalarValue::Null { ScalarValue::Boolean(false) } else { ScalarValue::Null };
            tx.put(object, prop.clone(), other)?;
            tx.put(object, prop, scalar.clone())
        }
        (Some(value), Some((automerge::Value::Object(kind), held)), _) if kind == kind_of(value) => {
            return become_value(tx, &held, value, 0);
        }
        (Some(value), _, _) => make(tx, object, prop, value),
    };
    done.map(|()| false)
}

fn kind_of(value: &Value) -> ObjType {
    match value {
        Value::List(_) => ObjType::List,
        Value::Text(_) => ObjType::Text,
        Value::Map(_) | Value::Scalar(_) => ObjType::Map,
    }
}

/// Makes an object hold what `value` says, key by key, so that what others write in it meanwhile is kept. Whether it has put something into a list or
/// a text, which would be there twice if two did that.
fn become_value(tx: &mut Transaction<'_>, object: &ObjId, value: &Value, depth: usize) -> Result<bool, AutomergeError> {
    if depth > DEPTH_MAX {
        return Err(AutomergeError::Fail);
    }
    match value {
        Value::Map(entries) => {
            let gone: Vec<String> = tx.keys(object).filter(|key| !entries.contains_key(key)).collect();
            gone.into_iter().try_for_each(|key| tx.delete(object, key))?;
            let mut adds = false;
            for (key, entry) in entries {
                match (tx.get(object, key.as_str())?, entry) {
                    (Some((automerge::Value::Scalar(held), _)), Value::Scalar(scalar)) if *held == *scalar => {}
                    (Some((automerge::Value::Object(kind), held)), Value::Map(_) | Value::List(_) | Value::Text(_))
                        if kind == kind_of(entry) =>
                    {
                        adds |= become_value(tx, &held, entry, depth + 1)?;
                    }
                    _ => make(tx, object, key.as_str().into(), entry)?,
                }
            }
            Ok(adds)
        }
        Value::List(items) => {
            (0..tx.length(object)).rev().try_for_each(|index| tx.delete(object, index))?;
            items.iter().enumerate().try_for_each(|(index, item)| insert(tx, object, index, item))?;
            Ok(!items.is_empty())
        }
        Value::Text(text) => {
            let before = tx.text(object)?;
            tx.update_text(object, text)?;
            // Of a text of which only some is taken away nothing is new.
            let mut held = before.chars();
            Ok(!text.chars().all(|character| held.any(|other| other == character)))
        }
        Value::Scalar(_) => Ok(false),
    }
}

/// Adds to what shows what another side has and it has not: keys of maps, at any depth, elements of lists, the text behind a text. Whether
/// it has lengthened a list or a text, which would be longer still if two did that.
pub(super) fn merge(
    tx: &mut Transaction<'_>,
    object: &ObjId,
    prop: Prop,
    side: &Value,
    depth: usize,
) -> Result<bool, AutomergeError> {
    if depth > DEPTH_MAX {
        return Err(AutomergeError::Fail);
    }
    match (tx.get(object, prop.clone())?, side) {
        (None, side) => make(tx, object, prop, side).map(|()| false),
        (Some((automerge::Value::Object(ObjType::Map), held)), Value::Map(entries)) => {
            let mut adds = false;
            for (key, entry) in entries {
                adds |= merge(tx, &held, key.as_str().into(), entry, depth + 1)?;
            }
            Ok(adds)
        }
        (Some((automerge::Value::Object(ObjType::List), held)), Value::List(items)) => {
            let length = tx.length(&held);
            items.iter().enumerate().try_for_each(|(index, item)| insert(tx, &held, length + index, item))?;
            Ok(!items.is_empty())
        }
        (Some((automerge::Value::Object(ObjType::Text), held)), Value::Text(text)) => {
            let length = tx.length(&held);
            tx.splice_text(&held, length, 0, text)?;
            Ok(!text.is_empty())
        }
        // Of two values for one key the one that shows stays.
        _ => Ok(false),
    }
}

fn make(tx: &mut Transaction<'_>, object: &ObjId, prop: Prop, value: &Value) -> Result<(), AutomergeError> {
    match value {
        Value::Scalar(scalar) => tx.put(object, prop, scalar.clone()),
        _ => {
            let made = tx.put_object(object, prop, kind_of(value))?;
            fill(tx, &made, value)
        }
    }
}

pub(super) fn insert(
    tx: &mut Transaction<'_>,
    list: &ObjId,
    index: usize,
    value: &Value,
) -> Result<(), AutomergeError> {
    match value {
        Value::Scalar(scalar) => tx.insert(list, index, scalar.clone()),
        _ => {
            let made = tx.insert_object(list, index, kind_of(value))?;
            fill(tx, &made, value)
        }
    }
}

fn fill(tx: &mut Transaction<'_>, object: &ObjId, value: &Value) -> Result<(), AutomergeError> {
    match value {
        Value::Map(entries) => entries.iter().try_for_each(|(key, entry)| make(tx, object, key.as_str().into(), entry)),
        Value::List(items) => items.iter().enumerate().try_for_each(|(index, item)| insert(tx, object, index, item)),
        Value::Text(text) => tx.splice_text(object, 0, 0, text),
        Value::Scalar(_) => Ok(()),
    }
}
