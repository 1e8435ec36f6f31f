//! Re-issue through its public interface: named cases, and random histories whose outcome is held to what must survive.

use std::collections::BTreeSet;

use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::Transactable;
use automerge::{ActorId, Author, AutoCommit, AutoSerde, ChangeHash, ObjId, ObjType, ROOT, ReadDoc, ScalarValue};
use proptest::prelude::*;
use sync_core::change::Change;
use sync_core::limits::ChangeLimits;
use sync_core::op_index::OpIndex;
use sync_core::reissue::{Base, ReissueError, Reissued, hand, reissue};
use sync_core::rng::Rng;
use sync_core::table::ChangeTable;
use sync_core::validator::admit;

fn actor(byte: u8) -> ActorId {
    ActorId::from([byte; 16])
}

fn changes(document: &mut AutoCommit) -> Vec<Change> {
    document.get_changes(&[]).into_iter().map(|c| Change::from_automerge(c).expect("honest")).collect()
}

/// A validated set of changes.
struct Held {
    table: ChangeTable,
    index: OpIndex,
    max_op: u64,
    authors: Vec<(ActorId, Vec<u8>)>,
}

impl Held {
    fn new(changes: &[Change]) -> Self {
        let mut held = Self { table: ChangeTable::new(), index: OpIndex::new(), max_op: 0, authors: Vec::new() };
        changes.iter().for_each(|change| held.add(change));
        held
    }

    fn add(&mut self, change: &Change) {
        admit(change, &self.table, &mut self.index, &ChangeLimits::default()).expect("admitted");
        self.table.insert(change).expect("placed");
        self.max_op = self.max_op.max(change.max_op());
    }

    fn base(&self) -> Base<'_> {
        Base { table: &self.table, index: &self.index, max_op: self.max_op, authors: &self.authors }
    }
}

/// Writes again on `base` what `mine` has more, without `dropped`, holds the result to the laws, and gives the document it makes.
fn again(base: &mut AutoCommit, mine: &mut AutoCommit, dropped: &[ChangeHash]) -> (Reissued, AutoCommit) {
    let mut held = Held::new(&changes(base));
    let losing: Vec<Change> = changes(mine).into_iter().filter(|change| !held.table.contains(&change.hash())).collect();
    let dropped: BTreeSet<ChangeHash> = dropped.iter().copied().collect();
    let result = reissue(&losing, &dropped, held.base(), actor(200), &ChangeLimits::default()).expect("written");
    assert_eq!(result.replaced.len(), losing.len() - losing.iter().filter(|c| dropped.contains(&c.hash())).count());
    let new: Vec<ChangeHash> = result.replaced.iter().filter_map(|(_, new)| *new).collect();
    assert_eq!(new, result.changes.iter().map(Change::hash).collect::<Vec<_>>());
    for (i, change) in result.changes.iter().enumerate() {
        assert_eq!((change.actor(), change.seq() as usize), (&actor(200), i + 1));
        held.add(change);
    }
    let mut document = AutoCommit::load(&base.save()).expect("the base loads");
    document.apply_changes(result.changes.iter().map(|c| c.automerge().clone())).expect("applied");
    let heads = document.get_heads();
    document.apply_changes(result.changes.iter().map(|c| c.automerge().clone())).expect("applied again");
    assert_eq!(document.get_heads(), heads);
    let mut loaded = AutoCommit::load(&document.save()).expect("what was saved loads");
    assert_eq!(loaded.get_heads(), heads);
    assert_eq!(value(&loaded), value(&document));
    (result, loaded)
}

fn value(document: &AutoCommit) -> serde_json::Value {
    serde_json::to_value(AutoSerde::from(document)).expect("json")
}

fn object(document: &AutoCommit, key: &str) -> ObjId {
    document.get(ROOT, key).expect("get").expect("there").1
}

/// A document with a text, a list, a map and a counter, and a fork of it by another actor.
fn start() -> (AutoCommit, AutoCommit) {
    let mut base = AutoCommit::new().with_actor(actor(1));
    let text = base.put_object(ROOT, "text", ObjType::Text).expect("text");
    base.splice_text(&text, 0, 0, "hello").expect("spliced");
    let list = base.put_object(ROOT, "list", ObjType::List).expect("list");
    base.insert(&list, 0, "first").expect("inserted");
    base.put_object(ROOT, "map", ObjType::Map).expect("map");
    base.put(ROOT, "count", ScalarValue::counter(10)).expect("counter");
    base.commit();
    let mine = base.fork().with_actor(actor(2));
    (base, mine)
}

fn commit(document: &mut AutoCommit) -> ChangeHash {
    document.commit().expect("something was changed")
}

#[test]
fn nothing_dropped_gives_the_same_value() {
    let (mut base, mut mine) = start();
    let (text, list) = (object(&mine, "text"), object(&mine, "list"));
    mine.splice_text(&text, 5, 0, " world").expect("spliced");
    commit(&mut mine);
    mine.splice_text(&text, 0, 1, "J").expect("spliced");
    let item = mine.insert_object(&list, 1, ObjType::Map).expect("object");
    mine.put(&item, "title", "milk").expect("put");
    mine.increment(ROOT, "count", 5).expect("incremented");
    commit(&mut mine);
    let (result, document) = again(&mut base, &mut mine, &[]);
    assert_eq!(result.skipped_operations, 0);
    assert_eq!(value(&document), value(&mine));
}

#[test]
fn text_typed_behind_a_dropped_word_stays() {
    let (mut base, mut mine) = start();
    let text = object(&mine, "text");
    mine.splice_text(&text, 5, 0, " cruel").expect("spliced");
    let cruel = commit(&mut mine);
    mine.splice_text(&text, 11, 0, " world").expect("spliced");
    commit(&mut mine);
    mine.splice_text(&text, 6, 1, "").expect("a deletion in the dropped word");
    commit(&mut mine);
    let (result, document) = again(&mut base, &mut mine, &[cruel]);
    assert_eq!(document.text(&text).expect("text"), "hello world");
    assert_eq!(result.skipped_operations, 1);
    assert_eq!(result.replaced[1].1, None);
}

#[test]
fn what_is_inside_a_dropped_object_goes_with_it() {
    let (mut base, mut mine) = start();
    let note = mine.put_object(ROOT, "note", ObjType::Map).expect("object");
    let made = commit(&mut mine);
    mine.put(&note, "title", "gone").expect("put");
    mine.put(ROOT, "other", 1).expect("put");
    commit(&mut mine);
    let (result, document) = again(&mut base, &mut mine, &[made]);
    assert!(document.get(ROOT, "note").expect("get").is_none());
    assert!(document.get(ROOT, "other").expect("get").is_some());
    assert_eq!(result.skipped_operations, 1);
}

#[test]
fn what_overwrote_a_dropped_value_overwrites_what_that_had() {
    let (mut base, _) = start();
    base.put(ROOT, "k", "base").expect("put");
    base.put(ROOT, "l", "base").expect("put");
    base.commit();
    let mut mine = base.fork().with_actor(actor(2));
    mine.put(ROOT, "k", "dropped").expect("put");
    mine.put(ROOT, "l", "dropped").expect("put");
    mine.put(ROOT, "m", "dropped").expect("put");
    let dropped = commit(&mut mine);
    mine.put(ROOT, "k", "mine").expect("put");
    mine.delete(ROOT, "l").expect("deleted");
    mine.delete(ROOT, "m").expect("deleted");
    commit(&mut mine);
    let (result, document) = again(&mut base, &mut mine, &[dropped]);
    let values = document.get_all(ROOT, "k").expect("get");
    assert_eq!(values.len(), 1, "no conflict with what was overwritten");
    assert_eq!(values[0].0.as_str(), Some("mine"));
    assert!(document.get(ROOT, "l").expect("get").is_none());
    assert_eq!(result.skipped_operations, 1, "the deletion of what was never there");
}

#[test]
fn increments_of_a_dropped_counter_are_not_added_to_another() {
    let (mut base, mut mine) = start();
    mine.increment(ROOT, "count", 1).expect("incremented");
    commit(&mut mine);
    mine.put(ROOT, "count", ScalarValue::counter(1_000)).expect("put");
    let dropped = commit(&mut mine);
    mine.increment(ROOT, "count", 7).expect("incremented");
    commit(&mut mine);
    let (result, document) = again(&mut base, &mut mine, &[dropped]);
    assert_eq!(document.get(ROOT, "count").expect("get").expect("there").0.as_i64(), Some(11));
    assert_eq!(result.skipped_operations, 1);
}

#[test]
fn a_mark_stays_unless_its_end_was_dropped() {
    let (mut base, mut mine) = start();
    let text = object(&mine, "text");
    mine.splice_text(&text, 5, 0, "xyz").expect("spliced");
    let dropped = commit(&mut mine);
    mine.mark(&text, Mark::new("bold".into(), true, 1, 4), ExpandMark::After).expect("marked");
    commit(&mut mine);
    mine.mark(&text, Mark::new("italic".into(), true, 1, 7), ExpandMark::Both).expect("marked");
    commit(&mut mine);
    let (result, document) = again(&mut base, &mut mine, &[dropped]);
    let marks = document.marks(&text).expect("marks");
    assert_eq!(marks.iter().map(|m| (m.name(), m.start, m.end)).collect::<Vec<_>>(), [("bold", 1, 4)]);
    assert_eq!(result.skipped_operations, 2);
}

#[test]
fn an_equivocating_branch_goes_on_top_of_the_one_that_won() {
    let (mut base, mut mine) = start();
    // A cloned disk: the same actor writes its first change twice.
    let mut won = base.fork().with_actor(actor(2));
    won.put(ROOT, "from", "won").expect("put");
    commit(&mut won);
    base.merge(&mut won).expect("merged");
    mine.put(ROOT, "also", "lost").expect("put");
    commit(&mut mine);
    mine.put(ROOT, "also", "lost, twice").expect("put");
    commit(&mut mine);
    let (result, document) = again(&mut base, &mut mine, &[]);
    assert_eq!(result.changes.len(), 2);
    assert_eq!(value(&document)["from"], "won");
    assert_eq!(value(&document)["also"], "lost, twice");
}

/// Each author's operations are written again by an actor of their own, the first by the fresh one.
#[test]
fn what_several_authors_wrote_stays_theirs() {
    let (mut base, mine) = start();
    let as_author = |document: &AutoCommit, name: &str, byte| {
        let named = document.clone().with_author(Some(Author::from(name.as_bytes().to_vec())));
        named.with_actor(actor(byte))
    };
    let mut ann = as_author(&mine, "Ann", 10);
    ann.put(ROOT, "a", 1).expect("put");
    commit(&mut ann);
    let mut bob = as_author(&ann, "Bob", 11);
    bob.put(ROOT, "a", 2).expect("put");
    commit(&mut bob);
    let mut ann = as_author(&bob, "Ann", 10);
    ann.put(ROOT, "a", 3).expect("put");
    commit(&mut ann);
    let mut held = Held::new(&changes(&mut base));
    let losing: Vec<Change> = changes(&mut ann).into_iter().filter(|c| !held.table.contains(&c.hash())).collect();
    for change in &losing {
        if let Some(author) = change.automerge().author() {
            held.authors.push((change.actor().clone(), author.as_bytes().to_vec()));
        }
    }
    let limits = ChangeLimits::default();
    let again = reissue(&losing, &BTreeSet::new(), held.base(), actor(200), &limits).expect("written");
    let bobs = hand(&actor(200), Some(b"Bob"));
    let wrote: Vec<_> = again.changes.iter().map(|c| (c.actor().clone(), c.seq())).collect();
    assert_eq!(wrote, [(actor(200), 1), (bobs.clone(), 1), (actor(200), 2)]);
    assert_eq!(again.others, [bobs]);
    let named: Vec<_> = again.changes.iter().map(|c| c.automerge().author().map(|a| a.as_bytes().to_vec())).collect();
    assert_eq!(named, [Some(b"Ann".to_vec()), Some(b"Bob".to_vec()), None]);
    again.changes.iter().for_each(|change| held.add(change));
    base.apply_changes(again.changes.iter().map(|c| c.automerge().clone())).expect("applied");
    assert_eq!(value(&base)["a"], 3);
}

#[test]
fn mistakes_of_the_caller_are_named() {
    let (mut base, _) = start();
    let all = changes(&mut base);
    let held = Held::new(&all);
    let limits = ChangeLimits::default();
    let in_use = reissue(&[], &BTreeSet::new(), held.base(), actor(1), &limits).expect_err("refused");
    assert_eq!(in_use, ReissueError::ActorInUse(actor(1)));
    let in_base = reissue(&all, &BTreeSet::new(), held.base(), actor(3), &limits).expect_err("refused");
    assert_eq!(in_base, ReissueError::InBase(all[0].hash()));
}

fn edit(document: &mut AutoCommit, rng: &mut Rng) {
    let (text, list, map) = (object(document, "text"), object(document, "list"), object(document, "map"));
    let (characters, elements) = (document.length(&text), document.length(&list));
    let key = ["a", "b", "c"][rng.below(3) as usize];
    let number = rng.below(1_000) as i64;
    let at = |len: usize, rng: &mut Rng| rng.below(len as u64) as usize;
    let done = match rng.below(13) {
        0..=2 => document.splice_text(&text, at(characters + 1, rng), 0, "xyz"),
        3 if characters > 0 => document.splice_text(&text, at(characters, rng), 1, ""),
        4 if characters > 2 => {
            let mark = Mark::new("bold".into(), number, 0, 1 + at(characters - 1, rng));
            document.mark(&text, mark, ExpandMark::After)
        }
        5 => document.put(&map, key, number),
        6 => document.put_object(&map, key, ObjType::Map).and_then(|inner| document.put(&inner, "in", number)),
        7 => match document.get(&map, key).expect("get") {
            Some((value, inner)) if value.is_object() => document.put(&inner, "in", number),
            Some(_) => document.delete(&map, key),
            None => document.put(&map, key, ScalarValue::counter(number)),
        },
        8 => document.insert(&list, at(elements + 1, rng), number),
        9 if elements > 0 => document.put(&list, at(elements, rng), number),
        10 if elements > 0 => document.delete(&list, at(elements, rng)),
        11 => match document.get(&map, key).expect("get") {
            Some((value, _)) if value.is_counter() => document.increment(&map, key, 3),
            _ => document.put(&map, key, ScalarValue::counter(number)),
        },
        _ => document.increment(ROOT, "count", 2),
    };
    done.expect("an edit within bounds");
}

/// Edits of two local authors; each change also sets a key of its own. Gives their document and the changes with their keys.
fn pending(mine: &mut AutoCommit, rng: &mut Rng, concurrent: bool) -> Vec<(ChangeHash, String)> {
    let mut replicas = [mine.fork().with_actor(rng.actor()), mine.fork().with_actor(rng.actor())];
    let mut made = Vec::new();
    for step in 0..3 + rng.below(10) {
        let [first, second] = &mut replicas;
        let (writer, other) = if rng.chance(500) { (first, second) } else { (second, first) };
        if !concurrent || rng.chance(400) {
            writer.merge(other).expect("merged");
        }
        for _ in 0..rng.below(4) {
            edit(writer, rng);
        }
        let key = format!("own{step}");
        writer.put(ROOT, key.as_str(), step as i64).expect("put");
        made.push((commit(writer), key));
    }
    replicas.iter_mut().for_each(|replica| drop(mine.merge(replica).expect("merged")));
    made
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_was_not_dropped_survives(seed in any::<u64>(), concurrent in any::<bool>(), elsewhere in any::<bool>(), drops in 0u64..3) {
        let mut rng = Rng::from_number(seed);
        let (mut base, mut mine) = start();
        if elsewhere {
            for _ in 0..8 {
                edit(&mut base, &mut rng);
                base.commit();
            }
        }
        let made = pending(&mut mine, &mut rng, concurrent);
        let dropped: Vec<ChangeHash> = (0..drops).map(|_| made[rng.below(made.len() as u64) as usize].0).collect();
        let (result, document) = again(&mut base, &mut mine, &dropped);
        let after = value(&document);
        for (hash, key) in &made {
            prop_assert_eq!(after.get(key).is_some(), !dropped.contains(hash), "{}", key);
        }
        if dropped.is_empty() {
            prop_assert!(elsewhere || concurrent || result.skipped_operations == 0);
            if !concurrent && !elsewhere {
                prop_assert_eq!(after, value(&mine));
                let text = object(&mine, "text");
                prop_assert_eq!(document.marks(&text).expect("marks"), mine.marks(&text).expect("marks"));
            }
        }
    }
}
