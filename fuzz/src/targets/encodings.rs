//! Honest and hostile changes in other bytes than automerge's: what the scan proves of them is held to what automerge writes, and the
//! validator lets nothing in that automerge would write otherwise.

use sync_core::change::Change;

use crate::canonical::{self, Encoding};
use crate::choices::{Choices as _, Input};
use crate::chunk::Chunk;
use crate::encodings::twist;
use crate::material::material;

const TWISTS_MAX: usize = 4;

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let material = material(input.below(8) as usize);
    let pool = [&material.honest[..1], &material.history, &material.hostile].concat();
    let mut chunk = Chunk::parse(input.pick(&pool).bytes());
    for _ in 0..TWISTS_MAX {
        if input.is_empty() {
            break;
        }
        twist(&mut chunk, &mut input);
    }
    let mut gate = material.world.gate.clone();
    let Ok(change) = Change::parse(&chunk.build(), &gate.limits) else { return };
    let encoding = canonical::check(&change);
    let admitted = gate.admit_parsed(&change);
    assert!(admitted.is_err() || matches!(encoding, Encoding::Proven | Encoding::Same), "let in: {encoding:?}");
}
