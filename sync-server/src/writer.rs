//! The store's threads: one that writes, committing all that has gathered in one transaction, and one that reads for rooms.
//!
//! A commit is not delayed to gather more; what comes while one is under way makes the next. Results go back over unbounded
//! channels, since the number of tasks is bounded on the way in and these threads must not wait for a room's worker, which may be
//! waiting for them.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use sync_core::id::{DocumentName, LogSeq, RoomNumber, TaskId};
use sync_core::storage::{
    Append, Compaction, DocumentSnapshot, Durability, Loaded, Store, StoreDone, StoreError, StoreTask,
};
use tokio::sync::{mpsc, oneshot};

use crate::health::Health;
use crate::meter;
use crate::store::{ReadStore, SqliteStore};

/// Most appends waiting for the writer; workers wait beyond.
const APPENDS_QUEUED_MAX: usize = 1_024;

/// Most loads waiting for the reader; workers wait beyond.
const LOADS_QUEUED_MAX: usize = 1_024;

/// Most appends of one commit.
const COMMIT_APPENDS_MAX: usize = 1_024;

/// No further append joins a commit that has this many bytes.
const COMMIT_BYTES_MAX: usize = 16 << 20;

/// The result of a room's task.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) document: DocumentName,
    /// The room that asked; a later room of the same document counts its tasks anew.
    pub(crate) room: RoomNumber,
    pub(crate) task: TaskId,
    pub(crate) done: StoreDone,
    /// Where the log ends now, if the task moved it.
    pub(crate) head: Option<LogSeq>,
}

/// Where a result goes.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) to: mpsc::UnboundedSender<Done>,
    pub(crate) document: DocumentName,
    pub(crate) room: RoomNumber,
    pub(crate) task: TaskId,
}

impl Reply {
    fn send(self, done: StoreDone, head: Option<LogSeq>) {
        let Self { to, document, room, task } = self;
        // A worker that is gone wants no result.
        let _ = to.send(Done { document, room, task, done, head });
    }
}

#[derive(Debug)]
enum WriteJob {
    Append(Append, Reply),
    Compact(Box<Compaction>, oneshot::Sender<Result<(), StoreError>>),
    Keep(Box<DocumentSnapshot>, oneshot::Sender<Result<(), StoreError>>),
    Delete(DocumentName, oneshot::Sender<Result<bool, StoreError>>),
    Probe,
    Stop,
}

#[derive(Debug)]
enum ReadJob {
    Load { document: DocumentName, after: LogSeq, bytes_max: usize, reply: Reply },
    Open { document: DocumentName, bytes_max: usize, reply: Reply },
    Pieces { document: DocumentName, from: u32, bytes_max: usize, reply: Reply },
    Stop,
}

/// The way to the store's threads.
#[derive(Clone, Debug)]
pub(crate) struct StoreThreads {
    writes: mpsc::Sender<WriteJob>,
    reads: mpsc::Sender<ReadJob>,
}

impl StoreThreads {
    /// Starts both threads.
    pub(crate) fn start(
        store: SqliteStore,
        reader: impl ReadStore + 'static,
        health: Arc<Health>,
    ) -> std::io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (writes, write_jobs) = mpsc::channel(APPENDS_QUEUED_MAX);
        let (reads, read_jobs) = mpsc::channel(LOADS_QUEUED_MAX);
        let writer = thread::Builder::new().name("store-writer".into());
        let readers = thread::Builder::new().name("store-reader".into());
        let threads = vec![
            writer.spawn(move || write(store, write_jobs, &health))?,
            readers.spawn(move || read(reader, read_jobs))?,
        ];
        Ok((Self { writes, reads }, threads))
    }

    /// Queues a room's task; waits while the queue is full.
    pub(crate) async fn submit(&self, task: StoreTask, reply: Reply) {
        match task {
            StoreTask::Append(append) => {
                // The threads end only after all workers.
                let _ = self.writes.send(WriteJob::Append(append, reply)).await;
            }
            StoreTask::Load { document, after, bytes_max } => {
                let _ = self.reads.send(ReadJob::Load { document, after, bytes_max, reply }).await;
            }
            StoreTask::Open { document, bytes_max } => {
                let _ = self.reads.send(ReadJob::Open { document, bytes_max, reply }).await;
            }
            StoreTask::Pieces { document, from, bytes_max } => {
                let _ = self.reads.send(ReadJob::Pieces { document, from, bytes_max, reply }).await;
            }
        }
    }

    /// Deletes a document. Whether there was one.
    pub(crate) async fn delete(&self, document: DocumentName) -> Result<bool, StoreError> {
        let stopping = || StoreError::Io("the server is stopping".into());
        let (reply, answer) = oneshot::channel();
        self.writes.send(WriteJob::Delete(document, reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    /// Does one step of a compaction, behind what is queued. Blocks until it is committed.
    pub(crate) fn compact(&self, step: Compaction) -> Result<(), StoreError> {
        let stopping = || StoreError::Io("the server is stopping".into());
        let (reply, answer) = oneshot::channel();
        self.writes.blocking_send(WriteJob::Compact(Box::new(step), reply)).map_err(|_| stopping())?;
        answer.blocking_recv().map_err(|_| stopping())?
    }

    /// Keeps a document snapshot, behind what is queued. Blocks until it is committed.
    pub(crate) fn keep(&self, snapshot: DocumentSnapshot) -> Result<(), StoreError> {
        let stopping = || StoreError::Io("the server is stopping".into());
        let (reply, answer) = oneshot::channel();
        self.writes.blocking_send(WriteJob::Keep(Box::new(snapshot), reply)).map_err(|_| stopping())?;
        answer.blocking_recv().map_err(|_| stopping())?
    }

    /// Whether the writer has as much to do as it takes.
    #[cfg(test)]
    pub(crate) fn is_full(&self) -> bool {
        self.writes.capacity() == 0
    }

    /// Tries whether the store takes writes again, if the writer has nothing else to do.
    pub(crate) fn probe(&self) {
        let _ = self.writes.try_send(WriteJob::Probe);
    }

    /// Lets both threads end once they have done what was queued before.
    pub(crate) async fn stop(&self) {
        let _ = self.writes.send(WriteJob::Stop).await;
        let _ = self.reads.send(ReadJob::Stop).await;
    }
}

fn write(mut store: SqliteStore, mut jobs: mpsc::Receiver<WriteJob>, health: &Health) {
    let mut batch = Batch::default();
    while let Some(first) = jobs.blocking_recv() {
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                WriteJob::Append(append, reply) => batch.push(append, reply),
                other => {
                    batch.commit(&mut store, health);
                    if !alone(&mut store, other, health) {
                        return;
                    }
                }
            }
            next = if batch.is_full() { None } else { jobs.try_recv().ok() };
        }
        meter::writer_queue(jobs.len());
        batch.commit(&mut store, health);
    }
}

/// Does a job that shares no transaction. Whether to go on.
fn alone(store: &mut SqliteStore, job: WriteJob, health: &Health) -> bool {
    match job {
        WriteJob::Delete(document, reply) => {
            let result = counted(store.delete(&document));
            // One that went through says nothing of others: a full disk takes deletes.
            if let Err(e) = &result
                && e.is_retryable()
            {
                health.wrote(Err(e));
            }
            let _ = reply.send(result);
        }
        // Without these two the server does its work all the same.
        WriteJob::Compact(step, reply) => drop(reply.send(counted(store.compact(&step)))),
        WriteJob::Keep(snapshot, reply) => drop(reply.send(counted(store.keep_snapshot(&snapshot)))),
        WriteJob::Probe => health.wrote(store.probe().as_ref().map(|_| ())),
        WriteJob::Stop => return false,
        WriteJob::Append(..) => unreachable!("appends share a transaction"),
    }
    true
}

fn counted<T>(result: Result<T, StoreError>) -> Result<T, StoreError> {
    result.inspect_err(meter::store_error)
}

#[derive(Default)]
struct Batch {
    appends: Vec<Append>,
    replies: Vec<Reply>,
    bytes: usize,
}

impl Batch {
    fn push(&mut self, append: Append, reply: Reply) {
        self.bytes += append.pack.bytes.len();
        self.appends.push(append);
        self.replies.push(reply);
    }

    fn is_full(&self) -> bool {
        self.appends.len() >= COMMIT_APPENDS_MAX || self.bytes >= COMMIT_BYTES_MAX
    }

    fn commit(&mut self, store: &mut SqliteStore, health: &Health) {
        let Self { appends, replies, bytes } = std::mem::take(self);
        if appends.is_empty() {
            return;
        }
        let start = Instant::now();
        let result = store.commit(&appends);
        health.wrote(result.as_ref().map(|_| ()));
        let results: Vec<Result<Durability, StoreError>> = match result {
            Ok(results) => results,
            Err(e) => vec![Err(e); appends.len()],
        };
        let mut changes = 0;
        for ((append, reply), result) in appends.iter().zip(replies).zip(results) {
            let head = result.is_ok().then(|| append.pack.last());
            match &result {
                Ok(_) => changes += u64::from(append.pack.count),
                Err(e) => meter::store_error(e),
            }
            reply.send(StoreDone::Appended(result), head);
        }
        meter::commit(start.elapsed(), appends.len(), changes, bytes);
    }
}

fn read(mut store: impl ReadStore, mut jobs: mpsc::Receiver<ReadJob>) {
    while let Some(job) = jobs.blocking_recv() {
        match job {
            ReadJob::Load { document, after, bytes_max, reply } => {
                answer(store.load(&document, after, bytes_max), reply);
            }
            ReadJob::Open { document, bytes_max, reply } => answer(store.open(&document, bytes_max), reply),
            ReadJob::Pieces { document, from, bytes_max, reply } => {
                let result = counted(store.pieces(&document, from, bytes_max));
                reply.send(StoreDone::Pieces(result), None);
            }
            ReadJob::Stop => return,
        }
    }
}

fn answer(result: Result<Loaded, StoreError>, reply: Reply) {
    reply.send(StoreDone::Loaded(counted(result)), None);
}
