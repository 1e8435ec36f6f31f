//! Presence: the latest value of each session on a document, never stored, gone when it expires or its session leaves.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::id::SessionId;
use crate::time::Instant;

/// The latest presence of each session.
#[derive(Clone, Debug, Default)]
pub struct Presence {
    values: BTreeMap<SessionId, (Bytes, Instant)>,
}

impl Presence {
    /// Nobody is there.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces a session's value, which lives for `ttl` from now. An empty value removes it.
    pub fn set(&mut self, now: Instant, session: SessionId, value: Bytes, ttl: Duration) {
        if value.is_empty() {
            self.values.remove(&session);
        } else {
            self.values.insert(session, (value, now + ttl));
        }
    }

    /// Forgets a session. Whether it had a value.
    pub fn remove(&mut self, session: SessionId) -> bool {
        self.values.remove(&session).is_some()
    }

    /// Takes out and names the sessions whose value has expired.
    pub fn expire(&mut self, now: Instant) -> Vec<SessionId> {
        let gone: Vec<_> = self.values.iter().filter(|(_, (_, until))| *until <= now).map(|(s, _)| *s).collect();
        for session in &gone {
            self.values.remove(session);
        }
        gone
    }

    /// When the next value expires.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.values.values().map(|(_, until)| *until).min()
    }

    /// All values, in session order.
    pub fn iter(&self) -> impl Iterator<Item = (SessionId, &Bytes)> {
        self.values.iter().map(|(session, (value, _))| (*session, value))
    }

    /// A session's value.
    pub fn value(&self, session: SessionId) -> Option<&Bytes> {
        self.values.get(&session).map(|(value, _)| value)
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}
