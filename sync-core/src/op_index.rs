//! The op index of a document: which operation ids exist, in which object and of what kind, as runs per actor.
//!
//! Holds what the validator must look up, never values or text.

/// Which operations exist in a document.
#[derive(Clone, Debug, Default)]
pub struct OpIndex {}

impl OpIndex {
    /// The index of the empty document.
    pub fn new() -> Self {
        Self::default()
    }
}
