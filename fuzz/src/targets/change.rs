//! Change chunks: the bytes behind the checksum are the fuzzer's. What parses is offered to the validator of a world, and what that accepts
//! is held to the law.

use sync_core::change::Change;
use sync_core::limits::ChangeLimits;

use crate::canonical;
use crate::choices::{Choices as _, Input};
use crate::chunk::{Chunk, wrap};
use crate::law;
use crate::material::material;
use crate::panics::quietly;

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let material = material(input.below(8) as usize);
    let bytes = if input.chance(300) { wrap(1, input.rest()) } else { columns(&mut input, &material) };
    // Small enough that a bomb within the bounds still ends within the time of one input.
    let limits = ChangeLimits { operations_max: 20_000, predecessors_max: 20_000, ..ChangeLimits::default() };
    let Ok(change) = Change::parse(&bytes, &limits) else { return };
    assert_eq!(change.bytes(), bytes, "parsing gives other bytes");
    canonical::check(&change);
    let mut gate = material.world.gate.clone();
    gate.limits = limits;
    if gate.admit_parsed(&change).is_err() {
        return;
    }
    let mut history = material.world.history.clone();
    history.push(change.clone().into_automerge());
    let Err(reason) = law::check(&history, change.automerge(), 1) else { return };
    // Counters put concurrently on one key read otherwise before a load than after it: automerge's own trouble.
    if reason.ends_with("reads otherwise") && has_counters(&history) {
        return;
    }
    let decoded = quietly(|| change.automerge().decode());
    panic!("accepted, and breaks a replica: {reason}\n{decoded:?}");
}

fn has_counters(history: &[automerge::Change]) -> bool {
    let is_counter = |op: &automerge::legacy::Op| {
        use automerge::legacy::OpType;
        matches!(&op.action, OpType::Increment(_) | OpType::Put(automerge::ScalarValue::Counter(_)))
    };
    history.iter().any(|change| change.decode().operations.iter().any(is_counter))
}

/// An honest or hostile change's parts, with columns replaced or changed.
fn columns(input: &mut Input<'_>, material: &crate::material::Material) -> Vec<u8> {
    let pool = [&material.honest[..1], &material.hostile[..]].concat();
    let mut parts = Chunk::parse(input.pick(&pool).bytes());
    while !input.is_empty() {
        let which = input.index(parts.columns.len() + 2);
        if which == parts.columns.len() + 1 {
            let spec = input.below(160);
            parts = parts.with(spec, input.bytes(40));
            continue;
        }
        let target = parts.columns.get_mut(which).map_or(&mut parts.head, |(_, data)| data);
        let at = input.index(target.len() + 1);
        let removed = input.index(4).min(target.len() - at);
        let added = input.bytes(6);
        target.splice(at..at + removed, added.iter().copied());
    }
    parts.build()
}
