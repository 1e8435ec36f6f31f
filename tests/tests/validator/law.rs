//! The law on mutated changes, by chance: the fuzz target `law` does the same by coverage.

use rejoin_fuzz::mutants::{Tally, World};

#[test]
fn what_is_accepted_breaks_no_replica() {
    let worlds = super::rounds("REJOIN_LAW_ROUNDS", 25);
    let first = super::rounds("REJOIN_LAW_FROM", 0);
    let mut tally = Tally::default();
    for seed in first..first + worlds {
        let mut world = World::new(seed);
        for _ in 0..60 {
            world.round(&mut tally);
        }
    }
    println!(
        "{} accepted, {} refused, {} unparsed; {} broken, {} where the honest change broke as well",
        tally.accepted,
        tally.refused,
        tally.unparsed,
        tally.broken.len(),
        tally.honest_broken
    );
    assert!(tally.accepted > worlds && tally.refused > worlds, "{tally:?}");
    assert!(tally.broken.is_empty(), "{}", tally.broken.iter().take(5).cloned().collect::<Vec<_>>().join("\n\n"));
}
