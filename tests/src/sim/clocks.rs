//! Wall clocks in the simulation: the server's is right, those of clients jump. Changes have the right time wherever their client can know it.
//!
//! Owns what a client can know: how its device's clock stood when it said hello, once it was welcomed. What a tab that follows was told of
//! that is left to the tests of machines.

use sync_core::replica::{DocumentId, SKEW_SLACK_MS};
use sync_core::time::{Instant, WallTime};

use crate::sim::world::World;

/// Most that a client's clock is off.
const AHEAD_MS_MAX: u64 = 100_000_000;

/// The wall clock of a device, and what a client knows of it.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// By how much it is ahead. That of a browser is the clock of its first tab.
    ahead_ms: i64,
    /// When this client said hello, and by how much its device's clock was ahead.
    greeted: Option<(Instant, i64)>,
    /// By how much it was ahead when the client was welcomed last, and how long that took.
    known: Option<(i64, i64)>,
}

impl Clock {
    /// The client knows nothing any more.
    pub(crate) fn forget(&mut self) {
        (self.greeted, self.known) = (None, None);
    }
}

impl World {
    /// The right time.
    pub(crate) fn time(&self) -> WallTime {
        WallTime(1_700_000_000_000 + (self.now.0 / 1000) as i64)
    }

    /// What the clock of a client's device shows.
    pub(crate) fn wall(&self, index: usize) -> WallTime {
        WallTime(self.time().0 + self.ahead_ms(index))
    }

    fn ahead_ms(&self, index: usize) -> i64 {
        self.clients[self.clients[index].host.unwrap_or(index)].clock.ahead_ms
    }

    /// The clock of a client's device jumps.
    pub(crate) fn jump(&mut self, index: usize) {
        self.count("clock jump");
        let ahead_ms = self.rng.below(2 * AHEAD_MS_MAX) as i64 - AHEAD_MS_MAX as i64;
        let host = self.clients[index].host.unwrap_or(index);
        self.clients[host].clock.ahead_ms = ahead_ms;
    }

    /// A client says hello, at this time by its device's clock.
    pub(crate) fn greets(&mut self, index: usize) -> WallTime {
        self.clients[index].clock.greeted = Some((self.now, self.ahead_ms(index)));
        self.wall(index)
    }

    fn hears_the_server(&self, index: usize) -> bool {
        self.clients[index].seat.is_none() || self.leads(index).is_some()
    }

    /// A client may have been welcomed.
    pub(crate) fn note_welcome(&mut self, index: usize) {
        let now = self.now;
        let hears = self.hears_the_server(index);
        let client = &mut self.clients[index];
        if hears && client.replica.as_ref().is_some_and(|replica| replica.is_online()) {
            let greeted = client.clock.greeted.take();
            let known = greeted.map(|(at, ahead_ms)| (ahead_ms, 1 + now.since(at).as_millis() as i64));
            client.clock.known = known.or(client.clock.known);
        }
    }

    /// P3, for rules that compare times: what a client has just written has the right time, as far as a welcome can tell. Where the clock was
    /// set since, it has that clock's.
    pub(crate) fn check_time(&mut self, index: usize, id: DocumentId) {
        let client = &self.clients[index];
        let (Some((ahead_ms, took_ms)), true) = (client.clock.known, self.hears_the_server(index)) else { return };
        let Some(time) = client.replica.as_ref().and_then(|r| r.pending(id).last()).map(|change| change.time()) else {
            return;
        };
        let (right, wall) = (self.time().0, self.wall(index).0);
        let moved = (wall - right - ahead_ms).abs();
        if moved == 0 && (time - right).abs() > SKEW_SLACK_MS + took_ms {
            self.fail(format!(
                "P3: client {index} knows its clock, and writes with a time that is {} ms off",
                time - right
            ));
        } else if moved > SKEW_SLACK_MS && time != wall {
            self.fail(format!(
                "P3: the clock of client {index} was set, and it writes with a time {} ms off that",
                time - wall
            ));
        } else if moved == 0 && ahead_ms != 0 {
            self.count("time corrected");
        }
    }
}
