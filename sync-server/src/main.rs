//! The `sync-server` program. All of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    sync_server::cli::main()
}
