//! Conflicts in simulated worlds: what replicas list is what the log alone says.
//!
//! Owns the comparison. Some replicas list early and keep their index up from then on, the others make it when they are judged.

use std::collections::BTreeSet;

use sync_core::change::Change;
use sync_core::conflict::{Conflict, ConflictIndex, ConflictKind};
use sync_core::document::Document;
use sync_core::id::DocumentName;
use sync_core::limits::ChangeLimits;
use sync_core::op_index::OpIndex;
use sync_core::planted::Planting;
use sync_core::replica::{DocumentId, OutboxState, Replica};
use sync_core::settlement::{self, Known, Listed};
use sync_core::table::ChangeTable;
use sync_core::validator;

/// How a failure begins that the oracle of conflicts has found: that something is hidden and not listed, or taken for what shows.
pub const ORACLE: &str = "P3: conflicts are not what the oracle says";
/// How many edits lie between two looks of a client that lists early.
const LOOK_EVERY: usize = 16;

/// Lets every second client list its conflicts now and then while it edits.
pub(crate) fn look(replica: &mut Replica, client: usize, document: DocumentId, edits: usize) {
    if client.is_multiple_of(2) && edits.is_multiple_of(LOOK_EVERY) {
        let _ = replica.conflicts(document);
    }
}

/// The conflicts of a log, by an index of its own, and the same with the answers that stand.
pub(crate) fn of_log(
    name: &DocumentName,
    changes: &[Change],
    planted: Planting,
) -> Result<(Vec<Conflict>, Vec<Listed>), String> {
    let (mut table, mut ops, mut index) = (ChangeTable::new(), OpIndex::new(), ConflictIndex::new().planted(planted));
    for change in changes {
        validator::admit(change, &table, &mut ops, &ChangeLimits::stored()).map_err(|e| format!("P3: the log: {e}"))?;
        table.insert(change).map_err(|e| format!("P3: the log: {e}"))?;
        index.admit(change, &table, &ops);
    }
    let document = Document::from_changes(changes.to_vec()).map_err(|e| format!("P3: the log: {e}"))?;
    let mut conflicts = index.list_all(name, document.automerge(), &table, &ops);
    let known = Known { document: document.automerge(), index: &index, table: &table, ops: &ops };
    let listed = settlement::listed(conflicts.clone(), known);
    conflicts.retain(|conflict| !conflict.agrees);
    Ok((conflicts, listed))
}

/// Those that all share: without what the server refused of one client's, and whose side is whose.
pub(crate) fn shared(conflicts: Vec<Conflict>) -> Vec<Conflict> {
    let of_all = conflicts.into_iter().filter(|conflict| conflict.kind != ConflictKind::Rejected);
    of_all
        .map(|mut conflict| {
            conflict.candidates.iter_mut().for_each(|side| side.mine = false);
            conflict
        })
        .collect()
}

/// Everything that a client shows as rejected is listed as a conflict, and nothing else is; gives one name for each, to be counted.
pub(crate) fn refused(
    replica: &Replica,
    document: DocumentId,
    listed: &[Conflict],
) -> Result<Vec<&'static str>, String> {
    let outbox = replica.outbox(document);
    let rejected = outbox.iter().filter(|entry| matches!(entry.state, OutboxState::Rejected { .. }));
    let rejected: BTreeSet<_> = rejected.map(|entry| entry.change).collect();
    let of = listed.iter().filter(|conflict| conflict.kind == ConflictKind::Rejected);
    let told: BTreeSet<_> = of.flat_map(|conflict| &conflict.candidates).map(|side| side.change).collect();
    if rejected == told {
        Ok(vec!["conflict: rejected"; rejected.len()])
    } else {
        Err(format!("P3: rejected are {rejected:?}, and listed as such {told:?}"))
    }
}
