//! `cargo xtask sim`: the simulation with seeds of the caller's choice.

use crate::run::{self, Failure};

/// Runs the simulation with `args`.
pub(crate) fn sim(args: &[String]) -> Result<(), Failure> {
    run::shown(run::cargo().args(["run", "--package", "rejoin-tests", "--bin", "sim", "--"]).args(args))
}
