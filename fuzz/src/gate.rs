//! A document as the server knows it: what has been let in, without contents.

use sync_core::change::Change;
use sync_core::limits::ChangeLimits;
use sync_core::op_index::OpIndex;
use sync_core::table::ChangeTable;
use sync_core::validator::{Refusal, admit};

/// What a server holds of a document: hashes and the op index.
#[derive(Clone, Default)]
pub struct Gate {
    /// Which changes it holds.
    pub table: ChangeTable,
    /// Which operations.
    pub index: OpIndex,
    /// The bounds of changes.
    pub limits: ChangeLimits,
}

impl Gate {
    /// Lets a change in, or says why not.
    pub fn admit(&mut self, change: &automerge::Change) -> Result<(), Refusal> {
        let change = Change::from_automerge(change.clone()).expect("tests make seqs that fit");
        self.admit_parsed(&change)
    }

    /// The same for a change that is parsed.
    pub fn admit_parsed(&mut self, change: &Change) -> Result<(), Refusal> {
        admit(change, &self.table, &mut self.index, &self.limits)?;
        self.table.insert(change).expect("an admitted change has its place");
        Ok(())
    }

    /// Lets in changes that nothing is wrong with.
    pub fn admit_all<'a>(&mut self, changes: impl IntoIterator<Item = &'a automerge::Change>) {
        for change in changes {
            let admitted = self.admit(change);
            assert_eq!(admitted, Ok(()), "refused an honest change: {:#?}", change.decode());
        }
    }
}
