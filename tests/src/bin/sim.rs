//! `cargo xtask sim`: runs seeds, prints progress, what was injected, and for a failure the line that runs it again.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use rejoin_tests::sim::{self, Report};
use sync_core::planted::Planted;

/// Simulates replicas and a server under faults drawn from seeds.
#[derive(Parser)]
struct Options {
    /// How many seeds to run.
    #[arg(long, default_value_t = sim::GATE_SEEDS)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Plant this bug; `list` names them all.
    #[arg(long)]
    planted: Option<String>,
    /// Inject only what was injected from the first day on, as the scenarios do.
    #[arg(long)]
    old: bool,
    /// Stop at the first failing seed.
    #[arg(long)]
    stop: bool,
    /// Print what is said and injected.
    #[arg(long)]
    verbose: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.planted.as_deref() == Some("list") {
        Planted::ALL.iter().for_each(|(_, name)| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    let planted = match options.planted.as_deref().map(|name| Planted::ALL.iter().find(|(_, n)| *n == name).ok_or(name))
    {
        None => None,
        Some(Ok((bug, _))) => Some(*bug),
        Some(Err(name)) => {
            eprintln!("no bug is named {name}; --planted list names them");
            return ExitCode::from(2);
        }
    };
    // A panic of a machine is reported with its seed like other failures.
    std::panic::set_hook(Box::new(|_| {}));
    let started = Instant::now();
    let mut reports: Vec<Report> = Vec::new();
    let mut failed = 0;
    for seed in options.from..options.from.saturating_add(options.seeds) {
        let report = if options.old { sim::run_of_old(seed) } else { sim::run_aloud(seed, planted, options.verbose) };
        if let Some(failure) = &report.failure {
            failed += 1;
            println!("seed {seed}: {failure}\n  {}", sim::replay(seed, options.planted.as_deref()));
        }
        let stop = options.stop && report.failure.is_some();
        reports.push(report);
        if reports.len().is_multiple_of(100) {
            eprintln!("{} seeds, {failed} failed, {:.1} s", reports.len(), started.elapsed().as_secs_f64());
        }
        if stop {
            break;
        }
    }
    summarise(&reports, failed, started.elapsed().as_secs_f64());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn median(mut numbers: Vec<u64>) -> u64 {
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied().unwrap_or(0)
}

fn summarise(reports: &[Report], failed: usize, seconds: f64) {
    let mut totals: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for name in reports.iter().flat_map(|r| r.counts.keys()) {
        totals
            .entry(name)
            .or_insert_with(|| reports.iter().map(|r| r.counts.get(name).copied().unwrap_or(0)).collect());
    }
    println!("{:<32} {:>10} {:>8}", "injected and seen", "in all", "median");
    for (name, numbers) in totals {
        println!("{name:<32} {:>10} {:>8}", numbers.iter().sum::<u64>(), median(numbers));
    }
    let inputs = median(reports.iter().map(|r| r.inputs).collect());
    let edits = median(reports.iter().map(|r| r.edits).collect());
    println!("{} seeds, {failed} failed, {seconds:.1} s; at the median {inputs} inputs, {edits} edits", reports.len());
}
