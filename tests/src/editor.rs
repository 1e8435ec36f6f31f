//! The editor without a person as a process, and the ledger of what it said: which tokens were saved, which were acknowledged.
//!
//! The ledger outlives the process. Owns waiting for what is said, each time with a bound; decides nothing.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long anything that is waited for may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What one editor has said, over all its lives.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Tokens it was told to write.
    pub written: BTreeSet<String>,
    /// Tokens it reported as being on its disk.
    pub saved: BTreeSet<String>,
    /// Tokens it reported as acknowledged by the server.
    pub acknowledged: BTreeSet<String>,
    /// What the present process has said, oldest first.
    pub said: Vec<String>,
    ended: bool,
}

impl Ledger {
    /// How often the present process has lost a connection, or could not make one.
    pub fn disconnects(&self) -> usize {
        self.said.iter().filter(|line| line.starts_with("disconnected")).count()
    }
}

type Shared = Arc<(Mutex<Ledger>, Condvar)>;

/// An editor that runs, or ran.
#[derive(Debug)]
pub struct Editor {
    shared: Shared,
    child: Option<(Child, ChildStdin)>,
    server: String,
    make: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Editor {
    /// An editor on the store `dir` of the server at `url`, not started. `within` are words put before the program, such as `ip netns exec NAME`.
    pub fn new(program: &str, within: &[&str], url: &str, dir: &Path) -> Self {
        let mut make: Vec<String> = within.iter().map(|w| (*w).to_owned()).collect();
        make.extend([program, "--store", &dir.to_string_lossy()].map(ToOwned::to_owned));
        Self { shared: Arc::default(), child: None, server: url.to_owned(), make, environment: Vec::new() }
    }

    /// Sets a variable in the environment of processes started from now on.
    pub fn environment(&mut self, key: &str, value: &str) {
        self.environment.push((key.to_owned(), value.to_owned()));
    }

    /// Connects to another address when it is started next.
    pub fn serve_from(&mut self, url: &str) {
        self.server = url.to_owned();
    }

    /// Starts it and waits until its document is open.
    #[track_caller]
    pub fn start(&mut self) {
        self.spawn();
        self.wait("being ready", |ledger| ledger.said.iter().any(|line| line == "ready"));
    }

    /// Starts it and waits for nothing.
    #[track_caller]
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let mut command = Command::new(&self.make[0]);
        command.args(&self.make[1..]).args(["--server", &self.server]).envs(self.environment.iter().cloned());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the editor starts");
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = child.stdout.take().expect("it is piped");
        {
            let mut ledger = self.ledger();
            ledger.said.clear();
            ledger.ended = false;
        }
        let shared = self.shared.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                note(&shared, line);
            }
            lock(&shared).ended = true;
            shared.1.notify_all();
        });
        self.child = Some((child, stdin));
    }

    /// Whether a process of it runs that was not killed.
    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").0.id()
    }

    /// Tells it to write a token. A process that has just died does not hear it.
    pub fn edit(&mut self, token: &str) {
        self.ledger().written.insert(token.to_owned());
        self.tell(&format!("edit {token}"));
    }

    /// Types a line.
    pub fn tell(&mut self, line: &str) {
        if let Some((_, stdin)) = &mut self.child {
            // Whoever dies before it reads the line has not heard it.
            let _ = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        }
    }

    /// The tokens its document shows, in order.
    #[track_caller]
    pub fn show(&mut self) -> Vec<String> {
        let answer = self.ask("show", "shows ");
        answer.split(' ').skip(2).filter(|token| !token.is_empty()).map(ToOwned::to_owned).collect()
    }

    /// Its state and the number of its pending changes.
    #[track_caller]
    pub fn status(&mut self) -> (String, usize) {
        let answer = self.ask("status", "status ");
        let mut words = answer.split(' ').skip(1).map(ToOwned::to_owned);
        let state = words.next().expect("a status has a state");
        (state, words.next().and_then(|n| n.parse().ok()).expect("a status has a count"))
    }

    #[track_caller]
    fn ask(&mut self, line: &str, prefix: &str) -> String {
        let before = self.ledger().said.len();
        self.tell(line);
        let found = |ledger: &Ledger| ledger.said.iter().skip(before).any(|said| said.starts_with(prefix));
        self.wait(prefix, found);
        let ledger = self.ledger();
        let answer = ledger.said.iter().skip(before).find(|said| said.starts_with(prefix));
        answer.expect("it was waited for").clone()
    }

    /// Waits until its ledger is as wanted.
    #[track_caller]
    pub fn wait(&self, what: &str, reached: impl Fn(&Ledger) -> bool) {
        assert!(self.wait_for(PATIENCE, reached), "no {what} in {PATIENCE:?}: {:#?}", self.last_words());
    }

    /// Waits at most so long until its ledger is as wanted; whether it came to be.
    pub fn wait_for(&self, patience: Duration, reached: impl Fn(&Ledger) -> bool) -> bool {
        let until = Instant::now() + patience;
        let mut ledger = self.ledger();
        loop {
            if reached(&ledger) {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || ledger.ended {
                return false;
            }
            ledger = self.shared.1.wait_timeout(ledger, left).expect("nobody panics with the ledger").0;
        }
    }

    /// What it has said so far.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.shared)
    }

    fn last_words(&self) -> Vec<String> {
        let ledger = self.ledger();
        ledger.said[ledger.said.len().saturating_sub(20)..].to_vec()
    }

    /// Waits until the server has acknowledged every token it was told to write.
    #[track_caller]
    pub fn all_acknowledged(&self) {
        self.wait("acknowledgement of all", |ledger| ledger.written.is_subset(&ledger.acknowledged));
    }

    /// `kill -9`; what it said before is heard to the end.
    pub fn kill(&mut self) {
        let Some((mut child, _)) = self.child.take() else { return };
        child.kill().expect("it is ours");
        child.wait().expect("it is dead");
        self.hear_out();
    }

    /// Sends a signal by name, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let killed = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(killed.expect("kill runs").success(), "{name} to {}", self.pid());
    }

    /// Ends it as a user does.
    #[track_caller]
    pub fn quit(&mut self) {
        self.tell("quit");
        let Some((mut child, stdin)) = self.child.take() else { return };
        assert!(child.wait().expect("it ends").success(), "{:#?}", self.last_words());
        drop(stdin);
        self.hear_out();
    }

    fn hear_out(&self) {
        let mut ledger = self.ledger();
        while !ledger.ended {
            ledger = self.shared.1.wait(ledger).expect("nobody panics with the ledger");
        }
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        if let Some((mut child, _)) = self.child.take() {
            // Both fail only if it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, Ledger> {
    shared.0.lock().expect("nobody panics with the ledger")
}

fn note(shared: &Shared, line: String) {
    let mut ledger = lock(shared);
    match line.split_once(' ') {
        Some(("saved", token)) => drop(ledger.saved.insert(token.to_owned())),
        Some(("acknowledged", token)) => drop(ledger.acknowledged.insert(token.to_owned())),
        _ => {}
    }
    ledger.said.push(line);
    drop(ledger);
    shared.1.notify_all();
}
