//! Loading a document's log from the store, and what waits for it.

use std::collections::VecDeque;

use crate::id::{BatchId, LogSeq, SessionId, TaskId};
use crate::log::Need;
use crate::planted::Planted;
use crate::protocol::RejectCode;
use crate::reading::{ReadError, Reading};
use crate::room::{Request, Room};
use crate::storage::{DocumentRecord, Loaded, StoreError, StoreTask, StoredPack};
use crate::time::Instant;

/// Why subscriptions to a log end that is not the document's any more.
const REPLACED: &str = "the document was replaced";

/// How far the room is with its document.
#[derive(Debug)]
pub(super) enum Phase {
    /// Nothing was read yet.
    Unloaded,
    /// The log is being read.
    Loading { task: TaskId, progress: Progress, waiting: VecDeque<(SessionId, Request)>, bytes: usize },
    /// The log is in memory.
    Ready(Box<Body>),
    /// What is stored makes no sense. Tried again at the next open.
    Quarantined(String),
}

/// How far a load is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    body: Option<Box<Body>>,
    /// A snapshot came, and was taken or not. If the log then makes no sense, it is read from its start.
    snapshot: bool,
    /// Packs that were read and not taken in, the first of which needs this.
    stuck: Option<(Need, LogSeq, VecDeque<StoredPack>)>,
}

/// What is known of a document's log.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) record: DocumentRecord,
    /// All changes, staged ones too.
    pub(super) reading: Reading,
    /// The last durable position. Nothing beyond exists for anybody.
    pub(super) durable: LogSeq,
    /// Number of actors up to `durable`.
    pub(super) durable_actors: u32,
}

impl Phase {
    pub(super) fn is_loading(&self) -> bool {
        matches!(self, Self::Loading { .. })
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }

    pub(super) fn body(&self) -> Option<&Body> {
        match self {
            Self::Ready(body) => Some(body),
            _ => None,
        }
    }

    pub(super) fn body_mut(&mut self) -> Option<&mut Body> {
        match self {
            Self::Ready(body) => Some(body),
            _ => None,
        }
    }

    /// Drops what a session that left was waiting for.
    pub(super) fn forget(&mut self, session: SessionId) {
        if let Self::Loading { waiting, .. } = self {
            waiting.retain(|(s, _)| *s != session);
        }
    }
}

impl Room {
    /// Keeps a request until the document is loaded, and begins to load it if need be.
    pub(super) fn wait(&mut self, session: SessionId, request: Request) {
        let joins = matches!(request, Request::Join { .. });
        if !self.phase.is_loading() {
            // Whoever is not joining belongs to a subscription that has been ended.
            if !joins {
                return;
            }
            self.begin_load();
        }
        let Phase::Loading { waiting, bytes, .. } = &mut self.phase else { return };
        let size = request.bytes();
        if *bytes + size <= self.config.waiting_bytes_max {
            *bytes += size;
            waiting.push_back((session, request));
            return;
        }
        self.refuse_waiting(session, request, RejectCode::Unavailable, "too much waits for this document to load");
    }

    pub(super) fn begin_load(&mut self) {
        let open = StoreTask::Open { document: self.document.clone(), bytes_max: self.config.read_bytes_max };
        let task = self.task(open);
        self.compacted = false;
        let parked = self.lookups.give_up();
        let bytes = parked.iter().map(|(_, request)| request.bytes()).sum();
        self.phase = Phase::Loading { task, progress: Progress::default(), waiting: parked, bytes };
    }

    pub(super) fn load_task(&self, after: LogSeq) -> StoreTask {
        StoreTask::Load { document: self.document.clone(), after, bytes_max: self.config.read_bytes_max }
    }

    pub(super) fn refuse_waiting(&mut self, session: SessionId, request: Request, code: RejectCode, reason: &str) {
        match request {
            Request::Join { open, .. } => self.end(session, open.handle, code, reason),
            Request::Push { batch, .. } => self.refuse_batch(session, batch, code, reason),
            _ => {}
        }
    }

    pub(super) fn refuse_batch(&mut self, session: SessionId, batch: BatchId, code: RejectCode, reason: &str) {
        if let Some(subscriber) = self.subscribers.get(&session) {
            let reject = self.rejection(subscriber.handle, Some(batch), code, reason);
            self.send(session, &reject, super::Then::Continue);
        }
    }

    pub(super) fn loaded(&mut self, now: Instant, done: TaskId, result: Result<Loaded, StoreError>) {
        match &self.phase {
            Phase::Loading { task, .. } if *task == done => {}
            _ => return,
        }
        let Phase::Loading { mut progress, waiting, bytes, .. } = std::mem::replace(&mut self.phase, Phase::Unloaded)
        else {
            return;
        };
        let next = match result.and_then(|loaded| self.advance(&mut progress, loaded)) {
            // The snapshot is wrong, or the log is: that shows when it is read from its start.
            Err(StoreError::Corrupt(_)) if progress.snapshot => {
                progress = Progress::default();
                Ok(Some(self.load_task(LogSeq(0))))
            }
            next => next,
        };
        match (next, progress.body.take()) {
            (Err(error), _) => self.load_failed(&error, waiting),
            (Ok(None), Some(body)) => {
                let incarnation = body.reading.log.incarnation();
                self.phase = Phase::Ready(body);
                if self.told.replace(incarnation).is_some_and(|told| told != incarnation) {
                    self.end_all(RejectCode::Mismatch, REPLACED);
                }
                self.resume_subscribers();
                for (session, request) in waiting {
                    self.request(now, session, request);
                }
            }
            (Ok(next), body) => {
                progress.body = body;
                let load = next.unwrap_or_else(|| self.load_task(LogSeq(0)));
                let task = self.task(load);
                self.phase = Phase::Loading { task, progress, waiting, bytes };
            }
        }
    }

    /// Takes in what was read, and says what to read next.
    fn advance(&mut self, progress: &mut Progress, loaded: Loaded) -> Result<Option<StoreTask>, StoreError> {
        progress.snapshot |= loaded.snapshot.is_some();
        if progress.body.is_none() {
            progress.body = Some(self.new_body(&loaded));
        }
        let corrupt = |what: &str| Err(StoreError::Corrupt(format!("{what} of {}", self.document)));
        let Some(body) = &mut progress.body else { return Ok(None) };
        let before = body.reading.log.head();
        let (mut packs, answered) = match progress.stuck.take() {
            None => (VecDeque::from(loaded.packs), None),
            Some((need, after, packs)) => {
                let Some(stored) = loaded.packs.first() else { return corrupt("a pack is missing in the middle") };
                body.reading.learn(stored, std::slice::from_ref(&need))?;
                (packs, Some((need, after)))
            }
        };
        while let Some(stored) = packs.front() {
            // A snapshot that could not be used leaves a hole before the first pack.
            if body.reading.log.head().0 == 0 && stored.first.0 > 1 && progress.snapshot {
                break;
            }
            match body.reading.absorb(stored) {
                Ok(()) => drop(packs.pop_front()),
                Err(ReadError::Need(need)) => {
                    let next = body.reading.read_after(&need).map(|after| (need, after));
                    let moved = next.filter(|next| answered.as_ref() != Some(next));
                    let Some((need, after)) = moved else { return corrupt("a dep is missing in the middle") };
                    progress.stuck = Some((need, after, packs));
                    return Ok(Some(StoreTask::Load { document: self.document.clone(), after, bytes_max: 0 }));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let (head, digest) = (body.reading.log.head(), body.reading.log.digest());
        if head == body.record.head && digest != body.record.digest && head.0 > 0 {
            return corrupt("the head's digest is not that of the log");
        }
        if head > body.record.head {
            // Written after the record was read: the record is the older of the two.
            body.record.head = head;
            body.record.digest = digest;
        }
        body.durable = head;
        body.durable_actors = body.reading.log.table().actor_count();
        if head == body.record.head || self.config.planted.has(Planted::LoadStopsEarly) {
            return Ok(None);
        }
        let from_start = head.0 == 0 && std::mem::take(&mut progress.snapshot);
        if head == before && answered.is_none() && !from_start {
            return corrupt("packs are missing at the end of the log");
        }
        Ok(Some(self.load_task(head)))
    }

    fn new_body(&mut self, loaded: &Loaded) -> Box<Body> {
        let record = loaded.record.clone();
        let deleted = record.as_ref().map(|r| r.deleted.clone()).unwrap_or_default();
        let stored = record.as_ref().and_then(|r| r.incarnation);
        // A log whose first change was not written is still the log that was spoken of.
        let told = self.told.filter(|told| !deleted.contains(told));
        let incarnation = stored.or(told).unwrap_or_else(|| self.rng.incarnation());
        let resumed = loaded.snapshot.as_ref().and_then(|stored| Reading::resume(stored, incarnation).ok());
        let reading = resumed.unwrap_or_else(|| Reading::new(incarnation));
        let live = record.filter(|r| r.incarnation.is_some());
        let digest = reading.log.digest();
        let record = live.unwrap_or(DocumentRecord { incarnation: None, head: LogSeq(0), digest, deleted });
        Box::new(Body { record, reading, durable: LogSeq(0), durable_actors: 0 })
    }

    fn load_failed(&mut self, error: &StoreError, waiting: VecDeque<(SessionId, Request)>) {
        let reason = error.to_string();
        let code = if error.is_retryable() { RejectCode::Unavailable } else { RejectCode::Quarantined };
        if !error.is_retryable() {
            self.phase = Phase::Quarantined(reason.clone());
        }
        self.end_all(code, &reason);
        for (session, request) in waiting {
            self.refuse_waiting(session, request, code, &reason);
        }
    }

    pub(super) fn end_all(&mut self, code: RejectCode, reason: &str) {
        let sessions: Vec<_> = self.subscribers.iter().map(|(session, s)| (*session, s.handle)).collect();
        for (session, handle) in sessions {
            self.end(session, handle, code, reason);
        }
    }

    /// Somebody else changed what is stored.
    pub(super) fn replaced(&mut self) {
        let waiting = match std::mem::replace(&mut self.phase, Phase::Unloaded) {
            Phase::Loading { waiting, .. } => waiting,
            _ => VecDeque::new(),
        };
        let parked = self.lookups.give_up();
        self.drop_staged(RejectCode::Mismatch, REPLACED);
        self.end_all(RejectCode::Mismatch, REPLACED);
        self.told = None;
        self.tail.clear();
        self.forget_snapshot();
        self.loads.clear();
        for (session, request) in waiting.into_iter().chain(parked) {
            self.wait(session, request);
        }
    }
}
