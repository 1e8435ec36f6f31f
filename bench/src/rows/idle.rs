//! Idle connections: how much memory each holds, beside a bare server's.

use crate::figures::{Error, Figures, heading};
use crate::process::Process;
use crate::rows::Bench;
use crate::wire::{Client, Socket};

/// Opens connections spread over documents and looks at what the server holds.
pub(crate) async fn run(bench: &Bench, figures: &mut Figures) -> Result<(), Error> {
    let (connections, documents) = (bench.size(5_000, 50), bench.size(100, 5));
    heading("idle", &format!("{connections} connections over {documents} documents, one open each"));
    let data = bench.data()?;
    let server = bench.product(data.path())?;
    // The first connections pay for what all share.
    let warm = Client::open(server.address, "warm").await?;
    let before = server.kib("VmRSS")?;
    let mut held = vec![warm];
    for number in 0..connections {
        held.push(Client::open(server.address, &format!("idle/{}", number % documents)).await?);
    }
    server.calm().await?;
    figures.put("idle_kib", (server.kib("VmHWM")? - before) / connections as f64);
    drop(held);
    server.stop()?;
    let server = Process::floor("broadcast", data.path())?;
    let mut held = vec![Socket::connect(server.address, "/sync").await?];
    let before = server.kib("VmRSS")?;
    for _ in 0..connections {
        held.push(Socket::connect(server.address, "/sync").await?);
    }
    server.calm().await?;
    figures.floor("idle_kib", (server.kib("VmHWM")? - before) / connections as f64);
    Ok(())
}
