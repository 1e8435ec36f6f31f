//! The driver: gives the replica its clock, its socket and its store thread, and brings what it says to those who listen.
//!
//! Owns the one lock around the replica. Nothing waits while holding it: outputs go into queues, and no lock is held across an await.

mod socket;
mod store_thread;
mod timer;
mod tls;

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::SystemTime;

use automerge::AutomergeError;
use sync_core::id::TaskId;
use sync_core::replica::{ChangeId, DocumentId, Event, Input, Output, Replica};
use sync_core::resolver::{Declaration, Policies};
use sync_core::storage::{LocalDone, LocalStore, LocalTask, StoreError};
use sync_core::time::{Instant, WallTime};
use sync_core::view::View;
use tokio::sync::{Notify, broadcast, watch};

use crate::error::Closed;
use crate::event::{ClientEvent, DocumentEvent};
use socket::Connection;
pub(crate) use socket::Target;
pub(crate) use tls::connector as tls_connector;

/// Events that wait for one subscriber. One that is further behind is told that it lagged and reads again.
pub(crate) const EVENTS_MAX: usize = 256;
/// Bytes waiting for the socket beyond which presence and messages are dropped, which they may be at any time.
pub(crate) const SEND_QUEUE_BYTES_MAX: usize = 1 << 20;

/// What can be awaited of a document.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Whether it is loaded, once that is known.
    pub(crate) loaded: Option<Result<(), StoreError>>,
    /// All edits up to this one are in the local store.
    pub(crate) saved: ChangeId,
    /// All edits up to this one are answered by the server.
    pub(crate) acknowledged: ChangeId,
}

/// An open document, as the driver sees it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Shared by all handles of the document; dead once the last is dropped.
    pub(crate) handles: Weak<()>,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) events: broadcast::Sender<DocumentEvent>,
    /// Rules for its conflicts, on this device.
    pub(crate) policies: Policies,
    /// What declares them, unless there are none or too many.
    pub(crate) rules: Option<Declaration>,
}

impl Entry {
    pub(crate) fn new() -> Self {
        Self {
            handles: Weak::new(),
            progress: watch::channel(Progress::default()).0,
            events: broadcast::channel(EVENTS_MAX).0,
            policies: Policies::default(),
            rules: None,
        }
    }

    /// The count that the handles share.
    pub(crate) fn handle(&mut self) -> Arc<()> {
        self.handles.upgrade().unwrap_or_else(|| {
            let count = Arc::new(());
            self.handles = Arc::downgrade(&count);
            count
        })
    }
}

/// What the lock guards.
pub(crate) struct Core {
    pub(crate) replica: Replica,
    pub(crate) documents: BTreeMap<DocumentId, Entry>,
    connection: Option<Connection>,
    connections: u64,
    /// `None` once the client is closed and everything is written.
    store: Option<store_thread::StoreQueue>,
    armed: Option<Instant>,
    /// `None` once the client is closed, so that subscriptions end.
    events: Option<broadcast::Sender<ClientEvent>>,
    /// No call comes in any more; what is on its way to the store still goes there.
    closing: bool,
    saves: Saves,
    /// Why nothing can be opened: the local store did not say who this client is.
    pub(crate) unusable: Option<StoreError>,
}

/// What is known of the way to the local store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Saves {
    in_flight: usize,
    /// Commits that were answered.
    pub(crate) answered: u64,
    /// The last answer, if it was a failure. The replica then tries again by itself.
    pub(crate) error: Option<StoreError>,
}

impl Saves {
    /// Whether everything that was to be written is written.
    pub(crate) fn is_done(&self) -> bool {
        self.in_flight == 0 && self.error.is_none()
    }
}

/// The driver, shared by all handles and tasks of one client.
pub(crate) struct Driver {
    core: Mutex<Core>,
    origin: std::time::Instant,
    runtime: tokio::runtime::Handle,
    target: Target,
    timer: Notify,
    queued_bytes: AtomicUsize,
    abandoned: Mutex<Vec<DocumentId>>,
    store_thread: Mutex<Option<JoinHandle<()>>>,
    /// Counts calls that drained something, for those who wait for a state of the whole client.
    activity: watch::Sender<u64>,
}

thread_local! {
    /// The driver whose lock this thread holds while it runs an application's closure.
    static HELD: Cell<*const Driver> = const { Cell::new(std::ptr::null()) };
}

/// Marks the driver as held by this thread, until dropped.
struct Held(*const Driver);

impl Held {
    fn by(driver: &Driver) -> Self {
        Self(HELD.replace(driver))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.set(self.0);
    }
}

/// A panic of an application's closure, on its way past the replica.
pub(crate) struct Caught(Option<Box<dyn Any + Send>>);

impl Caught {
    /// Runs the closure; what it does is rolled back if it panics.
    pub(crate) fn run<R>(&mut self, f: impl FnOnce() -> Result<R, AutomergeError>) -> Result<R, AutomergeError> {
        catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
            self.0 = Some(panic);
            Err(AutomergeError::Fail)
        })
    }
}

impl Driver {
    /// Starts the replica's store thread and timer on the current tokio runtime.
    pub(crate) fn start(replica: Replica, store: Box<dyn LocalStore>, target: Target) -> std::io::Result<Arc<Self>> {
        let (queue, tasks) = store_thread::queue();
        let core = Core {
            replica,
            documents: BTreeMap::new(),
            connection: None,
            connections: 0,
            store: Some(queue),
            armed: None,
            events: Some(broadcast::channel(EVENTS_MAX).0),
            closing: false,
            saves: Saves::default(),
            unusable: None,
        };
        let driver = Arc::new(Self {
            core: Mutex::new(core),
            origin: std::time::Instant::now(),
            runtime: tokio::runtime::Handle::current(),
            target,
            timer: Notify::new(),
            queued_bytes: AtomicUsize::new(0),
            abandoned: Mutex::new(Vec::new()),
            store_thread: Mutex::new(None),
            activity: watch::channel(0).0,
        });
        let answers = Arc::clone(&driver);
        let thread = store_thread::spawn(store, tasks, move |id, done| answers.store_done(id, done))?;
        *driver.store_thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        driver.runtime.spawn(timer::run(Arc::clone(&driver)));
        // The replica asks for its first rows before anything happens to it.
        let _ = driver.with(|_, _| ());
        Ok(driver)
    }

    /// The driver's clock.
    pub(crate) fn now(&self) -> Instant {
        Instant(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The wall clock, as claimed in changes.
    pub(crate) fn wall() -> WallTime {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        WallTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        assert!(
            !std::ptr::eq(HELD.get(), self),
            "the client was called from within one of its own closures, which would wait for itself for ever"
        );
        // Applications' panics are caught before they reach the lock, so only a defect of the replica can have poisoned it.
        self.core.lock().expect("the replica does not panic")
    }

    /// Calls into the replica and brings on what it has to say.
    pub(crate) fn with<R>(self: &Arc<Self>, f: impl FnOnce(&mut Core, Instant) -> R) -> Result<R, Closed> {
        let mut core = self.lock();
        if core.closing {
            return Err(Closed);
        }
        let result = f(&mut core, self.now());
        self.drain(&mut core);
        Ok(result)
    }

    /// Calls into the replica with a closure of the application, which runs under the lock: it may panic (which goes on once the
    /// lock is free), but not call the client.
    pub(crate) fn with_closure<R>(
        self: &Arc<Self>,
        f: impl FnOnce(&mut Core, Instant, &mut Caught) -> R,
    ) -> Result<R, Closed> {
        let mut caught = Caught(None);
        let result = self.with(|core, now| {
            let _held = Held::by(self);
            f(core, now, &mut caught)
        });
        match caught.0 {
            Some(panic) => resume_unwind(panic),
            None => result,
        }
    }

    /// Reads without changing anything; works on a closed client too.
    pub(crate) fn peek<R>(&self, f: impl FnOnce(&Core) -> R) -> R {
        let core = self.lock();
        let held = Held::by(self);
        let result = catch_unwind(AssertUnwindSafe(|| f(&core)));
        drop(held);
        drop(core);
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn drain(self: &Arc<Self>, core: &mut Core) {
        while let Some(output) = core.replica.poll_output() {
            match output {
                Output::Connect => {
                    core.connections += 1;
                    self.queued_bytes.store(0, Ordering::Relaxed);
                    let target = self.target.clone();
                    core.connection = Some(socket::connect(Arc::clone(self), target, core.connections));
                }
                Output::Send(frame) => {
                    if let Some(connection) = &core.connection {
                        self.queued_bytes.fetch_add(frame.len(), Ordering::Relaxed);
                        connection.send(frame);
                    }
                }
                Output::Disconnect => core.drop_connection("closed by this side".into()),
                Output::Store(id, task) => self.store(core, id, task),
                Output::Tell(..) | Output::TakeOver => unreachable!("nobody else can be on the store"),
                Output::Event(event) => core.publish(event),
            }
        }
        let next = core.replica.poll_timeout();
        if next != core.armed {
            core.armed = next;
            self.timer.notify_one();
        }
        self.activity.send_modify(|n| *n = n.wrapping_add(1));
    }

    fn store(&self, core: &mut Core, id: TaskId, task: LocalTask) {
        core.saves.in_flight += usize::from(matches!(task, LocalTask::Commit(_)));
        let sent = core.store.as_ref().map(|queue| queue.send((id, task)));
        if let Some(Err(_)) = sent {
            tracing::error!("the thread of the local store has ended before the client was closed");
            core.tell(ClientEvent::StorageFailed(StoreError::Io("the store's thread has ended".into())));
        }
    }

    /// Hands the replica what came over a connection; false if that connection is not the live one any more.
    fn feed(self: &Arc<Self>, generation: u64, input: Input) -> bool {
        let fed = self.with(|core, now| {
            let Some(live) = core.connection.as_mut().filter(|c| c.generation == generation) else { return false };
            if matches!(input, Input::Connected(_)) {
                live.connected = true;
                core.tell(ClientEvent::Connected);
            }
            core.replica.handle_input(now, input);
            true
        });
        fed.unwrap_or(false)
    }

    /// Reports the end of a connection, if it was the live one.
    fn disconnected(self: &Arc<Self>, generation: u64, reason: String) {
        let _ = self.with(|core, now| {
            if core.connection.as_ref().is_some_and(|c| c.generation == generation) {
                core.drop_connection(reason);
                core.replica.handle_input(now, Input::Disconnected);
            }
        });
    }

    fn store_done(self: &Arc<Self>, id: TaskId, done: LocalDone) {
        let mut core = self.lock();
        if let LocalDone::Committed(result) = &done {
            core.saves.in_flight -= 1;
            core.saves.answered += 1;
            core.saves.error = result.clone().err();
        }
        core.replica.handle_input(self.now(), Input::StoreDone(id, done));
        self.drain(&mut core);
        core.end_if_done();
    }

    fn written(&self, bytes: usize) {
        let taken = |queued: usize| Some(queued.saturating_sub(bytes));
        let _ = self.queued_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken);
    }

    /// Whether so much waits for the socket that what may be dropped should be.
    pub(crate) fn is_congested(&self) -> bool {
        self.queued_bytes.load(Ordering::Relaxed) > SEND_QUEUE_BYTES_MAX
    }

    /// Wakes whenever the replica may have moved.
    pub(crate) fn activity(&self) -> watch::Receiver<u64> {
        self.activity.subscribe()
    }

    /// Notes that the last handle of a document is gone. Takes no lock that a closure could hold, since handles are dropped anywhere.
    pub(crate) fn abandon(&self, id: DocumentId) {
        self.abandoned.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        self.timer.notify_one();
    }

    /// Ends everything: the connection at once, the store once what is on its way is written or has failed. Gives the store's thread
    /// to wait for, the first time.
    pub(crate) fn shut_down(self: &Arc<Self>) -> Option<JoinHandle<()>> {
        if self.core.is_poisoned() {
            // The defect has been shown where it happened; handles are dropped while it unwinds.
            return None;
        }
        let _ = self.with(|core, now| core.replica.set_online(now, false));
        let mut core = self.lock();
        core.closing = true;
        core.drop_connection("closed by this side".into());
        core.documents.clear();
        core.events = None;
        core.end_if_done();
        drop(core);
        self.timer.notify_one();
        self.store_thread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether this thread is inside a closure of this client.
    pub(crate) fn is_held_here(&self) -> bool {
        std::ptr::eq(HELD.get(), self)
    }
}

impl Core {
    fn progress(&self, id: DocumentId, f: impl FnOnce(&mut Progress)) {
        if let Some(entry) = self.documents.get(&id) {
            entry.progress.send_modify(f);
        }
    }

    /// Events of the whole client from now on; none if it is closed.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<ClientEvent> {
        match &self.events {
            Some(events) => events.subscribe(),
            None => broadcast::channel(1).1,
        }
    }

    /// Events of a document from now on; none if the client is closed.
    pub(crate) fn subscribe_to(&self, id: DocumentId) -> broadcast::Receiver<DocumentEvent> {
        match self.documents.get(&id) {
            Some(entry) => entry.events.subscribe(),
            None => broadcast::channel(1).1,
        }
    }

    /// How the saving goes.
    pub(crate) fn saves(&self) -> &Saves {
        &self.saves
    }

    /// Lets go of the store's queue, and so of its thread and the store, once nothing is on its way. What failed is not waited for.
    fn end_if_done(&mut self) {
        if self.closing && self.saves.in_flight == 0 {
            self.store = None;
        }
    }

    fn tell(&self, event: ClientEvent) {
        if let Some(events) = &self.events {
            // An error means that nobody listens.
            let _ = events.send(event);
        }
    }

    fn drop_connection(&mut self, reason: String) {
        if let Some(connection) = self.connection.take() {
            let connected = connection.connected;
            self.tell(ClientEvent::Disconnected { connected, reason });
        }
    }

    /// Brings an event to those who wait or listen.
    fn publish(&mut self, event: Event) {
        let (document, event) = match event {
            Event::StorageFailed(error) => {
                if self.replica.client_id().is_none() {
                    self.unusable = Some(error.clone());
                }
                return self.tell(ClientEvent::StorageFailed(error));
            }
            Event::Ready(id) => return self.progress(id, |p| p.loaded = Some(Ok(()))),
            Event::Failed(id, error) => return self.progress(id, |p| p.loaded = Some(Err(error))),
            Event::Saved(id, change) => {
                self.progress(id, |p| p.saved = p.saved.max(change));
                (id, DocumentEvent::Saved(change))
            }
            Event::Acknowledged(id, change) => {
                self.progress(id, |p| p.acknowledged = p.acknowledged.max(change));
                (id, DocumentEvent::Acknowledged(change))
            }
            Event::Changed { document, local } => (document, DocumentEvent::Changed { local }),
            Event::Rejected { document, change, code, reason } => {
                (document, DocumentEvent::Rejected { change, code, reason })
            }
            Event::Status(id) => (id, DocumentEvent::Status),
            Event::View { document, view, .. } => match View::decode(&view) {
                Ok(view) => (document, DocumentEvent::View(view)),
                Err(_) => return,
            },
            Event::Progress { document, done, total } => (document, DocumentEvent::Progress { done, total }),
            Event::Emitted { document, from, payload, presence } => {
                (document, DocumentEvent::Emitted { from, payload, presence })
            }
            other => return tracing::debug!(?other, "an event of a newer core is not passed on"),
        };
        if let Some(entry) = self.documents.get(&document) {
            // An error means that nobody listens.
            let _ = entry.events.send(event);
        }
    }
}
