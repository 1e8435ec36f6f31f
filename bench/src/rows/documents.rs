//! Many documents, and one large one: growth, memory after use, and the time to start.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sync_core::protocol::ServerMessage;

use crate::figures::{Error, Figures, heading, line};
use crate::process::Process;
use crate::rows::Bench;
use crate::typing::{self, Packer};
use crate::wire::Client;

/// Pushes unanswered while a document grows, and changes of each.
const IN_FLIGHT: usize = 8;
const EACH: usize = 25;

/// Connections that fill a store with documents.
const FILLERS: usize = 32;

/// How long a server may hold documents that nobody has open, its default of 60 s with a margin.
const LEAVES_WITHIN: Duration = Duration::from_secs(100);

/// One document that grows to a million changes.
pub(crate) async fn growth(bench: &Bench, figures: &mut Figures) -> Result<(), Error> {
    let changes = bench.size(1_000_000, 5_000);
    heading("growth", &format!("one document to {changes} changes, {EACH} a push, {IN_FLIGHT} pushes unanswered"));
    let data = bench.data()?;
    let server = bench.product(data.path())?;
    let (mut typist, first) = typing::begin(1)?;
    let mut packer = Packer::default();
    let (mut writer, _) = Client::open(server.address, "text").await?;
    writer.send(&[packer.push(&[first])?]).await?;
    while !matches!(writer.next().await?, ServerMessage::Ack(_)) {}
    let mut rates = Vec::new();
    for tenth in 0..10 {
        let pushes = changes / 10 / EACH;
        // Made before they are timed.
        let frames = (0..pushes).map(|_| Ok(packer.push(&typist.typed(EACH)?)?.encode()));
        let mut frames = frames.collect::<Result<VecDeque<_>, Error>>()?;
        let start = Instant::now();
        writer.pipeline(&mut frames, IN_FLIGHT).await?;
        rates.push((pushes * EACH) as f64 / start.elapsed().as_secs_f64());
        println!("  tenth {:>2}: {:>9.0} changes/s", tenth + 1, rates[tenth]);
    }
    figures.put("growth_ratio", rates[9] / rates[0]);
    server.stop()
}

/// Writes one change to each of `count` documents.
async fn fill(address: SocketAddr, count: usize) -> Result<(), Error> {
    let push = typing::pushes(1, 0, 1)?.pop_front().ok_or("no push")?;
    let mut tasks = Vec::new();
    for filler in 0..FILLERS.min(count) {
        let push = push.clone();
        tasks.push(tokio::spawn(async move {
            for number in (filler..count).step_by(FILLERS) {
                let (mut client, _) = Client::open(address, &format!("documents/{number}")).await?;
                client.socket.send(push.clone()).await?;
                while !matches!(client.next().await?, ServerMessage::Ack(_)) {}
            }
            Ok::<(), Error>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// Documents touched and left: what the server still holds.
pub(crate) async fn touched(bench: &Bench, figures: &mut Figures) -> Result<(), Error> {
    let documents = bench.size(10_000, 50);
    heading("idle documents", &format!("{documents} documents written to and left, after they have left memory"));
    let data = bench.data()?;
    // What the smoke test can't wait for.
    let flags: &[&str] = if bench.quick { &["--room-idle-s", "1"] } else { &[] };
    let server = Process::product(&bench.program, data.path(), flags)?;
    // The first pays for what all share.
    drop(Client::open(server.address, "warm").await?);
    let before = server.kib("VmRSS")?;
    fill(server.address, documents).await?;
    let (start, peak) = (Instant::now(), server.kib("VmRSS")?);
    while rooms(server.address).await? > 0.0 {
        if start.elapsed() > LEAVES_WITHIN {
            return Err(format!("documents are still in memory after {} s", LEAVES_WITHIN.as_secs()).into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mib = (server.kib("VmRSS")? - before) / 1_024.0;
    figures.put("idle_documents_mib", mib);
    line("the same before they left memory", (peak - before) / 1_024.0, "MiB", "");
    server.stop()
}

/// How many rooms the server says it hosts.
async fn rooms(address: SocketAddr) -> Result<f64, Error> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let line = answer.lines().find(|line| line.starts_with("rejoin_rooms "));
    Ok(line.and_then(|line| line.split(' ').nth(1)).ok_or("no rejoin_rooms in /metrics")?.parse()?)
}

/// How long a server takes to start on very many documents.
pub(crate) async fn restart(bench: &Bench, figures: &mut Figures) -> Result<(), Error> {
    let documents = bench.size(100_000, 50);
    heading("restart", &format!("a start on {documents} documents"));
    let data = bench.data()?;
    let server = bench.product(data.path())?;
    fill(server.address, documents).await?;
    server.stop()?;
    let server = bench.product(data.path())?;
    figures.put("restart_ms", server.ready_ms);
    server.stop()
}
