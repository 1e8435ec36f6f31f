//! Sums of steps: of sides that parted one after another each step counts once, whoever got the changes in whichever order. Random histories on
//! one key are held to a model that goes by what people knew, step by step.

use std::collections::{BTreeMap, BTreeSet};

use automerge::transaction::Transactable;
use automerge::{ROOT, ReadDoc as _, ScalarValue};
use sync_core::conflict::{Conflict, ConflictState, Steps, Value};
use sync_core::resolver::{BuiltIn, NoAnswer, Question, Resolver};
use sync_core::rng::Rng;

use super::history::{People, list, shuffled};

const KEY: &str = "quantity";

/// Who puts what, or deletes, and whose document they have got before.
enum Act {
    Put(usize, i64),
    Delete(usize),
    /// The first gets what the second has.
    Get(usize, usize),
}
use Act::{Delete, Get, Put};

fn play(people: &mut People, acts: &[Act]) {
    for act in acts {
        match act {
            Put(who, value) => people.edit(*who, |tx| tx.put(ROOT, KEY, *value)),
            Delete(who) => people.edit(*who, |tx| tx.delete(ROOT, KEY)),
            Get(who, whose) => people.merge(*who, *whose),
        }
    }
}

/// The open conflict about the key, if there is one.
fn open(conflicts: Vec<Conflict>) -> Option<Conflict> {
    conflicts.into_iter().find(|conflict| conflict.state == ConflictState::Open)
}

fn sum(conflict: &Conflict) -> Result<i64, NoAnswer> {
    match BuiltIn::SumDeltas.resolve(&Question::of(conflict))? {
        Some(Value::Scalar(ScalarValue::Int(sum))) => Ok(sum),
        other => panic!("{other:?} is no sum"),
    }
}

/// The sum once all have met.
fn summed(count: u8, acts: &[Act]) -> Result<i64, NoAnswer> {
    let mut people = People::new(count);
    play(&mut people, acts);
    people.meet();
    sum(&open(people.conflicts()).expect("they disagree"))
}

/// 10, which all have.
fn ten(count: usize) -> impl Iterator<Item = Act> {
    std::iter::once(Put(0, 10)).chain((1..count).map(|who| Get(who, 0)))
}

fn after_ten(count: usize, acts: impl IntoIterator<Item = Act>) -> Result<i64, NoAnswer> {
    summed(count as u8, &ten(count).chain(acts).collect::<Vec<_>>())
}

#[test]
fn a_step_that_several_sides_have_in_common_counts_once() {
    // 10, of which one takes 3; two who see that take 1 and 3 more, and one who does not adds 2.
    let three = [Put(0, 7), Get(1, 0), Get(2, 0), Put(1, 6), Put(2, 4), Put(3, 12)];
    assert_eq!(after_ten(4, three), Ok(5));
    // Of two pairs each pair has a step of its own in common.
    let four = [Put(0, 7), Get(1, 0), Put(2, 12), Get(3, 2), Put(0, 6), Put(1, 5), Put(2, 13), Put(3, 14)];
    assert_eq!(after_ten(4, four), Ok(10 - 3 - 1 - 2 + 2 + 1 + 2));
    // One who parted twice: what came between is no other's.
    let chain = [Put(0, 9), Put(0, 8), Get(1, 0), Put(0, 7), Put(0, 5), Put(1, 6), Put(2, 11)];
    assert_eq!(after_ten(3, chain), Ok(10 - 2 - 3 - 2 + 1));
    // The same steps by two who don't know of each other's are two steps each.
    assert_eq!(after_ten(2, [Put(0, 9), Put(0, 8), Put(1, 9), Put(1, 8), Put(1, 7)]), Ok(5));
    // A text on the way is none that anybody parted from.
    let mut people = People::new(2);
    play(&mut people, &ten(2).collect::<Vec<_>>());
    people.edit(0, |tx| tx.put(ROOT, KEY, ""));
    play(&mut people, &[Put(0, 7), Put(1, 12)]);
    people.meet();
    assert_eq!(sum(&open(people.conflicts()).expect("they disagree")), Ok(9));
}

#[test]
fn what_was_put_over_several_values_is_what_it_says() {
    // 7 and 12 make 9; who puts 8 over both takes 1 of it, who puts 11 over both adds 2.
    let both = || [Put(0, 7), Put(1, 12), Get(0, 1), Get(1, 0)];
    assert_eq!(after_ten(2, both().into_iter().chain([Put(0, 8), Put(1, 11)])), Ok(10));
    // Who does not know of the two parts from 10.
    assert_eq!(after_ten(3, both().into_iter().chain([Put(0, 8), Put(2, 15)])), Ok(13));
    // Where two said the same nobody was asked, and that was there.
    let same = [Put(0, 7), Put(1, 8), Put(1, 7), Get(0, 1), Get(1, 0), Put(0, 6), Put(1, 5)];
    assert_eq!(after_ten(2, same), Ok(4));
    // What was deleted began again with nothing, and a deletion that somebody's value withstood was none.
    assert_eq!(after_ten(2, [Delete(0), Get(1, 0), Put(0, 2), Put(1, 3)]), Ok(5));
    assert_eq!(after_ten(2, [Delete(0), Put(0, 5), Put(1, 12)]), Ok(7));
    let withstood = [Delete(0), Put(1, 12), Get(0, 1), Get(1, 0), Put(0, 8), Put(1, 11)];
    assert_eq!(after_ten(2, withstood), Ok(7));
}

#[test]
fn a_list_s_element_is_summed_like_a_key_and_counters_keep_their_steps() {
    let mut people = People::new(4);
    let list = people.documents[0].get(ROOT, "list").expect("readable").expect("it is there").1;
    people.edit(0, |tx| tx.insert(&list, 0, 10));
    people.meet();
    people.edit(0, |tx| tx.put(&list, 0, 7));
    people.merge(1, 0);
    for (who, value) in [(0, 6), (1, 4), (3, 12)] {
        people.edit(who, |tx| tx.put(&list, 0, value));
    }
    people.meet();
    assert_eq!(sum(&open(people.conflicts()).expect("they disagree")), Ok(5));
    let mut people = People::new(2);
    people.edit(0, |tx| tx.put(ROOT, KEY, ScalarValue::counter(10)));
    people.edit(0, |tx| tx.increment(ROOT, KEY, 5));
    people.meet();
    people.edit(0, |tx| tx.put(ROOT, KEY, 14));
    people.edit(1, |tx| tx.put(ROOT, KEY, 17));
    people.meet();
    assert_eq!(sum(&open(people.conflicts()).expect("they disagree")), Ok(16));
}

#[test]
fn however_much_was_put_there_no_sum_is_wrong() {
    let long = |who: usize, last: i64| (0..100).map(move |n| Put(who, 1_000 + n)).chain([Put(who, last)]);
    // All parted at once, which is seen without going through it.
    assert_eq!(after_ten(3, long(0, 7).chain(long(1, 12)).chain(long(2, 9))), Ok(8));
    // Far back, but before that everybody knew of everything.
    let known = long(0, 20).chain([Get(1, 0), Get(2, 0), Put(0, 17), Get(1, 0), Put(0, 16), Put(1, 14), Put(2, 22)]);
    assert_eq!(after_ten(3, known), Ok(20 - 3 - 1 - 3 + 2));
    // One after another, too far back.
    let apart = [Put(0, 7), Get(1, 0)].into_iter().chain(long(0, 6)).chain(long(1, 4)).chain([Put(2, 12)]);
    assert_eq!(after_ten(3, apart), Err(NoAnswer::TooManySteps));
}

/// What somebody put or deleted, and what they knew of.
struct Write {
    value: Option<i64>,
    known: BTreeSet<usize>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Of(usize),
    /// These say the same, and are one.
    Same(BTreeSet<usize>),
}

/// What people did, as they knew of it.
#[derive(Default)]
struct Model {
    writes: Vec<Write>,
}

impl Model {
    /// What stands there for who knows this much.
    fn stands(&self, known: &BTreeSet<usize>) -> BTreeSet<usize> {
        let passed: BTreeSet<usize> = known.iter().flat_map(|at| &self.writes[*at].known).copied().collect();
        let last: BTreeSet<usize> = known.difference(&passed).copied().collect();
        let puts: BTreeSet<usize> = last.iter().copied().filter(|at| self.writes[*at].value.is_some()).collect();
        if puts.is_empty() { last } else { puts }
    }

    /// Of those, which say the same.
    fn alike(&self, known: &BTreeSet<usize>) -> Vec<BTreeSet<usize>> {
        let mut by_value: BTreeMap<Option<i64>, BTreeSet<usize>> = BTreeMap::new();
        for at in self.stands(known) {
            by_value.entry(self.writes[at].value).or_default().insert(at);
        }
        by_value.into_values().filter(|alike| alike.len() > 1).collect()
    }

    /// All steps up to there. `joined`: all that anybody has seen say the same.
    fn steps(&self, known: &BTreeSet<usize>, joined: &BTreeSet<BTreeSet<usize>>) -> BTreeSet<Step> {
        let mut steps = BTreeSet::new();
        for at in self.stands(known) {
            steps.insert(Step::Of(at));
            steps.extend(self.steps(&self.writes[at].known, joined));
        }
        for alike in self.alike(known) {
            steps.extend(joined.iter().filter(|fewer| fewer.is_subset(&alike)).cloned().map(Step::Same));
        }
        steps
    }

    /// All that anybody has seen say the same.
    fn joined(&self, known: &BTreeSet<usize>) -> BTreeSet<BTreeSet<usize>> {
        let views = self.writes.iter().map(|write| &write.known).chain([known]);
        views.flat_map(|known| self.alike(known)).collect()
    }

    fn some_met_fewer(&self, known: &BTreeSet<usize>) -> bool {
        let joined = self.joined(known);
        joined.iter().any(|all| joined.iter().any(|fewer| fewer != all && fewer.is_subset(all)))
    }

    fn sum(&self, known: &BTreeSet<usize>) -> i64 {
        let joined = self.joined(known);
        let mut ways = BTreeMap::new();
        let steps = self.steps(known, &joined);
        steps.iter().map(|step| self.way(step, &joined, &mut ways)).sum()
    }

    /// How far a step goes.
    fn way(&self, step: &Step, joined: &BTreeSet<BTreeSet<usize>>, ways: &mut BTreeMap<Step, i64>) -> i64 {
        if let Some(way) = ways.get(step) {
            return *way;
        }
        let (value, below) = match step {
            Step::Of(at) => (self.writes[*at].value, self.steps(&self.writes[*at].known, joined)),
            Step::Same(alike) => {
                let first = *alike.first().expect("there are two");
                let members = alike.iter().flat_map(|at| {
                    let mut steps = self.steps(&self.writes[*at].known, joined);
                    steps.insert(Step::Of(*at));
                    steps
                });
                let fewer = joined.iter().filter(|fewer| fewer.is_subset(alike) && *fewer != alike);
                (self.writes[first].value, members.chain(fewer.cloned().map(Step::Same)).collect())
            }
        };
        let from: i64 = below.iter().map(|step| self.way(step, joined, ways)).sum();
        let way = value.unwrap_or(0) - from;
        ways.insert(step.clone(), way);
        way
    }
}

/// Whether there was a sum to compare.
fn check(seed: u64) -> bool {
    let mut rng = Rng::from_number(seed);
    let count = 2 + rng.below(4) as usize;
    let mut people = People::new(count as u8);
    let mut model = Model::default();
    let mut known = vec![BTreeSet::new(); count];
    for _ in 0..4 + rng.below(24) {
        let who = rng.below(count as u64) as usize;
        if rng.chance(400) {
            let whose = rng.below(count as u64) as usize;
            people.merge(who, whose);
            let theirs = known[whose].clone();
            known[who].extend(theirs);
            continue;
        }
        let value = Some(rng.below(30) as i64).filter(|_| rng.chance(930));
        let is_there = people.documents[who].get(ROOT, KEY).expect("readable").is_some();
        let was = people.documents[who].get_all(ROOT, KEY).expect("readable");
        // What is there already is no change.
        let is_new = was.len() != 1 || was[0].0.as_i64() != value;
        if is_new && (value.is_some() || is_there) {
            let act = value.map_or(Delete(who), |value| Put(who, value));
            play(&mut people, &[act]);
            model.writes.push(Write { value, known: known[who].clone() });
            known[who].insert(model.writes.len() - 1);
        }
    }
    people.meet();
    let changes = people.changes(0);
    let conflict = open(list(&changes));
    assert_eq!(open(list(&shuffled(&changes, &mut rng))), conflict, "seed {seed}: another order of arrival");
    let numbers = |conflict: &Conflict| conflict.candidates.iter().all(|side| side.value.is_some());
    let Some(conflict) = conflict.filter(numbers) else { return false };
    let all: BTreeSet<usize> = (0..model.writes.len()).collect();
    match sum(&conflict) {
        // Of three that said the same two were met by somebody, and all by somebody else: that may be left to people.
        Err(NoAnswer::TooManySteps) if model.some_met_fewer(&all) => return false,
        sum => assert_eq!(sum, Ok(model.sum(&all)), "seed {seed}: {conflict:#?}"),
    }
    conflict.steps != Steps::FromBase
}

#[test]
fn the_sum_of_a_random_history_is_what_the_steps_of_all_make() {
    let shared = (0..1_500).filter(|seed| check(*seed)).count();
    assert!(shared > 150, "in {shared} histories only sides had steps in common");
}
