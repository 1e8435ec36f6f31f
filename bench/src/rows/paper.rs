//! One long text: opening it, coming back to it, writing to it, what it takes on disk, and what the validator costs on it.
//!
//! It is brought to the server as it was typed, a change a push, so that what is kept is what writers leave behind.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use sync_core::change::Change;
use sync_core::id::LogSeq;
use sync_core::limits::ChangeLimits;
use sync_core::newcomer;
use sync_core::op_index::OpIndex;
use sync_core::pack;
use sync_core::protocol::{ServerMessage, accepts};
use sync_core::saved::Saved;
use sync_core::table::ChangeTable;
use sync_core::validator::admit;
use sync_core::view::View;

use crate::copy::{self, Copy};
use crate::figures::{Error, Figures, heading, line, median};
use crate::process::Process;
use crate::rows::{Bench, back};
use crate::text;
use crate::typing::{Packer, Typist};
use crate::wire::{Client, hello, hello_accepting, open};

/// Pushes unanswered while the text is brought to the server.
const IN_FLIGHT: usize = 64;

/// Pushes of one connection, fewer than the server takes at once: what is measured comes after, and should not be told to wait.
const PER_CONNECTION: usize = 50_000;

/// How often a warm document is opened.
const OPENINGS: usize = 5;

/// Longest time until a document that rests has a snapshot.
const SNAPSHOT_WITHIN: Duration = Duration::from_secs(120);

/// Brings changes to the server under a name, one a push.
pub(super) async fn bring(server: &Process, name: &str, changes: &[Change]) -> Result<Copy, Error> {
    let (mut packer, mut held) = (Packer::default(), None);
    for part in changes.chunks(PER_CONNECTION) {
        let mut client = Client::connect(server.address).await?;
        copy::follow(&mut client, name, &mut held).await?;
        packer.reconnected();
        let mut frames = VecDeque::with_capacity(part.len());
        for change in part {
            frames.push_back(packer.push(std::slice::from_ref(change))?.encode());
            held.as_mut().ok_or("the answer begins it")?.log.append(change)?;
        }
        client.pipeline(&mut frames, IN_FLIGHT).await?;
    }
    held.ok_or_else(|| "nothing to bring".into())
}

/// What one conversation cost.
pub(crate) struct Cost {
    pub(crate) up: f64,
    pub(crate) down: f64,
    pub(crate) trips: f64,
    pub(crate) cpu_ms: f64,
    pub(crate) wall_ms: f64,
}

impl Cost {
    /// What was spent since `start` and `cpu`, by a client that has just got what it wanted.
    pub(super) fn since(server: &Process, client: &Client, cpu: f64, start: Instant) -> Result<Self, Error> {
        let wall_ms = start.elapsed().as_secs_f64() * 1e3;
        let (up, down) = client.socket.bytes();
        let cpu_ms = server.cpu_ms_fine()? - cpu;
        Ok(Self { up: up as f64, down: down as f64, trips: f64::from(client.trips()), cpu_ms, wall_ms })
    }

    /// The middle of each.
    pub(crate) fn median(costs: &[Self]) -> Self {
        let of = |pick: fn(&Self) -> f64| median(&costs.iter().map(pick).collect::<Vec<_>>());
        Self {
            up: of(|c| c.up),
            down: of(|c| c.down),
            trips: of(|c| c.trips),
            cpu_ms: of(|c| c.cpu_ms),
            wall_ms: of(|c| c.wall_ms),
        }
    }
}

/// A conversation with nothing held, to the last change, by a client that takes snapshots, and with `views` a view before.
async fn cold_open(server: &Process, name: &str, last: u64, views: bool) -> Result<Cost, Error> {
    let mut client = Client::connect(server.address).await?;
    server.calm().await?;
    let (cpu, start) = (server.cpu_ms_fine()?, Instant::now());
    let hello = hello_accepting(accepts::SNAPSHOTS | if views { accepts::VIEWS } else { 0 });
    client.send(&[hello, open(name)]).await?;
    until(&mut client, last, 0).await?;
    Cost::since(server, &client, cpu, start)
}

/// Waits until the server has made the snapshot of a document at rest, which holds all but a small part of it, and proves that it holds just
/// these changes. Takes down how long it takes to load, in milliseconds, and how long to come to the end of the view.
async fn handed(server: &Process, name: &str, changes: &[Change], figures: &mut Figures) -> Result<(), Error> {
    let (start, last) = (Instant::now(), LogSeq(changes.len() as u64));
    loop {
        let mut client = Client::connect(server.address).await?;
        let asked = Instant::now();
        client.send(&[hello_accepting(accepts::SNAPSHOTS | accepts::VIEWS), open(name)]).await?;
        let (mut view, mut saved, mut view_ms) = (Vec::new(), Vec::new(), 0.0);
        loop {
            match client.next().await? {
                ServerMessage::Changes(_) => break,
                // One that was made while the text was being brought: there will be another.
                ServerMessage::Snapshot(piece)
                    if newcomer::is_due(last, Some(piece.seq), true, &newcomer::Options::default()) =>
                {
                    break;
                }
                ServerMessage::Snapshot(piece) if piece.index < piece.views => {
                    view.extend_from_slice(&piece.bytes.0);
                    view_ms = asked.elapsed().as_secs_f64() * 1e3;
                }
                ServerMessage::Snapshot(piece) => {
                    saved.extend_from_slice(&piece.bytes.0);
                    if piece.index + 1 == piece.total {
                        return prove(&view, &saved, view_ms, changes, figures);
                    }
                }
                _ => {}
            }
        }
        if start.elapsed() > SNAPSHOT_WITHIN {
            return Err("no snapshot was made".into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn prove(view: &[u8], saved: &[u8], view_ms: f64, changes: &[Change], figures: &mut Figures) -> Result<(), Error> {
    line("the view, deflated", view.len() as f64, "bytes", "");
    if !view.is_empty() {
        View::decode(view)?;
        figures.put("cold_view_ms", view_ms);
    }
    let start = Instant::now();
    let (_, table) = Saved::decode(saved)?.open()?;
    figures.put("cold_load_ms", start.elapsed().as_secs_f64() * 1e3);
    // What came after it is sent behind it.
    line("changes in the saved document", table.len() as f64, "", "");
    let (held, all) = (table.len(), changes.len());
    if held > all || !changes.iter().take(held).all(|change| table.contains(&change.hash())) {
        return Err("the snapshot holds other changes than were brought".into());
    }
    Ok(())
}

/// Reads until the log is held up to `last` and `acks` pushes are answered.
pub(super) async fn until(client: &mut Client, last: u64, mut acks: usize) -> Result<(), Error> {
    let mut held = 0;
    while held < last || acks > 0 {
        match client.next().await? {
            ServerMessage::Changes(changes) => {
                let count = changes.pack.as_ref().map_or(Ok(0), |pack| pack::count(&pack.0))?;
                held = changes.sparse.map_or(changes.first.0 + u64::from(count) - 1, |end| end.last.0);
            }
            ServerMessage::Snapshot(piece) if piece.index + 1 == piece.total => held = piece.seq.0,
            ServerMessage::Ack(ack) => {
                acks -= 1;
                held = held.max(ack.first.0 + u64::from(ack.count) - 1);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Runs all of them, on one folder whose server is started again in between.
pub(crate) async fn run(bench: &Bench, figures: &mut Figures) -> Result<(), Error> {
    let long = if bench.quick { text::typed(9_000)? } else { text::paper(usize::MAX)? };
    let (typist, changes) = long;
    let which = if bench.quick { "typed text" } else { "automerge-paper" };
    heading("one long text", &format!("{which}, {} changes of one character", changes.len()));
    validator(&typist, &changes, figures)?;
    let data = bench.data()?;
    let server = bench.product(data.path())?;
    let (small_typist, small_changes) = if bench.quick { text::typed(30)? } else { text::paper(changes.len() / 100)? };
    let start = Instant::now();
    let copy = bring(&server, "paper", &changes).await?;
    line("brought to the server", changes.len() as f64 / start.elapsed().as_secs_f64(), "changes/s", "");
    let last = changes.len() as u64;
    handed(&server, "paper", &changes, figures).await?;
    let (mut warm, mut seen) = (Vec::new(), Vec::new());
    for _ in 0..OPENINGS {
        warm.push(cold_open(&server, "paper", last, false).await?);
        seen.push(cold_open(&server, "paper", last, true).await?);
    }
    server.stop()?;
    let seen = Cost::median(&seen);
    figures.put("cold_wire_bytes_view", seen.up + seen.down);
    disk(bench, data.path(), &changes, figures)?;
    cold(bench, data.path(), last, &Cost::median(&warm), figures).await?;
    let server = bench.product(data.path())?;
    first_push(&server, &typist, &changes, figures).await?;
    server.stop()?;
    let server = bench.product(data.path())?;
    back::segment(&server, "paper", &copy, &typist, &changes, figures).await?;
    let small = bring(&server, "small", &small_changes).await?;
    let times = bench.size(10, 2);
    let long = back::reconnect(&server, "paper", copy, typist, &changes, times).await?;
    let short = back::reconnect(&server, "small", small, small_typist, &small_changes, times).await?;
    figures.put("reconnect_bytes_up", long.up);
    figures.put("reconnect_bytes_down", long.down);
    figures.put("reconnect_round_trips", long.trips);
    figures.put("reconnect_server_cpu_ms", long.cpu_ms);
    line("reconnect: wall", long.wall_ms, "ms", "");
    figures.put("reconnect_size_ratio", (long.up + long.down) / (short.up + short.down));
    back::clock(&server, figures).await?;
    server.stop()
}

/// Brings the long text to a folder under the name `paper`, compacted as it is after a while.
pub(crate) async fn seed(bench: &Bench, data: &Path) -> Result<(), Error> {
    let (_, changes) = if bench.quick { text::typed(3_000)? } else { text::paper(usize::MAX)? };
    let server = bench.product(data)?;
    bring(&server, "paper", &changes).await?;
    server.stop()?;
    bench.maintain("compact", data)
}

/// What is on disk after compaction, beside the document as automerge saves it.
fn disk(bench: &Bench, data: &Path, changes: &[Change], figures: &mut Figures) -> Result<(), Error> {
    bench.maintain("compact", data)?;
    let mut bytes = 0;
    for entry in std::fs::read_dir(data)? {
        bytes += entry?.metadata()?.len();
    }
    let mut document = automerge::Automerge::new();
    let parsed = changes.iter().map(|change| automerge::Change::from_bytes(change.bytes().to_vec()));
    document.apply_changes(parsed.collect::<Result<Vec<_>, _>>()?)?;
    let saved = document.save().len();
    line("the document as automerge saves it", saved as f64, "bytes", "");
    line("the data folder after compaction", bytes as f64, "bytes", "");
    figures.put("disk_ratio", bytes as f64 / saved as f64);
    Ok(())
}

async fn cold(bench: &Bench, data: &Path, last: u64, warm: &Cost, figures: &mut Figures) -> Result<(), Error> {
    let server = bench.product(data)?;
    drop(Client::open(server.address, "another").await?);
    let empty = server.kib("VmRSS")?;
    let restarted = cold_open(&server, "paper", last, true).await?;
    let mib = (server.kib("VmHWM")? - empty) / 1_024.0;
    figures.put("cold_wire_bytes", warm.up + warm.down);
    figures.put("cold_round_trips", warm.trips);
    figures.put("cold_server_cpu_ms", warm.cpu_ms);
    figures.put("cold_ms", warm.wall_ms);
    figures.put("cold_server_cpu_ms_restarted", restarted.cpu_ms);
    figures.put("cold_rss_mib", mib);
    figures.put("cold_ms_restarted", restarted.wall_ms);
    server.stop()
}

async fn first_push(server: &Process, typist: &Typist, changes: &[Change], figures: &mut Figures) -> Result<(), Error> {
    let mut table = ChangeTable::new();
    changes.iter().try_for_each(|change| table.insert(change).map(|_| ()))?;
    let push = Packer::holding(table).push(&[typist.beside(900).append()?])?;
    let mut client = Client::connect(server.address).await?;
    server.calm().await?;
    let start = Instant::now();
    client.send(&[hello(), open("paper"), push]).await?;
    while !matches!(client.next().await?, ServerMessage::Ack(_)) {}
    figures.put("first_push_ms", start.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// What the validator costs by itself on this text, in this process: the same code as in the server.
fn validator(typist: &Typist, changes: &[Change], figures: &mut Figures) -> Result<(), Error> {
    let (mut table, mut index, limits) = (ChangeTable::new(), OpIndex::new(), ChangeLimits::default());
    let more = typist.clone().typed(changes.len().min(10_000))?;
    let mut took = Duration::ZERO;
    for (number, change) in changes.iter().chain(&more).enumerate() {
        let start = Instant::now();
        admit(change, &table, &mut index, &limits)?;
        if number >= changes.len() {
            took += start.elapsed();
        }
        table.insert(change)?;
    }
    figures.put("admit_us", took.as_secs_f64() * 1e6 / more.len() as f64);
    figures.put("op_index_mib", index.bytes() as f64 / f64::from(1 << 20));
    Ok(())
}
