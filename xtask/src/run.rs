//! Running other programs: with their output shown, or quietly with a sign of life and the end of their output on failure.

use std::env;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(50);
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
const LINES_SHOWN_ON_FAILURE: usize = 20;

/// Why a command of ours stopped, in words for the person who ran it.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// A failure with its reason.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    manifest.parent().expect("xtask is a folder of the workspace").to_path_buf()
}

/// Where cargo builds.
pub(crate) fn target_dir() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// The cargo that runs us, in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Whether a program answers to `args` with success.
pub(crate) fn answers(program: &str, args: &[&str]) -> bool {
    output(program, args).is_some()
}

/// What a program prints, if it can be run and succeeds.
pub(crate) fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).current_dir(root()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a command with its output shown.
pub(crate) fn shown(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|error| Failure::new(format!("{} can't be run: {error}", name(command))))?;
    succeeded(command, status)
}

/// Runs a command quietly, saying now and then that it goes on, and ends it at `limit`.
pub(crate) fn quietly(what: &str, command: &mut Command, limit: Duration) -> Result<(), Failure> {
    let log = log_path(what)?;
    let file = File::create(&log).map_err(|error| Failure::new(format!("{}: {error}", log.display())))?;
    let copy = file.try_clone().map_err(|error| Failure::new(format!("{}: {error}", log.display())))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(copy)
        .spawn()
        .map_err(|error| Failure::new(format!("{} can't be run: {error}", name(command))))?;
    match wait(what, &mut child, limit) {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(Failure::new(format!("{what}: {status}\n{}", last_lines(&log)))),
        None => Err(Failure::new(format!("{what}: no end after {} s\n{}", limit.as_secs(), last_lines(&log)))),
    }
}

fn wait(what: &str, child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    let mut next_sign = SIGN_OF_LIFE;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if start.elapsed() >= limit {
            // It may have ended in between; then there is nothing to kill.
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        if start.elapsed() >= next_sign {
            println!("    {what}: still at it after {} s", start.elapsed().as_secs());
            next_sign += SIGN_OF_LIFE;
        }
        thread::sleep(POLL);
    }
}

/// The failure, if `status` is not success.
pub(crate) fn succeeded(command: &Command, status: ExitStatus) -> Result<(), Failure> {
    if status.success() { Ok(()) } else { Err(Failure::new(format!("{}: {status}", name(command)))) }
}

fn name(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Where [`quietly`] writes what the command prints.
pub(crate) fn log_path(what: &str) -> Result<PathBuf, Failure> {
    let folder = target_dir().join("xtask");
    fs::create_dir_all(&folder).map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
    let file = what.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    Ok(folder.join(format!("{file}.log")))
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN_ON_FAILURE)..].join("\n")
}
