//! A server under measurement: a process on a folder and a port of its own, and what the kernel says it has used.
//!
//! Linux only, since it reads `/proc`.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::figures::Error;
use crate::wire::PATIENCE;

const POLL: Duration = Duration::from_millis(20);

/// How long a server is looked at to see whether it rests, and how long that is tried.
const CALM: Duration = Duration::from_millis(500);
const CALM_WITHIN: Duration = Duration::from_secs(20);

/// Processor time in that while that counts as rest; and that of a server which ticks, if it takes as much each time.
const REST_MS_MAX: f64 = 0.5;
const TICKING_MS_MAX: f64 = 100.0;

/// A running server. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Milliseconds from its start until it said so.
    pub(crate) ready_ms: f64,
}

impl Process {
    /// Starts the product on a data folder, with `more` flags beside the defaults.
    pub(crate) fn product(program: &Path, data: &Path, more: &[&str]) -> Result<Self, Error> {
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).args(more);
        Self::start(command.env("REJOIN_LOG", "warn"))
    }

    /// Starts one of the bare servers, which are this very program.
    pub(crate) fn floor(kind: &str, data: &Path) -> Result<Self, Error> {
        Self::start(Command::new(std::env::current_exe()?).args(["floor", kind, "--data"]).arg(data))
    }

    /// Starts a server that says `http://ADDRESS` in its first line.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Error> {
        let start = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or("it has no output")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let ready_ms = start.elapsed().as_secs_f64() * 1e3;
        let address = line.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next());
        let address = address.and_then(|address| address.parse().ok());
        let Some(address) = address else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("the server does not say where it listens: {line:?}").into());
        };
        // Whatever it says later must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Ok(Self { child, address, ready_ms })
    }

    /// Milliseconds of processor used so far by the threads that live, to the microsecond: for short work.
    pub(crate) fn cpu_ms_fine(&self) -> Result<f64, Error> {
        let mut total = 0.0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may end while we look.
            if let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) {
                total += text.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e6;
            }
        }
        Ok(total)
    }

    /// Kibibytes of a line of `/proc/PID/status`, such as `VmRSS` (resident now) or `VmHWM` (at most so far).
    pub(crate) fn kib(&self, line: &str) -> Result<f64, Error> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let found = status.lines().find(|l| l.starts_with(line)).and_then(|l| l.split_whitespace().nth(1));
        Ok(found.ok_or("no such line")?.parse()?)
    }

    /// Files, sockets and the like that it holds open.
    pub(crate) fn handles(&self) -> Result<usize, Error> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// Waits until it does nothing, or no more than it does at all times, so that later work is not charged with earlier.
    pub(crate) async fn calm(&self) -> Result<(), Error> {
        let (mut last, mut before, start) = (self.cpu_ms_fine()?, f64::INFINITY, Instant::now());
        while start.elapsed() < CALM_WITHIN {
            tokio::time::sleep(CALM).await;
            let now = self.cpu_ms_fine()?;
            let used = now - last;
            let ticks = used <= TICKING_MS_MAX && (used - before).abs() <= before / 10.0;
            if used <= REST_MS_MAX || ticks {
                break;
            }
            (last, before) = (now, used);
        }
        Ok(())
    }

    /// Ends it politely and waits.
    pub(crate) fn stop(mut self) -> Result<(), Error> {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > PATIENCE {
                return Err("it does not end when it is told to".into());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
