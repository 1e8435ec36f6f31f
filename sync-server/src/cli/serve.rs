//! `serve`: runs the server until it is told to stop.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use super::Failure;
use crate::config::DurabilityMode;
use crate::{Config, Server};

/// What is logged unless `REJOIN_LOG` says otherwise. That a new store was made is said by the address being listened on.
const LOG: &str = "info,rusqlite_migration=warn";

/// What the command line says; what it does not say comes from `REJOIN_*`, a file, or the defaults.
#[derive(Debug, Args, Serialize)]
pub(super) struct Serve {
    /// The folder that holds the store [default: ./rejoin-data]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:8787]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
    /// Let anybody connect from beyond this machine
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    allow_anonymous: bool,
    /// What an acknowledgement promises [default: durable]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    durability: Option<DurabilityMode>,
    /// An origin of web pages that may connect, beside the server's own; repeatable; `*` for all
    #[arg(long)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow_origin: Vec<String>,
    /// A name that the server is reached by, as a proxy passes it on, beside addresses, localhost and the origins' names; repeatable; `*` for all
    #[arg(long)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow_host: Vec<String>,
    /// Documents that nobody may change, by a pattern of their names, such as `archive/**`; repeatable
    #[arg(long)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    read_only: Vec<String>,
    /// Tasks that host documents; one a core if 0
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    workers: Option<usize>,
    /// Seconds after which a document that nobody has open leaves memory [default: 60]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    room_idle_s: Option<u64>,
    /// Most connections at a time [default: 20000]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    connections_max: Option<usize>,
    /// Most bytes held for all connections together; who holds much is closed when it is reached [default: 536870912]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    buffers_bytes_max: Option<usize>,
    /// Documents that one connection may open at once, after a rest [default: 5000]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    opens_burst: Option<u32>,
    /// Documents that one connection may open a second beyond that; 0 sets no bound [default: 200]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    opens_per_s: Option<u32>,
    /// Batches that one connection may push at once, after a rest [default: 64000]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pushes_burst: Option<u32>,
    /// Batches that one connection may push a second beyond that; 0 sets no bound [default: 20000]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pushes_per_s: Option<u32>,
    /// Seconds of silence, doubled, after which a client is taken for gone [default: 20]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    heartbeat_s: Option<u64>,
    /// A client that takes nothing for so many seconds while something waits for it is dropped [default: 20]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    write_within_s: Option<u64>,
    /// When stopping, clients spread their return over this many seconds [default: 5]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    reconnect_within_s: Option<u64>,
    /// Most bytes of the store's file; pushes beyond are refused as on a full disk [default: no bound]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    store_bytes_max: Option<u64>,
    /// A TOML file with the same names, underscores for dashes [default: rejoin.toml, if there is one]
    #[arg(long)]
    #[serde(skip)]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &Serve) -> Result<(), Failure> {
    let mut config = Config::gather(args.config.as_deref(), args).map_err(Failure::usage)?;
    config.worker = std::env::current_exe().ok();
    let filter = log_filter(std::env::var_os("REJOIN_LOG")).map_err(Failure::usage)?;
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::data)?;
    let result = runtime.block_on(serve(&config));
    // What still runs has been given its time.
    runtime.shutdown_background();
    result
}

/// What is logged.
fn log_filter(said: Option<OsString>) -> Result<EnvFilter, String> {
    let said = said.filter(|said| !said.is_empty()).unwrap_or_else(|| LOG.into());
    let filter = said.to_str().map(EnvFilter::try_new);
    let wrong = |why: &dyn Display| format!("REJOIN_LOG={said:?} is no filter such as {LOG}: {why}");
    filter.ok_or_else(|| wrong(&"it is no text"))?.map_err(|e| wrong(&e))
}

async fn serve(config: &Config) -> Result<(), Failure> {
    // Before the address is said, so that whoever waits for that may stop it at once.
    let stopped = stop_signal().map_err(Failure::data)?;
    let server = Server::start(config).await.map_err(|e| Failure { code: e.exit_code(), message: e.to_string() })?;
    let address = server.address();
    let durability = match config.durability {
        DurabilityMode::Durable => "",
        DurabilityMode::Normal => ", acknowledging before the disk has it",
    };
    println!("listening on http://{address} (WebSocket /sync), data in {}{durability}", config.data.display());
    let _ = std::io::stdout().flush();
    stopped.await;
    server.stop().await;
    Ok(())
}

/// Each connection takes an open file, and many systems begin with 1,024 though they allow more.
#[cfg(unix)]
fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(e) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(error = %e, "the bound on open files can't be raised");
    }
}

/// Each connection takes an open file, which this system does not count.
#[cfg(not(unix))]
fn raise_open_files() {}

/// Resolves when the process is told to stop.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Resolves when the process is told to stop.
#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async { drop(tokio::signal::ctrl_c().await) })
}
