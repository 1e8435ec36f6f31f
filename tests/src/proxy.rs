//! A TCP proxy that is a bad network: it delays, thins, swallows and cuts bytes, per direction, and counts them.
//!
//! Works below WebSocket: it knows no frames, so that a cut falls in the middle of one as it would in life. Decides nothing by itself.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Bytes of one read; also the most that a lane forwards at once.
const CHUNK_BYTES: usize = 4096;

/// Chunks on their way in one lane; beyond that the sender feels back pressure.
const CHUNKS_IN_FLIGHT: usize = 256;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From client to server.
    Up,
    /// From server to client.
    Down,
}

/// What happens to bytes that go one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// Bytes vanish without a trace. A connection that has lost some can't go on: it is reset once both lanes are good again.
    pub swallow: bool,
    /// Every byte arrives so much later.
    pub delay: Duration,
    /// At most so many bytes a second.
    pub bytes_per_second: Option<u64>,
}

/// What happens to bytes both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// From client to server.
    pub up: Lane,
    /// From server to client.
    pub down: Lane,
}

impl Weather {
    /// Everything vanishes, and no side is told.
    pub fn dead() -> Self {
        let lane = Lane { swallow: true, ..Lane::default() };
        Self { up: lane, down: lane }
    }

    /// Every byte arrives so much later, each way.
    pub fn delayed(delay: Duration) -> Self {
        let lane = Lane { delay, ..Lane::default() };
        Self { up: lane, down: lane }
    }

    fn lane(&self, way: Way) -> Lane {
        match way {
            Way::Up => self.up,
            Way::Down => self.down,
        }
    }
}

/// What has gone through since the proxy began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub connections: u64,
    /// Bytes delivered to the server.
    pub up_bytes: u64,
    /// Bytes delivered to clients.
    pub down_bytes: u64,
    /// Bytes swallowed, both ways.
    pub swallowed_bytes: u64,
    /// Times the talk turned from server to client: each is at least one round trip.
    pub round_trips: u64,
}

impl Counts {
    /// What has come since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            connections: self.connections - earlier.connections,
            up_bytes: self.up_bytes - earlier.up_bytes,
            down_bytes: self.down_bytes - earlier.down_bytes,
            swallowed_bytes: self.swallowed_bytes - earlier.swallowed_bytes,
            round_trips: self.round_trips - earlier.round_trips,
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    connections: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    swallowed: AtomicU64,
    round_trips: AtomicU64,
    /// Bytes that may still pass each way before all connections are cut, plus one; 0 for any number.
    cut_up: AtomicU64,
    cut_down: AtomicU64,
}

impl Shared {
    fn passed(&self, way: Way) -> &AtomicU64 {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }

    fn cut(&self, way: Way) -> &AtomicU64 {
        match way {
            Way::Up => &self.cut_up,
            Way::Down => &self.cut_down,
        }
    }

    /// How many of `len` bytes may pass, and whether the cut comes after them.
    fn budget(&self, way: Way, len: usize) -> (usize, bool) {
        let left = self.cut(way).load(Ordering::Relaxed);
        if left == 0 {
            return (len, false);
        }
        let allowed = (left - 1).min(len as u64);
        if allowed == left - 1 {
            self.cut(way).store(0, Ordering::Relaxed);
            return (allowed as usize, true);
        }
        self.cut(way).store(left - allowed, Ordering::Relaxed);
        (allowed as usize, false)
    }
}

/// A proxy in front of one address. Dropping it ends its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    weather: watch::Sender<Weather>,
    cuts: watch::Sender<u64>,
}

impl Proxy {
    /// Listens on a free port of the loopback interface and forwards to `target`, in good weather.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (weather, _) = watch::channel(Weather::default());
        let (cuts, _) = watch::channel(0);
        let proxy = Self { address, shared: Arc::default(), weather, cuts };
        let (shared, weather, mut ended) = (proxy.shared.clone(), proxy.weather.subscribe(), proxy.weather.subscribe());
        let cuts = proxy.cuts.clone();
        let accepting = async move {
            while let Ok((client, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(carry(client, target, shared.clone(), weather.clone(), cuts.clone()));
            }
        };
        tokio::spawn(async move {
            tokio::select! {
                () = accepting => {}
                () = async { while ended.changed().await.is_ok() {} } => {}
            }
        });
        Ok(proxy)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather for connections that are there and those that come.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Resets every connection now, on both sides.
    pub fn cut(&self) {
        self.cuts.send_modify(|n| *n += 1);
    }

    /// Resets every connection once so many more bytes have passed one way: most likely in the middle of a frame.
    pub fn cut_after(&self, way: Way, bytes: u64) {
        self.shared.cut(way).store(bytes + 1, Ordering::Relaxed);
    }

    /// What has gone through so far.
    pub fn counts(&self) -> Counts {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        Counts {
            connections: read(&self.shared.connections),
            up_bytes: read(&self.shared.up),
            down_bytes: read(&self.shared.down),
            swallowed_bytes: read(&self.shared.swallowed),
            round_trips: read(&self.shared.round_trips),
        }
    }
}

/// What the two lanes of a connection share.
struct Connection {
    shared: Arc<Shared>,
    weather: watch::Receiver<Weather>,
    cuts: watch::Sender<u64>,
    lost: AtomicBool,
    /// Whether the last bytes went down.
    server_spoke: AtomicBool,
}

async fn carry(
    client: TcpStream,
    target: SocketAddr,
    shared: Arc<Shared>,
    mut weather: watch::Receiver<Weather>,
    cuts: watch::Sender<u64>,
) {
    let mut cut = cuts.subscribe();
    let Ok(server) = TcpStream::connect(target).await else { return };
    // Small messages go at once, or the proxy would add a delay of its own.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let of = Connection {
        shared,
        weather: weather.clone(),
        cuts,
        lost: AtomicBool::new(false),
        server_spoke: AtomicBool::new(true),
    };
    let (client_in, mut client_out) = client.into_split();
    let (server_in, mut server_out) = server.into_split();
    let healed = async {
        while weather.changed().await.is_ok() {
            let now = *weather.borrow_and_update();
            if of.lost.load(Ordering::Relaxed) && !now.up.swallow && !now.down.swallow {
                return;
            }
        }
    };
    let reset = tokio::select! {
        _ = both(lane(Way::Up, client_in, &mut server_out, &of), lane(Way::Down, server_in, &mut client_out, &of)) => false,
        _ = cut.changed() => true,
        () = healed => true,
    };
    if reset {
        // With this a close is a reset: neither side may take it for a polite end.
        let _ = (client_out.as_ref().set_zero_linger(), server_out.as_ref().set_zero_linger());
        // A half that is dropped shuts its direction down politely; forgetting keeps it quiet until the socket goes.
        client_out.forget();
        server_out.forget();
    }
}

async fn both(up: impl Future<Output = io::Result<()>>, down: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    tokio::try_join!(up, down).map(|_| ())
}

async fn lane(way: Way, mut from: OwnedReadHalf, to: &mut OwnedWriteHalf, of: &Connection) -> io::Result<()> {
    let (chunks, mut arrived) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_IN_FLIGHT);
    let weather = || of.weather.borrow().lane(way);
    let reading = async move {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let len = from.read(&mut buffer).await?;
            let lane = weather();
            if lane.swallow || of.lost.load(Ordering::Relaxed) {
                if len > 0 {
                    of.lost.store(true, Ordering::Relaxed);
                    of.shared.swallowed.fetch_add(len as u64, Ordering::Relaxed);
                    continue;
                }
                // The end of the connection vanishes too.
                return std::future::pending().await;
            }
            if len == 0 || chunks.send((Instant::now() + lane.delay, buffer[..len].to_vec())).await.is_err() {
                return io::Result::Ok(());
            }
        }
    };
    let writing = async {
        while let Some((due, bytes)) = arrived.recv().await {
            tokio::time::sleep_until(due).await;
            let (allowed, cut) = of.shared.budget(way, bytes.len());
            to.write_all(&bytes[..allowed]).await?;
            of.shared.passed(way).fetch_add(allowed as u64, Ordering::Relaxed);
            let server_spoke = of.server_spoke.swap(way == Way::Down, Ordering::Relaxed);
            if way == Way::Up && server_spoke {
                of.shared.round_trips.fetch_add(1, Ordering::Relaxed);
            }
            if cut {
                of.cuts.send_modify(|n| *n += 1);
                return std::future::pending().await;
            }
            if let Some(rate) = weather().bytes_per_second {
                tokio::time::sleep(Duration::from_secs_f64(allowed as f64 / rate.max(1) as f64)).await;
            }
        }
        to.shutdown().await
    };
    both(reading, writing).await
}
