//! What the scan proves of a change's bytes, held to what automerge writes.

use sync_core::change::{Change, Operations};
use sync_core::limits::ChangeLimits;

use crate::panics::quietly;

/// What is known of a change's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// The scan proves that automerge writes them.
    Proven,
    /// automerge writes them, and the scan does not say so.
    Same,
    /// automerge writes others.
    Other,
    /// automerge panics on what they hold.
    Undecodable,
}

/// What is known of a change's bytes. Panics where the scan and automerge do not agree.
pub fn check(change: &Change) -> Encoding {
    let form = change.check_bounds(&ChangeLimits::stored()).expect("it was scanned before");
    let Ok(operations) = quietly(|| Operations::of(change)) else { return Encoding::Undecodable };
    let proven = form.proves(change, &operations);
    let expanded = change.automerge().decode();
    // What the scan leaves to automerge.
    let several = expanded.operations.iter().any(|op| op.pred.len() > 1);
    let many = change.automerge().other_actor_ids().len() >= 63;
    let again = quietly(|| automerge::Change::from(expanded));
    let same = again.is_ok_and(|again| again.raw_bytes() == change.bytes());
    assert!(same || !proven, "proven, and automerge writes other bytes: {:02x?}", change.bytes());
    assert!(proven || !same || several || many, "not proven, though automerge writes them: {:02x?}", change.bytes());
    match (proven, same) {
        (true, _) => Encoding::Proven,
        (false, true) => Encoding::Same,
        (false, false) => Encoding::Other,
    }
}
