//! Loading a document's log from the store, and what waits for it.

use std::collections::VecDeque;

use crate::id::{BatchId, LogSeq, SessionId, TaskId};
use crate::limits::PackLimits;
use crate::log::Log;
use crate::op_index::OpIndex;
use crate::pack;
use crate::planted::Planted;
use crate::protocol::RejectCode;
use crate::room::{Request, Room};
use crate::storage::{DocumentRecord, Loaded, StoreError, StoreTask};
use crate::time::Instant;
use crate::validator;

/// Why subscriptions to a log end that is not the document's any more.
const REPLACED: &str = "the document was replaced";

/// How far the room is with its document.
#[derive(Debug)]
pub(super) enum Phase {
    /// Nothing was read yet.
    Unloaded,
    /// The log is being read.
    Loading { task: TaskId, body: Option<Box<Body>>, waiting: VecDeque<(SessionId, Request)>, bytes: usize },
    /// The log is in memory.
    Ready(Box<Body>),
    /// What is stored makes no sense. Tried again at the next open.
    Quarantined(String),
}

/// What is known of a document's log.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) record: DocumentRecord,
    /// All changes, staged ones too.
    pub(super) log: Log,
    pub(super) index: OpIndex,
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
        let load = self.load_task(LogSeq(0));
        let task = self.task(load);
        self.phase = Phase::Loading { task, body: None, waiting: VecDeque::new(), bytes: 0 };
    }

    pub(super) fn load_task(&self, after: LogSeq) -> StoreTask {
        StoreTask::Load { document: self.document.clone(), after, bytes_max: self.config.read_bytes_max }
    }

    fn refuse_waiting(&mut self, session: SessionId, request: Request, code: RejectCode, reason: &str) {
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
        let Phase::Loading { body, waiting, bytes, .. } = std::mem::replace(&mut self.phase, Phase::Unloaded) else {
            return;
        };
        let body = match result {
            Ok(loaded) => self.extend(body, loaded),
            Err(e) => Err(e),
        };
        match body {
            Ok(body) if body.log.head() < body.record.head && !self.config.planted.has(Planted::LoadStopsEarly) => {
                let load = self.load_task(body.log.head());
                let task = self.task(load);
                self.phase = Phase::Loading { task, body: Some(body), waiting, bytes };
            }
            Ok(body) => {
                let incarnation = body.log.incarnation();
                self.phase = Phase::Ready(body);
                if self.told.replace(incarnation).is_some_and(|told| told != incarnation) {
                    self.end_all(RejectCode::Mismatch, REPLACED);
                }
                self.resume_subscribers();
                for (session, request) in waiting {
                    self.request(now, session, request);
                }
            }
            Err(error) => self.load_failed(&error, waiting),
        }
    }

    fn extend(&mut self, body: Option<Box<Body>>, loaded: Loaded) -> Result<Box<Body>, StoreError> {
        let mut body = match body {
            Some(body) => body,
            None => self.new_body(loaded.record),
        };
        let before = body.log.head();
        for stored in &loaded.packs {
            body.absorb(stored)?;
        }
        let corrupt = |what: &str| Err(StoreError::Corrupt(format!("{what} of {}", self.document)));
        if body.log.head() == body.record.head && body.log.digest() != body.record.digest && body.record.head.0 > 0 {
            return corrupt("the head's digest is not that of the log");
        }
        if body.log.head() < body.record.head && body.log.head() == before {
            return corrupt("packs are missing at the end of the log");
        }
        if body.log.head() > body.record.head {
            // Written after the record was read: the record is the older of the two.
            body.record.head = body.log.head();
            body.record.digest = body.log.digest();
        }
        body.durable = body.log.head();
        body.durable_actors = body.log.table().actor_count();
        Ok(body)
    }

    fn new_body(&mut self, record: Option<DocumentRecord>) -> Box<Body> {
        let deleted = record.as_ref().map(|r| r.deleted.clone()).unwrap_or_default();
        let stored = record.as_ref().and_then(|r| r.incarnation);
        // A log whose first change was not written is still the log that was spoken of.
        let told = self.told.filter(|told| !deleted.contains(told));
        let incarnation = stored.or(told).unwrap_or_else(|| self.rng.incarnation());
        let log = Log::new(incarnation);
        let live = record.filter(|r| r.incarnation.is_some());
        let record =
            live.unwrap_or(DocumentRecord { incarnation: None, head: LogSeq(0), digest: log.digest(), deleted });
        Box::new(Body { record, log, index: OpIndex::new(), durable: LogSeq(0), durable_actors: 0 })
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
        self.drop_staged(RejectCode::Mismatch, REPLACED);
        self.end_all(RejectCode::Mismatch, REPLACED);
        self.told = None;
        self.tail.clear();
        self.loads.clear();
        for (session, request) in waiting {
            self.wait(session, request);
        }
    }
}

impl Body {
    /// Appends a stored pack to the log, checking that it is what the store says it is.
    fn absorb(&mut self, stored: &crate::storage::StoredPack) -> Result<(), StoreError> {
        let at = |what: String| StoreError::Corrupt(format!("pack at {}: {what}", stored.first));
        if stored.first != self.log.head().plus(1) {
            return Err(at(format!("does not follow {}", self.log.head())));
        }
        let limits = PackLimits::stored();
        let unpacked = pack::decode(&stored.bytes, self.log.table(), &limits).map_err(|e| at(e.to_string()))?;
        for change in &unpacked.changes {
            validator::admit(change, self.log.table(), &mut self.index, &limits.change)
                .map_err(|e| at(format!("change {}: {e}", change.hash())))?;
            self.log.append(change).map_err(|e| at(e.to_string()))?;
        }
        if self.log.head() != stored.last() || self.log.digest() != stored.digest {
            return Err(at("its changes do not lead to its digest".into()));
        }
        Ok(())
    }
}
