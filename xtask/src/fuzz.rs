//! `cargo xtask fuzz`: builds the fuzzer on the compiler in use, runs targets two at a time, and says how a failure is seen again.
//!
//! Owns how targets are built and run. What they do is in `fuzz/`; a plain test there replays the kept corpus without any of this.

mod report;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::run::{self, Failure};
use crate::setup;
use report::Report;

/// What a run is asked for.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run this target alone.
    #[arg(long)]
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Draw the same choices again: starts from the kept corpus alone. Without it each run looks elsewhere, and goes on with what earlier ones found.
    #[arg(long)]
    seed: Option<u32>,
    /// Print the targets.
    #[arg(long)]
    list: bool,
    /// Replace the kept corpus by the smallest choice of kept and found inputs that reaches as much; runs nothing.
    #[arg(long)]
    keep: bool,
}

const AT_ONCE: usize = 2;
/// How long the gate runs each target, and from which seed.
const GATE_SECONDS: u64 = 60;
/// Targets that only decode, a million inputs and more in the gate's time for them: what they reach no longer grows.
const DECODERS: [&str; 5] = ["archive", "client_messages", "clock", "parts", "server_messages"];
const GATE_SECONDS_OF_DECODER: u64 = 20;
const GATE_SEED: u32 = 1;
/// What a build of the fuzzer may take on a slow machine.
const BUILD_LIMIT: Duration = Duration::from_secs(1_800);
/// Beyond its time, for reading the corpus at the start and writing at the end.
const GRACE: Duration = Duration::from_secs(120);
/// A single input that takes longer, in seconds, or more memory, in MB, counts as a failure: a bomb.
const INPUT_SECONDS_MAX: u32 = 60;
const INPUT_MEGABYTES_MAX: u32 = 2_048;
const INPUT_BYTES_MAX: u32 = 4_096;
const VARIABLE: &str = "REJOIN_FUZZ_TARGET";

/// What cargo-fuzz passes to a nightly compiler for coverage works on a stable one; its address sanitizer does not, and
/// this project has no unsafe code for it to look at.
const RUSTFLAGS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=16",
];

/// Runs `cargo xtask fuzz`.
pub(crate) fn fuzz(options: &Options) -> Result<(), Failure> {
    let targets = match &options.target {
        None => targets()?,
        Some(name) if targets()?.contains(name) => vec![name.clone()],
        Some(name) => return Err(Failure::new(format!("{name} is no target; they are: {}", targets()?.join(", ")))),
    };
    if options.list {
        targets.iter().for_each(|target| println!("{target}"));
        return Ok(());
    }
    setup::for_fuzzing()?;
    println!("building the fuzzer; the first time takes some minutes");
    let fuzzer = Fuzzer::build()?;
    if options.keep {
        return targets.iter().try_for_each(|target| fuzzer.keep(target));
    }
    let failed = fuzzer.run_all(targets, |_| Run { seconds: options.seconds, seed: options.seed });
    if failed.is_empty() { Ok(()) } else { Err(Failure::new(format!("fuzz targets failed: {}", failed.join(", ")))) }
}

/// What the gate does: every target for a while, from the kept corpus and one seed, in folders that it empties first. Gives how many
/// held and which failed.
///
/// One seed, so that it goes the same way on every machine, as far as the machine gets: new ways are for those who look for them.
pub(crate) fn gate() -> Result<(u64, Vec<String>), Failure> {
    setup::for_fuzzing()?;
    println!("building the fuzzer");
    let fuzzer = Fuzzer::build()?;
    let targets = targets()?;
    let count = targets.len() as u64;
    let failed = fuzzer.run_all(targets, |target| Run {
        seconds: if DECODERS.contains(&target) { GATE_SECONDS_OF_DECODER } else { GATE_SECONDS },
        seed: Some(GATE_SEED),
    });
    Ok((count - failed.len() as u64, failed))
}

/// The targets: a test holds that each has a folder here, and that there is no other.
fn targets() -> Result<Vec<String>, Failure> {
    let folder = corpus();
    let entries = fs::read_dir(&folder).map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
    let mut names: Vec<String> =
        entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

fn corpus() -> PathBuf {
    run::root().join("fuzz/corpus")
}

/// One run of each target.
#[derive(Clone, Copy)]
struct Run {
    seconds: u64,
    /// Starts from the kept corpus alone and draws the same each time; else what earlier runs found is gone on with, at random.
    seed: Option<u32>,
}

/// A folder of a target beside the builds, made if need be.
fn folder(target: &str, name: &str) -> Result<PathBuf, Failure> {
    let folder = run::target_dir().join("fuzz-runs").join(target).join(name);
    fs::create_dir_all(&folder).map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
    Ok(folder)
}

fn empty(folder: &Path) -> Result<(), Failure> {
    let emptied = fs::remove_dir_all(folder).and_then(|()| fs::create_dir_all(folder));
    emptied.map_err(|error| Failure::new(format!("{}: {error}", folder.display())))
}

struct Fuzzer(PathBuf);

impl Fuzzer {
    /// Builds for this machine by name: flags then do not reach build scripts, which run without the fuzzer. The flags would have
    /// everything else rebuilt, so that the folder is one of its own.
    fn build() -> Result<Self, Failure> {
        let host = run::output("rustc", &["-vV"])
            .and_then(|text| text.lines().find_map(|line| line.strip_prefix("host: ").map(str::to_owned)))
            .ok_or_else(|| Failure::new("rustc does not say which machine it builds for"))?;
        let target_dir = run::target_dir().join("fuzz");
        let mut build = run::cargo();
        build.args(["build", "--package", "rejoin-fuzz", "--bin", "rejoin-fuzz", "--features", "libfuzzer"]);
        build.args(["--profile", "fuzz", "--target", &host, "--target-dir"]).arg(&target_dir);
        build.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\u{1f}"));
        run::quietly("build of the fuzzer", &mut build, BUILD_LIMIT)?;
        Ok(Self(target_dir.join(host).join("fuzz/rejoin-fuzz")))
    }

    fn command(&self, target: &str) -> Command {
        let mut command = Command::new(&self.0);
        command.env(VARIABLE, target).args([
            format!("-timeout={INPUT_SECONDS_MAX}"),
            format!("-rss_limit_mb={INPUT_MEGABYTES_MAX}"),
            format!("-max_len={INPUT_BYTES_MAX}"),
        ]);
        command
    }

    /// Runs targets, [`AT_ONCE`] at a time, and prints a line for each. Gives those that failed.
    fn run_all(&self, targets: Vec<String>, run: impl Fn(&str) -> Run + Sync) -> Vec<String> {
        let (waiting, failed) = (Mutex::new(VecDeque::from(targets)), Mutex::new(Vec::new()));
        let next = || waiting.lock().ok().and_then(|mut waiting| waiting.pop_front());
        let work = || {
            while let Some(target) = next() {
                match self.run(&target, &run(&target)) {
                    Ok(report) => println!("fuzz {target}: {report}"),
                    Err(failure) => {
                        println!("fuzz {target}: FAILED\n{failure}");
                        failed.lock().expect("nobody panics while counting").push(target);
                    }
                }
            }
        };
        thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
        failed.into_inner().expect("nobody panics while counting")
    }

    fn run(&self, target: &str, run: &Run) -> Result<Report, Failure> {
        let (found, failures) =
            (folder(target, if run.seed.is_some() { "seeded" } else { "found" })?, folder(target, "failures")?);
        let mut command = self.command(target);
        command.arg(format!("-max_total_time={}", run.seconds)).arg("-print_final_stats=1");
        if let Some(seed) = run.seed {
            empty(&found)?;
            command.arg(format!("-seed={seed}"));
        }
        command.arg(format!("-artifact_prefix={}/", failures.display())).arg(&found).arg(corpus().join(target));
        let what = format!("fuzz {target}");
        let ended = run::quietly(&what, &mut command, Duration::from_secs(run.seconds) + GRACE);
        let log = fs::read(run::log_path(&what)?).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        match ended {
            Ok(()) => Report::of(&log).ok_or_else(|| Failure::new("the fuzzer ended without saying what it did")),
            Err(other) => Err(report::failure(target, &log).unwrap_or(other)),
        }
    }

    /// Minimises kept and found inputs into a new folder, which then takes the kept one's place.
    fn keep(&self, target: &str) -> Result<(), Failure> {
        let (found, new) = (folder(target, "found")?, folder(target, "new")?);
        let replace = |new: &Path, kept: &Path| {
            fs::remove_dir_all(kept).and_then(|()| fs::create_dir_all(kept)).and_then(|()| {
                fs::read_dir(new)?.try_for_each(|file| {
                    let file = file?;
                    fs::copy(file.path(), kept.join(file.file_name())).map(drop)
                })
            })
        };
        let kept = corpus().join(target);
        let mut command = self.command(target);
        command.arg("-set_cover_merge=1").arg(&new).arg(&kept).arg(&found);
        run::quietly(&format!("keep {target}"), &mut command, BUILD_LIMIT)?;
        replace(&new, &kept).map_err(|error| Failure::new(format!("{}: {error}", kept.display())))?;
        fs::remove_dir_all(&new).map_err(|error| Failure::new(format!("{}: {error}", new.display())))?;
        let count = fs::read_dir(&kept).map_or(0, Iterator::count);
        println!("keep {target}: {count} inputs");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoders_are_targets() {
        let targets = targets().expect("the corpus is there");
        assert!(DECODERS.iter().all(|name| targets.iter().any(|target| target == name)), "{targets:?}");
    }
}
