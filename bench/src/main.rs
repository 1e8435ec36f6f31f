//! `cargo xtask bench`: what the server costs, row by row, beside bare servers that do nothing but the unavoidable.
//!
//! Owns the load generator and the bare servers. It measures the product's program from outside, as a process, and is no part of it.

mod copy;
mod disk;
mod figures;
mod floor;
mod peers;
mod process;
mod rows;
mod soak;
mod text;
mod typing;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand, ValueEnum as _};

use figures::{Error, Report, heading};
use peers::Peer;
use rows::{Bench, Row};

/// Turns that a comparison takes.
const ROUNDS: usize = 3;

/// Measures the server.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Cli {
    /// Write all figures to this file as one JSON object
    #[arg(long)]
    json: Option<PathBuf>,
    /// Only these rows
    #[arg(long, value_delimiter = ',')]
    rows: Vec<Row>,
    /// The same work on these peers, or on all; `cargo xtask bench` installs them
    #[arg(long, value_delimiter = ',', num_args = 0..=1, require_equals = true, default_missing_values = Peer::NAMES)]
    peers: Vec<Peer>,
    /// Everything tiny: shows that it runs, and gives no figure worth telling
    #[arg(long)]
    quick: bool,
    /// Instead of the rows: everything together for so many minutes, with kills, to see whether memory, latency and handles stay flat
    #[arg(long, value_name = "MINUTES", conflicts_with_all = ["rows", "json"])]
    soak: Option<f64>,
    /// The server's program [default: the one beside this]
    #[arg(long, env = "REJOIN_SERVER")]
    server: Option<PathBuf>,
    /// Where data folders are made; put it on the disk that matters [default: the system's folder for temporary files]
    #[arg(long)]
    folder: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Be a bare server
    #[command(hide = true)]
    Floor {
        kind: floor::Kind,
        #[arg(long)]
        data: PathBuf,
    },
    /// Bring the long text to a folder, for others to open
    #[command(hide = true)]
    Seed {
        #[arg(long)]
        data: PathBuf,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = runtime.map_err(Error::from).and_then(|runtime| runtime.block_on(run(cli)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<(), Error> {
    if let Some(Command::Floor { kind, data }) = &cli.command {
        return floor::run(*kind, data.clone()).await;
    }
    let beside = || std::env::current_exe().map(|this| this.with_file_name("sync-server"));
    let program = cli.server.map_or_else(beside, Ok)?;
    let folder = cli.folder.map_or_else(tempfile::tempdir, tempfile::tempdir_in)?;
    let bench = Bench { program, folder, quick: cli.quick, rounds: if cli.quick { 1 } else { ROUNDS } };
    if let Some(Command::Seed { data }) = &cli.command {
        return rows::paper::seed(&bench, data).await;
    }
    if let Some(minutes) = cli.soak {
        return soak::run(&bench, minutes).await;
    }
    let mut report = Report::default();
    let figures = &mut report.ours;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    heading("disk", &format!("fdatasync after a page; load of the machine at the start: {}", load.trim()));
    let (p50, p99) = disk::fdatasync_ms(bench.folder.path(), bench.size(1_000, 50))?;
    figures.put("fsync_p50_ms", p50);
    figures.put("fsync_p99_ms", p99);
    let mut failed = Vec::new();
    let start = Instant::now();
    for row in Row::value_variants().iter().filter(|row| cli.rows.is_empty() || cli.rows.contains(row)) {
        if let Err(error) = rows::run(*row, &bench, &mut report.ours).await {
            println!("  not taken: {error}");
            failed.push(format!("{row:?}: {error}"));
        }
        for peer in &cli.peers {
            let figures = report.peers.entry(peer.name().into()).or_default();
            if let Err(error) = peer.run(*row, &bench, figures).await {
                // A peer that fails at something is a figure less, and no fault of ours.
                println!("  not taken: {error}");
            }
        }
        println!("  ({} s since the start)", start.elapsed().as_secs());
        // After each row: a run that is cut short keeps what it has.
        if let Some(path) = &cli.json {
            std::fs::write(path, format!("{}\n", serde_json::to_string_pretty(&report.json())?))?;
        }
    }
    println!("\n{}", report.table());
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ").into()) }
}
