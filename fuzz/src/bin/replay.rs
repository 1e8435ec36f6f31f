//! Runs a fuzz target on files, without a fuzzer: `cargo run -p rejoin-fuzz --bin replay -- TARGET FILE...`. Panics speak here, also
//! those that the engine catches on the way; the last one is the failure.

use std::process::ExitCode;

use rejoin_fuzz::targets::{TARGETS, Target};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(target) = args.next().and_then(|name| Target::find(&name)) else {
        eprintln!("usage: replay TARGET FILE...\ntargets:");
        TARGETS.iter().for_each(|target| eprintln!("  {:<16} {}", target.name, target.what));
        return ExitCode::FAILURE;
    };
    for file in args {
        match std::fs::read(&file) {
            Ok(input) => target.run_aloud(&input),
            Err(error) => {
                eprintln!("{file}: {error}");
                return ExitCode::FAILURE;
            }
        }
        println!("{file}: holds");
    }
    ExitCode::SUCCESS
}
