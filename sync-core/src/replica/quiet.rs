//! The time for which a server wants to hear nothing (`Throttle`), and what is said when it is over.
//!
//! Owns what can't be said later by asking again: the end of a document, and the answer to a reconcile. Openings, pushes and presence
//! are worked out anew.

use std::time::Duration;

use crate::clock::VectorClock;
use crate::few::{FewMap, FewSet};
use crate::id::DocumentHandle;
use crate::protocol::{ClientMessage, Close, Have};
use crate::replica::Replica;
use crate::time::Instant;

/// Longest time that a server is obeyed: one that wants less to be said for longer closes the connection.
const QUIET_MAX: Duration = Duration::from_secs(60);

/// Whether the server wants to hear nothing. Bounded by the documents open when that began, as none is opened meanwhile.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    until: Option<Instant>,
    answers: FewMap<DocumentHandle, VectorClock>,
    ended: FewSet<DocumentHandle>,
}

impl Quiet {
    pub(super) fn is_on(&self) -> bool {
        self.until.is_some()
    }

    /// When it ends.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }
}

impl Replica {
    /// Says nothing but pings and tokens for a time. A later word of the server counts, if it is for longer or for less.
    pub(super) fn keep_quiet(&mut self, now: Instant, span: Duration) {
        self.connection.quiet.until = Some(now + span.min(QUIET_MAX));
    }

    /// Answers a reconcile, at once or first thing when it may speak.
    pub(super) fn answer(&mut self, handle: DocumentHandle, clock: VectorClock) {
        match self.connection.quiet.is_on() {
            true => drop(self.connection.quiet.answers.insert(handle, clock)),
            false => self.send(&ClientMessage::Have(Have { handle, clock })),
        }
    }

    /// Ends a document on the server, at once or first thing when it may speak.
    pub(super) fn end(&mut self, handle: DocumentHandle) {
        self.connection.quiet.answers.remove(&handle);
        match self.connection.quiet.is_on() {
            true => drop(self.connection.quiet.ended.add(handle)),
            false => self.send(&ClientMessage::Close(Close { handle })),
        }
    }

    pub(super) fn quiet_timeout(&mut self, now: Instant) {
        if self.connection.quiet.until.is_none_or(|at| at > now) {
            return;
        }
        let over = std::mem::take(&mut self.connection.quiet);
        over.ended.into_iter().for_each(|(handle, ())| self.end(handle));
        over.answers.into_iter().for_each(|(handle, clock)| self.answer(handle, clock));
        let all: Vec<_> = self.documents.keys().copied().collect();
        for id in all {
            self.join(now, id);
            self.flush(now, id);
            self.send_presence_again(id);
        }
    }
}
