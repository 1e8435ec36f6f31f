//! The gate: fixed seeds pass, a seed is a whole run, and every planted bug is caught by them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rejoin_tests::sim::{self, GATE_SEEDS, Report};
use sync_core::planted::Planted;

/// Seeds of the gate that must end with a conflict of each kind and place, so that none is held to the oracle by a single history; and so with what settling comes to.
const SEEDS_OF_EACH: usize = 10;

/// Bugs in what replicas and the log share, so that no comparison of the two finds them: the oracle of conflicts must.
const FOR_ORACLE: [Planted; 3] = [Planted::StepsUnindexed, Planted::OutdoneInSight, Planted::NestedWorkUnindexed];

/// Runs seeds on all cores, each in a world of its own, until `enough` says so. Reports come in the order of their seeds.
fn run(seeds: u64, planted: Option<Planted>, enough: impl Fn(&Report) -> bool + Sync) -> Vec<Report> {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let worker = || {
        let mut reports = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                break;
            }
            let report = sim::run(seed, planted);
            stop.fetch_or(enough(&report), Ordering::Relaxed);
            reports.push(report);
        }
        reports
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut reports: Vec<Report> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().flat_map(|t| t.join().expect("a worker catches panics of machines")).collect()
    });
    reports.sort_by_key(|r| r.seed);
    reports
}

fn median(mut numbers: Vec<u64>) -> u64 {
    numbers.sort_unstable();
    numbers[numbers.len() / 2]
}

#[test]
fn fixed_seeds_pass() {
    let reports = run(GATE_SEEDS, None, |_| false);
    assert_eq!(reports.len() as u64, GATE_SEEDS);
    let failed: Vec<_> = reports.iter().filter_map(|r| Some((r.seed, r.failure.as_ref()?))).collect();
    let lines: Vec<_> =
        failed.iter().map(|(seed, what)| format!("seed {seed}: {what}\n  {}", sim::replay(*seed, None))).collect();
    assert!(failed.is_empty(), "{} of {GATE_SEEDS} seeds fail:\n{}", failed.len(), lines.join("\n"));
    let of = |what: &str| median(reports.iter().map(|r| r.counts.get(what).copied().unwrap_or(0)).collect());
    let inputs = median(reports.iter().map(|r| r.inputs).collect());
    assert!(inputs >= 2_000, "{inputs} inputs at the median");
    assert!(of("cut") >= 1, "no cut at the median");
    assert!(of("client crash") >= 1 && of("server crash") >= 1, "no crash at the median");
    for what in sim::COUNTED.into_iter().chain(sim::SETTLED) {
        let seeds = reports.iter().filter(|report| report.counts.contains_key(what)).count();
        assert!(seeds >= SEEDS_OF_EACH, "{what}: in {seeds} seeds");
    }
}

#[test]
fn a_seed_is_a_whole_run() {
    for seed in 0..4 {
        let (one, two) = (sim::run(seed, None), sim::run(seed, None));
        assert_eq!((one.trace, one.inputs, &one.counts), (two.trace, two.inputs, &two.counts), "seed {seed}");
        assert_eq!(one.failure, two.failure);
    }
    assert_ne!(sim::run(0, None).trace, sim::run(1, None).trace, "seeds differ");
}

#[test]
fn planted_bugs_are_caught() {
    let missed: Vec<_> = Planted::ALL
        .iter()
        .filter(|(bug, name)| {
            let by_oracle = |failure: &String| failure.starts_with(sim::ORACLE);
            let is_caught = |report: &Report| {
                report.failure.as_ref().is_some_and(|failure| !FOR_ORACLE.contains(bug) || by_oracle(failure))
            };
            let reports = run(GATE_SEEDS, Some(*bug), is_caught);
            let caught = reports.iter().find(|report| is_caught(report));
            println!("{name}: {}", caught.map_or("missed".into(), |r| format!("seed {}: {:?}", r.seed, r.failure)));
            caught.is_none()
        })
        .map(|(_, name)| *name)
        .collect();
    assert!(missed.is_empty(), "not caught within {GATE_SEEDS} seeds: {missed:?}");
}
