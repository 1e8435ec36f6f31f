//! Who takes part in the soak: editors who write page after page, readers who follow them, all with presence, and all leaving and coming back.
//!
//! An editor keeps the ledger of its page: after whatever happened, the log must hold at least what was acknowledged. A page has one author, so its
//! log's length says how far that author got. A connection may end only with the server's life or by its own side.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sync_core::change::Change;
use sync_core::protocol::{Blob, ClientMessage, Emit, ServerMessage};
use sync_core::rng::Rng;
use sync_core::table::ChangeTable;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::Stage;
use crate::copy::{self, Copy};
use crate::figures::Error;
use crate::typing::{self, Packer};
use crate::wire::{Client, HANDLE};

/// What goes on, in words.
pub(super) const WHAT: &str =
    "8 editors at 25 changes/s, a new document every 2,000 changes, 3 readers each of whom one dawdles, presence";

const EDITORS: u64 = 8;
const READERS: u64 = 3;
const KEY_EVERY: Duration = Duration::from_millis(40);
const PAGE: usize = 2_000;
const PRESENCE_EVERY: Duration = Duration::from_secs(1);
const PRESENCE_TTL_MS: u32 = 5_000;

/// A connection is left after 10 s and up to a minute more.
const STAY: (u64, u64) = (10, 60);

/// How long the slow reader of a page does not read, now and then.
const DAWDLE: Duration = Duration::from_secs(3);

/// A connection that ended without the server's life having ended is a fault if that is not known within this.
const EXPLAINED_WITHIN: Duration = Duration::from_secs(10);

/// A document while it is written.
#[derive(Debug)]
struct Page {
    name: String,
    /// When the change at each position was last sent, in microseconds since the start; 0 where it was not.
    sent: Vec<AtomicU64>,
}

impl Page {
    fn new(name: String) -> Arc<Self> {
        Arc::new(Self { name, sent: (0..PAGE + 2).map(|_| AtomicU64::new(0)).collect() })
    }

    /// Milliseconds since the change at a position was sent.
    fn since_ms(&self, stage: &Stage, position: usize) -> Option<f64> {
        let at = self.sent.get(position)?.load(Ordering::Relaxed);
        (at > 0).then(|| (stage.micros() - at) as f64 / 1e3)
    }
}

/// Starts all of them.
pub(super) fn come(stage: &Arc<Stage>) -> JoinSet<Result<(), Error>> {
    let mut tasks = JoinSet::new();
    for editor in 0..EDITORS {
        let (turn, page) = watch::channel(Page::new(format!("soak/{editor}/0")));
        tasks.spawn(edit(stage.clone(), editor, turn));
        for reader in 0..READERS {
            let rng = Rng::from_number(editor * READERS + reader);
            tasks.spawn(follow(stage.clone(), page.clone(), rng, reader == 0));
        }
    }
    tasks
}

/// After a connection has ended by itself: fine if the server's life ended, else what it said is a fault.
async fn explain(stage: &Stage, address: SocketAddr, error: Error) -> Result<(), Error> {
    let (mut moved, mut stop) = (stage.address.clone(), stage.stop.clone());
    stage.counts.reconnects.fetch_add(1, Ordering::Relaxed);
    tokio::select! {
        _ = moved.wait_for(|now| *now != address) => Ok(()),
        () = told(&mut stop) => Ok(()),
        () = sleep(EXPLAINED_WITHIN) => Err(error),
    }
}

/// Waits until all are to stop.
async fn told(stop: &mut watch::Receiver<bool>) {
    // An error means that the run has ended.
    drop(stop.wait_for(|stop| *stop).await);
}

fn presence() -> ClientMessage {
    let payload = Blob(Bytes::from_static(br#"{"name":"somebody","at":17}"#));
    ClientMessage::Emit(Emit { handle: HANDLE, payload, ttl_ms: Some(PRESENCE_TTL_MS) })
}

fn stay(rng: &mut Rng) -> Instant {
    Instant::now() + Duration::from_secs(STAY.0 + rng.below(STAY.1))
}

/// An editor's page and how far it got.
struct Editor {
    stage: Arc<Stage>,
    page: Arc<Page>,
    typist: typing::Typist,
    made: Vec<Change>,
    acked: usize,
    /// The position before the first push of this connection.
    base: usize,
    rng: Rng,
}

async fn edit(stage: Arc<Stage>, number: u64, turn: watch::Sender<Arc<Page>>) -> Result<(), Error> {
    let mut rng = Rng::from_number(1_000 + number);
    for count in 0.. {
        if count > 0 {
            turn.send_replace(Page::new(format!("soak/{number}/{count}")));
        }
        stage.counts.documents.fetch_add(1, Ordering::Relaxed);
        let (typist, first) = typing::begin(number << 32 | count)?;
        let page = turn.borrow().clone();
        let mut editor =
            Editor { stage: stage.clone(), page, typist, made: vec![first], acked: 0, base: 0, rng: rng.fork() };
        while editor.acked <= PAGE {
            let address = *stage.address.borrow();
            match editor.sit(address).await {
                Ok(()) if *stage.stop.borrow() => return Ok(()),
                Ok(()) => drop(stage.counts.reconnects.fetch_add(1, Ordering::Relaxed)),
                Err(Ended::Cut(error)) => explain(&stage, address, error).await?,
                Err(Ended::Fault(error)) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Why a connection ended.
enum Ended {
    /// It broke: by the end of the server, or by a fault.
    Cut(Error),
    /// Something is wrong whatever the reason.
    Fault(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Cut(error)
    }
}

impl Editor {
    /// One connection: until the page is full, it is time to leave, or all ends.
    async fn sit(&mut self, address: SocketAddr) -> Result<(), Ended> {
        let (mut client, opened) = Client::open(address, &self.page.name).await?;
        let held = opened.head.0 as usize;
        let (page, acked, made) = (&self.page.name, self.acked, self.made.len());
        if held < acked || held > made {
            return Err(fault(format!("{page}: {made} were sent, {acked} acknowledged, and {held} are there")));
        }
        self.note_acked(held, false);
        self.base = held;
        let mut table = ChangeTable::new();
        self.made[..held].iter().try_for_each(|change| table.insert(change).map(|_| ())).map_err(fault)?;
        let mut packer = Packer::holding(table);
        for position in held..self.made.len() {
            self.push(&mut client, &mut packer, position).await?;
        }
        let (mut keys, mut greetings, until) = (interval(KEY_EVERY), interval(PRESENCE_EVERY), stay(&mut self.rng));
        keys.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = self.stage.stop.clone();
        while self.acked <= PAGE {
            tokio::select! {
                _ = keys.tick(), if self.made.len() <= PAGE => {
                    self.made.push(self.typist.append().map_err(Ended::Fault)?);
                    self.push(&mut client, &mut packer, self.made.len() - 1).await?;
                }
                _ = greetings.tick() => client.send(&[presence()]).await?,
                message = client.next() => self.heard(&message?)?,
                () = tokio::time::sleep_until(until) => return Ok(()),
                () = told(&mut stop) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Pushes the change with this index, which is at the position after it.
    async fn push(&mut self, client: &mut Client, packer: &mut Packer, index: usize) -> Result<(), Ended> {
        let push = packer.push(std::slice::from_ref(&self.made[index])).map_err(Ended::Fault)?;
        self.page.sent[index + 1].store(self.stage.micros(), Ordering::Relaxed);
        Ok(client.send(&[push]).await?)
    }

    fn heard(&mut self, message: &ServerMessage) -> Result<(), Ended> {
        match message {
            ServerMessage::Ack(ack) => {
                // A change that was on its way when the last connection ended may be held already: pushed again it takes no position.
                let position = self.base + ack.batch.0 as usize;
                let is_new = ack.count == 1 && ack.first.0 as usize == position && ack.held.is_none();
                let is_held = ack.count == 0 && ack.held.as_deref() == Some(&[0]);
                if !(is_new || is_held) || position > self.made.len() || !ack.durable {
                    let (page, acked, made) = (&self.page.name, self.acked, self.made.len());
                    return Err(fault(format!("{page}: {ack:?} for position {position} after {acked} of {made}")));
                }
                self.note_acked(position, true);
            }
            ServerMessage::Emitted(_) => drop(self.stage.counts.presence.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
        Ok(())
    }

    /// All up to a position is acknowledged, or found to be there.
    fn note_acked(&mut self, last: usize, live: bool) {
        let more = last.saturating_sub(self.acked) as u64;
        self.stage.counts.acknowledged.fetch_add(more, Ordering::Relaxed);
        if live {
            let mut seen = self.stage.seen();
            seen.ack_ms.extend((self.acked + 1..=last).filter_map(|p| self.page.since_ms(&self.stage, p)));
        }
        self.acked = self.acked.max(last);
    }
}

fn fault(error: impl Into<Error>) -> Ended {
    Ended::Fault(error.into())
}

/// A reader's copy of the page it is at.
struct Reader {
    stage: Arc<Stage>,
    page: Arc<Page>,
    held: Option<Copy>,
    rng: Rng,
    slow: bool,
}

async fn follow(
    stage: Arc<Stage>,
    mut turn: watch::Receiver<Arc<Page>>,
    mut rng: Rng,
    slow: bool,
) -> Result<(), Error> {
    while !*stage.stop.borrow() {
        let page = turn.borrow_and_update().clone();
        let mut reader = Reader { stage: stage.clone(), page, held: None, rng: rng.fork(), slow };
        while !*stage.stop.borrow() {
            let address = *stage.address.borrow();
            tokio::select! {
                // The editor may have gone on; what is left of this page is of no interest then.
                _ = turn.changed() => break,
                ended = reader.sit(address) => match ended {
                    Ok(()) => drop(stage.counts.reconnects.fetch_add(1, Ordering::Relaxed)),
                    Err(Ended::Cut(error)) => explain(&stage, address, error).await?,
                    Err(Ended::Fault(error)) => return Err(error),
                },
            }
        }
    }
    Ok(())
}

impl Reader {
    async fn sit(&mut self, address: SocketAddr) -> Result<(), Ended> {
        let mut client = Client::connect(address).await?;
        let live = copy::follow(&mut client, &self.page.name, &mut self.held).await?.head.0;
        let (mut greetings, until) = (interval(PRESENCE_EVERY), stay(&mut self.rng));
        let mut stop = self.stage.stop.clone();
        loop {
            tokio::select! {
                _ = greetings.tick() => {
                    client.send(&[presence()]).await?;
                    if self.slow && self.rng.chance(50) {
                        sleep(DAWDLE).await;
                    }
                }
                message = client.next() => self.heard(&message?, live)?,
                () = tokio::time::sleep_until(until) => return Ok(()),
                () = told(&mut stop) => return Ok(()),
            }
        }
    }

    fn heard(&mut self, message: &ServerMessage, live: u64) -> Result<(), Ended> {
        match message {
            ServerMessage::Changes(changes) => {
                let Copy { log, .. } = self.held.as_mut().ok_or_else(|| fault("changes before the answer to open"))?;
                let first = log.head().0 + 1;
                let came = copy::append(log, changes);
                let came = came.map_err(|error| fault(format!("{}: {error}", self.page.name)))?;
                self.stage.counts.delivered.fetch_add(came as u64, Ordering::Relaxed);
                if !self.slow {
                    let positions = (first.max(live + 1)..=log.head().0).map(|p| p as usize);
                    let took = positions.filter_map(|p| self.page.since_ms(&self.stage, p));
                    self.stage.seen().delivery_ms.extend(took);
                }
            }
            ServerMessage::Emitted(_) => drop(self.stage.counts.presence.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
        Ok(())
    }
}
