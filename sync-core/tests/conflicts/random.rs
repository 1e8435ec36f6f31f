//! Random histories over maps, lists, texts, marks, counters and deletions, held to the oracle and to each other's order of arrival.

use automerge::transaction::{Transactable as _, Transaction};
use automerge::{AutomergeError, ObjId, ObjType, Prop, ROOT, ReadDoc as _, ScalarValue, Value as Read};
use sync_core::document::Document;
use sync_core::rng::Rng;

use super::history::{People, list, shuffled};
use super::oracle;
use super::scribble::{mark, scribble};

/// What somebody writes into their document, with a number that is nobody else's.
type Edit = fn(&mut Transaction<'_>, &mut Rng, u64) -> Result<(), AutomergeError>;

/// One edit at one key or one element, where counters, values and objects of several people stand beside each other and are stepped.
fn crowd(tx: &mut Transaction<'_>, rng: &mut Rng, token: u64) -> Result<(), AutomergeError> {
    let (object, prop): (ObjId, Prop) = match tx.get(ROOT, "list")? {
        Some((_, list)) if rng.chance(400) => {
            if tx.length(&list) == 0 || rng.chance(50) {
                return tx.insert(&list, 0, ScalarValue::counter(1_000 * token as i64));
            }
            (list, 0.into())
        }
        _ => (ROOT, "x".into()),
    };
    let held = tx.get_all(&object, prop.clone())?;
    let counted =
        |value: &Read<'_>| matches!(value, Read::Scalar(scalar) if matches!(**scalar, ScalarValue::Counter(_)));
    match rng.below(10) {
        0 | 1 if !held.is_empty() => tx.delete(&object, prop),
        2..=4 if held.iter().any(|(value, _)| counted(value)) => tx.increment(&object, prop, 1 + rng.below(5) as i64),
        5 => {
            let inside = held.iter().rev().find(|(value, _)| value.is_object()).map(|(_, id)| id.clone());
            let inside = inside.map_or_else(|| tx.put_object(&object, prop, ObjType::Map), Ok)?;
            tx.put(&inside, "a", format!("token {token};"))
        }
        6 | 7 => tx.put(&object, prop, ScalarValue::counter(1_000 * token as i64)),
        _ => tx.put(&object, prop, format!("token {token};")),
    }
}

/// Links over a few words, so that three and more lie over the same ones.
fn link(tx: &mut Transaction<'_>, rng: &mut Rng, token: u64) -> Result<(), AutomergeError> {
    let Some((_, text)) = tx.get(ROOT, "text")? else { return Ok(()) };
    match tx.length(&text) as u64 {
        length @ 0..4 => tx.splice_text(&text, rng.below(length + 1) as usize, 0, "words"),
        length if rng.chance(100) => tx.splice_text(&text, rng.below(length) as usize, 1, ""),
        _ => mark(tx, rng, &text, token),
    }
}

fn check(seed: u64, edit: Edit, merges: u64) {
    let mut rng = Rng::from_number(seed);
    let count = 2 + rng.below(3) as usize;
    let mut people = People::new(count as u8);
    let mut token = 0;
    for _ in 0..6 + rng.below(30) {
        let who = rng.below(count as u64) as usize;
        if rng.chance(merges) {
            people.merge(who, rng.below(count as u64) as usize);
        } else {
            let edits = 1 + rng.below(3);
            people.edit(who, |tx| {
                (0..edits).try_for_each(|_| {
                    token += 1;
                    edit(tx, &mut rng, token)
                })
            });
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
    let document = Document::from_changes(changes.clone()).expect("they apply");
    let checked = oracle::check(&changes, document.automerge(), &conflicts);
    checked.unwrap_or_else(|missed| panic!("seed {seed}: {missed}"));
}

fn seeds(usual: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let from = number("REJOIN_CONFLICT_FROM").unwrap_or(0);
    from..from + number("REJOIN_CONFLICT_SEEDS").unwrap_or(usual)
}

#[test]
fn what_does_not_show_and_was_not_overwritten_is_listed_everywhere_alike() {
    seeds(400).for_each(|seed| check(seed, scribble, 250));
}

#[test]
fn what_shows_at_a_place_where_many_write_at_once_is_what_the_document_shows() {
    seeds(1_000).for_each(|seed| check(seed, crowd, 400));
}

#[test]
fn of_links_over_each_other_all_that_are_lost_on_the_same_characters_are_sides_of_one_conflict() {
    seeds(400).for_each(|seed| check(seed, link, 300));
}
