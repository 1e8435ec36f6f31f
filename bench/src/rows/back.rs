//! Coming back: with the cursor in the tail, and with the cursor lost.

use std::time::Instant;

use sync_core::change::Change;
use sync_core::clock::VectorClock;
use sync_core::log::Log;
use sync_core::protocol::{ClientMessage, Mode, Open, ServerMessage};
use sync_core::table::ChangeTable;

use crate::copy::{self, Copy};
use crate::figures::{Error, Figures, line};
use crate::process::Process;
use crate::rows::paper::{Cost, bring, until};
use crate::typing::{self, Packer, Typist};
use crate::wire::{Client, hello, open};

/// Changes made on each side while apart.
const APART: usize = 100;

/// How far behind the end a cursor is that lies in compacted history: beyond what compaction leaves before the end (1,024), and
/// what it may not have come to yet (255).
const BEHIND: usize = 1_380;

/// Actors of the text that is opened by its clock, and changes of each.
const ACTORS: u64 = 50;
const EACH: usize = 20;

/// Somebody writes 100 changes and leaves; the one who was away comes back with 100 of their own. The median of `times`.
pub(super) async fn reconnect(
    server: &Process,
    name: &str,
    mut copy: Copy,
    typist: Typist,
    changes: &[Change],
    times: usize,
) -> Result<Cost, Error> {
    // The log may have grown by what another row wrote.
    catch_up(server, name, &mut copy).await?;
    let mut other = typist.beside(901);
    let mut here = typist;
    let mut packer = Packer::default();
    packer.holds(changes)?;
    let mut costs = Vec::new();
    // The first also pays for the log being read, and does not count.
    for time in 0..=times {
        let theirs = other.typed(APART)?;
        let mut there = Client::connect(server.address).await?;
        packer.reconnected();
        there.send(&[hello(), copy.resume(name)]).await?;
        // Typed live: each is committed by itself.
        for change in &theirs {
            there.send(&[packer.push(std::slice::from_ref(change))?]).await?;
            until(&mut there, 0, 1).await?;
        }
        drop(there);
        let ours = here.typed(APART)?;
        packer.reconnected();
        let push = packer.push(&ours)?;
        let mut back = Client::connect(server.address).await?;
        server.calm().await?;
        let (cpu, start) = (server.cpu_ms_fine()?, Instant::now());
        back.send(&[hello(), copy.resume(name), push]).await?;
        until(&mut back, copy.log.head().0 + 2 * APART as u64, 1).await?;
        if time > 0 {
            costs.push(Cost::since(server, &back, cpu, start)?);
        }
        theirs.iter().chain(&ours).try_for_each(|change| copy.log.append(change).map(|_| ()))?;
    }
    Ok(Cost::median(&costs))
}

/// The same with a cursor that lies within compacted history, so that the server cuts a segment in two. On a log that was compacted and has hardly grown since.
pub(super) async fn segment(
    server: &Process,
    name: &str,
    copy: &Copy,
    typist: &Typist,
    changes: &[Change],
    figures: &mut Figures,
) -> Result<(), Error> {
    let mut behind = Copy { log: Log::new(copy.log.incarnation()), store_id: copy.store_id };
    changes[..changes.len() - BEHIND].iter().try_for_each(|change| behind.log.append(change).map(|_| ()))?;
    let mut packer = Packer::default();
    packer.holds(changes)?;
    let mut there = Client::connect(server.address).await?;
    there.send(&[hello(), copy.resume(name), packer.push(&typist.beside(902).typed(APART)?)?]).await?;
    let head = there.opened().await?.head;
    until(&mut there, 0, 1).await?;
    drop(there);
    packer.reconnected();
    let push = packer.push(&typist.beside(903).typed(APART)?)?;
    let mut back = Client::connect(server.address).await?;
    server.calm().await?;
    let (cpu, start) = (server.cpu_ms_fine()?, Instant::now());
    back.send(&[hello(), behind.resume(name), push]).await?;
    until(&mut back, head.0 + 2 * APART as u64, 1).await?;
    let cost = Cost::since(server, &back, cpu, start)?;
    figures.put("segment_bytes", cost.up + cost.down);
    line("reconnect, cursor inside a segment: wall", cost.wall_ms, "ms", "at most 30");
    Ok(())
}

async fn catch_up(server: &Process, name: &str, copy: &mut Copy) -> Result<(), Error> {
    let mut client = Client::connect(server.address).await?;
    client.send(&[hello(), copy.resume(name)]).await?;
    let opened = client.opened().await?;
    while copy.log.head() < opened.head {
        if let ServerMessage::Changes(changes) = client.next().await? {
            copy::append(&mut copy.log, &changes)?;
        }
    }
    Ok(())
}

/// The cursor is lost: 50 actors, 100 changes here, 100 there.
pub(super) async fn clock(server: &Process, figures: &mut Figures) -> Result<(), Error> {
    let (first, made) = typing::begin(2)?;
    let mut changes = vec![made];
    let mut typist = first;
    for actor in 0..ACTORS {
        typist = typist.beside(1_000 + actor);
        changes.extend(typist.typed(EACH)?);
    }
    bring(server, "many", &changes).await?;
    let mut packer = Packer::default();
    packer.holds(&changes)?;
    let mut table = ChangeTable::new();
    changes.iter().try_for_each(|change| table.insert(change).map(|_| ()))?;
    let held: VectorClock = table.clock();
    let theirs = typist.beside(2_000).typed(APART)?;
    let (mut there, _) = Client::open(server.address, "many").await?;
    there.send(&[packer.push(&theirs)?]).await?;
    until(&mut there, 0, 1).await?;
    drop(there);
    let ours = typist.typed(APART)?;
    packer.reconnected();
    let push = packer.push(&ours)?;
    let mut back = Client::connect(server.address).await?;
    let ClientMessage::Open(plain) = open("many") else { return Err("no open".into()) };
    back.send(&[hello(), ClientMessage::Open(Open { clock: Some(held), ..plain })]).await?;
    let opened = back.opened().await?;
    if opened.mode != Mode::Reconcile {
        return Err(format!("a lost cursor was answered with {:?}", opened.mode).into());
    }
    back.send(&[push]).await?;
    until(&mut back, changes.len() as u64 + 2 * APART as u64, 1).await?;
    let (up, down) = back.socket.bytes();
    figures.put("clock_bytes_up", up as f64);
    figures.put("clock_bytes_down", down as f64);
    figures.put("clock_round_trips", f64::from(back.trips()));
    Ok(())
}
