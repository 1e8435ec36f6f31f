//! Writes: many clients on documents of their own, beside a bare server that commits the same bytes.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use sync_core::protocol::ServerMessage;

use crate::figures::{Error, Figures, heading, median};
use crate::process::Process;
use crate::rows::Bench;
use crate::typing;
use crate::wire::{Client, Socket};

/// Pushes that each client has unanswered.
const IN_FLIGHT: usize = 8;

/// Takes turns between ours and the bare commits.
pub(crate) async fn run(bench: &Bench, figures: &mut Figures) -> Result<(), Error> {
    let (clients, changes) = (bench.size(50, 4), bench.size(4_000, 100));
    heading(
        "writes",
        &format!("{clients} clients, own documents, {IN_FLIGHT} unacknowledged each, {changes} changes each"),
    );
    let frames = typing::pushes(1, changes, 1)?;
    let (mut ours, mut bare, mut cpu, mut bare_cpu) = (vec![], vec![], vec![], vec![]);
    for _ in 0..bench.rounds {
        let data = bench.data()?;
        let server = bench.product(data.path())?;
        let (rate, spent) = measure(&server, clients, &frames, true).await?;
        ours.push(rate);
        cpu.push(spent);
        // What it still does for itself must not slow the bare one down.
        server.stop()?;
        let data = bench.data()?;
        let server = Process::floor("commit", data.path())?;
        let (rate, spent) = measure(&server, clients, &frames, false).await?;
        bare.push(rate);
        bare_cpu.push(spent);
    }
    let (rate, floor, cpu) = (median(&ours), median(&bare), median(&cpu));
    figures.put("writes_per_s", rate);
    figures.floor("writes_per_s", floor);
    figures.put("writes_floor_ratio", rate / floor);
    figures.put("writes_cpu_s_per_10k", cpu);
    figures.floor("writes_cpu_s_per_10k", median(&bare_cpu));
    Ok(())
}

async fn measure(server: &Process, clients: usize, frames: &VecDeque<Bytes>, ours: bool) -> Result<(f64, f64), Error> {
    let mut ready = Vec::new();
    for number in 0..clients {
        ready.push(Writer::connect(server.address, number, ours).await?);
    }
    server.calm().await?;
    let (before, start) = (server.cpu_ms_fine()?, Instant::now());
    let tasks: Vec<_> = ready.into_iter().map(|writer| tokio::spawn(writer.write(frames.clone()))).collect();
    for task in tasks {
        task.await??;
    }
    let written = (clients * frames.len()) as f64;
    Ok((written / start.elapsed().as_secs_f64(), (server.cpu_ms_fine()? - before) / 1e3 / written * 1e4))
}

enum Writer {
    Ours(Box<Client>),
    Bare(Box<Socket>),
}

impl Writer {
    async fn connect(address: SocketAddr, number: usize, ours: bool) -> Result<Self, Error> {
        Ok(if ours {
            Self::Ours(Box::new(Client::open(address, &format!("text/{number}")).await?.0))
        } else {
            Self::Bare(Box::new(Socket::connect(address, "/sync").await?))
        })
    }

    async fn write(mut self, mut frames: VecDeque<Bytes>) -> Result<(), Error> {
        let mut open = 0;
        while open > 0 || !frames.is_empty() {
            while open < IN_FLIGHT
                && let Some(frame) = frames.pop_front()
            {
                match &mut self {
                    Self::Ours(client) => client.socket.send(frame).await?,
                    Self::Bare(socket) => socket.send(frame).await?,
                }
                open += 1;
            }
            let answered = match &mut self {
                Self::Ours(client) => matches!(client.next().await?, ServerMessage::Ack(_)),
                Self::Bare(socket) => !socket.next().await?.is_empty(),
            };
            open -= usize::from(answered);
        }
        Ok(())
    }
}
