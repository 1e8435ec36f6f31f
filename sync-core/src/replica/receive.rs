//! What arrives from the server, message by message.

use std::time::Duration;

use crate::clock::{ClockEntry, VectorClock};
use crate::id::{ActorId, DocumentHandle};
use crate::limits::PackLimits;
use crate::pack::{self, PackError};
use crate::planted::Planted;
use crate::protocol::{Changes, Mode, Opened, Part, ServerMessage};
use crate::replica::position::Range;
use crate::replica::{DocumentId, Event, Replica};
use crate::time::Instant;

impl Replica {
    pub(super) fn frame(&mut self, now: Instant, bytes: &[u8]) {
        if !self.connection.is_up() {
            return;
        }
        self.heard(now);
        self.messages(now, bytes, true);
    }

    fn messages(&mut self, now: Instant, bytes: &[u8], parts: bool) {
        let Ok(messages) = ServerMessage::decode_all(bytes) else { return self.hang_up(now) };
        for message in messages {
            if !self.connection.is_up() {
                return;
            }
            match message {
                ServerMessage::Part(part) if parts => self.part(now, &part),
                ServerMessage::Part(_) => self.hang_up(now),
                message => self.message(now, message),
            }
        }
    }

    fn part(&mut self, now: Instant, part: &Part) {
        match self.assembler.push(part, MESSAGE_BYTES_MAX) {
            Ok(None) => {}
            Ok(Some(whole)) => {
                let lost = if self.config.planted.has(Planted::LastPartDropped) { part.bytes.0.len() } else { 0 };
                self.messages(now, &whole[..whole.len() - lost], false);
            }
            Err(_) => self.hang_up(now),
        }
    }

    fn message(&mut self, now: Instant, message: ServerMessage) {
        match message {
            ServerMessage::Welcome(welcome) => self.welcomed(now, &welcome),
            ServerMessage::Opened(opened) => self.opened(now, opened),
            ServerMessage::Ack(ack) => self.acked(now, ack),
            ServerMessage::Reject(reject) => self.rejected(now, reject),
            ServerMessage::Changes(changes) => self.changes(now, changes),
            ServerMessage::Snapshot(piece) => self.piece(now, piece),
            ServerMessage::Emitted(emitted) => self.emitted(emitted),
            ServerMessage::Throttle(throttle) => self.keep_quiet(now, Duration::from_millis(throttle.for_ms.into())),
            ServerMessage::GoAway(goaway) => self.going_away(Duration::from_millis(goaway.reconnect_within_ms.into())),
            ServerMessage::Granted(_)
            | ServerMessage::Expiring(_)
            | ServerMessage::Pong(_)
            | ServerMessage::Part(_) => {}
        }
    }

    fn opened(&mut self, now: Instant, opened: Opened) {
        let Some(id) = self.by_handle(opened.handle) else { return };
        let Some(store_id) = self.connection.store_id else { return self.hang_up(now) };
        let Some(doc) = self.documents.get_mut(&id) else { return };
        let conversation = &mut doc.conversation;
        conversation.room = Some(opened.room);
        conversation.opened = true;
        conversation.by_clock = false;
        conversation.head = Some((opened.head, opened.digest));
        let said = conversation.clock.clone();
        let super::DocPhase::Ready(local) = &mut doc.phase else { return };
        match opened.mode {
            Mode::Resume => {}
            Mode::New => local.start(store_id, opened.incarnation),
            Mode::Replaced => {
                let delta = local.replace(store_id, opened.incarnation);
                self.save(now, id, delta, false);
                self.forget_conversation(id);
                self.event(Event::Status(id));
                return self.join(now, id);
            }
            Mode::Reconcile => {
                let actors = opened.actors.unwrap_or_default().0;
                match local.reconcile(store_id, opened.incarnation, &actors) {
                    Ok((have, delta)) => {
                        self.save(now, id, delta, false);
                        if !self.say_have(now, id, opened.handle, said, have, &actors) {
                            return;
                        }
                    }
                    Err(error) => return self.take(now, id, Err(error)),
                }
            }
        }
        self.send_presence_again(id);
        self.note_synced(now, id);
        self.event(Event::Status(id));
        self.flush(now, id);
    }

    /// Answers a reconcile with what is held. Where `Open` has said more, which the log has but not alike, opens again by what is left of
    /// it, so that all of that comes. False if so.
    fn say_have(
        &mut self,
        now: Instant,
        id: DocumentId,
        handle: DocumentHandle,
        said: Option<VectorClock>,
        have: VectorClock,
        log: &[(ActorId, ClockEntry)],
    ) -> bool {
        let Some(said) = said else {
            self.answer(handle, have);
            return true;
        };
        if log.iter().all(|(actor, entry)| have.seq(actor) >= said.seq(actor).min(entry.seq)) {
            return true;
        }
        self.leave(id);
        if let Some(doc) = self.documents.get_mut(&id) {
            doc.conversation.by_clock = true;
            doc.conversation.clock_next = Some(have);
        }
        self.join(now, id);
        false
    }

    fn changes(&mut self, now: Instant, changes: Changes) {
        let Some(id) = self.by_room(changes.room) else { return };
        if let Some(doc) = self.documents.get_mut(&id) {
            doc.conversation.snapshot.arriving = None;
        }
        let fresh_actor = self.rng.actor();
        let planted_cut = self.config.planted.has(Planted::ResumeOffByOne);
        let planted_reuse = self.config.planted.has(Planted::ReuseActorAfterRollback);
        let Some(local) = self.local_mut(id) else { return };
        let actor = if planted_reuse { local.actor.clone() } else { fresh_actor };
        let Changes { first, pack, sparse, .. } = changes;
        let range = match pack {
            None => Range {
                first,
                hashes: Vec::new(),
                changes: Vec::new(),
                base: local.actors.len() as u32,
                new_actors: Vec::new(),
                sparse,
            },
            Some(pack) => match pack::decode(&pack.0, &local.log_context(), &PackLimits::stored()) {
                Ok(unpacked) => {
                    let pack::Unpacked { changes, base, new_actors } = unpacked;
                    let hashes = changes.iter().map(crate::change::Change::hash).collect();
                    Range { first, hashes, changes, base, new_actors, sparse }
                }
                Err(PackError::MissingDep { .. } | PackError::DigestMismatch | PackError::UnknownActor(_)) => {
                    return self.resync(now, id);
                }
                Err(_) => return self.hang_up(now),
            },
        };
        let range = if planted_cut { cut_last(range) } else { range };
        let done = local.receive(range, &actor);
        let ok = done.is_ok();
        self.take_range(now, id, done);
        if self.saves.bytes() > self.config.unsaved_bytes_max {
            return self.hang_up(now);
        }
        if ok {
            self.check_head(now, id);
            self.note_synced(now, id);
            self.flush(now, id);
        }
    }

    #[cfg(not(feature = "planted"))]
    fn take_range(&mut self, now: Instant, id: DocumentId, done: Result<super::Delta, super::LocalError>) {
        self.take(now, id, done);
    }

    /// Planted bug: the position is saved in a transaction before that of the changes it stands for.
    #[cfg(feature = "planted")]
    fn take_range(&mut self, now: Instant, id: DocumentId, done: Result<super::Delta, super::LocalError>) {
        match done {
            Ok(mut delta) if self.config.planted.has(Planted::CursorBeforeApply) => {
                let row = delta.writes.pop().into_iter().collect();
                self.save_writes(now, id, row, Vec::new());
                self.take(now, id, Ok(delta));
            }
            done => self.take(now, id, done),
        }
    }

    /// At the head that the server named, the digests must be the same.
    pub(super) fn check_head(&mut self, now: Instant, id: DocumentId) {
        let Some(doc) = self.documents.get(&id) else { return };
        let super::DocPhase::Ready(local) = &doc.phase else { return };
        if let (Some(cursor), Some((head, digest))) = (local.cursor, doc.conversation.head)
            && cursor.seq == head
            && cursor.digest != digest
        {
            self.resync(now, id);
        }
    }
}

/// Planted bug: of a range of several changes the last is taken as held without being so.
fn cut_last(mut range: Range) -> Range {
    if range.changes.len() > 1 && range.sparse.is_none() {
        range.changes.pop();
    }
    range
}

/// Most bytes of one message put together from parts.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
