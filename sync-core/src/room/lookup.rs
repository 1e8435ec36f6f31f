//! Requests that reach below the log's base: each waits until what it needs of compacted history is read, one pack at a time.
//!
//! One request is looked up for at a time; those of other sessions that need nothing go on meanwhile, and those of one session keep
//! their order. What was read is forgotten once nobody needs it, beyond a bound.

use std::collections::VecDeque;

use crate::clock::{ClockEntry, VectorClock};
use crate::id::{ActorId, Cursor, LogSeq, SessionId, TaskId};
use crate::limits::LEARNED_MAX;
use crate::log::Need;
use crate::pack;
use crate::planted::Planted;
use crate::protocol::{Mode, Open, RejectCode};
use crate::room::load::Body;
use crate::room::{Request, Room};
use crate::storage::{Loaded, StoreError, StoreTask};
use crate::table::Place;
use crate::time::Instant;

/// What waits for compacted history.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    current: Option<Lookup>,
    parked: VecDeque<(SessionId, Request)>,
    bytes: usize,
}

#[derive(Debug)]
struct Lookup {
    task: TaskId,
    session: SessionId,
    request: Request,
    needs: Vec<Need>,
    after: LogSeq,
}

impl Lookups {
    pub(super) fn is_empty(&self) -> bool {
        self.current.is_none() && self.parked.is_empty()
    }

    /// Whether a request of this session waits, so that its next ones must.
    pub(super) fn holds(&self, session: SessionId) -> bool {
        self.current.as_ref().is_some_and(|lookup| lookup.session == session)
            || self.parked.iter().any(|(parked, _)| *parked == session)
    }

    pub(super) fn is_for(&self, task: TaskId) -> bool {
        self.current.as_ref().is_some_and(|lookup| lookup.task == task)
    }

    /// Drops what a session that left was waiting for.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.parked.retain(|(parked, _)| *parked != session);
        self.bytes = self.parked.iter().map(|(_, request)| request.bytes()).sum();
        if let Some(lookup) = self.current.as_mut().filter(|lookup| lookup.session == session) {
            // The answer still comes; whoever is parked goes on then.
            lookup.request = Request::Leave;
        }
    }

    /// All that waits, in order: the document is to be loaded again.
    pub(super) fn give_up(&mut self) -> VecDeque<(SessionId, Request)> {
        let Self { current, mut parked, .. } = std::mem::take(self);
        if let Some(lookup) = current.filter(|lookup| lookup.request != Request::Leave) {
            parked.push_front((lookup.session, lookup.request));
        }
        parked
    }
}

impl Room {
    /// Keeps a request behind others of its session.
    pub(super) fn park(&mut self, session: SessionId, request: Request) {
        let size = request.bytes();
        if self.lookups.bytes + size > self.config.waiting_bytes_max {
            let reason = "too much waits for compacted history";
            return self.refuse_waiting(session, request, RejectCode::Unavailable, reason);
        }
        self.lookups.bytes += size;
        self.lookups.parked.push_back((session, request));
    }

    /// Handles a request, once all that it needs is known.
    pub(super) fn attend(&mut self, now: Instant, session: SessionId, request: Request) {
        let needs = self.needs(session, &request);
        match needs.first() {
            None => self.handle_request(now, session, request),
            Some(_) if self.lookups.current.is_some() => self.park(session, request),
            Some(_) => self.look_up(session, request, needs),
        }
    }

    fn look_up(&mut self, session: SessionId, request: Request, needs: Vec<Need>) {
        let after = self.phase.body().zip(needs.first()).and_then(|(body, need)| body.reading.read_after(need));
        let Some(after) = after else {
            let reason = "compacted history lacks what its index knows";
            return self.refuse_waiting(session, request, RejectCode::Quarantined, reason);
        };
        let task = self.task(StoreTask::Load { document: self.document.clone(), after, bytes_max: 0 });
        self.lookups.current = Some(Lookup { task, session, request, needs, after });
    }

    /// A pack of compacted history was read.
    pub(super) fn looked_up(&mut self, now: Instant, result: Result<Loaded, StoreError>) {
        let Some(Lookup { session, request, needs, after, .. }) = self.lookups.current.take() else { return };
        if request != Request::Leave {
            match self.learn(result, &needs) {
                Err(error) => {
                    let code = if error.is_retryable() { RejectCode::Unavailable } else { RejectCode::Quarantined };
                    self.refuse_waiting(session, request, code, &error.to_string());
                }
                Ok(()) => self.go_on(now, session, request, &needs, after),
            }
        }
        while self.lookups.current.is_none()
            && let Some((session, request)) = self.lookups.parked.pop_front()
        {
            self.lookups.bytes = self.lookups.bytes.saturating_sub(request.bytes());
            if self.phase.is_ready() {
                // Not as a new request: that would go behind others of its session that wait here too.
                self.attend(now, session, request);
            } else {
                self.wait(session, request);
            }
        }
        if self.lookups.is_empty()
            && let Some(body) = self.phase.body_mut()
            && body.reading.log.learned_count() > LEARNED_MAX
        {
            body.reading.log.forget_learned();
        }
    }

    fn learn(&mut self, result: Result<Loaded, StoreError>, needs: &[Need]) -> Result<(), StoreError> {
        let loaded = result?;
        let missing = || StoreError::Corrupt("a pack of compacted history is missing".into());
        let stored = loaded.packs.first().ok_or_else(missing)?;
        let body = self.phase.body_mut().ok_or_else(missing)?;
        body.reading.learn(stored, needs)
    }

    fn go_on(&mut self, now: Instant, session: SessionId, request: Request, before: &[Need], after: LogSeq) {
        let needs = self.needs(session, &request);
        let Some(need) = needs.first() else { return self.handle_request(now, session, request) };
        let next = self.phase.body().and_then(|body| body.reading.read_after(need));
        if before.first() == Some(need) && next == Some(after) {
            let reason = "compacted history is not what its index knows";
            return self.refuse_waiting(session, request, RejectCode::Quarantined, reason);
        }
        self.look_up(session, request, needs);
    }

    /// What a request needs of compacted history and nobody knows yet.
    fn needs(&self, session: SessionId, request: &Request) -> Vec<Need> {
        if self.config.planted.has(Planted::HistoryNotLookedUp) {
            return Vec::new();
        }
        let Some(body) = self.phase.body().filter(|body| body.reading.log.base() > LogSeq(0)) else {
            return Vec::new();
        };
        let mut needs = match request {
            Request::Join { open, .. } => self.needs_to_open(body, open),
            Request::Have(clock) => needs_of_clock(body, clock),
            Request::Push { pack, .. } if self.subscribers.contains_key(&session) => self.needs_of_pack(body, pack),
            _ => Vec::new(),
        };
        needs.retain(|need| body.reading.log.lacks(need));
        needs
    }

    fn needs_to_open(&self, body: &Body, open: &Open) -> Vec<Need> {
        let live = (self.config.store_id, body.reading.log.incarnation());
        let ours = |cursor: &&Cursor| (cursor.store_id, cursor.incarnation) == live;
        let Some(cursor) = open.cursor.as_ref().filter(ours) else { return self.needs_to_reconcile(body, open) };
        let positions = [Some(cursor.seq), open.acked.map(|acked| acked.seq)];
        let mut needs: Vec<Need> = positions.into_iter().flatten().map(Need::Digest).collect();
        needs.retain(|need| body.reading.log.lacks(need));
        if needs.is_empty() && self.mode(body, open) == Mode::Reconcile {
            needs = self.needs_to_reconcile(body, open);
        }
        needs
    }

    fn needs_to_reconcile(&self, body: &Body, open: &Open) -> Vec<Need> {
        open.clock.as_ref().map(|clock| needs_of_clock(body, clock)).unwrap_or_default()
    }

    fn needs_of_pack(&self, body: &Body, bytes: &[u8]) -> Vec<Need> {
        let table = body.reading.log.table();
        // What is no pack is refused when it is read.
        let Ok(names) = pack::names(bytes, table, &self.config.pack) else { return Vec::new() };
        let place = |(actor, seq): &(ActorId, u32)| Some(Need::Hash(Place { actor: table.number(actor)?, seq: *seq }));
        names.places.iter().filter_map(place).chain(names.hashes.iter().copied().map(Need::Place)).collect()
    }
}

fn needs_of_clock(body: &Body, clock: &VectorClock) -> Vec<Need> {
    let table = body.reading.log.table();
    let place = |(actor, entry): (&ActorId, ClockEntry)| {
        Some(Need::Hash(Place { actor: table.number(actor)?, seq: entry.seq }))
    };
    clock.iter().filter_map(place).collect()
}
