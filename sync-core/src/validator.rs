//! The validator: nothing enters a document that could break a replica.
//!
//! Owns every rule about a change's header and operations. The law: accepted implies that on every replica, in every causal
//! order, it applies, reads, edits, saves, loads, bundles and gives back the same bytes. Values are not judged beyond their size.

mod context;
mod header;
mod operation;
mod order;
mod refusal;

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::ExpandedChange;

use crate::change::{Change, Operations};
use crate::document::{is_init_actor, is_init_change};
use crate::limits::ChangeLimits;
use crate::op_index::{Addition, OpIndex};
use crate::planted::Planted;
use crate::table::ChangeTable;
use context::Context;
use header::Header;
pub use refusal::{OpName, Refusal, Wrong};

impl Refusal {
    /// Whether a bound was passed, rather than a rule broken.
    pub fn is_limit(&self) -> bool {
        matches!(
            self,
            Self::Bounds(_)
                | Self::StartTooHigh { .. }
                | Self::SkippedTooMany { .. }
                | Self::CountersExhausted { .. }
                | Self::TooManyActors(_)
                | Self::TooManyHeads(_)
                | Self::TooManySteps
                | Self::IndexFull(_)
        )
    }
}

/// Checks `change` against `table` (what is held, without it) and `index`, and if it may enter, adds its operations to `index`.
/// On refusal nothing is changed. The caller then inserts it in `table`.
pub fn admit(change: &Change, table: &ChangeTable, index: &mut OpIndex, limits: &ChangeLimits) -> Result<(), Refusal> {
    enter(change, table, index, limits).map(drop)
}

/// As [`admit`], and gives the operations, so that what else looks at them need not decode them again.
pub fn admit_and_keep(
    change: &Change,
    table: &ChangeTable,
    index: &mut OpIndex,
    limits: &ChangeLimits,
) -> Result<Operations, Refusal> {
    let operations = enter(change, table, index, limits)?;
    Ok(operations.unwrap_or_else(|| Operations::of(change)))
}

/// As [`admit`], and gives the operations, unless automerge had to encode them: that takes them, and two copies at once would be twice the memory.
fn enter(
    change: &Change,
    table: &ChangeTable,
    index: &mut OpIndex,
    limits: &ChangeLimits,
) -> Result<Option<Operations>, Refusal> {
    table.check(change)?;
    let form = change.check_bounds(limits)?;
    if is_init_actor(change.actor()) && !is_init_change(change) && !limits.planted.has(Planted::AcceptForgedInit) {
        return Err(Refusal::ForgedInit);
    }
    let header = header::check(change, table, index, limits)?;
    let mut expanded = decode(change)?;
    let operations = Operations(mem::take(&mut expanded.operations));
    let mut context = Context::new(change, table, index, limits, &header)?;
    operation::check_all(&operations.0, &mut context)?;
    let staged = context.finish();
    let kept = if form.proves(change, &operations) {
        Some(operations)
    } else {
        expanded.operations = operations.0;
        encodes_alike(change, expanded)?;
        None
    };
    let Header { place, deps, last_op, skipped } = header;
    index.admit(staged, &Addition { place, deps: &deps, last_op, skipped });
    Ok(kept)
}

fn decode(change: &Change) -> Result<ExpandedChange, Refusal> {
    // automerge panics where a column says what no editor writes.
    catch_unwind(AssertUnwindSafe(|| change.automerge().decode())).map_err(|_| Refusal::Undecodable)
}

/// A change that automerge would write differently can save what no longer loads.
fn encodes_alike(change: &Change, expanded: ExpandedChange) -> Result<(), Refusal> {
    let again = catch_unwind(AssertUnwindSafe(|| automerge::Change::from(expanded)));
    match again {
        Ok(again) if again.raw_bytes() == change.bytes() => Ok(()),
        _ => Err(Refusal::NotCanonical),
    }
}
