//! The engine as JavaScript sees it.
//!
//! Owns the translation between JavaScript values and the engine's types, one file for each type that JavaScript sees.
//! Owns no rule of the engine: what a change may do and what a replica shows is decided in sync-core.

mod saved_document;

use wasm_bindgen::prelude::wasm_bindgen;

pub use saved_document::{LoadError, SavedDocument};

/// The version of this package.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").into()
}
