//! The command line: what each command takes, and how it ends.
//!
//! 0 is success, 1 means that something is wrong with the data or the machine, 2 that it was started wrongly.

mod conflicts;
mod maintain;
mod serve;
mod transfer;
mod verify;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// The data folder of a command that works on one.
#[derive(Debug, Args)]
struct Data {
    /// The data folder
    #[arg(long, default_value = "./rejoin-data", env = "REJOIN_DATA")]
    data: PathBuf,
}

/// The Rejoin sync server.
#[derive(Debug, Parser)]
#[command(name = "sync-server", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(Box<serve::Serve>),
    /// Write a document, or the whole store, to a file; also while a server runs on the folder
    Export(transfer::Export),
    /// Read a document into a store, or a whole exported store into a new folder
    Import(transfer::Import),
    /// Check every hash, dep, sequence and digest, and name what is wrong; also while a server runs
    Verify(Data),
    /// Pack scattered logs together, move the write-ahead log into the database and give free space back; no server may be running
    Compact(Data),
    /// Show what a store holds; also while a server runs on the folder
    Stats(Data),
    /// List the conflicts of documents, show one, or answer one
    Conflicts(conflicts::Conflicts),
    /// Make a snapshot for a server that asks for it
    #[command(name = crate::compactor::maker::COMMAND, hide = true)]
    Worker(worker::Worker),
}

/// A command that did not succeed: what to say, and the exit code.
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn data(message: impl ToString) -> Self {
        Self { code: 1, message: message.to_string() }
    }

    fn usage(message: impl ToString) -> Self {
        Self { code: 2, message: message.to_string() }
    }

    /// A store that can't be opened: 2 where another process or version has it.
    fn store(data: &std::path::Path, error: sync_core::storage::StoreError) -> Self {
        let error = crate::StartError::Store(data.to_owned(), error);
        Self { code: error.exit_code(), message: error.to_string() }
    }
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Export(args) => transfer::export(&args),
        Command::Import(args) => transfer::import(&args),
        Command::Verify(args) => verify::run(&args.data),
        Command::Compact(args) => maintain::compact(&args.data),
        Command::Stats(args) => maintain::stats(&args.data),
        Command::Conflicts(args) => conflicts::run(&args),
        Command::Worker(args) => worker::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, message }) => {
            eprintln!("sync-server: {message}");
            ExitCode::from(code)
        }
    }
}
