//! `cargo xtask test`: installs what the tests need, runs all of them, and closes with one line of counts.

mod tally;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use tally::Tally;

use crate::run::{self, Failure};
use crate::{fuzz, package, parts, server, setup};

/// Runs everything and prints `N passed, N failed`, the sum over all runners; each check that is no runner counts as one.
pub(crate) fn test() -> ExitCode {
    run_after(setup::for_everything, |total, server| {
        *total += check("format", || run::shown(run::cargo().args(["fmt", "--all", "--check"])));
        if let Some(server) = server {
            *total += step("tests", || cargo_test(server));
        }
        *total += check("lints", lints);
        *total += step("fuzzing", fuzzing);
    })
}

/// Runs the tests of the npm package alone.
pub(crate) fn browser() -> ExitCode {
    run_after(setup::for_browser_tests, |_, _| ())
}

/// Runs the tests of the browser module's parts alone.
pub(crate) fn parts() -> ExitCode {
    close(&match setup::for_browser() {
        Ok(()) => step("parts of the browser module", parts_test),
        Err(failure) => check("setup", || Err(failure)),
    })
}

/// Sets the machine up, runs `tests` with the server program, and then those in the browser, which need it too.
fn run_after(set_up: fn() -> Result<(), Failure>, tests: impl FnOnce(&mut Tally, Option<&Path>)) -> ExitCode {
    let mut total = Tally::default();
    match set_up() {
        Err(failure) => {
            eprintln!("setup failed, so no test was run:\n{failure}");
            total += Tally::failure("setup");
        }
        Ok(()) => {
            let server = server::build();
            tests(&mut total, server.as_deref().ok());
            match server {
                Ok(server) => {
                    total += step("parts of the browser module", parts_test);
                    total += check("npm package", package::build);
                    total += check("reference of the npm package", package::reference);
                    total += step("tests in the browser", || browser_test(&server));
                }
                Err(failure) => total += check("server build", || Err(failure)),
            }
        }
    }
    close(&total)
}

/// Says what came out.
fn close(total: &Tally) -> ExitCode {
    // Named again here: what the runners said of them stands far above, and a log may be cut.
    total.names.iter().for_each(|name| println!("failed: {name}"));
    println!("\n{} passed, {} failed", total.passed, total.failed);
    if total.failed == 0 && total.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn lints() -> Result<(), Failure> {
    run::shown(run::cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
}

/// Each target counts as one.
fn fuzzing() -> Tally {
    match fuzz::gate() {
        Ok((passed, failed)) => Tally::of_targets(passed, &failed),
        Err(failure) => {
            eprintln!("fuzzing failed: {failure}");
            Tally::failure("fuzzing")
        }
    }
}

fn check(what: &str, body: impl FnOnce() -> Result<(), Failure>) -> Tally {
    step(what, || match body() {
        Ok(()) => Tally::counts(1, 0),
        Err(failure) => {
            eprintln!("{what} failed: {failure}");
            Tally::failure(what)
        }
    })
}

fn step(what: &str, body: impl FnOnce() -> Tally) -> Tally {
    println!("\n=== {what}");
    let start = Instant::now();
    let tally = body();
    println!("=== {what}: {} ok, {} not ok, {} s", tally.passed, tally.failed, start.elapsed().as_secs());
    tally
}

fn cargo_test(server: &Path) -> Tally {
    let mut command = run::cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]).env(server::VARIABLE, server);
    counted(&mut command, Tally::of_line)
}

fn parts_test() -> Tally {
    match parts::tests() {
        Ok(mut command) => counted(&mut command, Tally::of_line),
        Err(failure) => check("compiling them", || Err(failure)),
    }
}

fn browser_test(server: &Path) -> Tally {
    match package::tests(server) {
        Ok(mut command) => counted(&mut command, Tally::of_tap_line),
        Err(failure) => check("compiling them", || Err(failure)),
    }
}

/// Runs a command with its output shown and its closing lines added up.
fn counted(command: &mut Command, read: fn(&str) -> Tally) -> Tally {
    let mut child = match command.stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("{command:?} can't be run: {error}");
            return Tally::failure("a runner that can't be run");
        }
    };
    let stdout = child.stdout.take().expect("stdout is piped");
    let mut tally = Tally::default();
    for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally += read(&line);
    }
    let succeeded = child.wait().is_ok_and(|status| status.success());
    // A run that did not compile or was killed prints no closing line of its own. One that found no test has not tested.
    if tally.failed == 0 && (!succeeded || tally.passed == 0) {
        tally += Tally::failure("a runner that did not end as it should");
    }
    tally
}
