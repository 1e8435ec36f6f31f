//! `cargo xtask bench`: builds the server as users run it, and the load generator, and lets the second measure the first; or a browser
//! measure the package.

use std::path::PathBuf;
use std::process::Command;

use crate::run::{self, Failure};
use crate::{package, server, setup};

/// Runs the benchmark with `args`; with `--browser` the one of pages in a real browser, on the peers too with `--peers`.
pub(crate) fn bench(args: &[String]) -> Result<(), Failure> {
    if args.iter().any(|arg| arg == "--browser") {
        let has = |flag: &str| args.iter().any(|arg| arg == flag);
        return browser(has("--quick"), has("--peers"));
    }
    setup::for_demo()?;
    let packages = ["--package", "sync-server", "--package", "rejoin-bench"];
    run::shown(run::cargo().args(["build", "--release"]).args(packages))?;
    let folder = run::target_dir().join("release");
    let mut command = Command::new(folder.join("rejoin-bench"));
    command.args(args).env(server::VARIABLE, folder.join("sync-server"));
    if args.iter().any(|arg| arg == "--peers" || arg.starts_with("--peers=")) {
        command.env(SAMOD, peers()?);
    }
    run::shown(&mut command)
}

/// Brings the long text to a server, and lets pages open it and type; then, with `beside`, pages of the peers do the same as ours.
fn browser(quick: bool, beside: bool) -> Result<(), Failure> {
    if quick && beside {
        return Err(Failure::new("--peers in the browser takes the whole text: leave --quick out"));
    }
    setup::for_browser_tests()?;
    package::build()?;
    let packages = ["--package", "sync-server", "--package", "rejoin-bench"];
    run::shown(run::cargo().args(["build", "--release"]).args(packages))?;
    let programs = run::target_dir().join("release");
    let data = run::target_dir().join("bench-browser");
    let _ = std::fs::remove_dir_all(&data);
    let mut seed = Command::new(programs.join("rejoin-bench"));
    seed.args(quick.then_some("--quick")).arg("seed").arg("--data").arg(&data);
    run::shown(seed.env(server::VARIABLE, programs.join("sync-server")))?;
    let server = programs.join("sync-server");
    run::shown(package::bench(&server, "bench.js")?.arg(&data))?;
    if !beside {
        return Ok(());
    }
    setup::for_peers_in_browser()?;
    let built = run::target_dir().join("bench-browser-peers");
    let traces = std::env::var_os("REJOIN_TRACES").map_or_else(|| run::root().join("../shared/traces"), PathBuf::from);
    let mut build = Command::new("node");
    build.current_dir(run::root().join("bench/peers/browser")).arg("build.mjs");
    run::shown(build.arg(traces.join("automerge-paper.json.gz")).arg(&built))?;
    run::shown(package::bench(&server, "beside.js")?.arg(&data).arg(&built))
}

/// Names samod's server to the benchmark.
const SAMOD: &str = "REJOIN_BENCH_SAMOD";

/// Installs the servers that ours is compared with, and says where the built one is. They are no part of the workspace.
fn peers() -> Result<PathBuf, Failure> {
    setup::for_peers()?;
    let target = run::target_dir().join("peers");
    let mut cargo = run::cargo();
    cargo.current_dir(run::root().join("bench/peers/samod")).env("CARGO_TARGET_DIR", &target);
    run::shown(cargo.args(["build", "--release", "--locked"]))?;
    Ok(target.join("release/rejoin-bench-samod"))
}
