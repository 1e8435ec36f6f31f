//! A running server: starts its threads, tasks and listener in order, and stops them in order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::thread;
use std::time::Duration;

use sync_core::id::StoreId;
use sync_core::scope::{NamePattern, PatternError};
use sync_core::storage::{Store as _, StoreError};
use sync_core::{room, session};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::accept;
use crate::backplane::{Backplane, LocalBackplane};
use crate::budget::Budget;
use crate::clock::Clock;
use crate::compactor::Compactor;
use crate::compactor::maker::Maker;
use crate::config::Config;
use crate::config::settle::Settling;
use crate::health::Health;
use crate::http::{App, Hosts, router};
use crate::materialise::Materialiser;
use crate::meter;
use crate::own::Own;
use crate::rooms::{Rooms, Shared};
use crate::settler::Settler;
use crate::socket::Surroundings;
use crate::store::SqliteStore;
use crate::writer::StoreThreads;

/// Threads that materialise documents.
const MATERIALISERS: usize = 2;

/// How often a store that failed is tried again.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// How often metrics are tidied.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// A stop takes no longer, whoever does not answer.
pub const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Patience when stopping with all requests, connections, workers and threads.
const REQUESTS_END_WITHIN: Duration = Duration::from_secs(1);
const CONNECTIONS_END_WITHIN: Duration = Duration::from_secs(3);
const WORKERS_END_WITHIN: Duration = Duration::from_secs(1);
const THREADS_END_WITHIN: Duration = Duration::from_secs(4);

const _: () = assert!(
    REQUESTS_END_WITHIN.as_secs()
        + CONNECTIONS_END_WITHIN.as_secs()
        + WORKERS_END_WITHIN.as_secs()
        + THREADS_END_WITHIN.as_secs()
        < STOP_WITHIN.as_secs()
);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Anybody could reach it, and it asks nobody who they are.
    #[error(
        "without authentication the server does not listen beyond this machine ({0}): listen on 127.0.0.1, or say --allow-anonymous"
    )]
    Exposed(SocketAddr),
    /// What nobody may change is named in a way that can't match.
    #[error("read_only: {0}")]
    ReadOnly(#[from] PatternError),
    /// A name that it is to answer to is none.
    #[error("allow_host: {0}")]
    Host(String),
    /// A rule that is to settle conflicts is none, or can't hold anywhere.
    #[error("settle: {0}")]
    Settle(String),
    /// It can't listen there.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// It can't use the store.
    #[error("cannot use the data folder {0:?}: {1}")]
    Store(PathBuf, StoreError),
    /// It can't start threads.
    #[error("cannot start: {0}")]
    Threads(std::io::Error),
}

impl StartError {
    /// 2 where whoever started it can put it right by starting it differently, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Exposed(_) | Self::ReadOnly(_) | Self::Host(_) | Self::Settle(_) | Self::Listen(..) => 2,
            Self::Store(_, StoreError::Locked | StoreError::Newer { .. }) => 2,
            Self::Store(..) | Self::Threads(_) => 1,
        }
    }
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    health: Arc<Health>,
    store: StoreThreads,
    stop_connections: watch::Sender<bool>,
    stop_workers: watch::Sender<bool>,
    alive: mpsc::Receiver<()>,
    serving: JoinHandle<()>,
    background: Vec<JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Server {
    /// Opens the store and listens. Connections are accepted once this returns.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let (hosts, read_only, settling) = checked(config)?;
        // Before the store, so that a taken port leaves nothing behind.
        let listener = TcpListener::bind(config.listen).await.map_err(|e| StartError::Listen(config.listen, e))?;
        let address = listener.local_addr().map_err(|e| StartError::Listen(config.listen, e))?;
        let failed = |e| StartError::Store(config.data.clone(), e);
        let store = SqliteStore::open(&config.data, config.store()).map_err(failed)?;
        let store_id = store.store_id();
        let reader = store.reader().map_err(failed)?;
        let compaction_reader = store.reader().map_err(failed)?;
        let readers = (0..MATERIALISERS).map(|_| store.reader()).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let metrics = meter::install();
        let health = Arc::new(Health::default());
        let clock = Clock::start();
        let bus: Arc<dyn Backplane> = Arc::new(LocalBackplane::default());
        let (stop_workers, workers_stop) = watch::channel(false);
        let (stop_connections, stop) = watch::channel(false);
        let (store, mut threads) = StoreThreads::start(store, reader, health.clone()).map_err(StartError::Threads)?;
        let (materialiser, more) = Materialiser::start(readers, &*bus).map_err(StartError::Threads)?;
        threads.extend(more);
        let (room, idle) = (room::Config::new(store_id), config.room_idle());
        let shared = Shared { config: room, idle, clock, store: store.clone(), backplane: bus.clone() };
        let (rooms, workers) = Rooms::start(config.workers(), shared, &workers_stop);
        let compacting = config.compaction().map(|options| {
            let (store, rooms, stop, maker) = (store.clone(), rooms.clone(), workers_stop, Maker::of(config));
            Compactor { reader: compaction_reader, store, rooms, options, maker, stop }.start(&*bus)
        });
        let (sessions, budget) = (Arc::new(AtomicU64::new(1)), Budget::new(config.buffers_bytes_max));
        let own = Own::new(rooms.clone(), materialiser, sessions.clone(), budget.clone(), read_only.clone());
        let surroundings = surroundings(config, (read_only, budget), store_id, rooms.clone(), clock, stop.clone());
        let (alive_held, alive) = mpsc::channel(1);
        let mut background = background(store.clone(), health.clone(), metrics.clone());
        if let Some(started) = compacting {
            let (counting, thread) = started.map_err(StartError::Threads)?;
            background.push(counting);
            threads.push(thread);
        }
        background.extend(Settler::start(&own, settling, &*bus));
        let app = App {
            surroundings: Arc::new(surroundings),
            rooms,
            store: store.clone(),
            own,
            health: health.clone(),
            metrics,
            allow_origin: config.allow_origin.clone(),
            hosts,
            connections_max: config.connections_max,
            connections: Arc::new(AtomicUsize::new(0)),
            sessions,
            alive: alive_held,
        };
        let serving = tokio::spawn(accept::serve(listener, router(Arc::new(app)), stop));
        Ok(Self {
            address,
            health,
            store,
            stop_connections,
            stop_workers,
            alive,
            serving,
            background,
            workers,
            threads,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, tells sessions to come back later, commits what is queued, and ends. Within [`STOP_WITHIN`]: what was not committed by then was not
    /// acknowledged either.
    pub async fn stop(mut self) {
        self.health.stopping();
        self.stop_connections.send_replace(true);
        if tokio::time::timeout(REQUESTS_END_WITHIN, &mut self.serving).await.is_err() {
            self.serving.abort();
        }
        // Each connection holds a sender; none is left once all have ended.
        let _ = tokio::time::timeout(CONNECTIONS_END_WITHIN, self.alive.recv()).await;
        self.background.iter().for_each(JoinHandle::abort);
        self.stop_workers.send_replace(true);
        let workers = async {
            for worker in self.workers {
                let _ = worker.await;
            }
        };
        let _ = tokio::time::timeout(WORKERS_END_WITHIN, workers).await;
        let (store, threads) = (self.store, self.threads);
        let ended = async move {
            // Where the disk is stuck its queue may be full.
            store.stop().await;
            tokio::task::spawn_blocking(move || threads.into_iter().for_each(|t| drop(t.join()))).await
        };
        if tokio::time::timeout(THREADS_END_WITHIN, ended).await.is_err() {
            tracing::warn!("a thread is still busy; what it has acknowledged is safe");
        }
    }
}

/// What of a configuration can be wrong before anything is opened.
fn checked(config: &Config) -> Result<(Hosts, Vec<NamePattern>, Settling), StartError> {
    if !config.listen.ip().is_loopback() && !config.allow_anonymous {
        return Err(StartError::Exposed(config.listen));
    }
    let hosts = Hosts::new(config).map_err(StartError::Host)?;
    Ok((hosts, config.read_only()?, config.settling().map_err(StartError::Settle)?))
}

/// Resolves once a stop is asked for, or nobody could ask any more.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn surroundings(
    config: &Config,
    (read_only, budget): (Vec<NamePattern>, Budget),
    store_id: StoreId,
    rooms: Rooms,
    clock: Clock,
    stop: watch::Receiver<bool>,
) -> Surroundings {
    let heartbeat = Duration::from_secs(config.heartbeat_s.max(1));
    let opens = session::Rate { burst: config.opens_burst, per_s: config.opens_per_s };
    let pushes = session::Rate { burst: config.pushes_burst, per_s: config.pushes_per_s };
    let session = session::Config { heartbeat, opens, pushes, read_only, ..session::Config::new(store_id) };
    let write_within = Duration::from_secs(config.write_within_s.max(1));
    let reconnect_within = Duration::from_secs(config.reconnect_within_s);
    Surroundings { rooms, session, clock, budget, write_within, reconnect_within, stop }
}

fn background(
    store: StoreThreads,
    health: Arc<Health>,
    metrics: Option<metrics_exporter_prometheus::PrometheusHandle>,
) -> Vec<JoinHandle<()>> {
    let probing = tokio::spawn(async move {
        let mut every = tokio::time::interval(PROBE_EVERY);
        loop {
            every.tick().await;
            if health.store_failed() {
                store.probe();
            }
        }
    });
    let upkeep = tokio::spawn(async move {
        let mut every = tokio::time::interval(UPKEEP_EVERY);
        loop {
            every.tick().await;
            if let Some(metrics) = &metrics {
                metrics.run_upkeep();
            }
        }
    });
    vec![probing, upkeep]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::DATABASE_FILE;
    use crate::walk::tests::{history, store};

    /// It waited for a place in the writer's queue, behind everything that stood there.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_store_that_is_stuck_with_much_to_do_does_not_hold_up_a_stop() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let document = "d".parse().expect("a name");
        drop(store(dir.path(), &document, &history(1)));
        let listen = "127.0.0.1:0".parse().expect("an address");
        let config = Config { listen, data: dir.path().to_owned(), ..Config::default() };
        let server = Server::start(&config).await.expect("starts");
        // Somebody else writes, and does not end: each job takes as long as the writer waits for that.
        let other = rusqlite::Connection::open(dir.path().join(DATABASE_FILE)).expect("opens");
        other.execute_batch("BEGIN IMMEDIATE").expect("is free");
        let mut waiting = 0;
        while !server.store.is_full() || waiting < 2 {
            let (store, document) = (server.store.clone(), document.clone());
            waiting += usize::from(server.store.is_full());
            tokio::spawn(async move { store.delete(document).await });
            tokio::task::yield_now().await;
        }
        tokio::time::timeout(STOP_WITHIN, server.stop()).await.expect("stops");
        drop(other);
    }
}
