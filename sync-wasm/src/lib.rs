//! The engine as JavaScript sees it.
//!
//! Owns the translation between JavaScript values and the engine's types, one file for each type that JavaScript sees.
//! Owns no rule of the engine (what a change may do and what a replica shows is decided in sync-core), and no IO: socket, storage,
//! clock and timers belong to the driver in `packages/client`, which turns the machine.

mod conflicts;
mod cursor;
mod edit;
mod error;
mod js;
mod output;
mod replica;
mod touched;
mod value;

use wasm_bindgen::prelude::wasm_bindgen;

pub use error::{EngineError, ErrorCode};
pub use replica::Replica;

/// The version of this package.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").into()
}
