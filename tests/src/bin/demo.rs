//! `cargo xtask demo --once`: a server and three clients on real input, with a network that is cut for each of them in turn.
//!
//! Owns the command line and the exit code; what happens is in `rejoin_tests::demo`.

use std::process::ExitCode;

use clap::Parser;
use rejoin_tests::demo::{Options, run};

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("demo: {e}");
            ExitCode::FAILURE
        }
    }
}
