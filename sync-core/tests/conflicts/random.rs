//! Random histories over maps, lists, texts, counters and deletions, held to the oracle and to each other's order of arrival.

use std::collections::BTreeSet;

use automerge::legacy::{ObjectId, OpType};
use automerge::transaction::{Transactable, Transaction};
use automerge::{AutomergeError, ObjId, ObjType, Prop, ReadDoc as _, ScalarValue, Value as Read};
use sync_core::rng::Rng;

use super::history::{People, list, shuffled};
use super::oracle;

/// One edit somewhere, each value another.
fn scribble(tx: &mut Transaction<'_>, rng: &mut Rng, token: &mut u64) -> Result<(), AutomergeError> {
    let mut object = ObjId::Root;
    let mut kind = ObjType::Map;
    // Down into the document, some way.
    while rng.chance(600) {
        let inner: Vec<(ObjId, ObjType)> = match kind {
            ObjType::Map => tx.keys(&object).filter_map(|key| below(tx, &object, key.as_str().into())).collect(),
            ObjType::List => (0..tx.length(&object)).filter_map(|at| below(tx, &object, at.into())).collect(),
            _ => break,
        };
        let Some((next, of)) = inner.get(rng.below(inner.len().max(1) as u64) as usize) else { break };
        (object, kind) = (next.clone(), *of);
    }
    *token += 1;
    let value = format!("token {token};");
    match kind {
        ObjType::Text => {
            let at = rng.below(tx.length(&object) as u64 + 1) as usize;
            tx.splice_text(&object, at, 0, &value)
        }
        ObjType::List => {
            let length = tx.length(&object);
            if length == 0 || rng.chance(400) {
                let at = rng.below(length as u64 + 1) as usize;
                return match rng.below(4) {
                    0 => tx.insert_object(&object, at, ObjType::Map).and_then(|made| tx.put(&made, "a", value)),
                    1 => tx.insert(&object, at, ScalarValue::counter(number(&value))),
                    _ => tx.insert(&object, at, value),
                };
            }
            let at = rng.below(length as u64) as usize;
            write(tx, rng, &object, at.into(), value)
        }
        _ => {
            let keys = if object == ObjId::Root { ["x", "y", "z"] } else { ["a", "b", "c"] };
            let key = keys[rng.below(3) as usize];
            write(tx, rng, &object, key.into(), value)
        }
    }
}

fn below(tx: &Transaction<'_>, object: &ObjId, prop: Prop) -> Option<(ObjId, ObjType)> {
    match tx.get(object, prop).ok()?? {
        (Read::Object(kind), id) => Some((id, kind)),
        _ => None,
    }
}

fn write(
    tx: &mut Transaction<'_>,
    rng: &mut Rng,
    object: &ObjId,
    prop: Prop,
    value: String,
) -> Result<(), AutomergeError> {
    let held = tx
        .get(object, prop.clone())?
        .map(|(value, _)| matches!(value, Read::Scalar(s) if matches!(*s, ScalarValue::Counter(_))));
    match (rng.below(8), held) {
        (0 | 1, Some(_)) => tx.delete(object, prop),
        (2 | 3, Some(true)) => tx.increment(object, prop, 1 + rng.below(5) as i64),
        // Objects of nothing would be equal.
        (4, _) => match rng.below(3) {
            0 => tx.put_object(object, prop, ObjType::Map).and_then(|made| tx.put(&made, "a", value)),
            1 => tx.put_object(object, prop, ObjType::List).and_then(|made| tx.insert(&made, 0, value)),
            _ => tx.put_object(object, prop, ObjType::Text).and_then(|made| tx.splice_text(&made, 0, 0, &value)),
        },
        (5, _) => tx.put(object, prop, ScalarValue::counter(number(&value))),
        _ => tx.put(object, prop, value),
    }
}

fn check(seed: u64) {
    let mut rng = Rng::from_number(seed);
    let count = 2 + rng.below(3) as usize;
    let mut people = People::new(count as u8);
    let mut token = 0;
    for _ in 0..6 + rng.below(30) {
        let who = rng.below(count as u64) as usize;
        if rng.chance(250) {
            people.merge(who, rng.below(count as u64) as usize);
        } else {
            let edits = 1 + rng.below(3);
            people.edit(who, |tx| (0..edits).try_for_each(|_| scribble(tx, &mut rng, &mut token)));
        }
    }
    people.meet();
    let changes = people.changes(0);
    let conflicts = list(&changes);
    for _ in 0..2 {
        let order = shuffled(&changes, &mut rng);
        assert_eq!(list(&order), conflicts, "seed {seed}: another order of arrival");
    }
    let mut ids: Vec<_> = conflicts.iter().map(|conflict| conflict.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), conflicts.len(), "seed {seed}: two conflicts of one name: {conflicts:#?}");
    let mut texts = BTreeSet::new();
    for change in &changes {
        for (counter, op) in (change.start_op()..).zip(&change.automerge().decode().operations) {
            if op.action == OpType::Make(ObjType::Text) {
                texts.insert(ObjectId::Id(automerge::legacy::OpId::new(counter, change.actor())));
            }
        }
    }
    oracle::check(&changes, &conflicts, &texts, seed);
}

#[test]
fn what_does_not_show_and_was_not_overwritten_is_listed_everywhere_alike() {
    let seeds = std::env::var("REJOIN_CONFLICT_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(400);
    (0..seeds).for_each(check);
}

/// Equal counters would be no conflict.
fn number(value: &str) -> i64 {
    1_000 * value.bytes().filter(u8::is_ascii_digit).fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
}
