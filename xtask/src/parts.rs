//! The tests of what JavaScript sees of the engine, `sync-wasm/tests/parts`: compiled for wasm32 and run in Node.
//!
//! Owns what `wasm-bindgen-test-runner` does otherwise. The code generator is a library here already, so that nobody has to install a program of
//! exactly its version.

use std::fs;
use std::path::Path;
use std::process::Command;

use wasm_bindgen_cli_support::Bindgen;

use crate::run::{self, Failure};
use crate::wasm;

/// How the test target is called, and what is made of it.
const NAME: &str = "parts";
/// How the names of the functions begin that `#[wasm_bindgen_test]` makes of tests.
const PREFIX: &str = "__wbgt_";
/// What the runner's own script does, without its options. The glue keeps the exports of the module under `__wasm`.
const SCRIPT: &str = r#"
globalThis.__wbgtest_og_console_log = console.log;
globalThis.__wbg_test_invoke = (test) => test();
const context = new parts.WasmBindgenTestContext(false);
context.run(tests.map((name) => parts.__wasm[name])).then((passed) => process.exit(passed ? 0 : 1));
"#;

/// Builds the tests; gives what runs them, which closes with a line as cargo's tests do.
pub(crate) fn tests() -> Result<Command, Failure> {
    let folder = run::target_dir().join(NAME);
    let script = folder.join("run.cjs");
    let tests = link(&wasm::build_test(NAME)?, &folder)?;
    let text = format!("const parts = require(\"./{NAME}.js\");\nconst tests = {tests:?};\n{SCRIPT}");
    fs::write(&script, text).map_err(|error| Failure::new(format!("{}: {error}", script.display())))?;
    let mut command = Command::new("node");
    command.arg(script);
    Ok(command)
}

/// Writes the module with its glue for Node into `folder`; gives the names of its tests.
fn link(built: &Path, folder: &Path) -> Result<Vec<String>, Failure> {
    let failure = |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error:#}", built.display()));
    let mut bindgen = Bindgen::new();
    bindgen.input_path(built).out_name(NAME).nodejs(true).map_err(|error| failure(&error))?;
    bindgen.typescript(false).debug(true).emit_start(false);
    let mut output = bindgen.generate_output().map_err(|error| failure(&error))?;
    fs::create_dir_all(folder).map_err(|error| failure(&error))?;
    output.emit(folder).map_err(|error| failure(&error))?;
    let names = output.wasm().exports.iter().map(|export| export.name.clone());
    Ok(names.filter(|name| name.starts_with(PREFIX)).collect())
}
