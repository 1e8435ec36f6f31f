//! Where a document, or all of them, stand: in the words and numbers to show to people.

use std::time::Duration;

use sync_core::replica::{self, State};
use sync_core::time::Instant;

/// Where a document stands, or all open documents together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Where it stands.
    pub state: State,
    /// Changes not yet acknowledged by the server. Rejected ones are not among them.
    pub pending: usize,
    /// Changes that the server will not have.
    pub rejected: usize,
    /// Changes not yet on this device's disk: what a crash now would lose.
    pub unsaved: usize,
    /// How long ago it was last in sync with the server, if it was since the client was opened.
    pub since_sync: Option<Duration>,
}

impl Status {
    pub(crate) fn new(status: replica::Status, now: Instant) -> Self {
        let replica::Status { state, pending, rejected, unsaved, synced_at } = status;
        Self { state, pending, rejected, unsaved, since_sync: synced_at.map(|at| now.since(at)) }
    }
}
