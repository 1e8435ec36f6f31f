//! Presence and messages: a lossy lane beside the log. Who is behind misses values and gets the latest once it has caught up.

use std::time::Duration;

use bytes::Bytes;

use crate::id::SessionId;
use crate::protocol::{Blob, Emitted, ServerMessage};
use crate::room::{Output, Room, Then, ToSession};
use crate::time::Instant;

impl Room {
    pub(super) fn emit(&mut self, now: Instant, session: SessionId, payload: Bytes, ttl_ms: Option<u32>) {
        if !self.subscribers.contains_key(&session) {
            return;
        }
        if let Some(ttl_ms) = ttl_ms {
            let known = self.presence.iter().any(|(s, _)| s == session);
            if !known && self.presence.len() >= self.config.presence_max {
                return;
            }
            self.presence.set(now, session, payload.clone(), Duration::from_millis(ttl_ms.into()));
        }
        self.broadcast(session, payload, ttl_ms);
    }

    pub(super) fn goodbye(&mut self, session: SessionId) {
        if self.presence.remove(session) {
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
        for (session, subscriber) in &mut self.subscribers {
            if *session == from {
                continue;
            }
            if subscriber.in_flight + frame.len() > self.config.subscriber_bytes_max / 2 {
                subscriber.missed_presence |= ttl_ms.is_some();
                continue;
            }
            subscriber.in_flight += frame.len();
            let message = ToSession { message: frame.clone(), then: Then::Continue };
            self.outputs.push_back(Output::Deliver(*session, message));
        }
    }

    /// Everybody's latest presence, for one who has just come or come back.
    pub(super) fn send_presence(&mut self, session: SessionId) {
        let others: Vec<_> = self.presence.iter().filter(|(s, _)| *s != session).map(|(s, v)| (s, v.clone())).collect();
        for (from, payload) in others {
            let ttl_ms = Some(PRESENCE_TTL_MS);
            let emitted = Emitted { room: self.number, from, payload: Blob(payload), ttl_ms };
            let message = ServerMessage::Emitted(emitted).encode();
            if let Some(subscriber) = self.subscribers.get_mut(&session) {
                subscriber.in_flight += message.len();
            }
            self.outputs.push_back(Output::Deliver(session, ToSession { message, then: Then::Continue }));
        }
    }
}

/// Lifetime told to one who was not there when a presence was sent. The room says goodbye when the real one ends.
const PRESENCE_TTL_MS: u32 = 60_000;
