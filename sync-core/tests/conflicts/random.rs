//! Random histories over maps, lists, texts, marks, counters and deletions, held to the oracle and to each other's order of arrival.

use sync_core::rng::Rng;

use super::history::{People, list, shuffled};
use super::oracle;
use super::scribble::scribble;

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
            people.edit(who, |tx| {
                (0..edits).try_for_each(|_| {
                    token += 1;
                    scribble(tx, &mut rng, token)
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
    oracle::check(&changes, &people.documents[0], &conflicts).unwrap_or_else(|missed| panic!("seed {seed}: {missed}"));
}

#[test]
fn what_does_not_show_and_was_not_overwritten_is_listed_everywhere_alike() {
    let seeds = std::env::var("REJOIN_CONFLICT_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(400);
    (0..seeds).for_each(check);
}
