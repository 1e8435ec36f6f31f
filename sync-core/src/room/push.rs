//! Pushing: from a pack through the validator to the store, and back to the writer as an acknowledgement.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use crate::change::Change;
use crate::id::{BatchId, ChangeHash, LogSeq, SessionId, TaskId};
use crate::limits::{ChangeLimits, PackLimits};
use crate::pack::{self, PackError};
use crate::planted::Planted;
use crate::protocol::{Ack, CloseCode, Hash, Reject, RejectCode, ServerMessage, Verdict};
use crate::room::{Output, Room, Then, ToSession};
use crate::storage::{Append, Durability, StoreError, StoreTask, StoredPack};
use crate::table::TableError;
use crate::validator::{self, Refusal};

/// Acknowledgements are put in one frame while it has no more bytes than this.
const JOINED_BYTES_MAX: usize = 4 << 10;

/// What is accepted and not yet durable.
#[derive(Debug, Default)]
pub(super) struct Staging {
    /// Changes that the next append takes, and which subscription brought each, while it lasts.
    waiting: VecDeque<(Option<SessionId>, Change)>,
    bytes: usize,
    flight: Option<Flight>,
    acks: VecDeque<PendingAck>,
}

#[derive(Debug)]
struct Flight {
    task: TaskId,
    pack: StoredPack,
    bytes: usize,
    /// The session that brought all of it, if it was one and its subscription lasts.
    origin: Option<SessionId>,
}

#[derive(Debug)]
struct PendingAck {
    session: SessionId,
    batch: BatchId,
    first: Option<LogSeq>,
    count: u32,
    held: Vec<u32>,
    /// Sent once this position is durable.
    needs: LogSeq,
}

impl Staging {
    pub(super) fn is_empty(&self) -> bool {
        self.flight.is_none() && self.waiting.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.flight.as_ref().map_or(0, |f| f.bytes)
    }

    /// A session that left wants no acknowledgements; what it brought stays. If it comes again it is told of that as everybody is.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.acks.retain(|ack| ack.session != session);
        let origins = self.waiting.iter_mut().map(|(origin, _)| origin);
        let flight = self.flight.iter_mut().map(|flight| &mut flight.origin);
        for origin in origins.chain(flight).filter(|origin| **origin == Some(session)) {
            *origin = None;
        }
    }
}

/// Acknowledgements to one session that go out as one frame.
#[derive(Default)]
struct Joined {
    session: SessionId,
    messages: Vec<u8>,
}

impl Joined {
    /// Adds one. Gives those before it, if it does not fit to them.
    fn add(&mut self, session: SessionId, message: Bytes) -> Option<Output> {
        let fits = self.session == session && self.messages.len() + message.len() <= JOINED_BYTES_MAX;
        let before = if fits { None } else { self.take() };
        self.session = session;
        self.messages.extend_from_slice(&message);
        before
    }

    fn take(&mut self) -> Option<Output> {
        let message = Bytes::from(std::mem::take(&mut self.messages));
        (!message.is_empty()).then(|| Output::Deliver(self.session, ToSession { message, then: Then::Continue }))
    }
}

/// The outcome of one batch.
#[derive(Default)]
struct Batch {
    held: Vec<u32>,
    verdicts: Vec<Verdict>,
    refused: BTreeSet<ChangeHash>,
    needs: LogSeq,
    first: Option<LogSeq>,
    count: u32,
}

impl Room {
    pub(super) fn push(&mut self, session: SessionId, batch: BatchId, bytes: &[u8]) {
        let Some(subscriber) = self.subscribers.get_mut(&session) else { return };
        if subscriber.pending >= self.config.wire.pending_batches_max as usize {
            return self.refuse_client(session, CloseCode::Rate);
        }
        let full = self.staging.bytes() + bytes.len() > self.config.staged_bytes_max;
        if full && !self.config.planted.has(Planted::StagedBoundIgnored) {
            return self.refuse_batch(session, batch, RejectCode::Unavailable, "too much waits for the disk");
        }
        let Some(body) = self.phase.body() else { return };
        // The configured bounds on single changes are the validator's, whose verdicts name the change.
        let limits = PackLimits { change: ChangeLimits::default(), ..self.config.pack };
        let changes = match pack::decode(bytes, body.reading.log.table(), &limits) {
            Ok(unpacked) => unpacked.changes,
            Err(e) => return self.refuse_pack(session, batch, &e),
        };
        let is_empty = changes.is_empty();
        let outcome = self.stage(session, changes);
        if !outcome.verdicts.is_empty() {
            self.refuse_changes(session, batch, outcome.verdicts);
        }
        // A batch of nothing is answered too.
        if outcome.count > 0 || !outcome.held.is_empty() || is_empty {
            let Batch { held, needs, first, count, .. } = outcome;
            self.staging.acks.push_back(PendingAck { session, batch, first, count, held, needs });
            if let Some(subscriber) = self.subscribers.get_mut(&session) {
                subscriber.pending += 1;
            }
        }
        if self.config.planted.has(Planted::AckBeforeCommit) {
            self.send_acks(LogSeq(u64::MAX), true);
        }
        self.send_due_acks(Durability::Durable);
    }

    fn refuse_client(&mut self, session: SessionId, code: CloseCode) {
        self.leave(session);
        let nothing = ToSession { message: Bytes::new(), then: Then::Close(code) };
        self.outputs.push_back(Output::Deliver(session, nothing));
    }

    fn refuse_pack(&mut self, session: SessionId, batch: BatchId, error: &PackError) {
        let code = match error {
            PackError::MissingDep { .. } | PackError::DigestMismatch => RejectCode::Mismatch,
            PackError::Change { .. } => RejectCode::Invalid,
            PackError::TooLarge(_) => RejectCode::TooLarge,
            _ => return self.refuse_client(session, CloseCode::Malformed),
        };
        self.refuse_batch(session, batch, code, &error.to_string());
    }

    fn refuse_changes(&mut self, session: SessionId, batch: BatchId, verdicts: Vec<Verdict>) {
        let Some(subscriber) = self.subscribers.get(&session) else { return };
        let (code, reason) = (verdicts[0].code, verdicts[0].reason.clone());
        let reject = ServerMessage::Reject(Reject {
            handle: subscriber.handle,
            batch: Some(batch),
            code,
            reason,
            verdicts: Some(verdicts),
            retry_after_ms: None,
        });
        self.send(session, &reject, Then::Continue);
    }

    /// Takes what may enter of a batch into the log, in memory only.
    fn stage(&mut self, session: SessionId, changes: Vec<Change>) -> Batch {
        let mut batch = Batch::default();
        let acks_refused = self.config.planted.has(Planted::AckRefused);
        let held_early = self.config.planted.has(Planted::HeldBeforeDurable);
        for (index, change) in changes.into_iter().enumerate() {
            let Some(body) = self.phase.body_mut() else { return batch };
            let admitted =
                validator::admit(&change, body.reading.log.table(), &mut body.reading.index, &self.config.pack.change);
            match admitted {
                Ok(()) => {}
                Err(Refusal::Place(TableError::Held)) => {
                    batch.held.push(index as u32);
                    let bound = if held_early { LogSeq(0) } else { body.durable_with_held() };
                    batch.needs = batch.needs.max(bound);
                    continue;
                }
                Err(_) if acks_refused => {
                    batch.held.push(index as u32);
                    continue;
                }
                Err(refusal) => {
                    let code = verdict_code(&refusal, &change, &batch.refused);
                    batch.refused.insert(change.hash());
                    batch.verdicts.push(Verdict { hash: Hash(change.hash()), code, reason: refusal.to_string() });
                    continue;
                }
            }
            let Ok(seq) = body.reading.log.append(&change) else { continue };
            batch.first.get_or_insert(seq);
            batch.count += 1;
            batch.needs = seq;
            self.staging.bytes += change.bytes().len();
            self.staging.waiting.push_back((Some(session), change));
        }
        batch
    }

    /// Sends what waits to the store, unless something is on its way there already.
    pub(super) fn begin_append(&mut self) {
        if self.staging.flight.is_some() || self.staging.waiting.is_empty() {
            return;
        }
        let Some(body) = self.phase.body() else { return };
        let budget = self.config.wire.frame_bytes_max as usize;
        let (mut size, mut changes, mut origins) = (0, Vec::new(), BTreeSet::new());
        while let Some((session, change)) = self.staging.waiting.front() {
            // Raw bytes, of which a pack keeps a fraction: so that a pack nearly always fits a frame.
            if !changes.is_empty()
                && (size + change.bytes().len() > budget || changes.len() >= self.config.pack.changes_max)
            {
                break;
            }
            size += change.bytes().len();
            origins.insert(*session);
            let (_, change) = self.staging.waiting.pop_front().expect("there is a front");
            changes.push(change);
        }
        self.staging.bytes -= size;
        let (first, last) = (body.durable.plus(1), body.durable.plus(changes.len() as u64));
        let digest = |seq| body.reading.log.digest_at(seq).expect("staged positions are in the log");
        let bytes = pack::encode(&changes, body.durable_actors, body.reading.log.table())
            .expect("the log knows all deps of its changes");
        let stored = StoredPack { first, count: changes.len() as u32, digest: digest(last), bytes, outside: None };
        let append = Append {
            document: self.document.clone(),
            incarnation: body.reading.log.incarnation(),
            digest_before: digest(body.durable),
            pack: stored.clone(),
        };
        let task = self.task(StoreTask::Append(append));
        let origin = if origins.len() == 1 { origins.pop_first().flatten() } else { None };
        if self.config.planted.has(Planted::FanOutBeforeCommit) {
            self.fan_out(&stored, origin);
        }
        self.staging.flight = Some(Flight { task, pack: stored, bytes: size, origin });
    }

    pub(super) fn appended(&mut self, task: TaskId, result: Result<Durability, StoreError>) {
        match &self.staging.flight {
            Some(flight) if flight.task == task => {}
            _ => return,
        }
        let Some(flight) = self.staging.flight.take() else { return };
        let durability = match result {
            Ok(durability) => durability,
            Err(error) => return self.append_failed(&error),
        };
        let Some(body) = self.phase.body_mut() else { return };
        body.durable = flight.pack.last();
        body.durable_actors = body.reading.log.actor_count_at(body.durable);
        body.record.incarnation = Some(body.reading.log.incarnation());
        body.record.head = body.durable;
        body.record.digest = flight.pack.digest;
        self.tail.push(flight.pack.clone());
        self.fan_out(&flight.pack, flight.origin);
        self.send_due_acks(durability);
    }

    fn send_due_acks(&mut self, durability: Durability) {
        let Some(durable) = self.phase.body().map(|body| body.durable) else { return };
        self.send_acks(durable, durability == Durability::Durable);
    }

    fn send_acks(&mut self, durable: LogSeq, is_durable: bool) {
        let mut next_too = BTreeSet::new();
        if self.config.planted.has(Planted::AckNextBatch) {
            next_too.extend(self.staging.acks.iter().filter(|ack| ack.needs <= durable).map(|ack| ack.session));
        }
        let is_due = |ack: &PendingAck| ack.needs <= durable || next_too.contains(&ack.session);
        if !self.staging.acks.iter().any(is_due) {
            return;
        }
        let due: VecDeque<PendingAck>;
        (due, self.staging.acks) = std::mem::take(&mut self.staging.acks).into_iter().partition(is_due);
        let mut joined = Joined::default();
        for ack in due {
            let Some(body) = self.phase.body() else { return };
            let Some(subscriber) = self.subscribers.get_mut(&ack.session) else { continue };
            subscriber.pending = subscriber.pending.saturating_sub(1);
            // Where the batch brought nothing: up to where its writer may rely on the log, in which all that it held already stands.
            let first = ack.first.unwrap_or(body.durable.plus(1));
            let last = LogSeq(first.0 + u64::from(ack.count) - 1);
            let message = ServerMessage::Ack(Ack {
                handle: subscriber.handle,
                batch: ack.batch,
                first,
                count: ack.count,
                digest: body.reading.log.digest_at(last).unwrap_or(body.reading.log.digest()),
                held: (!ack.held.is_empty()).then_some(ack.held),
                durable: is_durable,
            });
            self.outputs.extend(joined.add(ack.session, message.encode()));
        }
        self.outputs.extend(joined.take());
    }

    /// Nothing of the append was kept: forget all that stood on it, tell the writers, and read the log again.
    fn append_failed(&mut self, error: &StoreError) {
        if self.config.planted.has(Planted::KeepStagedAfterFailedCommit) {
            return;
        }
        self.drop_staged(RejectCode::Unavailable, &error.to_string());
        self.begin_load();
    }

    pub(super) fn drop_staged(&mut self, code: RejectCode, reason: &str) {
        self.staging.waiting.clear();
        self.staging.bytes = 0;
        self.staging.flight = None;
        for ack in std::mem::take(&mut self.staging.acks) {
            if let Some(subscriber) = self.subscribers.get_mut(&ack.session) {
                subscriber.pending = subscriber.pending.saturating_sub(1);
            }
            self.refuse_batch(ack.session, ack.batch, code, reason);
        }
    }
}

impl super::load::Body {
    /// A position at which whatever the log holds now is durable. Looking for the one change among those staged would cost their number for each that is pushed again.
    fn durable_with_held(&self) -> LogSeq {
        if self.reading.log.head() > self.durable { self.reading.log.head() } else { LogSeq(0) }
    }
}

fn verdict_code(refusal: &Refusal, change: &Change, refused: &BTreeSet<ChangeHash>) -> RejectCode {
    let blocked = change.deps().iter().any(|dep| refused.contains(dep));
    match refusal {
        Refusal::Place(TableError::Equivocation { .. }) => RejectCode::Equivocation,
        Refusal::Place(_) if blocked => RejectCode::Blocked,
        Refusal::Place(_) => RejectCode::Mismatch,
        refusal if refusal.is_limit() => RejectCode::TooLarge,
        _ => RejectCode::Invalid,
    }
}
