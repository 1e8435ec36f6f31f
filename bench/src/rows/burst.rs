//! Burst: one writer that always has 256 changes unacknowledged, and many subscribers who must get them all.

use std::time::Instant;

use sync_core::pack;
use sync_core::protocol::ServerMessage;

use crate::figures::{Error, Figures, heading, line};
use crate::rows::Bench;
use crate::typing;
use crate::wire::Client;

/// Changes of one push, and pushes in flight: together 256 changes, in no more pushes than a client may have open.
const EACH: usize = 4;
const IN_FLIGHT: usize = 64;

/// Writes as fast as acknowledgements allow, until the last subscriber has the last change.
pub(crate) async fn run(bench: &Bench, figures: &mut Figures) -> Result<(), Error> {
    let (subscribers, changes) = (bench.size(100, 5), bench.size(100_000, 2_000));
    let unacknowledged = EACH * IN_FLIGHT;
    heading(
        "burst",
        &format!("1 writer, {unacknowledged} unacknowledged, {subscribers} subscribers, {changes} changes"),
    );
    let data = bench.data()?;
    let server = bench.product(data.path())?;
    let mut frames = typing::pushes(1, changes, EACH)?;
    let (mut writer, _) = Client::open(server.address, "text").await?;
    let mut readers = Vec::new();
    for _ in 0..subscribers {
        let (client, _) = Client::open(server.address, "text").await?;
        readers.push(tokio::spawn(read(client, changes as u64 + 1)));
    }
    let before = server.kib("VmRSS")?;
    let start = Instant::now();
    writer.pipeline(&mut frames, IN_FLIGHT).await?;
    let written = changes as f64 / start.elapsed().as_secs_f64();
    for reader in readers {
        reader.await??;
    }
    let rate = changes as f64 / start.elapsed().as_secs_f64();
    let grown = (server.kib("VmHWM")? - before) / 1_024.0;
    figures.put("burst_changes_per_s", rate);
    // A reader that lacks one fails the row.
    figures.put("burst_delivered", 1.0);
    line("until the writer has all answers", written, "changes/s", "");
    line("memory above before, with the log's index", grown, "MiB", "");
    server.stop()
}

/// Reads up to a position, without a hole.
async fn read(mut client: Client, last: u64) -> Result<(), Error> {
    let mut next = 1;
    while next <= last {
        if let ServerMessage::Changes(changes) = client.next().await? {
            if changes.first.0 != next {
                return Err(format!("a range at {} where {next} was due", changes.first).into());
            }
            next += u64::from(pack::count(&changes.pack.as_ref().ok_or("no pack")?.0)?);
        }
    }
    Ok(())
}
