//! Fan-out: one writer at a steady pace, many subscribers, beside a bare broadcast of frames of the same size.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sync_core::id::LogSeq;
use sync_core::log::Log;
use sync_core::pack;
use sync_core::protocol::{Changes, ServerMessage};
use tokio::task::JoinHandle;

use crate::copy;
use crate::disk::fdatasync_ms;
use crate::figures::{Error, Figures, heading, line, median, percentile};
use crate::process::Process;
use crate::rows::Bench;
use crate::typing;
use crate::wire::{Client, Socket};

/// Changes a second.
const PACE: u64 = 200;

/// Bytes of the header of a short WebSocket frame.
const HEADER_BYTES: usize = 2;

/// What one run gave.
struct Run {
    cpu_s_per_10k: f64,
    p50_ms: f64,
    p99_ms: f64,
    bytes_per_delivery: f64,
}

/// Takes turns between ours, the bare broadcast, and ours without waiting for the disk.
pub(crate) async fn run(bench: &Bench, figures: &mut Figures) -> Result<(), Error> {
    let (subscribers, changes) = (bench.size(100, 5), bench.size(1_000, 100));
    heading("fan-out", &format!("1 writer, {PACE} changes/s, {subscribers} subscribers, {changes} changes"));
    let (mut ours, mut normal, mut bare, mut p50s, mut p99s) = (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..bench.rounds {
        let data = bench.data()?;
        let (p50, p99) = fdatasync_ms(data.path(), bench.size(500, 50))?;
        p50s.push(p50);
        p99s.push(p99);
        ours.push(product(bench, &[], subscribers, changes).await?);
        bare.push(broadcast(bench, subscribers, changes, ours[ours.len() - 1].bytes_per_delivery).await?);
        normal.push(product(bench, &["--durability", "normal"], subscribers, changes).await?);
    }
    let of = |runs: &[Run], pick: fn(&Run) -> f64| median(&runs.iter().map(pick).collect::<Vec<_>>());
    let (cpu, floor) = (of(&ours, |r| r.cpu_s_per_10k), of(&bare, |r| r.cpu_s_per_10k));
    let (sync50, sync99) = (median(&p50s), median(&p99s));
    figures.put("fanout_cpu_s_per_10k", cpu);
    figures.floor("fanout_cpu_s_per_10k", floor);
    figures.put("fanout_floor_ratio", cpu / floor);
    figures.put("fanout_p50_over_fsync_ms", of(&ours, |r| r.p50_ms) - sync50);
    figures.put("fanout_p99_over_fsync_ms", of(&ours, |r| r.p99_ms) - sync99);
    figures.put("fanout_p50_ms_normal", of(&normal, |r| r.p50_ms));
    figures.put("fanout_p99_ms_normal", of(&normal, |r| r.p99_ms));
    // A reader that lacks one fails the row.
    figures.put("fanout_delivered", 1.0);
    figures.put("live_bytes_per_change", of(&ours, |r| r.bytes_per_delivery));
    line("fan-out: p99, bare server", of(&bare, |r| r.p99_ms), "ms", "the generator's own share included");
    Ok(())
}

/// When each change was sent, by its position.
type Sent = Arc<Vec<std::sync::OnceLock<Instant>>>;

fn sent(count: usize) -> Sent {
    Arc::new((0..=count).map(|_| std::sync::OnceLock::new()).collect())
}

async fn product(bench: &Bench, flags: &[&str], subscribers: usize, changes: usize) -> Result<Run, Error> {
    let data = bench.data()?;
    let server = Process::product(&bench.program, data.path(), flags)?;
    let mut frames = typing::pushes(1, changes, 1)?;
    let (mut writer, opened) = Client::open(server.address, "text").await?;
    writer.socket.send(frames.pop_front().ok_or("no first push")?).await?;
    while !matches!(writer.next().await?, ServerMessage::Ack(_)) {}
    let sent = sent(changes + 1);
    let mut readers = Vec::new();
    for number in 0..subscribers {
        let (mut client, _) = Client::open(server.address, "text").await?;
        let mut log = Log::new(opened.incarnation);
        // The first change, before anything is measured.
        let first = next_changes(&mut client).await?;
        copy::append(&mut log, &first)?;
        let log = (number == 0).then_some(log);
        readers.push(tokio::spawn(read(client, log, sent.clone(), changes as u64 + 1)));
    }
    server.calm().await?;
    let before = server.cpu_ms_fine()?;
    let acks = tokio::spawn(paced_product(writer, frames, sent));
    let run = gather(readers, &server, before).await;
    acks.await??;
    run
}

async fn paced_product(mut writer: Client, frames: std::collections::VecDeque<Bytes>, sent: Sent) -> Result<(), Error> {
    let mut pace = tokio::time::interval(Duration::from_micros(1_000_000 / PACE));
    let total = frames.len();
    for (index, frame) in frames.into_iter().enumerate() {
        pace.tick().await;
        // Position 1 is the text itself.
        let _ = sent[index + 2].set(Instant::now());
        writer.socket.send(frame).await?;
    }
    let mut acked = 0;
    while acked < total {
        if let ServerMessage::Ack(ack) = writer.next().await? {
            acked += ack.count as usize;
        }
    }
    Ok(())
}

async fn next_changes(client: &mut Client) -> Result<Changes, Error> {
    loop {
        if let ServerMessage::Changes(changes) = client.next().await? {
            return Ok(changes);
        }
    }
}

/// Latencies in milliseconds, and bytes that came meanwhile.
type Read = Result<(Vec<f64>, u64), Error>;

/// Reads up to a position. With a log, proves every change on the way.
async fn read(mut client: Client, mut log: Option<Log>, sent: Sent, last: u64) -> Read {
    let (mut next, mut latencies) = (2, Vec::with_capacity(last as usize));
    let (_, before) = client.socket.bytes();
    while next <= last {
        let changes = next_changes(&mut client).await?;
        let now = Instant::now();
        let pack = changes.pack.as_ref().ok_or("no pack")?;
        if changes.first != LogSeq(next) {
            return Err(format!("a range at {} where {next} was due", changes.first).into());
        }
        for _ in 0..pack::count(&pack.0)? {
            let at = sent[next as usize].get().ok_or("it came before it was sent")?;
            latencies.push((now - *at).as_secs_f64() * 1e3);
            next += 1;
        }
        if let Some(log) = &mut log {
            copy::append(log, &changes)?;
        }
    }
    Ok((latencies, client.socket.bytes().1 - before))
}

async fn gather(readers: Vec<JoinHandle<Read>>, server: &Process, cpu_before: f64) -> Result<Run, Error> {
    let (mut all, mut bytes) = (Vec::new(), 0);
    for reader in readers {
        let (latencies, came) = reader.await??;
        all.extend(latencies);
        bytes += came;
    }
    let deliveries = all.len() as f64;
    Ok(Run {
        cpu_s_per_10k: (server.cpu_ms_fine()? - cpu_before) / 1e3 / deliveries * 1e4,
        p50_ms: percentile(&mut all, 0.5),
        p99_ms: percentile(&mut all, 0.99),
        bytes_per_delivery: bytes as f64 / deliveries,
    })
}

/// The same with frames of as many bytes.
async fn broadcast(bench: &Bench, subscribers: usize, changes: usize, bytes: f64) -> Result<Run, Error> {
    let data = bench.data()?;
    let server = Process::floor("broadcast", data.path())?;
    let mut writer = Socket::connect(server.address, "/sync").await?;
    let sent = sent(changes);
    let mut readers: Vec<JoinHandle<Read>> = Vec::new();
    for _ in 0..subscribers {
        readers.push(tokio::spawn(read_bare(server.address, sent.clone(), changes)));
    }
    server.calm().await?;
    let before = server.cpu_ms_fine()?;
    let mut pace = tokio::time::interval(Duration::from_micros(1_000_000 / PACE));
    let frame = Bytes::from(vec![0x42; (bytes as usize).saturating_sub(HEADER_BYTES)]);
    for at in sent.iter().take(changes) {
        pace.tick().await;
        let _ = at.set(Instant::now());
        writer.send(frame.clone()).await?;
    }
    gather(readers, &server, before).await
}

async fn read_bare(address: SocketAddr, sent: Sent, count: usize) -> Read {
    let mut socket = Socket::connect(address, "/sync").await?;
    let mut latencies = Vec::with_capacity(count);
    for at in sent.iter().take(count) {
        socket.next().await?;
        latencies.push(at.get().ok_or("it came before it was sent")?.elapsed().as_secs_f64() * 1e3);
    }
    Ok((latencies, socket.bytes().1))
}
