//! The workers that host rooms: each owns the rooms whose names fall to it, turns them, and unloads them when idle.
//!
//! A connection may wait for a worker and a worker for the store's threads, never the other way round, so nothing can wait in a circle.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sync_core::id::{DocumentName, LogSeq, RoomNumber, SessionId};
use sync_core::room::{self, Input, Output, Request, Room, Then};
use sync_core::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use crate::backplane::{Announcement, Backplane};
use crate::clock::Clock;
use crate::mailbox::Mailbox;
use crate::meter;
use crate::server::stopped;
use crate::writer::{Done, Reply, StoreThreads};

/// Most requests waiting for one worker; connections wait beyond.
const REQUESTS_QUEUED_MAX: usize = 1_024;

/// Most bytes of requests waiting for one worker; connections wait beyond. A larger request passes alone.
const REQUESTS_QUEUED_BYTES_MAX: u32 = 16 << 20;

/// Most messages that a worker takes from its queue before it sees to what their pushes want done.
const GATHERED_MAX: usize = 64;

/// Most rooms of one worker that stay in memory though nobody has them open; of more, those that are idle longest go at once.
const IDLE_ROOMS_MAX: usize = 1_024;

/// Most connections that one turn of a task writes to. The runtime lets a task do 128 things with sockets before others have their turn.
const ANNOUNCED_AT_ONCE: usize = 64;

#[allow(clippy::large_enum_variant, reason = "all but a few are requests")]
enum ToWorker {
    Request {
        session: SessionId,
        document: DocumentName,
        request: Request,
        mailbox: Mailbox,
        /// Its bytes, which count against [`REQUESTS_QUEUED_BYTES_MAX`] until it is taken.
        queued: OwnedSemaphorePermit,
    },
    Replaced(DocumentName),
    Compacted(DocumentName),
}

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) config: room::Config,
    pub(crate) idle: Duration,
    pub(crate) clock: Clock,
    pub(crate) store: StoreThreads,
    pub(crate) backplane: Arc<dyn Backplane>,
}

/// The way to the rooms.
#[derive(Clone, Debug)]
pub(crate) struct Rooms {
    workers: Arc<[Queue]>,
}

/// The way to one worker.
#[derive(Debug)]
struct Queue {
    requests: mpsc::Sender<ToWorker>,
    bytes: Arc<Semaphore>,
}

impl Rooms {
    /// Starts `count` workers, which end when `stop` turns true.
    pub(crate) fn start(count: usize, shared: Shared, stop: &watch::Receiver<bool>) -> (Self, Vec<JoinHandle<()>>) {
        let shared = Arc::new(shared);
        let numbers = Arc::new(AtomicU32::new(1));
        let mut tasks = Vec::new();
        let mut workers = Vec::new();
        for _ in 0..count.max(1) {
            let (requests, queue) = mpsc::channel(REQUESTS_QUEUED_MAX);
            let (results, done) = mpsc::unbounded_channel();
            let worker = Worker {
                shared: shared.clone(),
                numbers: numbers.clone(),
                results,
                rooms: HashMap::new(),
                timers: BTreeSet::new(),
                idle: BTreeSet::new(),
                pushed: Vec::new(),
            };
            tasks.push(tokio::spawn(worker.run(queue, done, stop.clone())));
            workers.push(Queue { requests, bytes: Arc::new(Semaphore::new(REQUESTS_QUEUED_BYTES_MAX as usize)) });
        }
        (Self { workers: workers.into() }, tasks)
    }

    fn worker(&self, document: &DocumentName) -> &Queue {
        let mut hasher = DefaultHasher::new();
        document.hash(&mut hasher);
        let index = hasher.finish() % self.workers.len() as u64;
        &self.workers[index as usize]
    }

    /// Hands a session's request to a document's room; waits while its worker is busy.
    pub(crate) async fn request(
        &self,
        session: SessionId,
        document: DocumentName,
        request: Request,
        mailbox: &Mailbox,
    ) {
        let queue = self.worker(&document);
        let bytes = u32::try_from(request.bytes()).unwrap_or(u32::MAX).min(REQUESTS_QUEUED_BYTES_MAX);
        let queued = queue.bytes.clone().acquire_many_owned(bytes).await.expect("nobody closes it");
        let mailbox = mailbox.clone();
        // Workers that have stopped want nothing.
        let _ = queue.requests.send(ToWorker::Request { session, document, request, mailbox, queued }).await;
    }

    /// Says that a document was deleted: its room, if there is one, ends all subscriptions.
    pub(crate) async fn replaced(&self, document: DocumentName) {
        let _ = self.worker(&document.clone()).requests.send(ToWorker::Replaced(document)).await;
    }

    /// Says that a document has a newer snapshot. Where its worker is too busy to hear it, the room keeps more in memory for a while.
    pub(crate) fn compacted(&self, document: DocumentName) {
        let _ = self.worker(&document.clone()).requests.try_send(ToWorker::Compacted(document));
    }
}

struct Hosted {
    room: Room,
    mailboxes: HashMap<SessionId, Mailbox>,
    /// When the room, or its being idle, is due.
    due: Option<Instant>,
    idle_since: Option<Instant>,
    failed: bool,
}

struct Worker {
    shared: Arc<Shared>,
    numbers: Arc<AtomicU32>,
    results: mpsc::UnboundedSender<Done>,
    rooms: HashMap<DocumentName, Hosted>,
    timers: BTreeSet<(Instant, DocumentName)>,
    /// Rooms that nobody has open, and since when.
    idle: BTreeSet<(Instant, DocumentName)>,
    /// Documents that were pushed to and whose rooms are not drained yet. Empty between turns.
    pushed: Vec<DocumentName>,
}

impl Worker {
    async fn run(
        mut self,
        mut queue: mpsc::Receiver<ToWorker>,
        mut done: mpsc::UnboundedReceiver<Done>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let due = self.timers.first().map(|(at, _)| self.shared.clock.timer(*at));
            let timer = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                Some(done) = done.recv() => self.done(done).await,
                () = timer => self.fire().await,
                message = queue.recv() => {
                    let Some(message) = message else { return };
                    self.message(message).await;
                    // Pushes that have come together go to the store together.
                    for _ in 1..GATHERED_MAX {
                        let Ok(message) = queue.try_recv() else { break };
                        self.message(message).await;
                    }
                    while let Some(document) = self.pushed.pop() {
                        self.turn(&document, |_, _| {}).await;
                    }
                }
            }
        }
    }

    async fn message(&mut self, message: ToWorker) {
        match message {
            ToWorker::Request { session, document, request, mailbox, queued } => {
                drop(queued);
                self.request(session, document, request, mailbox).await;
            }
            ToWorker::Replaced(document) => {
                self.shared.backplane.publish(Announcement { document: document.clone(), head: LogSeq(0) });
                self.turn(&document, |room, now| room.handle_input(now, Input::Replaced)).await;
            }
            ToWorker::Compacted(document) => {
                self.turn(&document, |room, now| room.handle_input(now, Input::Compacted)).await;
            }
        }
    }

    async fn request(&mut self, session: SessionId, document: DocumentName, request: Request, mailbox: Mailbox) {
        let joins = matches!(request, Request::Join { .. });
        let leaves = matches!(request, Request::Leave);
        if matches!(request, Request::Push { .. }) {
            self.feed(&document, |room, now| room.handle_input(now, Input::Session(session, request)));
            if self.pushed.last() != Some(&document) {
                self.pushed.push(document);
            }
            return;
        }
        if joins {
            self.host(&document).mailboxes.insert(session, mailbox);
        }
        self.turn(&document, |room, now| room.handle_input(now, Input::Session(session, request))).await;
        if leaves && let Some(hosted) = self.rooms.get_mut(&document) {
            hosted.mailboxes.remove(&session);
        }
    }

    fn host(&mut self, document: &DocumentName) -> &mut Hosted {
        match self.rooms.entry(document.clone()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let number = RoomNumber(self.numbers.fetch_add(1, Ordering::Relaxed));
                let room = Room::new(self.shared.config.clone(), document.clone(), number, seed());
                meter::rooms(1.0);
                let mailboxes = HashMap::new();
                entry.insert(Hosted { room, mailboxes, due: None, idle_since: None, failed: false })
            }
        }
    }

    async fn done(&mut self, done: Done) {
        let Done { document, room: number, task, done, head } = done;
        if let Some(head) = head {
            self.shared.backplane.publish(Announcement { document: document.clone(), head });
        }
        if self.rooms.get(&document).is_some_and(|hosted| hosted.room.number() == number) {
            self.turn(&document, |room, now| room.handle_input(now, Input::StoreDone(task, done))).await;
        }
    }

    async fn fire(&mut self) {
        let now = self.shared.clock.now();
        let Some((at, document)) = self.timers.first().cloned() else { return };
        if at > now {
            return;
        }
        self.timers.pop_first();
        let Some(hosted) = self.rooms.get_mut(&document) else { return };
        hosted.due = None;
        if hosted.idle_since.is_some_and(|since| since + self.shared.idle <= now) && hosted.room.is_idle() {
            self.drop_room(&document);
            return;
        }
        self.turn(&document, Room::handle_timeout).await;
    }

    fn drop_room(&mut self, document: &DocumentName) {
        let Some(hosted) = self.rooms.remove(document) else { return };
        if let Some(at) = hosted.due {
            self.timers.remove(&(at, document.clone()));
        }
        if let Some(since) = hosted.idle_since {
            self.idle.remove(&(since, document.clone()));
        }
        meter::rooms(-1.0);
        if hosted.failed {
            meter::quarantined(-1.0);
        }
    }

    /// Feeds a room, which is to be drained later. A room that panics is dropped and its sessions are closed; the others go on.
    fn feed<T>(&mut self, document: &DocumentName, feed: impl FnOnce(&mut Room, Instant) -> T) -> Option<T> {
        let now = self.shared.clock.now();
        let hosted = self.rooms.get_mut(document)?;
        let fed = catch_unwind(AssertUnwindSafe(|| feed(&mut hosted.room, now)));
        if fed.is_err() {
            tracing::error!(%document, "a room panicked; its sessions are closed");
            hosted.mailboxes.values().for_each(Mailbox::room_lost);
            self.drop_room(document);
        }
        fed.ok()
    }

    /// Feeds a room and drains it.
    async fn turn(&mut self, document: &DocumentName, feed: impl FnOnce(&mut Room, Instant)) {
        let drained = self.feed(document, |room, now| {
            feed(room, now);
            std::iter::from_fn(|| room.poll_output()).collect::<Vec<_>>()
        });
        let Some(outputs) = drained else { return };
        let Some(hosted) = self.rooms.get_mut(document) else { return };
        let mut served: Vec<Mailbox> = Vec::new();
        for output in outputs {
            match output {
                Output::Deliver(session, message) => served.extend(deliver(hosted, document, session, message)),
                Output::Store(task, work) => {
                    let reply = Reply {
                        to: self.results.clone(),
                        document: document.clone(),
                        room: hosted.room.number(),
                        task,
                    };
                    let mut submitted = pin!(self.shared.store.submit(work, reply));
                    tokio::select! {
                        biased;
                        () = &mut submitted => {}
                        // What was brought before waits for no store.
                        () = std::future::ready(()) => {
                            announce(std::mem::take(&mut served));
                            submitted.await;
                        }
                    }
                }
            }
        }
        self.settle(document);
        announce(served);
    }

    /// Notes when the room is due next, whether it is idle, and whether it fails.
    fn settle(&mut self, document: &DocumentName) {
        let now = self.shared.clock.now();
        let Some(hosted) = self.rooms.get_mut(document) else { return };
        let failure = hosted.room.failure();
        if failure.is_some() != hosted.failed {
            hosted.failed = failure.is_some();
            meter::quarantined(if hosted.failed { 1.0 } else { -1.0 });
            if let Some(reason) = failure {
                tracing::warn!(%document, reason, "the document is quarantined");
            }
        }
        let idle_since = hosted.room.is_idle().then(|| hosted.idle_since.unwrap_or(now));
        if idle_since != hosted.idle_since {
            if let Some(since) = hosted.idle_since {
                self.idle.remove(&(since, document.clone()));
            }
            if let Some(since) = idle_since {
                self.idle.insert((since, document.clone()));
            }
            hosted.idle_since = idle_since;
        }
        let idle = hosted.idle_since.map(|since| since + self.shared.idle);
        let due = [idle, hosted.room.poll_timeout()].into_iter().flatten().min();
        if due != hosted.due {
            if let Some(at) = hosted.due {
                self.timers.remove(&(at, document.clone()));
            }
            if let Some(at) = due {
                self.timers.insert((at, document.clone()));
            }
            hosted.due = due;
        }
        while self.idle.len() > IDLE_ROOMS_MAX {
            let Some((_, longest)) = self.idle.first().cloned() else { return };
            self.drop_room(&longest);
        }
    }
}

/// Puts a message in the mailbox of a session, which is then to be announced.
fn deliver(
    hosted: &mut Hosted,
    document: &DocumentName,
    session: SessionId,
    message: room::ToSession,
) -> Option<Mailbox> {
    meter::answered(&message.message);
    let ended = message.then != Then::Continue;
    let mailbox = hosted.mailboxes.get(&session)?;
    mailbox.deliver(document, message);
    if ended { hosted.mailboxes.remove(&session) } else { Some(mailbox.clone()) }
}

/// Has connections take what was put in their mailboxes.
fn announce(mut served: Vec<Mailbox>) {
    while served.len() > ANNOUNCED_AT_ONCE {
        let some = served.split_off(served.len() - ANNOUNCED_AT_ONCE);
        tokio::spawn(async move { some.iter().for_each(Mailbox::announce) });
    }
    served.iter().for_each(Mailbox::announce);
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("the operating system gives random bytes");
    seed
}
