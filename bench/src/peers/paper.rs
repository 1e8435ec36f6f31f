//! One long text on a peer: opening it, and coming back to it.
//!
//! Yjs servers get it as it was typed, an update a character. To automerge's, which would need hours for that, it is brought whole, by their own protocol.

mod automerge;
mod yjs;

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Peer;
use crate::figures::{Error, Figures, line};
use crate::process::Process;
use crate::rows::Bench;
use crate::rows::paper::Cost;
use crate::text;

/// How often a warm document is opened.
const OPENINGS: usize = 5;

/// Changes made on each side while apart.
const APART: usize = 100;

/// Longer than the two seconds for which Hocuspocus gathers; the others store sooner.
const STORES_WITHIN: Duration = Duration::from_secs(3);

/// The document, and the one a hundred times smaller.
const LONG: &str = "paper";
const SHORT: &str = "small";

/// Opens it warm and after a restart, and comes back to it and to a smaller one.
pub(super) async fn run(peer: Peer, bench: &Bench, figures: &mut Figures) -> Result<(), Error> {
    let edits = if bench.quick { text::typing(3_000) } else { text::edits(usize::MAX)? };
    let short = &edits[..edits.len() / 100];
    if peer.is_yjs() {
        let (mut long, mut short) = (yjs::Text::new(LONG, &edits)?, yjs::Text::new(SHORT, short)?);
        return steps(peer, bench, figures, &mut long, &mut short).await;
    }
    let (mut long, mut short) = (automerge::Text::new(LONG, &edits)?, automerge::Text::new(SHORT, short)?);
    steps(peer, bench, figures, &mut long, &mut short).await
}

/// A text and a client's copy of it.
pub(super) trait Held {
    /// Brings all of it to a server that has nothing of it.
    async fn bring(&mut self, peer: Peer, server: &Process) -> Result<(), Error>;

    /// Has somebody stay on it, for as long as `company` is kept, where a server would forget a document that nobody has open.
    async fn stay(&self, peer: Peer, server: &Process, company: &mut JoinSet<()>) -> Result<(), Error>;

    /// Opens it with nothing held, to the last change.
    async fn cold(&self, peer: Peer, server: &Process) -> Result<Cost, Error>;

    /// Somebody writes and leaves; the one who was away comes back with changes of their own.
    async fn reconnect(&mut self, peer: Peer, server: &Process) -> Result<Cost, Error>;
}

async fn steps<T: Held>(
    peer: Peer,
    bench: &Bench,
    figures: &mut Figures,
    long: &mut T,
    short: &mut T,
) -> Result<(), Error> {
    let data = bench.data()?;
    let server = peer.start(data.path()).await?;
    let start = Instant::now();
    long.bring(peer, &server).await?;
    line("brought to the server in", start.elapsed().as_secs_f64(), "s", "");
    let mut company = JoinSet::new();
    long.stay(peer, &server, &mut company).await?;
    let mut warm = Vec::new();
    for _ in 0..OPENINGS {
        warm.push(long.cold(peer, &server).await?);
    }
    let warm = Cost::median(&warm);
    figures.put("cold_wire_bytes", warm.up + warm.down);
    figures.put("cold_round_trips", warm.trips);
    figures.put("cold_server_cpu_ms", warm.cpu_ms);
    figures.put("cold_ms", warm.wall_ms);
    drop(company);
    stored(&server).await?;
    server.stop()?;
    let server = peer.start(data.path()).await?;
    short.bring(peer, &server).await?;
    server.calm().await?;
    let empty = server.kib("VmRSS")?;
    let restarted = long.cold(peer, &server).await?;
    figures.put("cold_server_cpu_ms_restarted", restarted.cpu_ms);
    figures.put("cold_ms_restarted", restarted.wall_ms);
    figures.put("cold_rss_mib", (server.kib("VmHWM")? - empty) / 1_024.0);
    let mut company = JoinSet::new();
    long.stay(peer, &server, &mut company).await?;
    short.stay(peer, &server, &mut company).await?;
    let times = bench.size(5, 2);
    let (mut longs, mut shorts) = (Vec::new(), Vec::new());
    // The first also pays for what is done once, and does not count.
    for time in 0..=times {
        longs.push(long.reconnect(peer, &server).await?);
        shorts.push(short.reconnect(peer, &server).await?);
        if time == 0 {
            (longs, shorts) = (Vec::new(), Vec::new());
        }
    }
    let (long, short) = (Cost::median(&longs), Cost::median(&shorts));
    figures.put("reconnect_bytes_up", long.up);
    figures.put("reconnect_bytes_down", long.down);
    figures.put("reconnect_round_trips", long.trips);
    figures.put("reconnect_server_cpu_ms", long.cpu_ms);
    figures.put("reconnect_size_ratio", (long.up + long.down) / (short.up + short.down));
    line("reconnect: wall", long.wall_ms, "ms", "");
    server.stop()
}

/// Waits until a server that stores later than it answers has stored.
async fn stored(server: &Process) -> Result<(), Error> {
    tokio::time::sleep(STORES_WITHIN).await;
    server.calm().await
}
