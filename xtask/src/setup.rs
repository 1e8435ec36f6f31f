//! Makes a fresh Debian or Ubuntu machine with Rust ready: uses what is there, else installs it, else says what to do.

mod apt;
pub(crate) mod chromium;
mod network;
pub(crate) mod node;
mod python;
mod rust;

use crate::package;
use crate::run::{self, Failure};
use crate::wasm::Toolchain;

/// What the demo needs.
pub(crate) fn for_demo() -> Result<(), Failure> {
    c_compiler()
}

/// What the browser module needs.
pub(crate) fn for_wasm() -> Result<(), Failure> {
    let toolchain = rust::wasm_toolchain()?;
    println!("  compiler for the browser: {}", toolchain.describe());
    Ok(())
}

/// What the npm package is built with.
pub(crate) fn for_browser() -> Result<(), Failure> {
    for_wasm()?;
    node::ready(&[package::FOLDER])
}

/// What the npm package is built and tested with.
pub(crate) fn for_browser_tests() -> Result<(), Failure> {
    for_demo()?;
    for_browser()?;
    node::ready(&[package::REFERENCE])?;
    chromium::ready()
}

/// What the servers need that the benchmark compares ours with.
pub(crate) fn for_peers() -> Result<(), Failure> {
    node::ready(&["bench/peers/hocuspocus", "bench/peers/y-websocket", "bench/peers/automerge-repo"])
}

/// Clients and servers of the peers that a browser is measured with.
pub(crate) fn for_peers_in_browser() -> Result<(), Failure> {
    node::ready(&["bench/peers/browser", "bench/peers/y-websocket", "bench/peers/automerge-repo"])
}

/// What the fuzzer needs.
pub(crate) fn for_fuzzing() -> Result<(), Failure> {
    c_compiler()?;
    cxx_compiler()
}

/// What the demo and the tests need.
pub(crate) fn for_everything() -> Result<(), Failure> {
    println!("setup");
    for_demo()?;
    rust::component("formatter", "rustfmt", &["fmt", "--version"])?;
    rust::component("linter", "clippy", &["clippy", "--version"])?;
    cxx_compiler()?;
    for_browser()?;
    chromium::ready()?;
    network::ready()?;
    node::ready(&["tests/interop", package::REFERENCE])?;
    python::ready()
}

/// The compiler for the browser that an earlier setup found or installed.
pub(crate) fn wasm_toolchain() -> Result<Toolchain, Failure> {
    rust::wasm_toolchain()
}

/// libFuzzer is compiled from its C++ source.
fn cxx_compiler() -> Result<(), Failure> {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    if !run::answers(&compiler, &["--version"]) {
        apt::install("C++ compiler", &["g++"])?;
    }
    println!("  C++ compiler: {compiler}");
    Ok(())
}

/// SQLite is compiled from its C source.
fn c_compiler() -> Result<(), Failure> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    if !run::answers(&compiler, &["--version"]) {
        apt::install("C compiler", &["gcc", "libc6-dev"])?;
    }
    println!("  C compiler: {compiler}");
    Ok(())
}
