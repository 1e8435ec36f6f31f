//! `cargo xtask demo --once`: builds the server and the terminal's demo and runs it.

use crate::run::{self, Failure};
use crate::{server, setup};

/// Runs the demo with `args`.
pub(crate) fn demo(args: &[String]) -> Result<(), Failure> {
    setup::for_demo()?;
    println!("building; the first time takes some minutes");
    let server = server::build()?;
    let mut demo = run::cargo();
    demo.args(["run", "--package", "rejoin-tests", "--bin", "demo", "--"]).args(args).env(server::VARIABLE, server);
    run::shown(&mut demo)
}
