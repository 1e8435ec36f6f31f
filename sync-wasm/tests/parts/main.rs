//! What JavaScript sees of the engine, part by part, as `wasm-bindgen-test` has it: `cargo xtask test` compiles these for wasm32 and runs them in
//! Node.
//!
//! Owns each part's own surface: what goes in and comes out, what is refused, and under which code. Two replicas are two tabs on one store, since
//! there is no server. Compiled for the machine itself there is nothing to run.

#[cfg(target_arch = "wasm32")]
mod conflicts;
#[cfg(target_arch = "wasm32")]
mod cursor;
#[cfg(target_arch = "wasm32")]
mod device;
#[cfg(target_arch = "wasm32")]
mod edit;
#[cfg(target_arch = "wasm32")]
mod error;
#[cfg(target_arch = "wasm32")]
mod marks;
#[cfg(target_arch = "wasm32")]
mod output;
#[cfg(target_arch = "wasm32")]
mod replica;
#[cfg(target_arch = "wasm32")]
mod tabs;
#[cfg(target_arch = "wasm32")]
mod value;

fn main() {}
