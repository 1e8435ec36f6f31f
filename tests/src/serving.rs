//! The real server program as a process that may die and come back on the same folder and port.
//!
//! For tests that kill, stop or cut it off. Owns the process; the folder is the caller's, so that it outlives it.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::server;

/// A server that runs, or ran.
#[derive(Debug)]
pub struct Serving {
    make: Vec<String>,
    environment: Vec<(String, String)>,
    listen: SocketAddr,
    child: Option<Child>,
}

impl Serving {
    /// The server program that `REJOIN_SERVER` names, else the one beside this program, on the folder `data`, not started. It listens on `listen`; port 0
    /// stands for any, which it then keeps. `within` are words put before the program, such as `ip netns exec NAME`.
    pub fn new(within: &[&str], listen: SocketAddr, data: &Path, more: &[&str]) -> Self {
        let mut make: Vec<String> = within.iter().map(|w| (*w).to_owned()).collect();
        make.push(server::program().expect("tests start a server program").to_string_lossy().into_owned());
        make.extend(["serve", "--data", &data.to_string_lossy()].map(ToOwned::to_owned));
        make.extend(more.iter().map(|w| (*w).to_owned()));
        // Silence is noticed after two heartbeats. What goes well is not said among the tests' own lines.
        let environment = [("REJOIN_HEARTBEAT_S", "1"), ("REJOIN_LOG", "warn")];
        let environment = environment.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Self { make, environment, listen, child: None }
    }

    /// Sets a variable in the environment of processes started from now on.
    pub fn environment(&mut self, key: &str, value: &str) {
        self.environment.push((key.to_owned(), value.to_owned()));
    }

    /// Starts it and waits for nothing.
    #[track_caller]
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let mut command = Command::new(&self.make[0]);
        command.args(&self.make[1..]).args(["--listen", &self.listen.to_string()]);
        command.envs(self.environment.iter().cloned());
        self.child = Some(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the server starts"));
    }

    /// Starts it and waits until it says where it listens.
    #[track_caller]
    pub fn start(&mut self) {
        self.spawn();
        let child = self.child.as_mut().expect("it was started");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        stdout.read_line(&mut line).expect("it says a line");
        let address = line.split("http://").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|a| a.parse().ok());
        self.listen = address.unwrap_or_else(|| panic!("it does not say where it listens: {line:?}"));
        // Whatever it says later must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Its address for clients.
    pub fn url(&self) -> String {
        format!("ws://{}/sync", self.listen)
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Whether it was started and not killed.
    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Sends a signal by name, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let killed = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(killed.expect("kill runs").success(), "{name} to {}", self.pid());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it is ours");
            child.wait().expect("it is dead");
        }
    }

    /// Ends it politely; gives how it ended.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.take().expect("it runs").wait().expect("it ends")
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.kill();
    }
}
