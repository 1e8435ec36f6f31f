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
mod marks;
mod output;
mod replica;
mod touched;
mod value;

use sync_core::view::View;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

pub use error::{EngineError, ErrorCode};
pub use replica::Replica;

/// The value in a view, as an event brings it or as it was kept, frozen; as [`Replica::value`] otherwise.
#[wasm_bindgen(js_name = showView, unchecked_return_type = "unknown")]
pub fn show_view(
    view: &[u8],
    #[wasm_bindgen(unchecked_param_type = "Special")] special: &js_sys::Function,
) -> Result<JsValue, JsValue> {
    let view = View::decode(view).map_err(|e| EngineError::bad_value(e.to_string()))?;
    value::show_view(&view, special)
}

/// The version of this package.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").into()
}
