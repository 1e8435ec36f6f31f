//! Histories in which most changes type: characters put into texts and deleted there, in texts with objects and counters among the characters, in
//! lists, and in what others delete meanwhile. The index that is made without reading them is the one that reading them makes.

use automerge::transaction::{Transactable as _, Transaction};
use automerge::{AutomergeError, ObjId, ObjType, Prop, ROOT, ReadDoc, ScalarValue, Value as Read};
use sync_core::change::Change;
use sync_core::rng::Rng;

use super::history::{People, list, shuffled};
use super::scribble::scribble;

/// All objects of a kind to which a path leads.
fn objects<D: ReadDoc>(document: &D, of: &ObjId, is: ObjType, found: &mut Vec<ObjId>) {
    let kind = document.object_type(of).expect("an object");
    if kind == is {
        found.push(of.clone());
    }
    let props: Vec<Prop> = match kind {
        ObjType::Map | ObjType::Table => document.keys(of).map(Prop::from).collect(),
        ObjType::List => (0..document.length(of)).map(Prop::from).collect(),
        ObjType::Text => Vec::new(),
    };
    for prop in props {
        if let Ok(Some((Read::Object(_), inner))) = document.get(of, prop) {
            objects(document, &inner, is, found);
        }
    }
}

/// An edit that puts characters into a text, deletes some, or both; now and then elements of a list, which are deleted so many times of 1,000.
fn type_on(tx: &mut Transaction<'_>, rng: &mut Rng, token: u64, deletes: u64) -> Result<(), AutomergeError> {
    let is = if rng.chance(150) { ObjType::List } else { ObjType::Text };
    let mut found = Vec::new();
    objects(tx, &ROOT, is, &mut found);
    let Some(object) = found.get(rng.below(found.len().max(1) as u64) as usize).cloned() else { return Ok(()) };
    let length = tx.length(&object) as u64;
    let at = rng.below(length + 1);
    if is == ObjType::List {
        return match rng.below(2) {
            _ if at < length && rng.chance(deletes) => tx.delete(&object, at as usize),
            0 => tx.insert(&object, at as usize, ScalarValue::counter(1_000 * token as i64)),
            _ => tx.insert(&object, at as usize, format!("token {token};")),
        };
    }
    let gone = if rng.chance(500) { rng.below((length - at).min(4) + 1) } else { 0 };
    let new = if gone > 0 && rng.chance(600) { "" } else { &"characters"[..1 + rng.below(9) as usize] };
    tx.splice_text(&object, at as usize, gone as isize, new)
}

/// Something among the characters of a text that is more than a character.
fn embed(tx: &mut Transaction<'_>, rng: &mut Rng, token: u64) -> Result<(), AutomergeError> {
    let mut texts = Vec::new();
    objects(tx, &ROOT, ObjType::Text, &mut texts);
    let Some(text) = texts.get(rng.below(texts.len().max(1) as u64) as usize).cloned() else { return Ok(()) };
    let at = rng.below(tx.length(&text) as u64 + 1) as usize;
    // Nobody steps it there: automerge gives up when it reads that.
    let counter = ScalarValue::counter(1_000 * token as i64);
    if rng.chance(500) { tx.insert(&text, at, counter) } else { put_block(tx, &text, at, token) }
}

fn put_block(tx: &mut Transaction<'_>, text: &ObjId, at: usize, token: u64) -> Result<(), AutomergeError> {
    let block = tx.split_block(text, at)?;
    tx.put(&block, "a", format!("token {token};"))
}

/// What people write who type, do something else so many times of 1,000, and merge.
fn history(seed: u64, otherwise: u64, steps: u64) -> (Vec<Change>, Rng) {
    let mut rng = Rng::from_number(seed);
    let count = 2 + rng.below(3) as usize;
    let mut people = People::new(count as u8);
    let mut token = 0;
    for _ in 0..steps {
        let who = rng.below(count as u64) as usize;
        if rng.chance(150) {
            people.merge(who, rng.below(count as u64) as usize);
            continue;
        }
        let edits = 1 + rng.below(3);
        people.edit(who, |tx| {
            (0..edits).try_for_each(|_| {
                token += 1;
                match rng.below(1_000) {
                    number if number >= otherwise => type_on(tx, &mut rng, token, otherwise),
                    number if number < otherwise / 3 => embed(tx, &mut rng, token),
                    _ => scribble(tx, &mut rng, token),
                }
            })
        });
    }
    people.meet();
    (people.changes(0), rng)
}

#[test]
fn who_types_leaves_what_reading_their_changes_leaves() {
    for seed in 0..300 {
        let (changes, mut rng) = history(seed, [30, 150, 400][seed as usize % 3], 20 + seed % 60);
        let conflicts = list(&changes);
        assert_eq!(list(&shuffled(&changes, &mut rng)), conflicts, "seed {seed}: another order of arrival");
    }
}

/// There is so little else that it is read change by change.
#[test]
fn a_long_history_of_typing_leaves_what_reading_all_of_it_leaves() {
    for seed in 1_000..1_006 {
        list(&history(seed, 2, 700).0);
    }
}
