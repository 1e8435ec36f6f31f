//! `cargo xtask bench`: builds the server as users run it, and the load generator, and lets the second measure the first.

use std::path::PathBuf;
use std::process::Command;

use crate::run::{self, Failure};
use crate::{server, setup};

/// Runs the benchmark with `args`.
pub(crate) fn bench(args: &[String]) -> Result<(), Failure> {
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
