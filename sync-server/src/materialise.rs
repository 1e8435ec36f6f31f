//! Documents as values, for readers over HTTP: a few threads that apply changes, away from the hot path.
//!
//! A document that makes automerge panic or that does not apply is quarantined with its reason until its log moves on; the process
//! and other documents go on. Stack and queue are bounded, and so is what is kept.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use automerge::{AutoSerde, Automerge, TextEncoding};
use bytes::Bytes;
use sync_core::change::Change;
use sync_core::desk::Desk;
use sync_core::id::{Digest, DocumentName, Incarnation, LogSeq};
use sync_core::settlement;
use sync_core::storage::{DocumentRecord, StoreError};
use tokio::sync::oneshot;

use crate::backplane::{Announcement, Backplane};
use crate::conflicts;
use crate::meter;
use crate::store::ReadStore;
use crate::walk::{self, Walk, WalkError};

/// Stack of a materialising thread. Values nest at most as deep as `ChangeLimits::depth_max`; this is ample.
const STACK_BYTES: usize = 16 << 20;

/// Most jobs waiting; further ones are refused as overloaded.
const JOBS_MAX: usize = 64;

/// Most bytes of finished values kept.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// Most quarantined documents remembered; beyond, the oldest is tried again when asked for.
const QUARANTINED_MAX: usize = 1_000;

/// Most bytes of a document's changes that are applied at once.
const CHANGES_BYTES_MAX: usize = 1 << 30;

/// How a document is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// Its value as JSON.
    Json,
    /// automerge's saved document.
    Automerge,
    /// Its conflicts as JSON.
    Conflicts,
}

/// A document as a reader gets it.
#[derive(Clone, Debug)]
pub(crate) struct Materialised {
    pub(crate) incarnation: Incarnation,
    pub(crate) head: LogSeq,
    pub(crate) digest: Digest,
    pub(crate) bytes: Bytes,
}

/// Why a document can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadError {
    /// There is none of this name.
    #[error("no such document")]
    None,
    /// Too many readers.
    #[error("too many reads are waiting")]
    Overloaded,
    /// It does not make sense, or can't be applied.
    #[error("{0}")]
    Quarantined(String),
    /// The store fails.
    #[error("{0}")]
    Store(StoreError),
}

pub(crate) type Listing = Vec<(DocumentName, DocumentRecord)>;

enum Job {
    Read(DocumentName, Form, oneshot::Sender<Result<Materialised, ReadError>>),
    Desk(DocumentName, Box<dyn FnOnce(Result<Desk, ReadError>) + Send>),
    List(Option<DocumentName>, usize, oneshot::Sender<Result<Listing, StoreError>>),
}

/// The way to the materialising threads. They end when the last of these is gone.
#[derive(Clone)]
pub(crate) struct Materialiser {
    jobs: SyncSender<Job>,
}

impl Materialiser {
    /// Starts a thread for each reader.
    pub(crate) fn start<R: ReadStore + 'static>(
        readers: Vec<R>,
        backplane: &dyn Backplane,
    ) -> std::io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (jobs, queue) = sync_channel(JOBS_MAX);
        let queue = Arc::new(Mutex::new(queue));
        let kept = Arc::new(Mutex::new(Kept::default()));
        let mut threads = Vec::new();
        for reader in readers {
            let (queue, kept) = (queue.clone(), kept.clone());
            let thread = thread::Builder::new().name("materialise".into()).stack_size(STACK_BYTES);
            threads.push(thread.spawn(move || work(reader, &queue, &kept))?);
        }
        let mut announcements = backplane.subscribe();
        // Values of documents that have moved on are only in the way. Missing an announcement costs memory, nothing else.
        tokio::spawn(async move {
            use tokio::sync::broadcast::error::RecvError;
            loop {
                match announcements.recv().await {
                    Ok(Announcement { document, head }) => lock(&kept).moved(&document, head),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                }
            }
        });
        Ok((Self { jobs }, threads))
    }

    /// A document in a form.
    pub(crate) async fn read(&self, document: DocumentName, form: Form) -> Result<Materialised, ReadError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.try_send(Job::Read(document, form, reply)).map_err(|_| ReadError::Overloaded)?;
        answer.await.unwrap_or(Err(ReadError::Overloaded))
    }

    /// Does something with a document read whole. What `work` gives is lost where nobody waits for it.
    pub(crate) async fn at_desk<T: Send + 'static>(
        &self,
        document: DocumentName,
        work: impl FnOnce(&mut Desk) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let (reply, answer) = oneshot::channel();
        let job = move |desk: Result<Desk, ReadError>| drop(reply.send(desk.map(|mut desk| work(&mut desk))));
        self.jobs.try_send(Job::Desk(document, Box::new(job))).map_err(|_| ReadError::Overloaded)?;
        answer.await.unwrap_or(Err(ReadError::Overloaded))
    }

    /// Live documents after a name.
    pub(crate) async fn list(&self, after: Option<DocumentName>, count_max: usize) -> Result<Listing, ReadError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.try_send(Job::List(after, count_max, reply)).map_err(|_| ReadError::Overloaded)?;
        answer.await.map_err(|_| ReadError::Overloaded)?.map_err(ReadError::Store)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn work(mut store: impl ReadStore, queue: &Mutex<Receiver<Job>>, kept: &Mutex<Kept>) {
    loop {
        let job = lock(queue).recv();
        match job {
            // A reader that has gone wants no answer.
            Ok(Job::Read(document, form, reply)) => drop(reply.send(read(&mut store, kept, &document, form))),
            Ok(Job::Desk(document, work)) => work(desk(&mut store, kept, &document)),
            Ok(Job::List(after, count, reply)) => drop(reply.send(store.documents(after.as_ref(), count))),
            Err(_) => return,
        }
    }
}

fn read(
    store: &mut impl ReadStore,
    kept: &Mutex<Kept>,
    document: &DocumentName,
    form: Form,
) -> Result<Materialised, ReadError> {
    let record = record(store, document)?;
    if let Some(known) = lock(kept).find(document, form, &record) {
        return known;
    }
    let start = Instant::now();
    let result = materialise(store, document, form);
    meter::materialised(start.elapsed());
    match &result {
        Ok(value) => lock(kept).keep(document, form, value.clone()),
        Err(error) => failed(kept, document, &record, error),
    }
    result
}

/// A document read whole, to be written on.
fn desk(store: &mut impl ReadStore, kept: &Mutex<Kept>, document: &DocumentName) -> Result<Desk, ReadError> {
    let record = record(store, document)?;
    if let Some(reason) = lock(kept).reason(document, &record) {
        return Err(ReadError::Quarantined(reason));
    }
    let store_id = store.store_id();
    let read = gather(store, document, true).and_then(|(_, walk, changes)| {
        walk::desk(document, store_id, changes, walk).map_err(|e| ReadError::Quarantined(e.to_string()))
    });
    read.inspect_err(|error| failed(kept, document, &record, error))
}

/// The record of a live document.
fn record(store: &mut impl ReadStore, document: &DocumentName) -> Result<DocumentRecord, ReadError> {
    // No packs reach beyond the end of all positions, so this reads the record alone.
    match store.load(document, LogSeq(i64::MAX as u64 - 1), 0) {
        Ok(loaded) => loaded.record.filter(|r| r.incarnation.is_some()).ok_or(ReadError::None),
        Err(StoreError::Corrupt(reason)) => Err(ReadError::Quarantined(reason)),
        Err(e) => Err(ReadError::Store(e)),
    }
}

fn failed(kept: &Mutex<Kept>, document: &DocumentName, record: &DocumentRecord, error: &ReadError) {
    if let ReadError::Quarantined(reason) = error {
        tracing::warn!(%document, reason, "the document can't be materialised");
        lock(kept).quarantine(document, record, reason);
    }
}

/// All changes of a document, and its log.
fn gather(
    store: &mut impl ReadStore,
    document: &DocumentName,
    validate: bool,
) -> Result<(DocumentRecord, Walk, Vec<Change>), ReadError> {
    let (mut changes, mut bytes) = (Vec::new(), 0);
    let read = walk::read(store, document, validate, |_, pack| {
        bytes += pack.iter().map(|c| c.bytes().len()).sum::<usize>();
        if bytes <= CHANGES_BYTES_MAX {
            changes.extend(pack);
        }
    });
    let (record, walk) = match read {
        Ok(found) => found.ok_or(ReadError::None)?,
        Err(WalkError::Store(e)) if e.is_retryable() => return Err(ReadError::Store(e)),
        Err(WalkError::Replaced) => return Err(ReadError::None),
        Err(e) => return Err(ReadError::Quarantined(e.to_string())),
    };
    if bytes > CHANGES_BYTES_MAX {
        return Err(ReadError::Quarantined(format!("its changes hold more than {CHANGES_BYTES_MAX} bytes")));
    }
    Ok((record, walk, changes))
}

fn materialise(store: &mut impl ReadStore, document: &DocumentName, form: Form) -> Result<Materialised, ReadError> {
    let (record, walk, changes) = gather(store, document, form == Form::Conflicts)?;
    let applied =
        |changes: Vec<Change>, give: Give| apply(changes.into_iter().map(Change::into_automerge).collect(), give);
    let made = match form {
        Form::Json => applied(changes, as_json),
        Form::Automerge => applied(changes, as_automerge),
        Form::Conflicts => {
            let desk = walk::desk(document, store.store_id(), changes, walk);
            let listed = desk.and_then(|desk| desk.listed()).map_err(|e| e.to_string());
            listed.and_then(|listed| conflicts::json(document, &listed))
        }
    };
    let bytes = made.map_err(ReadError::Quarantined)?;
    let incarnation = record.incarnation.expect("a live document was read");
    Ok(Materialised { incarnation, head: record.head, digest: record.digest, bytes })
}

/// How a document is given.
pub(crate) type Give = fn(&Automerge) -> Result<Bytes, String>;

/// Applies changes to the empty document and gives it, or says why that can't be done.
pub(crate) fn apply(changes: Vec<automerge::Change>, give: Give) -> Result<Bytes, String> {
    let applied = || {
        let mut document = Automerge::new_with_encoding(TextEncoding::Utf16CodeUnit);
        document.apply_changes(changes).map_err(|e| e.to_string())?;
        give(&document)
    };
    catch_unwind(AssertUnwindSafe(applied)).unwrap_or_else(|_| Err("applying its changes panics".into()))
}

/// Its value as JSON.
pub(crate) fn as_json(document: &Automerge) -> Result<Bytes, String> {
    json(document).map_err(|e| e.to_string())
}

/// automerge's saved document.
pub(crate) fn as_automerge(document: &Automerge) -> Result<Bytes, String> {
    Ok(document.save().into())
}

/// The value without what no value shows.
fn json(document: &Automerge) -> Result<Bytes, serde_json::Error> {
    let mut value = serde_json::to_value(AutoSerde::from(document))?;
    if let Some(root) = value.as_object_mut() {
        root.remove(settlement::ROOT_KEY);
    }
    serde_json::to_vec(&value).map(Bytes::from)
}

/// Finished values, least recently made first out, and the documents that failed.
#[derive(Default)]
struct Kept {
    values: BTreeMap<(DocumentName, Form), Materialised>,
    order: VecDeque<(DocumentName, Form)>,
    bytes: usize,
    quarantined: BTreeMap<DocumentName, (Option<Incarnation>, LogSeq, String)>,
}

impl Kept {
    fn find(
        &self,
        document: &DocumentName,
        form: Form,
        record: &DocumentRecord,
    ) -> Option<Result<Materialised, ReadError>> {
        if let Some(reason) = self.reason(document, record) {
            return Some(Err(ReadError::Quarantined(reason)));
        }
        let value = self.values.get(&(document.clone(), form))?;
        let fits = (Some(value.incarnation), value.head) == (record.incarnation, record.head);
        fits.then(|| Ok(value.clone()))
    }

    /// Why a document is quarantined, if it is.
    fn reason(&self, document: &DocumentName, record: &DocumentRecord) -> Option<String> {
        let (incarnation, head, reason) = self.quarantined.get(document)?;
        ((*incarnation, *head) == (record.incarnation, record.head)).then(|| reason.clone())
    }

    fn keep(&mut self, document: &DocumentName, form: Form, value: Materialised) {
        self.quarantined.remove(document);
        let key = (document.clone(), form);
        self.forget(&key);
        self.bytes += value.bytes.len();
        self.values.insert(key.clone(), value);
        self.order.push_back(key);
        while self.bytes > KEPT_BYTES_MAX {
            let Some(oldest) = self.order.front().cloned() else { break };
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, key: &(DocumentName, Form)) {
        if let Some(value) = self.values.remove(key) {
            self.bytes -= value.bytes.len();
            self.order.retain(|k| k != key);
        }
    }

    fn moved(&mut self, document: &DocumentName, head: LogSeq) {
        for form in [Form::Json, Form::Automerge, Form::Conflicts] {
            let key = (document.clone(), form);
            if self.values.get(&key).is_some_and(|v| v.head != head) {
                self.forget(&key);
            }
        }
    }

    fn quarantine(&mut self, document: &DocumentName, record: &DocumentRecord, reason: &str) {
        if self.quarantined.len() >= QUARANTINED_MAX {
            self.quarantined.pop_first();
        }
        self.quarantined.insert(document.clone(), (record.incarnation, record.head, reason.to_owned()));
    }
}
