//! The real server program as a process, on a folder and a port of its own, and what it says over HTTP.
//!
//! For the demo and for tests. Owns the process and its folder; knows nothing of the protocol.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// How long the server may take to come up, and to go down.
const WITHIN: Duration = Duration::from_secs(20);

const POLL: Duration = Duration::from_millis(20);

/// What it says goes to this file of its folder.
const LOG: &str = "server.log";

/// What goes wrong, as a sentence for whoever runs this.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    arguments: Vec<String>,
    address: SocketAddr,
    folder: tempfile::TempDir,
    child: Child,
}

impl Server {
    /// Starts `program`, else the one that `REJOIN_SERVER` names, else the one beside this program, on the first free of `ports`
    /// (0 stands for any), and waits until it is ready.
    pub async fn start(program: Option<PathBuf>, ports: &[u16]) -> Result<Self, Error> {
        Self::start_with(program, ports, &[]).await
    }

    /// The same with further arguments to `serve`.
    pub async fn start_with(program: Option<PathBuf>, ports: &[u16], arguments: &[&str]) -> Result<Self, Error> {
        let program = program.map_or_else(self::program, Ok)?;
        let folder = tempfile::Builder::new().prefix("rejoin-demo-").tempdir()?;
        let address = free_address(ports).await?;
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        let child = spawn(&program, address, folder.path(), &arguments)?;
        let mut server = Self { program, arguments, address, folder, child };
        server.ready().await?;
        Ok(server)
    }

    /// Starts it again on the same folder and address after [`Server::kill`] or [`Server::terminate`], and waits until it is ready.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.child = spawn(&self.program, self.address, self.folder.path(), &self.arguments)?;
        self.ready().await
    }

    async fn ready(&mut self) -> Result<(), Error> {
        let ready = tokio::time::timeout(WITHIN, async {
            loop {
                if let Some(status) = self.child.try_wait()? {
                    return Err(Error::from(format!("the server ended with {status}:\n{}", self.log()?)));
                }
                if matches!(self.get("/readyz").await, Ok((200, _))) {
                    return Ok(());
                }
                tokio::time::sleep(POLL).await;
            }
        });
        ready.await.map_err(|_| format!("the server at {} is not ready after {} s", self.address, WITHIN.as_secs()))?
    }

    /// `kill -9`.
    pub async fn kill(&mut self) -> Result<(), Error> {
        Ok(self.child.kill().await?)
    }

    /// The number of its process, while it runs.
    pub fn process(&self) -> Option<u32> {
        self.child.id()
    }

    /// All that it has said, over restarts.
    pub fn log(&self) -> Result<String, Error> {
        Ok(std::fs::read_to_string(self.folder.path().join(LOG))?)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address for people and HTTP.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its address for clients.
    pub fn socket_url(&self) -> String {
        format!("ws://{}/sync", self.address)
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Where clients of the demo may keep their data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The status and body of a GET.
    pub async fn get(&self, path: &str) -> Result<(u16, Vec<u8>), Error> {
        self.http("GET", path).await
    }

    /// The status and body that answer a request without a body.
    pub async fn http(&self, method: &str, path: &str) -> Result<(u16, Vec<u8>), Error> {
        let mut stream = TcpStream::connect(self.address).await?;
        let request = format!("{method} {path} HTTP/1.0\r\nHost: {}\r\nAccept: application/json\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let split = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or("no HTTP answer")?;
        let head = std::str::from_utf8(&answer[..split])?;
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or("no HTTP status")?;
        Ok((status, answer[split + 4..].to_vec()))
    }

    /// A document's value.
    pub async fn document(&self, name: &str) -> Result<serde_json::Value, Error> {
        let path = format!("/v1/documents/{}", name.replace('/', "%2F"));
        match self.get(&path).await? {
            (200, body) => Ok(serde_json::from_slice(&body)?),
            (status, body) => Err(format!("GET {path}: {status} {}", String::from_utf8_lossy(&body)).into()),
        }
    }

    /// Ends it politely, for good.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.terminate().await
    }

    /// Ends it politely.
    pub async fn terminate(&mut self) -> Result<(), Error> {
        let pid = self.child.id().ok_or("the server has ended by itself")?.to_string();
        Command::new("kill").args(["-TERM", &pid]).status().await?;
        let status = tokio::time::timeout(WITHIN, self.child.wait()).await.map_err(|_| "the server does not end")??;
        if status.success() { Ok(()) } else { Err(format!("the server ended with {status}").into()) }
    }
}

fn spawn(program: &Path, address: SocketAddr, folder: &Path, arguments: &[String]) -> Result<Child, Error> {
    let log = std::fs::File::options().create(true).append(true).open(folder.join(LOG))?;
    Command::new(program)
        .args(["serve", "--listen", &address.to_string(), "--data"])
        .arg(folder.join("data"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("{} can't be run: {e}", program.display()).into())
}

/// The server program that `REJOIN_SERVER` names, else the one beside this program.
pub fn program() -> Result<PathBuf, Error> {
    std::env::var_os("REJOIN_SERVER").map_or_else(beside, |named| Ok(named.into()))
}

fn beside() -> Result<PathBuf, Error> {
    let own = std::env::current_exe()?;
    // Tests lie one folder deeper than programs.
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join("sync-server")).find(|p| p.is_file());
    found.ok_or_else(|| {
        "there is no sync-server program: cargo build -p sync-server makes it, --server names another".into()
    })
}

async fn free_address(ports: &[u16]) -> Result<SocketAddr, Error> {
    for port in ports {
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", *port)).await {
            return Ok(listener.local_addr()?);
        }
    }
    Err("no port of the loopback interface is free".into())
}
