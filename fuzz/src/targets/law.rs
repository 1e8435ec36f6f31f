//! The law by coverage: the fuzzer chooses the edits, what is made of them, and the orders in which a history comes.

use crate::choices::{Choices as _, Input};
use crate::material::material;
use crate::mutants::Tally;

const ROUNDS_MAX: usize = 4;

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let material = material(input.below(8) as usize);
    let mut world = material.world.chosen_by(input);
    let mut tally = Tally::default();
    for _ in 0..ROUNDS_MAX {
        if world.choices().is_empty() {
            return;
        }
        world.round(&mut tally);
        assert!(tally.broken.is_empty(), "accepted, and breaks a replica: {}", tally.broken.join("\n"));
    }
}
