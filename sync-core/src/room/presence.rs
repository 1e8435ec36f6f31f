//! Presence and messages: a lossy lane beside the log. Who is behind misses values, and gets the latest, or hears who is gone, once it
//! has caught up.

use std::time::Duration;

use bytes::Bytes;

use crate::id::SessionId;
use crate::planted::Planted;
use crate::protocol::{Blob, Emitted, RejectCode, ServerMessage};
use crate::room::{Output, Room, Then, ToSession};
use crate::time::Instant;

impl Room {
    pub(super) fn emit(&mut self, now: Instant, session: SessionId, payload: Bytes, ttl_ms: Option<u32>) {
        if !self.subscribers.contains_key(&session) {
            return;
        }
        if let Some(ttl_ms) = ttl_ms {
            if self.presence.value(session).is_none() && self.presence.len() >= self.config.presence_max {
                return;
            }
            self.presence.set(now, session, payload.clone(), Duration::from_millis(ttl_ms.into()));
        }
        self.broadcast(session, payload, ttl_ms);
    }

    pub(super) fn goodbye(&mut self, session: SessionId) {
        if self.presence.remove(session) && !self.config.planted.has(Planted::PresenceGhost) {
            self.broadcast(session, Bytes::new(), Some(0));
        }
    }

    pub(super) fn expire_presence(&mut self, now: Instant) {
        for session in self.presence.expire(now) {
            self.broadcast(session, Bytes::new(), Some(0));
        }
    }

    fn broadcast(&mut self, from: SessionId, payload: Bytes, ttl_ms: Option<u32>) {
        let emitted = Emitted { room: self.number, from, payload: Blob(payload), ttl_ms };
        let frame = ServerMessage::Emitted(emitted).encode();
        let forgets = self.config.planted.has(Planted::PresenceMissed);
        let others: Vec<_> = self.subscribers.keys().copied().filter(|session| *session != from).collect();
        for session in others {
            if !self.offer(session, &frame) && ttl_ms.is_some() && !forgets {
                self.miss_presence(session, from);
            }
        }
    }

    /// Delivers a frame of presence, if it fits beside what is on its way.
    fn offer(&mut self, session: SessionId, frame: &Bytes) -> bool {
        let Some(subscriber) = self.subscribers.get_mut(&session) else { return true };
        let fits = subscriber.in_flight + frame.len() <= self.config.subscriber_bytes_max / 2;
        if fits || subscriber.in_flight == 0 {
            subscriber.in_flight += frame.len();
            let message = ToSession { message: frame.clone(), then: Then::Continue };
            self.outputs.push_back(Output::Deliver(session, message));
            return true;
        }
        false
    }

    /// Notes that a subscriber has yet to hear of another's presence. Who has missed too many opens again, and is told of all then.
    fn miss_presence(&mut self, session: SessionId, from: SessionId) {
        let Some(subscriber) = self.subscribers.get_mut(&session) else { return };
        subscriber.missed_presence.insert(from);
        let handle = subscriber.handle;
        if subscriber.missed_presence.len() > 2 * self.config.presence_max {
            self.end(session, handle, RejectCode::Unavailable, "too slow to hear who is here");
        }
    }

    /// Tells a subscriber of all whom it has missed: their latest presence, or that they are gone.
    pub(super) fn send_missed_presence(&mut self, session: SessionId) {
        let Some(subscriber) = self.subscribers.get_mut(&session) else { return };
        for from in std::mem::take(&mut subscriber.missed_presence) {
            self.tell_presence(session, from);
        }
    }

    /// Everybody's latest presence, for one who has just come.
    pub(super) fn send_presence(&mut self, session: SessionId) {
        let others: Vec<_> = self.presence.iter().map(|(from, _)| from).filter(|from| *from != session).collect();
        for from in others {
            self.tell_presence(session, from);
        }
    }

    fn tell_presence(&mut self, session: SessionId, from: SessionId) {
        let held = self.presence.value(from).cloned();
        let ttl_ms = Some(if held.is_some() { PRESENCE_TTL_MS } else { 0 });
        let emitted = Emitted { room: self.number, from, payload: Blob(held.unwrap_or_default()), ttl_ms };
        if !self.offer(session, &ServerMessage::Emitted(emitted).encode()) {
            self.miss_presence(session, from);
        }
    }
}

/// Lifetime told to one who was not there when a presence was sent. The room says goodbye when the real one ends.
const PRESENCE_TTL_MS: u32 = 60_000;
