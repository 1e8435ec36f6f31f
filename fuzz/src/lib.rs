//! Hostile input: fuzz targets, the makers of hostile changes, and the law that the validator is held to.
//!
//! Owns the bodies of the fuzz targets, so that the fuzzer and a plain test over the kept corpus run the same. Light on purpose:
//! of the product it needs sync-core alone, so that a build under the fuzzer's flags stays short.
#![forbid(unsafe_code)]

pub mod canonical;
pub mod choices;
pub mod chunk;
pub mod client;
pub mod editor;
pub mod encodings;
pub mod gate;
pub mod host;
pub mod law;
pub mod line;
pub mod material;
pub mod mutants;
pub mod panics;
pub mod targets;
pub mod undo;
