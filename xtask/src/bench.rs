//! `cargo xtask bench`: builds the server as users run it, and the load generator, and lets the second measure the first.

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
    run::shown(command.args(args).env(server::VARIABLE, folder.join("sync-server")))
}
