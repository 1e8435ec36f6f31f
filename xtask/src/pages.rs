//! `cargo xtask demo`: the examples' pages at one address, with a server behind them, until Ctrl-C.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::run::{self, Failure};
use crate::{package, server, setup};

/// Browsers keep a page's documents by its address, so that it has the same one each time.
const PAGE: &str = "8788";
const SYNC: &str = "127.0.0.1:8787";
const POLL: Duration = Duration::from_millis(100);

/// Builds server and package and serves the pages.
pub(crate) fn pages() -> Result<(), Failure> {
    setup::for_demo()?;
    setup::for_browser()?;
    println!("building; the first time takes some minutes");
    let server = server::build()?;
    package::build()?;
    let data = run::target_dir().join("offline-notes");
    let mut sync = Command::new(server);
    sync.args(["serve", "--listen", SYNC, "--allow-origin", &format!("http://127.0.0.1:{PAGE}"), "--data"]).arg(&data);
    // What the lab's people are refused.
    sync.args(["--read-only", "archive/**"]);
    let mut page = Command::new("node");
    page.current_dir(run::root()).args(["examples/serve.mjs", PAGE, &format!("ws://{SYNC}/sync")]);
    // One address is to be opened, and it is the pages'.
    sync.stdout(Stdio::null());
    println!("\nOffline notes and the Conflict lab. Ctrl-C ends it; open in a browser:");
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let heard = flag::register(signal, Arc::clone(&ended));
        heard.map_err(|error| Failure::new(format!("signal {signal} can't be listened to: {error}")))?;
    }
    let mut running = [Running::start(&mut sync)?, Running::start(&mut page)?];
    while !ended.load(Ordering::Relaxed) {
        for process in &mut running {
            if let Ok(Some(status)) = process.0.try_wait()
                && !ended.load(Ordering::Relaxed)
            {
                return Err(Failure::new(format!("one of the two servers has ended: {status}")));
            }
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// A process that goes with us.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Result<Self, Failure> {
        command.spawn().map(Self).map_err(|error| Failure::new(format!("{command:?} can't be run: {error}")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
