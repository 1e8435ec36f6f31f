//! The rows that peers share with ours: idle connections, fan-out, burst and writes.
//!
//! Peers differ by a factor of a hundred, so that burst and writes end by the clock; what was written until then is waited for and counted.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::Peer;
use super::client::{Client, Role};
use super::script::{Proof, Script};
use crate::figures::{Error, Figures, line, median, percentile};
use crate::process::Process;
use crate::rows::Bench;

/// Changes a second of the fan-out.
const PACE: u64 = 200;

/// How long nothing comes before a reader gives up what is missing.
const SILENCE: Duration = Duration::from_secs(10);

/// How long the delivery of what was written may take in all before the rest counts as missing.
const DELIVERY: Duration = Duration::from_secs(45);

/// How long one writer, or each of many, goes on.
const WRITING: Duration = Duration::from_secs(5);

/// A round that took longer is not repeated.
const LONG: Duration = Duration::from_secs(20);

/// Changes unanswered in the burst, and in the row of writes.
const BURST_IN_FLIGHT: u64 = 256;
const WRITES_IN_FLIGHT: u64 = 8;

/// Memory of connections that do nothing.
pub(super) async fn idle(peer: Peer, bench: &Bench, figures: &mut Figures) -> Result<(), Error> {
    let (connections, documents) = (bench.size(5_000, 50), bench.size(100, 5));
    let data = bench.data()?;
    let server = peer.start(data.path()).await?;
    let script = Arc::new(Script::typing(peer, 1)?);
    for number in 0..documents {
        let mut writer = Client::open(peer, server.address, &format!("idle-{number}"), &script, Role::Writer).await?;
        writer.pipeline(1, Instant::now() + WRITING).await?;
    }
    server.calm().await?;
    let before = server.kib("VmRSS")?;
    // Each goes on reading, since some servers end who does not answer their pings.
    let mut held = Vec::new();
    for first in (0..connections).step_by(documents) {
        let opening = (first..connections.min(first + documents)).map(|number| {
            let (address, script, document) = (server.address, script.clone(), format!("idle-{}", number % documents));
            tokio::spawn(async move {
                let mut client = Client::open(peer, address, &document, &script, Role::Reader).await?;
                client.until(1).await?;
                Ok::<_, Error>(tokio::spawn(client.stay()))
            })
        });
        for opened in opening.collect::<Vec<_>>() {
            held.push(opened.await??);
        }
    }
    server.calm().await?;
    figures.put("idle_kib", (server.kib("VmHWM")? - before) / connections as f64);
    let ended = held.iter().filter(|client| client.is_finished()).count();
    held.iter().for_each(JoinHandle::abort);
    if ended > 0 {
        return Err(format!("{ended} connections did not last").into());
    }
    server.stop()
}

/// What one run of one writer and many readers gave.
#[derive(Default)]
struct Run {
    cpu_s_per_10k: f64,
    p50_ms: f64,
    p99_ms: f64,
    bytes_per_delivery: f64,
    delivered: f64,
}

/// One writer at a steady pace, many readers.
pub(super) async fn fanout(peer: Peer, bench: &Bench, figures: &mut Figures) -> Result<(), Error> {
    let (subscribers, changes) = (bench.size(100, 5), bench.size(1_000, 100));
    let mut runs: Vec<Run> = Vec::new();
    for _ in 0..bench.rounds {
        let begun = Instant::now();
        runs.push(fanout_once(peer, bench, subscribers, changes).await?);
        if begun.elapsed() > LONG {
            break;
        }
    }
    let of = |pick: fn(&Run) -> f64| median(&runs.iter().map(pick).collect::<Vec<_>>());
    figures.put("fanout_cpu_s_per_10k", of(|r| r.cpu_s_per_10k));
    figures.put("fanout_p50_ms_normal", of(|r| r.p50_ms));
    figures.put("fanout_p99_ms_normal", of(|r| r.p99_ms));
    figures.put("fanout_delivered", of(|r| r.delivered));
    figures.put("live_bytes_per_change", of(|r| r.bytes_per_delivery));
    Ok(())
}

async fn fanout_once(peer: Peer, bench: &Bench, subscribers: usize, changes: usize) -> Result<Run, Error> {
    let data = bench.data()?;
    let server = peer.start(data.path()).await?;
    let script = Arc::new(Script::typing(peer, changes + 1)?);
    let sent: Sent = Arc::new((0..script.len()).map(|_| OnceLock::new()).collect());
    let (writer, readers) = gather(peer, &server, &script, subscribers).await?;
    server.calm().await?;
    let before = server.cpu_ms_fine()?;
    let readers = reading(readers, &script, &sent);
    let writer = tokio::spawn(paced(writer, sent));
    let (mut latencies, mut bytes) = (Vec::new(), 0);
    for reader in readers {
        let read = reader.await??;
        latencies.extend(read.latencies);
        bytes += read.bytes;
    }
    let cpu = server.cpu_ms_fine()? - before;
    // It goes on for ever, unless something goes wrong.
    if writer.is_finished() {
        let Err(error) = writer.await?;
        println!("  the writer did not get through: {error}");
    } else {
        writer.abort();
    }
    let deliveries = latencies.len() as f64;
    Ok(Run {
        cpu_s_per_10k: cpu / 1e3 / deliveries * 1e4,
        p50_ms: percentile(&mut latencies, 0.5),
        p99_ms: percentile(&mut latencies, 0.99),
        bytes_per_delivery: bytes as f64 / deliveries,
        delivered: deliveries / (subscribers * changes) as f64,
    })
}

/// When each change was sent, by its place.
type Sent = Arc<Vec<OnceLock<Instant>>>;

type Reading = JoinHandle<Result<Read, Error>>;

/// A writer that has written the first change, and readers that have it.
async fn gather(
    peer: Peer,
    server: &Process,
    script: &Arc<Script>,
    subscribers: usize,
) -> Result<(Client, Vec<Client>), Error> {
    let mut writer = Client::open(peer, server.address, "text", script, Role::Writer).await?;
    writer.write().await?;
    while writer.unanswered() > 0 {
        writer.hear().await?;
    }
    let mut readers = Vec::new();
    for number in 0..subscribers {
        let role = if number == 0 { Role::Prover(Proof::new(peer)) } else { Role::Reader };
        let mut reader = Client::open(peer, server.address, "text", script, role).await?;
        reader.until(1).await?;
        readers.push(reader);
    }
    Ok((writer, readers))
}

/// Has readers read on. Their patience with the server begins here.
fn reading(readers: Vec<Client>, script: &Arc<Script>, sent: &Sent) -> Vec<Reading> {
    readers.into_iter().map(|reader| tokio::spawn(read(reader, script.clone(), sent.clone()))).collect()
}

/// Writes a change a tick, and hears what comes in between.
async fn paced(mut writer: Client, sent: Sent) -> Result<Infallible, Error> {
    let mut pace = tokio::time::interval(Duration::from_micros(1_000_000 / PACE));
    let mut left = sent.iter().skip(1);
    loop {
        tokio::select! {
            biased;
            _ = pace.tick() => {
                let Some(at) = left.next() else { break };
                let _ = at.set(Instant::now());
                writer.write().await?;
            }
            heard = writer.hear() => drop(heard?),
        }
    }
    loop {
        writer.hear().await?;
    }
}

/// What a reader got.
#[derive(Default)]
struct Read {
    /// Of each change that came, in milliseconds; empty where sending was not noted.
    latencies: Vec<f64>,
    bytes: u64,
    /// Changes that came, and when the last of them did.
    came: usize,
    last: Option<Instant>,
}

/// Reads until all of the script has come, or nothing comes any more.
async fn read(mut reader: Client, script: Arc<Script>, sent: Sent) -> Result<Read, Error> {
    let (mut came, mut read) = (vec![false; script.len()], Read::default());
    let first = reader.held() as usize;
    came[..first].fill(true);
    let mut left = script.len() - first;
    let (begun, before) = (Instant::now(), reader.bytes_down());
    while left > 0 && begun.elapsed() < DELIVERY {
        let Ok(heard) = tokio::time::timeout(SILENCE, reader.hear()).await else { break };
        let now = Instant::now();
        for place in heard?.brought.into_iter().flatten() {
            let came = came.get_mut(place as usize).ok_or("more came than was written")?;
            if !std::mem::replace(came, true) {
                left -= 1;
                read.came += 1;
                read.last = Some(now);
                if let Some(at) = sent[place as usize].get() {
                    read.latencies.push((now - *at).as_secs_f64() * 1e3);
                }
            }
        }
    }
    read.bytes = reader.bytes_down() - before;
    if left == 0
        && let Some(proof) = reader.proof()
    {
        proof.check(&script)?;
    }
    Ok(read)
}

/// One writer as fast as it can, many readers.
pub(super) async fn burst(peer: Peer, bench: &Bench, figures: &mut Figures) -> Result<(), Error> {
    let (subscribers, changes) = (bench.size(100, 5), bench.size(20_000, 500));
    let data = bench.data()?;
    let server = peer.start(data.path()).await?;
    let script = Arc::new(Script::typing(peer, changes + 1)?);
    let sent: Sent = Arc::new((0..script.len()).map(|_| OnceLock::new()).collect());
    let (mut writer, readers) = gather(peer, &server, &script, subscribers).await?;
    let readers = reading(readers, &script, &sent);
    let before = server.kib("VmRSS")?;
    let begun = Instant::now();
    writer.pipeline(BURST_IN_FLIGHT, begun + WRITING).await?;
    let written = writer.held() as usize - 1;
    line("until the writer has all answers", written as f64 / begun.elapsed().as_secs_f64(), "changes/s", "");
    let (mut came, mut last) = (0, begun);
    for reader in readers {
        let read = reader.await??;
        came += read.came;
        last = last.max(read.last.unwrap_or(begun));
    }
    let delivered = came as f64 / (written * subscribers) as f64;
    figures.put("burst_changes_per_s", written as f64 * delivered / (last - begun).as_secs_f64());
    figures.put("burst_delivered", delivered);
    line("memory above before", (server.kib("VmHWM")? - before) / 1_024.0, "MiB", "");
    server.stop()
}

/// Many writers, each on a document of its own.
pub(super) async fn writes(peer: Peer, bench: &Bench, figures: &mut Figures) -> Result<(), Error> {
    let (clients, changes) = (bench.size(50, 4), bench.size(4_000, 100));
    let (mut rates, mut cpus) = (vec![], vec![]);
    let script = Arc::new(Script::typing(peer, changes + 1)?);
    for _ in 0..bench.rounds {
        let data = bench.data()?;
        let server = peer.start(data.path()).await?;
        let mut writers = Vec::new();
        for number in 0..clients {
            let mut writer =
                Client::open(peer, server.address, &format!("text-{number}"), &script, Role::Writer).await?;
            writer.write().await?;
            while writer.unanswered() > 0 {
                writer.hear().await?;
            }
            writers.push(writer);
        }
        server.calm().await?;
        let (before, begun) = (server.cpu_ms_fine()?, Instant::now());
        let write = |mut writer: Client| async move {
            writer.pipeline(WRITES_IN_FLIGHT, begun + WRITING).await?;
            Ok::<_, Error>(writer.held() - 1)
        };
        let tasks: Vec<_> = writers.into_iter().map(|writer| tokio::spawn(write(writer))).collect();
        let mut written = 0.0;
        for task in tasks {
            written += task.await?? as f64;
        }
        rates.push(written / begun.elapsed().as_secs_f64());
        cpus.push((server.cpu_ms_fine()? - before) / 1e3 / written * 1e4);
    }
    figures.put("writes_per_s", median(&rates));
    figures.put("writes_cpu_s_per_10k", median(&cpus));
    Ok(())
}
