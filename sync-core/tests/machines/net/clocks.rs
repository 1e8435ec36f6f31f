//! Wall clocks of a network: the server's, and those of clients, which may be wrong.

use std::time::Duration;

use sync_core::replica::DocumentId;
use sync_core::time::WallTime;

use super::Net;

impl Net {
    /// The server's clock, which is right.
    pub(crate) fn time(&self) -> WallTime {
        WallTime(self.server.began_ms + i64::try_from(self.now.0 / 1000).expect("small"))
    }

    /// A client's clock.
    pub(super) fn wall(&self, client: usize) -> WallTime {
        WallTime(self.time().0 + self.clients[client].ahead_ms)
    }

    /// Sets the server's clock, and with it those of all, to a time of today. Before, they show no time that anybody believes.
    pub(crate) fn set_time(&mut self, ms: i64) {
        self.server.began_ms = ms;
    }

    /// Sets a client's clock ahead.
    pub(crate) fn set_ahead(&mut self, client: usize, ahead_ms: i64) {
        self.clients[client].ahead_ms = ahead_ms;
    }

    /// Time passes for all.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// The time of the last edit that the server has yet to acknowledge.
    pub(crate) fn time_of_last(&self, client: usize, id: DocumentId) -> WallTime {
        WallTime(self.clients[client].replica.outbox(id).last().expect("an edit").time)
    }
}
