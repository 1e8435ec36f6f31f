//! `SavedDocument`: a look into a document's saved bytes, for export, support and tests in the browser.
//!
//! Read-only. Editing and syncing a document is not done here.

use automerge::{AutoSerde, Automerge, AutomergeError};
use sync_core::change::{Change, ChangeError};
use sync_core::table::{ChangeTable, TableError};
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

/// Why bytes were not taken as a saved document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// automerge does not load them.
    #[error("no saved document: {0}")]
    Load(#[from] AutomergeError),
    /// A change in it is out of the engine's bounds.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Its changes do not stand in causal order without gaps.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// A loaded document with the table of its changes.
#[wasm_bindgen]
pub struct SavedDocument {
    document: Automerge,
    table: ChangeTable,
}

impl SavedDocument {
    /// Loads automerge's saved form. The bytes must come from a party that is trusted with this module's memory:
    /// automerge itself gives up on some hostile ones.
    pub fn load(bytes: &[u8]) -> Result<Self, LoadError> {
        let document = Automerge::load(bytes)?;
        let mut table = ChangeTable::new();
        for change in document.get_changes(&[]) {
            table.insert(&Change::from_automerge(change)?)?;
        }
        Ok(Self { document, table })
    }
}

#[wasm_bindgen]
impl SavedDocument {
    /// Loads automerge's saved form, or throws an `Error` that says what is wrong.
    #[wasm_bindgen(constructor)]
    pub fn new(bytes: &[u8]) -> Result<SavedDocument, JsError> {
        Self::load(bytes).map_err(|error| JsError::new(&error.to_string()))
    }

    /// The value as JSON text.
    pub fn json(&self) -> String {
        serde_json::to_string(&AutoSerde::from(&self.document)).expect("a document's value has string keys only")
    }

    /// Number of changes.
    #[wasm_bindgen(getter)]
    pub fn changes(&self) -> usize {
        self.table.len()
    }

    /// The hashes of the changes that no other depends on, sorted, in hexadecimal.
    #[wasm_bindgen(getter)]
    pub fn heads(&self) -> Vec<String> {
        self.table.heads().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use automerge::transaction::Transactable as _;
    use automerge::{ActorId, ROOT};

    use super::*;

    #[test]
    fn shows_value_changes_and_heads_of_a_merged_document() {
        let mut ann = Automerge::new().with_actor(ActorId::from([1; 16]));
        ann.transact::<_, _, AutomergeError>(|t| t.put(ROOT, "milk", 2)).expect("a valid edit");
        let mut bob = ann.fork().with_actor(ActorId::from([2; 16]));
        ann.transact::<_, _, AutomergeError>(|t| t.put(ROOT, "bread", 1)).expect("a valid edit");
        bob.transact::<_, _, AutomergeError>(|t| t.delete(ROOT, "milk")).expect("a valid edit");
        ann.merge(&mut bob).expect("one history");

        let saved = SavedDocument::load(&ann.save()).expect("a good document");

        assert_eq!(saved.json(), r#"{"bread":1}"#);
        assert_eq!(saved.changes(), 3);
        let heads: Vec<String> = ann.get_heads().iter().map(ToString::to_string).collect();
        assert_eq!(saved.heads(), heads);
    }

    #[test]
    fn refuses_a_damaged_document() {
        let mut ann = Automerge::new();
        ann.transact::<_, _, AutomergeError>(|t| t.put(ROOT, "milk", 2)).expect("a valid edit");
        let mut bytes = ann.save();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        assert!(matches!(SavedDocument::load(&bytes), Err(LoadError::Load(_))));
    }
}
