//! The rules about a change as a whole: its deps, its first operation, and what the document has room for.

use crate::change::Change;
use crate::limits::{ChangeLimits, OP_COUNTER_MAX};
use crate::op_index::OpIndex;
use crate::planted::Planted;
use crate::table::{ChangeTable, Place};

use super::Refusal;

/// What is known of a change once its header is checked.
pub(super) struct Header {
    /// Where it will stand.
    pub(super) place: Place,
    /// Where its deps stand.
    pub(super) deps: Vec<Place>,
    /// Its last operation, or that of its ancestors if it has none.
    pub(super) last_op: u32,
    /// Operation counters it skips above the highest known.
    pub(super) skipped: u64,
}

/// Checks a change whose bounds and place in the table are checked already.
pub(super) fn check(
    change: &Change,
    table: &ChangeTable,
    index: &OpIndex,
    limits: &ChangeLimits,
) -> Result<Header, Refusal> {
    if !change.deps().is_sorted_by(|a, b| a < b) {
        return Err(Refusal::DepOrder);
    }
    let number = table.number(change.actor());
    let place = Place { actor: number.unwrap_or(table.actor_count()), seq: change.seq() };
    assert_eq!(table.actor_count(), index.past().actor_count(), "a table and its index hold the same changes");
    let deps: Vec<Place> = change.deps().iter().filter_map(|dep| table.place(dep)).collect();
    if !limits.planted.has(Planted::AcceptUnlinked) {
        ancestry(place, &deps, index)?;
    }
    let (last_op, skipped) = counters(change, place, &deps, index, limits)?;
    room(change, place, &deps, table, index, limits)?;
    footer(change, limits)?;
    Ok(Header { place, deps, last_op, skipped })
}

fn ancestry(place: Place, deps: &[Place], index: &OpIndex) -> Result<(), Refusal> {
    let previous = place.seq - 1;
    if previous > 0 && index.past().seen_by(deps, place.actor) != previous {
        return Err(Refusal::PreviousNotAncestor { seq: previous });
    }
    Ok(())
}

fn counters(
    change: &Change,
    place: Place,
    deps: &[Place],
    index: &OpIndex,
    limits: &ChangeLimits,
) -> Result<(u32, u64), Refusal> {
    let start_op = change.start_op();
    let highest = u64::from(index.past().highest_of(deps));
    if start_op <= highest && !limits.planted.has(Planted::AcceptLowStart) {
        return Err(Refusal::StartTooLow { start_op, highest });
    }
    let last = start_op.saturating_add(change.operations() as u64) - 1;
    if last >= OP_COUNTER_MAX {
        return Err(Refusal::CountersExhausted { last, max: OP_COUNTER_MAX - 1 });
    }
    if change.operations() == 0 && start_op != highest + 1 {
        return Err(Refusal::EmptyStart { start_op, expected: highest + 1 });
    }
    let known = index.highest_op();
    let max = known + 1 + limits.start_op_gap_max;
    if start_op > max {
        return Err(Refusal::StartTooHigh { start_op, max });
    }
    let gap = start_op.saturating_sub(known + 1);
    let skipped = index.past().skipped(place.actor) + gap;
    if skipped > limits.gap_total_max {
        return Err(Refusal::SkippedTooMany { skipped, max: limits.gap_total_max });
    }
    Ok((last as u32, gap))
}

fn room(
    change: &Change,
    place: Place,
    deps: &[Place],
    table: &ChangeTable,
    index: &OpIndex,
    limits: &ChangeLimits,
) -> Result<(), Refusal> {
    let actors = table.actor_count();
    if place.actor == actors && actors as usize >= limits.actors_max {
        return Err(Refusal::TooManyActors(actors));
    }
    let heads = table.heads().len();
    // The cheap question first: only a full house needs to know whether this change closes one head for the one it opens.
    if heads >= limits.heads_max && !change.deps().iter().any(|dep| table.heads().any(|head| head == dep)) {
        return Err(Refusal::TooManyHeads(heads));
    }
    if index.entries() >= limits.index_entries_max {
        return Err(Refusal::IndexFull(index.entries()));
    }
    let own_only = deps.iter().all(|dep| dep.actor == place.actor);
    if !own_only && index.past().steps() + index.past().steps_of(place, deps) > limits.seen_steps_max {
        return Err(Refusal::TooManySteps);
    }
    Ok(())
}

/// An author footer is the number 1, a length and the author, and stands only on an actor's first change.
fn footer(change: &Change, limits: &ChangeLimits) -> Result<(), Refusal> {
    let bytes = change.automerge().extra_bytes();
    if bytes.is_empty() {
        return Ok(());
    }
    let author = change.automerge().author();
    let fits = author.is_some_and(|author| {
        let length = author.as_bytes().len();
        let prefix = if length < 0x80 { 2 } else { 3 };
        length <= limits.author_bytes_max && length < 0x4000 && bytes.len() == prefix + length
    });
    if fits && change.seq() == 1 { Ok(()) } else { Err(Refusal::Footer(bytes.len())) }
}
