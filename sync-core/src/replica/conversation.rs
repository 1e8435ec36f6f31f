//! The conversation about each document: opening it, pushing what the log lacks, and what the server says of that.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use crate::change::Change;
use crate::clock::VectorClock;
use crate::few::{FewMap, FewSet};
use crate::id::{BatchId, ChangeHash, Digest, DocumentHandle, LogSeq, RoomNumber, SessionId};
use crate::limits::PackLimits;
use crate::pack;
use crate::planted::Planted;
use crate::protocol::{Ack, Blob, ClientMessage, Emit, Emitted, Open, Push, Reject, RejectCode};
use crate::replica::local::{Local, LocalError};
use crate::replica::{DocumentId, Event, Replica};
use crate::scope::Access;
use crate::time::Instant;

/// Most changes in one push.
const BATCH_CHANGES_MAX: usize = 4_000;
/// Most raw bytes of changes in one push, unless a single change is larger.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Most others whose presence on a document is kept in mind, to say that they are gone when the conversation ends.
const PRESENT_MAX: usize = 10_000;
/// Delay before a document is opened again after it could not be; doubles with each failure.
const REOPEN_AFTER: Duration = Duration::from_millis(500);

/// What is said about one document on the present connection.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) handle: Option<DocumentHandle>,
    pub(super) room: Option<RoomNumber>,
    /// `Opened` has come.
    pub(super) opened: bool,
    /// The clock sent in `Open`, if one was.
    pub(super) clock: Option<VectorClock>,
    /// The server's head as far as known, and the digest there.
    pub(super) head: Option<(LogSeq, Digest)>,
    in_flight: FewMap<BatchId, Batch>,
    /// Say the clock at the next opening, whatever the cursor.
    pub(super) by_clock: bool,
    /// Say this clock then.
    pub(super) clock_next: Option<VectorClock>,
    /// What is held of a document snapshot.
    pub(super) snapshot: super::newcomer::Snapshot,
    /// Open again at this time.
    reopen_at: Option<Instant>,
    /// Push nothing before this time.
    hold_until: Option<Instant>,
    /// A push did not fit a log of which not all is here: push nothing before it is.
    hold_until_current: bool,
    /// A batch was refused as a whole: push changes one by one until one is named.
    singly: bool,
    /// Openings and pushes that failed since the last that did not.
    failures: u32,
    /// The server will not open this document.
    pub(super) refused: Option<(RejectCode, String)>,
    presence: Option<(Bytes, u32)>,
    /// Who has said a presence on this conversation, and not gone.
    present: FewSet<SessionId>,
}

#[derive(Debug)]
struct Batch {
    changes: Vec<Change>,
    refused: BTreeSet<ChangeHash>,
    bytes: usize,
}

impl Conversation {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        [self.reopen_at, self.hold_until].into_iter().flatten().min()
    }

    /// Whether this device holds all that the server has said it has.
    pub(super) fn is_current(&self, local: &Local) -> bool {
        self.opened && local.cursor.is_some_and(|c| self.head.is_none_or(|(head, _)| c.seq >= head))
    }
}

impl Replica {
    /// Opens a document on the present connection, and pushes what it may at once.
    pub(super) fn join(&mut self, now: Instant, id: DocumentId) {
        if !self.connection.may_speak() || self.local(id).is_none() {
            return;
        }
        let Some(doc) = self.documents.get(&id) else { return };
        if doc.tabs.reading
            || doc.conversation.handle.is_some()
            || doc.conversation.reopen_at.is_some_and(|at| at > now)
        {
            return;
        }
        let handle = self.connection.handle();
        let Some(doc) = self.documents.get_mut(&id) else { return };
        let super::DocPhase::Ready(local) = &doc.phase else { return };
        let conversation = &mut doc.conversation;
        let resumes = local.cursor.is_some_and(|c| c.seq.0 > 0) && !conversation.by_clock;
        let clock = match resumes {
            true => None,
            false => {
                Some(conversation.clock_next.take().unwrap_or_else(|| local.acked_clock())).filter(|c| !c.is_empty())
            }
        };
        conversation.handle = Some(handle);
        conversation.opened = false;
        conversation.reopen_at = None;
        conversation.refused = None;
        conversation.clock.clone_from(&clock);
        // Beside a clock, or at the start, the cursor only says which log this copy is of, so that nothing of a deleted one comes back.
        let cursor = local.cursor;
        let acked = local.highest.filter(|_| resumes);
        let document = doc.name.as_str().to_owned();
        let (snapshot, packs) = conversation.snapshot.to_say(clock.is_none() && !resumes);
        let access = Access::Write;
        self.send(&ClientMessage::Open(Open { handle, document, access, cursor, acked, clock, snapshot, packs }));
        self.flush(now, id);
    }

    /// Closes the conversation about a document from this side.
    pub(super) fn leave(&mut self, id: DocumentId) {
        let Some(doc) = self.documents.get(&id) else { return };
        let handle = doc.conversation.handle;
        self.forget_conversation(id);
        if let Some(handle) = handle {
            self.end(handle);
        }
    }

    /// What the server has does not fit what is held: open again by the clock, at once the first time.
    pub(super) fn resync(&mut self, now: Instant, id: DocumentId) {
        self.leave(id);
        let Some(doc) = self.documents.get_mut(&id) else { return };
        doc.conversation.by_clock = true;
        if doc.conversation.failures > 0 {
            doc.conversation.reopen_later(now);
        }
        doc.conversation.failures += 1;
        self.join(now, id);
    }

    /// What was said does not fit, and the copy in memory may hold a part of it that the store lacks: load it again, then open by the clock.
    pub(super) fn resync_from_store(&mut self, now: Instant, id: DocumentId) {
        let Some(doc) = self.documents.get_mut(&id) else { return };
        let failed = doc.conversation.failures > 0;
        doc.conversation.by_clock = true;
        doc.conversation.failures += 1;
        self.reload(id);
        if let Some(doc) = self.documents.get_mut(&id).filter(|_| failed) {
            doc.conversation.reopen_later(now);
        }
    }

    /// Pushes what is saved and not sent, as far as the bounds on unanswered pushes allow.
    pub(super) fn flush(&mut self, now: Instant, id: DocumentId) {
        loop {
            let batches_max = self.connection.limits.pending_batches_max as usize;
            let bytes_max = self.config.in_flight_bytes_max;
            let quiet = !self.connection.may_speak();
            let Some(doc) = self.documents.get_mut(&id) else { return };
            let super::DocPhase::Ready(local) = &mut doc.phase else { return };
            let conversation = &mut doc.conversation;
            let Some(handle) = conversation.handle else { return };
            // Before the answer only what a fitting cursor lets us expect to be taken.
            let early = !conversation.opened && conversation.clock.is_some();
            let in_flight: usize = conversation.in_flight.values().map(|b| b.bytes).sum();
            let full = in_flight >= bytes_max || conversation.in_flight.len() >= batches_max;
            if conversation.hold_until_current && !conversation.is_current(local) {
                return;
            }
            conversation.hold_until_current = false;
            if early || full || quiet || conversation.hold_until.is_some_and(|at| at > now) {
                return;
            }
            if conversation.singly && !conversation.in_flight.is_empty() {
                return;
            }
            let count_max = if conversation.singly { 1 } else { BATCH_CHANGES_MAX };
            let (mut changes, bytes) = next_batch(local, count_max);
            if changes.is_empty() {
                return;
            }
            if self.config.planted.has(Planted::OutboxOutOfOrder) {
                changes.reverse();
            }
            let packed = pack::encode(&changes, 0, &local.all).expect("all deps of a held change are held");
            let batch = self.connection.batch();
            for pending in local.outbox.iter_mut().filter(|p| p.saved && p.sent.is_none()).take(changes.len()) {
                pending.sent = Some(batch);
            }
            conversation.in_flight.insert(batch, Batch { changes, refused: BTreeSet::new(), bytes });
            self.planted_clear_outbox(now, id);
            self.send(&ClientMessage::Push(Push { handle, batch, pack: Blob(packed) }));
        }
    }

    pub(super) fn acked(&mut self, now: Instant, ack: Ack) {
        let Some(id) = self.by_handle(ack.handle) else { return };
        let planted = self.config.planted.has(Planted::AckFillsHoles);
        let Some(doc) = self.documents.get_mut(&id) else { return };
        let Some(batch) = doc.conversation.in_flight.remove(&ack.batch) else { return };
        let super::DocPhase::Ready(local) = &mut doc.phase else { return };
        doc.conversation.failures = 0;
        match take_ack(local, &batch, &ack, planted) {
            Ok(delta) => {
                self.save(now, id, delta, false);
                self.note_synced(now, id);
                self.flush(now, id);
            }
            Err(_) => self.resync_from_store(now, id),
        }
    }

    pub(super) fn rejected(&mut self, now: Instant, reject: Reject) {
        let Some(id) = self.by_handle(reject.handle) else { return };
        let Some(batch) = reject.batch else { return self.open_rejected(now, id, reject) };
        match reject.verdicts {
            Some(verdicts) => {
                for verdict in verdicts {
                    self.verdict(now, id, batch, verdict.hash.0, verdict.code, &verdict.reason);
                }
            }
            None => self.batch_rejected(now, id, batch, &reject),
        }
    }

    fn open_rejected(&mut self, now: Instant, id: DocumentId, reject: Reject) {
        self.forget_conversation(id);
        let Some(doc) = self.documents.get_mut(&id) else { return };
        if reject.code.is_retryable() {
            doc.conversation.by_clock |= reject.code == RejectCode::Mismatch;
            doc.conversation.failures += 1;
            doc.conversation.reopen_later(now);
            let not_before = reject.retry_after_ms.map(|ms| now + Duration::from_millis(ms.into()));
            doc.conversation.reopen_at = doc.conversation.reopen_at.max(not_before);
        } else {
            doc.conversation.refused = Some((reject.code, reject.reason));
        }
        self.event(Event::Status(id));
    }

    fn batch_rejected(&mut self, now: Instant, id: DocumentId, batch: BatchId, reject: &Reject) {
        let Some(doc) = self.documents.get_mut(&id) else { return };
        let Some(refused) = doc.conversation.in_flight.remove(&batch) else { return };
        let super::DocPhase::Ready(local) = &mut doc.phase else { return };
        unsend(local, batch);
        match reject.code {
            // What has not come yet may hold the other branch: it comes first, and then the push is another.
            RejectCode::Mismatch if !doc.conversation.is_current(local) => doc.conversation.hold_until_current = true,
            RejectCode::Mismatch => return self.resync(now, id),
            code if code.is_retryable() => {
                let after = Duration::from_millis(reject.retry_after_ms.unwrap_or(1_000).into());
                doc.conversation.hold_until = Some(now + after);
            }
            code => match refused.changes.as_slice() {
                [change] => {
                    let hash = change.hash();
                    doc.conversation.singly = false;
                    self.reject_change(now, id, hash, code, &reject.reason);
                }
                _ => doc.conversation.singly = true,
            },
        }
        self.flush(now, id);
    }

    fn verdict(
        &mut self,
        now: Instant,
        id: DocumentId,
        batch: BatchId,
        hash: ChangeHash,
        code: RejectCode,
        reason: &str,
    ) {
        let fresh_actor = self.rng.actor();
        let Some(doc) = self.documents.get_mut(&id) else { return };
        if let Some(batch) = doc.conversation.in_flight.get_mut(&batch) {
            batch.refused.insert(hash);
            if batch.refused.len() == batch.changes.len() {
                let done: Vec<_> = doc
                    .conversation
                    .in_flight
                    .iter()
                    .filter(|(_, b)| b.refused.len() == b.changes.len())
                    .map(|(id, _)| *id)
                    .collect();
                done.iter().for_each(|id| drop(doc.conversation.in_flight.remove(id)));
            }
        }
        let super::DocPhase::Ready(local) = &mut doc.phase else { return };
        let Some(pending) = local.outbox.iter_mut().find(|p| p.change.hash() == hash) else { return };
        pending.sent = None;
        match code {
            // It goes with the change it stands on.
            RejectCode::Blocked => {}
            RejectCode::Mismatch if !doc.conversation.is_current(local) => doc.conversation.hold_until_current = true,
            RejectCode::Mismatch => self.resync(now, id),
            RejectCode::Equivocation => {
                let mut delta = super::Delta::default();
                let done = local.reissue(&BTreeSet::from([hash]), &BTreeSet::new(), &fresh_actor, &mut delta);
                self.take(now, id, done.map(|()| delta));
            }
            code => self.reject_change(now, id, hash, code, reason),
        }
    }

    fn reject_change(&mut self, now: Instant, id: DocumentId, hash: ChangeHash, code: RejectCode, reason: &str) {
        let fresh_actor = self.rng.actor();
        let planted = self.config.planted.has(Planted::DropOutboxOnReject);
        let Some(local) = self.local_mut(id) else { return };
        let mut done = local.reject(hash, code, reason, &fresh_actor);
        if planted && let (Ok(delta), Ok(Some(dropped))) = (&mut done, local.discard(hash, &fresh_actor)) {
            delta.writes.extend(dropped.writes);
        }
        self.take(now, id, done);
        self.event(Event::Rejected { document: id, change: hash, code, reason: reason.into() });
    }

    /// Makes the outcome of a change to the local copy durable, or loads the copy again.
    pub(super) fn take(&mut self, now: Instant, id: DocumentId, done: Result<super::Delta, LocalError>) {
        match done {
            Ok(delta) => self.save(now, id, delta, false),
            Err(_) => self.resync_from_store(now, id),
        }
    }

    pub(super) fn conversation_timeout(&mut self, now: Instant) {
        let all: Vec<_> = self.documents.keys().copied().collect();
        for id in all {
            let Some(doc) = self.documents.get_mut(&id) else { continue };
            if doc.conversation.hold_until.is_some_and(|at| at <= now) {
                doc.conversation.hold_until = None;
                self.flush(now, id);
            }
            let Some(doc) = self.documents.get_mut(&id) else { continue };
            if doc.conversation.reopen_at.is_some_and(|at| at <= now) {
                doc.conversation.reopen_at = None;
                self.join(now, id);
            }
        }
    }

    pub(super) fn send_emit(&mut self, id: DocumentId, payload: Bytes, ttl_ms: Option<u32>) {
        let Some(doc) = self.documents.get_mut(&id) else { return };
        if let Some(ttl_ms) = ttl_ms {
            doc.conversation.presence = (!payload.is_empty()).then(|| (payload.clone(), ttl_ms));
        }
        let may_speak = self.connection.may_speak();
        if let (Some(handle), true, true) = (doc.conversation.handle, doc.conversation.opened, may_speak) {
            self.send(&ClientMessage::Emit(Emit { handle, payload: Blob(payload), ttl_ms }));
        }
    }

    pub(super) fn send_presence_again(&mut self, id: DocumentId) {
        let presence = self.documents.get(&id).and_then(|doc| doc.conversation.presence.clone());
        if let Some((payload, ttl_ms)) = presence
            && !self.config.planted.has(Planted::PresenceNotSaidAgain)
        {
            self.send_emit(id, payload, Some(ttl_ms));
        }
    }

    pub(super) fn by_handle(&self, handle: DocumentHandle) -> Option<DocumentId> {
        self.documents.iter().find(|(_, doc)| doc.conversation.handle == Some(handle)).map(|(id, _)| *id)
    }

    pub(super) fn by_room(&self, room: RoomNumber) -> Option<DocumentId> {
        self.documents.iter().find(|(_, doc)| doc.conversation.room == Some(room)).map(|(id, _)| *id)
    }

    pub(super) fn forget_conversations(&mut self) {
        let all: Vec<_> = self.documents.keys().copied().collect();
        for id in all {
            self.forget_conversation(id);
        }
    }

    /// What was sent and not answered is to be sent again; what the server knows of this connection is gone, and with it who is there.
    pub(super) fn forget_conversation(&mut self, id: DocumentId) {
        let Some(doc) = self.documents.get_mut(&id) else { return };
        for (from, ()) in doc.forget_conversation() {
            self.event(Event::Emitted { document: id, from, payload: Bytes::new(), presence: true });
        }
    }

    pub(super) fn emitted(&mut self, emitted: Emitted) {
        let Some(document) = self.by_room(emitted.room) else { return };
        let (from, payload, presence) = (emitted.from, emitted.payload.0, emitted.ttl_ms.is_some());
        if let (true, Some(doc)) = (presence, self.documents.get_mut(&document)) {
            let present = &mut doc.conversation.present;
            // Of one who was never there nobody wants to hear that he has gone.
            if payload.is_empty() && present.remove(&from).is_none() {
                return;
            }
            if !payload.is_empty() && present.len() < PRESENT_MAX {
                present.add(from);
            }
        }
        self.event(Event::Emitted { document, from, payload, presence });
    }

    pub(super) fn all_documents_status(&mut self) {
        let all: Vec<_> = self.documents.keys().copied().collect();
        for id in all {
            self.event(Event::Status(id));
        }
    }

    pub(super) fn note_synced(&mut self, now: Instant, id: DocumentId) {
        let Some(doc) = self.documents.get_mut(&id) else { return };
        let super::DocPhase::Ready(local) = &doc.phase else { return };
        if local.outbox.is_empty() && doc.conversation.is_current(local) {
            doc.synced_at = Some(now);
            doc.conversation.failures = 0;
        }
    }
}

impl super::Doc {
    /// Gives those whose presence was known.
    fn forget_conversation(&mut self) -> FewSet<SessionId> {
        let old = std::mem::take(&mut self.conversation);
        self.conversation.by_clock = old.by_clock;
        self.conversation.failures = old.failures;
        self.conversation.presence = old.presence;
        self.conversation.singly = old.singly;
        self.conversation.snapshot = old.snapshot;
        if let super::DocPhase::Ready(local) = &mut self.phase
            && !local.planted.has(Planted::NotSentAgain)
        {
            local.outbox.iter_mut().for_each(|pending| pending.sent = None);
        }
        old.present
    }
}

impl Conversation {
    fn reopen_later(&mut self, now: Instant) {
        self.reopen_at = Some(now + REOPEN_AFTER * (1 << self.failures.min(6)));
    }
}

fn next_batch(local: &Local, count_max: usize) -> (Vec<Change>, usize) {
    let (mut changes, mut bytes, mut operations) = (Vec::new(), 0, 0);
    let operations_max = PackLimits::default().operations_max;
    for pending in local.outbox.iter().take_while(|p| p.saved).filter(|p| p.sent.is_none()) {
        let size = pending.change.bytes().len();
        let count = pending.change.operations() as u64;
        let fits = bytes + size <= BATCH_BYTES_MAX && operations + count <= operations_max;
        if changes.len() >= count_max || !(changes.is_empty() || fits) {
            break;
        }
        (bytes, operations) = (bytes + size, operations + count);
        changes.push(pending.change.clone());
    }
    (changes, bytes)
}

fn unsend(local: &mut Local, batch: BatchId) {
    for pending in local.outbox.iter_mut().filter(|p| p.sent == Some(batch)) {
        pending.sent = None;
    }
}

/// Moves what an acknowledgement names from the outbox to where it stands in the log.
fn take_ack(local: &mut Local, batch: &Batch, ack: &Ack, planted: bool) -> Result<super::Delta, LocalError> {
    let held: FewSet<u32> = ack.held.iter().flatten().map(|index| (*index, ())).collect();
    let kept =
        |index: usize, change: &Change| !held.contains(&(index as u32)) && !batch.refused.contains(&change.hash());
    let taken: Vec<_> = batch.changes.iter().enumerate().filter(|(i, c)| kept(*i, c)).map(|(_, c)| c.hash()).collect();
    if taken.len() != ack.count as usize {
        return Err(LocalError::Mismatch(format!("{} changes acknowledged, {} expected", ack.count, taken.len())));
    }
    let mut delta = super::Delta::default();
    let waiting: BTreeSet<_> = local.outbox.iter().map(|p| p.change.hash()).collect();
    let acknowledged: Vec<_> = batch
        .changes
        .iter()
        .filter(|c| !batch.refused.contains(&c.hash()) && !local.acked.contains(&c.hash()))
        .filter(|c| waiting.contains(&c.hash()))
        .cloned()
        .collect();
    local.acknowledge(&acknowledged, &mut delta)?;
    if taken.is_empty() {
        local.rely_on(LogSeq(ack.first.0.saturating_sub(1)), ack.digest);
    } else {
        let end = LogSeq(ack.first.0 + taken.len() as u64 - 1);
        local.fill(ack.first, taken, ack.digest)?;
        if let (true, Some(cursor)) = (planted, &mut local.cursor)
            && cursor.seq < end
        {
            (cursor.seq, cursor.digest) = (end, ack.digest);
        }
    }
    delta.writes.push(local.row_write());
    Ok(delta)
}
