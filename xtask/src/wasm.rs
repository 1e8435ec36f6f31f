//! The browser module: which compiler builds it, and that it asks the page for nothing but wasm-bindgen's own glue.
//!
//! Owns the module as the compiler leaves it. What the package makes of it is in `package`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use wasm_bindgen_cli_support::Bindgen;

use crate::run::{self, Failure};
use crate::setup;

/// What only a person at a debugger would read is left out: where a panic stands, how values are written for one, and what it says, since a
/// page shows none of it: it is a bare trap. Measured, that is 28 of 640 KB.
///
/// The standard library is compiled with the module, in its small form, by which sorting takes a seventh of the code: another 20 KB. The options are
/// unstable ones, which a released compiler takes only with `RUSTC_BOOTSTRAP`; nothing of what the module does depends on them.
const OPTIONS: [&str; 6] = [
    "--config",
    r#"target.wasm32-unknown-unknown.rustflags=["-Zfmt-debug=none", "-Zlocation-detail=none"]"#,
    "-Zpanic-immediate-abort",
    "--config",
    r#"profile.wasm.panic="immediate-abort""#,
    "-Zbuild-std-features=optimize_for_size",
];
const TARGET: &str = "wasm32-unknown-unknown";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_LINKER: &str = "wasm-ld-22";
/// The module that wasm-bindgen writes beside ours for the name below; every import must come from it.
const GLUE: &str = "./rejoin_bg.js";
/// The module's name, and of the files beside it.
pub(crate) const NAME: &str = "rejoin";

/// A way to compile for wasm32.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The toolchain in use has the source of its standard library.
    InUse,
    /// Debian's second toolchain has it from a package.
    Debian,
}

impl Toolchain {
    /// What this machine has.
    pub(crate) fn find() -> Option<Self> {
        let has_source = |compiler: &str| {
            let sysroot = run::output(compiler, &["--print", "sysroot"]);
            sysroot.is_some_and(|sysroot| Path::new(&sysroot).join("lib/rustlib/src/rust/library/std").exists())
        };
        if has_source("rustc") {
            return Some(Self::InUse);
        }
        let debian = has_source(DEBIAN_RUSTC)
            && run::answers(DEBIAN_CARGO, &["--version"])
            && run::answers(DEBIAN_LINKER, &["--version"]);
        debian.then_some(Self::Debian)
    }

    /// Its name for people.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::InUse => "the toolchain in use",
            Self::Debian => "Debian's rustc-web",
        }
    }

    fn cargo(self) -> Command {
        match self {
            Self::InUse => run::cargo(),
            Self::Debian => debian_cargo(),
        }
    }

    /// Builds what is told yet of sync-wasm.
    fn build(self) -> Command {
        let mut command = self.cargo();
        command.args(["build", "--package", "sync-wasm", "--target", TARGET, "--target-dir"]).arg(self.target_dir());
        // A released compiler takes its unstable options only so.
        command.arg("-Zbuild-std=std,panic_abort").env("RUSTC_BOOTSTRAP", "1");
        command
    }

    /// Both toolchains keep apart from the native builds and from each other.
    fn target_dir(self) -> PathBuf {
        run::target_dir().join(match self {
            Self::InUse => "wasm",
            Self::Debian => "wasm-debian",
        })
    }
}

fn debian_cargo() -> Command {
    let mut command = Command::new(DEBIAN_CARGO);
    command
        .current_dir(run::root())
        .env("RUSTC", DEBIAN_RUSTC)
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER);
    // Set by the cargo that runs us, for another toolchain.
    for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTUP_HOME", "LD_LIBRARY_PATH", "RUSTDOC"] {
        command.env_remove(name);
    }
    command
}

/// Builds the module, checks its imports, and writes it with its glue and types into `folder`.
pub(crate) fn build(folder: &Path) -> Result<(), Failure> {
    let toolchain = setup::wasm_toolchain()?;
    run::shown(toolchain.build().args(["--lib", "--profile", "wasm"]).args(OPTIONS))?;
    let (bytes, imports) = link(&toolchain.target_dir().join(TARGET).join("wasm/sync_wasm.wasm"), folder)?;
    println!("wasm: {} KB linked, {imports} imports, all from {GLUE}", bytes / 1000);
    Ok(())
}

/// Builds a test target of sync-wasm as a module; says where it is.
pub(crate) fn build_test(name: &str) -> Result<PathBuf, Failure> {
    let toolchain = setup::wasm_toolchain()?;
    let mut build = toolchain.build();
    build.args(["--test", name, "--profile", "parts", "--message-format=json-render-diagnostics"]);
    build.stderr(Stdio::inherit());
    let output = build.output().map_err(|error| Failure::new(format!("cargo can't be run: {error}")))?;
    run::succeeded(&build, output.status)?;
    let built = executable(&String::from_utf8_lossy(&output.stdout));
    built.ok_or_else(|| Failure::new(format!("cargo does not say where the test {name} is")))
}

/// The program of which cargo's messages tell; there is one.
fn executable(messages: &str) -> Option<PathBuf> {
    let (_, rest) = messages.split_once(r#""executable":""#)?;
    rest.split_once('"').map(|(path, _)| path.into())
}

/// Gives the linked module's size and how many imports it has.
fn link(built: &Path, folder: &Path) -> Result<(usize, usize), Failure> {
    let failure = |error: String| Failure::new(format!("{}: {error}", built.display()));
    let mut bindgen = Bindgen::new();
    bindgen.input_path(built).out_name(NAME).web(true).map_err(|error| failure(error.to_string()))?;
    // The functions keep their names until the package is made: by them alike ones are put together.
    bindgen.typescript(true).remove_producers_section(true);
    // The glue finds the module beside itself, with or without a bundler.
    bindgen.omit_default_module_path(false);
    let mut output = bindgen.generate_output().map_err(|error| failure(format!("{error:#}")))?;
    let imports: BTreeSet<(String, String)> =
        output.wasm().imports.iter().map(|import| (import.module.clone(), import.name.clone())).collect();
    let strays = strays(&imports);
    if !strays.is_empty() {
        return Err(failure(format!("asks the page for what it will not have: {}", strays.join(", "))));
    }
    fs::create_dir_all(folder).map_err(|error| failure(error.to_string()))?;
    output.emit(folder).map_err(|error| failure(format!("{error:#}")))?;
    plain_types(&folder.join(format!("{NAME}.d.ts"))).map_err(|error| failure(error.to_string()))?;
    Ok((output.wasm_mut().emit_wasm().len(), imports.len()))
}

/// Takes out what only the newest type libraries know, so that the package compiles with any.
fn plain_types(types: &Path) -> std::io::Result<()> {
    let text = fs::read_to_string(types)?;
    let lines = text.lines().filter(|line| !line.contains("[Symbol.dispose]"));
    fs::write(types, lines.map(|line| format!("{line}\n")).collect::<String>())
}

/// Imports that no browser gives: `env` above all, which a linker adds for any symbol that it did not find.
fn strays(imports: &BTreeSet<(String, String)>) -> Vec<String> {
    imports.iter().filter(|(module, _)| module != GLUE).map(|(module, name)| format!("{module}.{name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_says_where_the_only_program_is() {
        let library = r#"{"reason":"compiler-artifact","target":{"name":"sync_wasm"},"executable":null}"#;
        let program =
            r#"{"reason":"compiler-artifact","target":{"name":"parts"},"executable":"/a/parts-1.wasm","fresh":true}"#;
        assert_eq!(executable(&format!("{library}\n{program}")), Some("/a/parts-1.wasm".into()));
        assert_eq!(executable(library), None);
    }

    #[test]
    fn an_import_from_anywhere_but_the_glue_is_stray() {
        let import = |module: &str, name: &str| (module.to_owned(), name.to_owned());
        let imports = [import(GLUE, "__wbindgen_throw"), import("env", "clock_gettime"), import("wasi", "fd_write")];
        assert_eq!(strays(&imports.into()), ["env.clock_gettime", "wasi.fd_write"]);
    }
}
