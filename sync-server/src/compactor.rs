//! Work on documents in the background: one thread that packs scattered logs together and has snapshots for newcomers made, away from pushes
//! and opens.
//!
//! It reads over a connection of its own and hands each step to the writer as one more job, so nothing waits for it. It may be killed between
//! any two steps. A document that it can't compact is left as it is, and the others go on.

mod growth;
pub(crate) mod maker;

use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use sync_core::compact::{self, Options, Report, Source};
use sync_core::id::{DocumentName, LogSeq};
use sync_core::newcomer;
use sync_core::storage::{Compaction, Loaded, StoreError};
use tokio::sync::{broadcast, watch};
use tokio::time::MissedTickBehavior;

use crate::backplane::{Announcement, Backplane};
use crate::compactor::growth::{Grown, Growth, REST};
use crate::compactor::maker::{Maker, MakerError};
use crate::meter;
use crate::rooms::Rooms;
use crate::store::{ReadStore, SqliteReader};
use crate::writer::StoreThreads;

/// Most documents waiting to be compacted; further ones are asked again at their next commit.
const WAITING_MAX: usize = 1_024;

/// Most documents remembered as not to be compacted; beyond, all are tried again.
const FAILED_MAX: usize = 1_024;

/// What the thread works with.
pub(crate) struct Compactor {
    pub(crate) reader: SqliteReader,
    pub(crate) store: StoreThreads,
    pub(crate) rooms: Rooms,
    pub(crate) options: Options,
    /// Makes snapshots for newcomers; none are made without it.
    pub(crate) maker: Option<Maker>,
    pub(crate) stop: watch::Receiver<bool>,
}

/// Documents that are left alone until the server starts again, or until there are too many of them.
#[derive(Default)]
struct Failed {
    /// They can't be compacted.
    compacting: BTreeSet<DocumentName>,
    /// No snapshot can be made of them.
    making: BTreeSet<DocumentName>,
}

impl Compactor {
    /// Starts the thread, and a task that tells it which documents have grown.
    pub(crate) fn start(
        self,
        backplane: &dyn Backplane,
    ) -> std::io::Result<(tokio::task::JoinHandle<()>, JoinHandle<()>)> {
        let (grown, queue) = sync_channel(WAITING_MAX);
        let counting = tokio::spawn(count(backplane.subscribe(), grown, self.options.packs_min));
        let thread = thread::Builder::new().name("compactor".into()).spawn(move || self.run(&queue))?;
        Ok((counting, thread))
    }

    fn run(mut self, queue: &Receiver<Grown>) {
        let mut failed = Failed::default();
        match self.reader.scattered(self.options.packs_min, self.options.segment_changes_max) {
            Ok(names) => names.iter().for_each(|name| self.one(name, &mut failed.compacting)),
            Err(e) => tracing::warn!(error = %e, "cannot tell which documents to compact"),
        }
        // Compacting goes first: it takes less time, and the packs that it leaves are those that a snapshot is followed by.
        let mut waiting = self.due();
        loop {
            let next = if waiting.is_empty() { queue.recv().ok() } else { queue.try_recv().ok() };
            match (next, waiting.pop_front()) {
                (Some(grown), back) => {
                    back.into_iter().for_each(|grown| waiting.push_front(grown));
                    self.one(&grown.document, &mut failed.compacting);
                    if let Some(other) = waiting.iter_mut().find(|other| other.document == grown.document) {
                        other.rests = grown.rests;
                    } else if waiting.len() < WAITING_MAX {
                        waiting.push_back(grown);
                    }
                }
                (None, Some(grown)) => self.make(&grown, &mut failed.making),
                (None, None) => return,
            }
            if *self.stop.borrow() {
                return;
            }
        }
    }

    /// Documents that are due for a snapshot as the server starts.
    fn due(&mut self) -> VecDeque<Grown> {
        let making = newcomer::Options::default();
        if self.maker.is_none() {
            return VecDeque::new();
        }
        match self.reader.long(making.changes_min) {
            Ok(all) => {
                let due = all.into_iter().filter(|(_, head, kept)| newcomer::is_due(*head, *kept, true, &making));
                due.map(|(document, ..)| Grown { document, rests: true }).take(WAITING_MAX).collect()
            }
            Err(e) => {
                tracing::warn!(error = %e, "cannot tell which documents need a snapshot");
                VecDeque::new()
            }
        }
    }

    /// Has a snapshot for newcomers made, if the document is due for one.
    fn make(&mut self, grown: &Grown, failed: &mut BTreeSet<DocumentName>) {
        let Grown { document, rests } = grown;
        let Some(maker) = &self.maker else { return };
        let making = newcomer::Options::default();
        let due = match self.reader.newcomer_state(document) {
            Ok(state) => state.is_some_and(|(head, kept)| newcomer::is_due(head, kept, *rests, &making)),
            Err(_) => false,
        };
        if !due || failed.contains(document) {
            return;
        }
        let start = Instant::now();
        match maker.make(document, &self.stop) {
            Ok(None) | Err(MakerError::Stopping) => {}
            Ok(Some(snapshot)) => match self.store.keep(snapshot) {
                Ok(()) => {
                    meter::newcomer_snapshot(start.elapsed());
                    tracing::debug!(%document, "made a snapshot for newcomers");
                }
                // Deleted or compacted meanwhile.
                Err(StoreError::HeadMoved { .. }) => {}
                Err(_) if *self.stop.borrow() => {}
                // The disk is in trouble: the next commits bring it here again.
                Err(e) => {
                    meter::newcomer_snapshot_failed();
                    tracing::warn!(%document, error = %e, "no snapshot for newcomers can be kept for now");
                }
            },
            Err(e @ MakerError::NotStarted(_)) => {
                meter::newcomer_snapshot_failed();
                tracing::warn!(%document, error = %e, "no snapshot for newcomers");
            }
            Err(e @ MakerError::Failed(_)) => {
                meter::newcomer_snapshot_failed();
                tracing::warn!(%document, error = %e, "no snapshot for newcomers can be made; they get the log");
                if failed.len() >= FAILED_MAX {
                    failed.clear();
                }
                failed.insert(document.clone());
            }
        }
    }

    fn one(&mut self, document: &DocumentName, failed: &mut BTreeSet<DocumentName>) {
        if *self.stop.borrow() || failed.contains(document) {
            return;
        }
        let start = Instant::now();
        let mut source = Behind { reader: &mut self.reader, store: &self.store, document };
        let options = &self.options;
        let done = catch_unwind(AssertUnwindSafe(|| compact::compact(document, options, &mut source)));
        let mut give_up = |reason: String| {
            meter::compaction_failed();
            tracing::warn!(%document, reason, "the document can't be compacted and stays as it is");
            if failed.len() >= FAILED_MAX {
                failed.clear();
            }
            failed.insert(document.clone());
        };
        match done {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(report))) => {
                meter::compaction(start.elapsed());
                let Report { packs_before, packs_after, bytes_after, snapshot_bytes } = report;
                tracing::debug!(%document, packs_before, packs_after, bytes_after, snapshot_bytes, "compacted");
                if snapshot_bytes > 0 {
                    self.rooms.compacted(document.clone());
                }
            }
            // Deleted meanwhile.
            Ok(Err(StoreError::HeadMoved { .. })) => {}
            Ok(Err(_)) if *self.stop.borrow() => {}
            // The disk is in trouble: the next commits bring it here again.
            Ok(Err(e)) if e.is_retryable() => {
                meter::compaction_failed();
                tracing::warn!(%document, error = %e, "the document can't be compacted for now");
            }
            Ok(Err(e)) => give_up(e.to_string()),
            Err(_) => give_up("compacting it panics".into()),
        }
    }
}

/// Counts commits, and hands on a document that has many.
async fn count(mut commits: broadcast::Receiver<Announcement>, out: SyncSender<Grown>, packs_min: usize) {
    let mut growth = Growth::new(packs_min);
    let mut look = tokio::time::interval(REST);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = tokio::select! {
            commit = commits.recv() => match commit {
                Ok(Announcement { document, head }) => growth.commit(document, head, Instant::now()).into_iter().collect(),
                Err(broadcast::error::RecvError::Lagged(_)) => continue,
                Err(broadcast::error::RecvError::Closed) => return,
            },
            _ = look.tick(), if growth.has_many() => growth.at_rest(Instant::now()),
        };
        for grown in due {
            match out.try_send(grown.clone()) {
                Ok(()) => growth.handed_on(&grown),
                Err(TrySendError::Full(_)) => break,
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }
}

/// Reads beside the writer, and writes through it.
struct Behind<'a> {
    reader: &'a mut SqliteReader,
    store: &'a StoreThreads,
    document: &'a DocumentName,
}

impl Source for Behind<'_> {
    fn open(&mut self, bytes_max: usize) -> Result<Loaded, StoreError> {
        self.reader.open(self.document, bytes_max)
    }

    fn load(&mut self, after: LogSeq, bytes_max: usize) -> Result<Loaded, StoreError> {
        self.reader.load(self.document, after, bytes_max)
    }

    fn handed_out(&mut self) -> Option<LogSeq> {
        self.reader.handed_out(self.document)
    }

    fn write(&mut self, step: Compaction) -> Result<(), StoreError> {
        self.store.compact(step)
    }
}
