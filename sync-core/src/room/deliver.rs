//! Delivering: live fan-out, catching up from the tail or the store, and the bound on what is on its way to one subscriber.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::change::Change;
use crate::id::{LogSeq, SessionId};
use crate::pack::{self, Outside, PackError};
use crate::planted::Planted;
use crate::protocol::{Blob, Changes, RejectCode, ServerMessage, SparseEnd};
use crate::reading;
use crate::room::{Output, Room, Then, ToSession, coalesced};
use crate::storage::{Loaded, StoreError, StoredPack};

/// The last packs of a log, bounded by bytes.
#[derive(Debug)]
pub(super) struct Tail {
    packs: VecDeque<StoredPack>,
    bytes: usize,
    bytes_max: usize,
}

impl Tail {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { packs: VecDeque::new(), bytes: 0, bytes_max }
    }

    pub(super) fn clear(&mut self) {
        self.packs.clear();
        self.bytes = 0;
    }

    pub(super) fn push(&mut self, pack: StoredPack) {
        self.bytes += pack.bytes.len();
        self.packs.push_back(pack);
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.packs.pop_front() else { return };
            self.bytes -= oldest.bytes.len();
        }
    }

    /// The pack that holds the position after `position`, and those behind it that can be put together with it, if they are at least `run_min`.
    fn after(&self, position: LogSeq, run_min: usize) -> Vec<StoredPack> {
        let next = position.plus(1);
        let index = self.packs.partition_point(|pack| pack.last() < next);
        let behind = || self.packs.range(index..);
        if behind().next().is_none_or(|pack| pack.first > next) {
            return Vec::new();
        }
        let run = coalesced::run(behind());
        behind().take(if run < run_min { 1 } else { run }).cloned().collect()
    }
}

impl super::Subscriber {
    /// Beyond what the log held when it opened, packs are whole again: the client was told of no later actors.
    fn end_reconcile(&mut self) {
        let position = self.position;
        self.reconcile.take_if(|reconcile| position >= reconcile.until);
    }
}

impl Room {
    /// One commit, one frame, shared by all who have everything before it.
    pub(super) fn fan_out(&mut self, pack: &StoredPack, origin: Option<SessionId>) {
        let before = pack.before();
        // Who is alone with a document is told by acknowledgements.
        let alone = self.subscribers.keys().all(|session| origin == Some(*session));
        let frame = if alone { Bytes::new() } else { self.changes(pack.first, Some(pack.bytes.clone()), None) };
        let unbound = self.config.planted.has(Planted::SubscriberBoundIgnored);
        let bound = if unbound { usize::MAX } else { self.config.subscriber_bytes_max };
        let loses = self.config.planted.has(Planted::LostOnSlowSubscriber);
        for (session, subscriber) in &mut self.subscribers {
            let waits = subscriber.awaits_have || subscriber.receiving.is_some();
            let live = subscriber.position == before && !waits && subscriber.reconcile.is_none();
            if live && origin == Some(*session) {
                subscriber.position = pack.last();
            } else if live && subscriber.in_flight + frame.len() <= bound {
                subscriber.position = pack.last();
                subscriber.in_flight += frame.len();
                let message = ToSession { message: frame.clone(), then: Then::Continue };
                self.outputs.push_back(Output::Deliver(*session, message));
            } else if loses && live {
                subscriber.position = pack.last();
            }
        }
        // Who reconciled up to the last commit, or did not fit a moment ago, goes on from the log.
        let idle = |s: &super::Subscriber| {
            s.position < pack.last() && s.in_flight <= bound / 2 && !s.loading && !s.awaits_have
        };
        let behind: Vec<_> = self.subscribers.iter().filter(|(_, s)| idle(s)).map(|(session, _)| *session).collect();
        for session in behind {
            self.catch_up(session);
        }
    }

    fn changes(&self, first: LogSeq, pack: Option<Bytes>, sparse: Option<SparseEnd>) -> Bytes {
        ServerMessage::Changes(Changes { room: self.number, first, pack: pack.map(Blob), sparse }).encode()
    }

    pub(super) fn flushed(&mut self, session: SessionId, bytes: usize) {
        let Some(subscriber) = self.subscribers.get_mut(&session) else { return };
        subscriber.in_flight = subscriber.in_flight.saturating_sub(bytes);
        if subscriber.in_flight > self.config.subscriber_bytes_max / 2 {
            return;
        }
        self.catch_up(session);
        self.send_missed_presence(session);
    }

    /// After a reload: whoever stands beyond the log has seen what is lost, and comes again by its clock; the rest goes on.
    pub(super) fn resume_subscribers(&mut self) {
        let Some(durable) = self.phase.body().map(|body| body.durable) else { return };
        self.tail.clear();
        let all: Vec<_> = self.subscribers.iter().map(|(session, s)| (*session, s.handle, s.position)).collect();
        for (session, handle, position) in all {
            if position > durable {
                self.end(session, handle, RejectCode::Mismatch, "the log ends before what was delivered");
            } else {
                self.catch_up(session);
            }
        }
    }

    /// Delivers what a subscriber lacks, as far as its bound allows, from the tail or by a read from the store.
    pub(super) fn catch_up(&mut self, session: SessionId) {
        loop {
            let Some(durable) = self.phase.body().map(|body| body.durable) else { return };
            let Some(subscriber) = self.subscribers.get_mut(&session) else { return };
            if subscriber.awaits_have || subscriber.loading {
                return;
            }
            if subscriber.receiving.is_some() {
                return self.hand_out(session);
            }
            if subscriber.position >= durable || subscriber.in_flight > self.config.subscriber_bytes_max / 2 {
                return;
            }
            let position = subscriber.position;
            let run_min = if subscriber.reconcile.is_some() { usize::MAX } else { self.config.coalesce_packs_min };
            let packs = self.tail.after(position, run_min);
            if packs.is_empty() {
                subscriber.loading = true;
                let load = self.load_task(position);
                let task = self.task(load);
                self.loads.insert(task, session);
                return;
            }
            if self.deliver_first(session, &packs).is_none() {
                return;
            }
        }
    }

    /// A read on behalf of a subscriber is done.
    pub(super) fn caught_up_to(&mut self, session: SessionId, result: Result<Loaded, StoreError>) {
        let Some(subscriber) = self.subscribers.get_mut(&session) else { return };
        subscriber.loading = false;
        let (handle, before) = (subscriber.handle, subscriber.position);
        let packs = match result {
            Ok(loaded) => loaded.packs,
            Err(error) => {
                let code = if error.is_retryable() { RejectCode::Unavailable } else { RejectCode::Quarantined };
                return self.end(session, handle, code, &error.to_string());
            }
        };
        let Some(durable) = self.phase.body().map(|body| body.durable) else { return };
        let mut rest = &packs[..packs.partition_point(|pack| pack.last() <= durable)];
        while let Some(pack) = rest.first() {
            let Some(subscriber) = self.subscribers.get(&session) else { return };
            if subscriber.in_flight > self.config.subscriber_bytes_max / 2 {
                return;
            }
            let is_next = pack.first <= subscriber.position.plus(1) && subscriber.position < pack.last();
            let Some(done) = (if is_next { self.deliver_first(session, rest) } else { Some(1) }) else { return };
            rest = &rest[done..];
        }
        match self.subscribers.get(&session) {
            Some(s) if s.position == before && s.position < durable => {
                self.end(session, handle, RejectCode::Quarantined, "the log has a hole");
            }
            _ => self.catch_up(session),
        }
    }

    /// Delivers the first of these packs, or as many from there on as are worth putting together. How many; `None` if the subscription ended.
    fn deliver_first(&mut self, session: SessionId, packs: &[StoredPack]) -> Option<usize> {
        let subscriber = self.subscribers.get_mut(&session)?;
        subscriber.end_reconcile();
        let first = packs.first()?;
        let run = coalesced::run(packs.iter());
        if run >= self.config.coalesce_packs_min
            && subscriber.reconcile.is_none()
            && subscriber.position == first.before()
            && let Some((pack, count)) = self.coalesced(&packs[..run])
        {
            return self.deliver(session, &pack).then_some(count);
        }
        self.deliver(session, first).then_some(1)
    }

    /// Delivers a pack that begins at or before the subscriber's next position. False if the subscription ended.
    fn deliver(&mut self, session: SessionId, pack: &StoredPack) -> bool {
        let Some(subscriber) = self.subscribers.get_mut(&session) else { return false };
        subscriber.end_reconcile();
        let Some(subscriber) = self.subscribers.get(&session) else { return false };
        let first = subscriber.position.plus(1);
        let handle = subscriber.handle;
        let frame = match &subscriber.reconcile {
            None if first == pack.first => Ok(self.changes(first, Some(pack.bytes.clone()), None)),
            None => self.sliced(pack, first),
            Some(reconcile) => match self.sparse(pack, first, reconcile) {
                Ok(None) => {
                    let Some(subscriber) = self.subscribers.get_mut(&session) else { return false };
                    subscriber.position = pack.last();
                    return true;
                }
                Ok(Some(frame)) => Ok(frame),
                Err(error) => Err(error),
            },
        };
        match frame {
            Ok(frame) => {
                let Some(subscriber) = self.subscribers.get_mut(&session) else { return false };
                subscriber.position = pack.last();
                if let Some(reconcile) = &mut subscriber.reconcile {
                    reconcile.told = pack.last();
                }
                subscriber.in_flight += frame.len();
                let message = ToSession { message: frame, then: Then::Continue };
                self.outputs.push_back(Output::Deliver(session, message));
                true
            }
            Err(error) => {
                self.end(session, handle, RejectCode::Quarantined, &format!("pack at {}: {error}", pack.first));
                false
            }
        }
    }

    /// A pack's changes, and a context beside the log's table in which each of them can be packed again.
    fn unpack(&self, pack: &StoredPack) -> Result<(Vec<Change>, Outside), PackError> {
        let Some(body) = self.phase.body() else { return Err(PackError::Malformed("the room is not loaded")) };
        let (changes, mut outside) = reading::unpack(pack, &body.reading.log)?;
        for change in &changes {
            outside.add(change, body.reading.log.table());
        }
        Ok((changes, outside))
    }

    fn repack(&self, changes: &[Change], base: u32, outside: &Outside) -> Result<Bytes, PackError> {
        let Some(body) = self.phase.body() else { return Err(PackError::Malformed("the room is not loaded")) };
        pack::encode(changes, base, &outside.beside(body.reading.log.table()))
    }

    /// The part of a pack from `first` on.
    fn sliced(&self, pack: &StoredPack, first: LogSeq) -> Result<Bytes, PackError> {
        let (changes, outside) = self.unpack(pack)?;
        let skip = (first.0 - pack.first.0) as usize;
        let base = self.phase.body().map_or(0, |body| body.reading.log.actor_count_at(LogSeq(first.0 - 1)));
        let bytes = self.repack(changes.get(skip..).unwrap_or_default(), base, &outside)?;
        Ok(self.changes(first, Some(bytes), None))
    }

    /// What a reconciling subscriber lacks of a pack, behind all that it lacked nothing of. `None` if that is nothing, and more is to come.
    fn sparse(
        &self,
        pack: &StoredPack,
        first: LogSeq,
        reconcile: &super::Reconcile,
    ) -> Result<Option<Bytes>, PackError> {
        let (mut changes, outside) = self.unpack(pack)?;
        changes.drain(..(first.0 - pack.first.0) as usize);
        let skips = u32::from(self.config.planted.has(Planted::SparseSkipsOne));
        changes.retain(|c| reconcile.held.get(c.actor()).is_none_or(|seq| *seq + skips < c.seq()));
        if changes.is_empty() && pack.last() < reconcile.until {
            return Ok(None);
        }
        let bytes = if changes.is_empty() { None } else { Some(self.repack(&changes, reconcile.actors, &outside)?) };
        let end = SparseEnd { last: pack.last(), digest: pack.digest };
        Ok(Some(self.changes(reconcile.told.plus(1), bytes, Some(end))))
    }
}
