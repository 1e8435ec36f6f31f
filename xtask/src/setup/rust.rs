//! Parts of the Rust toolchain: formatter, linter, and a compiler for wasm32.

use std::process::Command;
use std::time::Duration;

use super::apt;
use crate::run::{self, Failure};
use crate::wasm::Toolchain;

const RUSTUP_LIMIT: Duration = Duration::from_secs(180);
const DEBIAN_WASM: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-22"];

/// Sees that a component of the toolchain in use is there.
pub(crate) fn component(what: &str, component: &str, probe: &[&str]) -> Result<(), Failure> {
    let there = || run::cargo().args(probe).output().is_ok_and(|output| output.status.success());
    if !there() {
        rustup(what, &["component", "add", component])?;
    }
    if !there() {
        return Err(Failure::new(format!("{what} is missing. Run: rustup component add {component}")));
    }
    println!("  {what}: {component}");
    Ok(())
}

/// A compiler for wasm32: the toolchain in use if it has the source of its library or rustup can bring it, else Debian's own.
pub(crate) fn wasm_toolchain() -> Result<Toolchain, Failure> {
    if let Some(toolchain) = Toolchain::find() {
        return Ok(toolchain);
    }
    let Err(no_source) = rustup("compiler for the browser", &["component", "add", "rust-src"]) else {
        return Toolchain::find()
            .ok_or_else(|| Failure::new("rustup added rust-src, but it is not where rustc's library is"));
    };
    println!("  {no_source}");
    apt::install("compiler for the browser", &DEBIAN_WASM).map_err(|no_package| {
        Failure::new(format!("{no_package}\nor with rustup and a network:\n    rustup component add rust-src"))
    })?;
    Toolchain::find()
        .ok_or_else(|| Failure::new(format!("{} are installed, but do not work together", DEBIAN_WASM.join(", "))))
}

fn rustup(what: &str, args: &[&str]) -> Result<(), Failure> {
    println!("  {what}: rustup {}", args.join(" "));
    run::quietly(&format!("rustup {}", args.join(" ")), Command::new("rustup").args(args), RUSTUP_LIMIT)
}
