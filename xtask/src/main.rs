//! The project's own commands, run as `cargo xtask COMMAND`.
//!
//! Owns how the project is set up, built, shown and tested from a clean clone. Owns no test: those are in `tests/` and beside the code.

mod bench;
mod demo;
mod fuzz;
mod golden;
mod likeness;
mod package;
mod pages;
mod parts;
mod run;
mod server;
mod setup;
mod sim;
mod test;
mod wasm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what the demo and the tests need, or say what to do.
    Setup,
    /// Build what is needed and serve the examples' pages at one address: devices side by side in a browser, each with a network that can be cut.
    Demo {
        /// Show the main job in the terminal instead, and end: a server, three clients, a real editing history, a network that is cut and heals.
        #[arg(long)]
        once: bool,
        /// Passed on to the terminal's demo.
        #[arg(last = true, requires = "once")]
        args: Vec<String>,
    },
    /// Install what the tests need and run all of them.
    Test,
    /// Build the npm package and run its tests alone, in Chromium.
    Browser,
    /// Run the tests of what the browser module shows to JavaScript alone, in Node.
    Parts,
    /// Run the simulation: --seeds N [--from K] [--planted NAME], or --planted list.
    #[command(disable_help_flag = true)]
    Sim {
        /// Passed on to the simulation.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Record stores and a conversation in today's formats, if there is no recording of them yet.
    Golden,
    /// Feed the engine hostile input by coverage: --target NAME --seconds N, or --list.
    Fuzz(fuzz::Options),
    /// Measure the server: --json FILE, --rows NAME,NAME, --peers beside the servers that people would pick instead, or --help.
    #[command(disable_help_flag = true)]
    Bench {
        /// Passed on to the benchmark.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Build the browser module, check what it imports, and build the npm package around it.
    Wasm,
    /// Pack the npm package, and say what a browser has to load.
    Dist,
    /// Write the npm package's reference, from its types.
    Docs,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Setup => setup::for_everything(),
        Command::Demo { once: true, args } => demo::demo(&args),
        Command::Demo { .. } => pages::pages(),
        Command::Test => return test::test(),
        Command::Browser => return test::browser(),
        Command::Parts => return test::parts(),
        Command::Sim { args } => sim::sim(&args),
        Command::Golden => golden::record(),
        Command::Fuzz(options) => fuzz::fuzz(&options),
        Command::Bench { args } => bench::bench(&args),
        Command::Wasm => setup::for_browser().and_then(|()| package::build()),
        Command::Dist => package::dist(),
        Command::Docs => package::docs(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
