//! By how much the device's clock is off, as a server's has shown, and the times of changes, which are corrected by that.
//!
//! Owns the rule. Reads no clock, and keeps nothing in the store: what is edited after a start and before the first welcome has the device's
//! own time, and so has what is edited once that clock was set anew, until the next welcome.

use std::ops::Range;

use crate::planted::Planted;
use crate::replica::Replica;
use crate::replica::tabs::messages::{Clock, TabMessage};
use crate::time::{Instant, WallTime};

/// A clock that is off by no more, in milliseconds, is good enough, and one that moved by no more beside the monotonic one was not set anew.
pub const SKEW_SLACK_MS: i64 = 3_000;

/// What a server can mean by its time: thirteen digits, from 2001 to 2286.
const SOUND_MS: Range<i64> = 1_000_000_000_000..10_000_000_000_000;

/// How the device's clock stands to a server's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Skew {
    at: Instant,
    /// The device's clock then.
    wall: WallTime,
    /// Zero where it is good enough.
    ahead_ms: i64,
}

impl Skew {
    /// The device's clock at the time of a connection.
    pub(super) fn unknown(at: Instant, wall: WallTime) -> Self {
        Self { at, wall, ahead_ms: 0 }
    }

    /// The device's clock now, if nobody has set it since.
    fn wall(self, now: Instant) -> i64 {
        self.wall.0.saturating_add(self.age_ms(now))
    }

    fn age_ms(self, now: Instant) -> i64 {
        i64::try_from(now.since(self.at).as_millis()).unwrap_or(i64::MAX)
    }
}

impl Replica {
    /// The server has told its time in answer to the greeting. Somewhere on the way, so that half of that is in doubt.
    pub(super) fn learn_skew(&mut self, now: Instant, greeted: Skew, time: WallTime) {
        if !SOUND_MS.contains(&time.0) {
            return;
        }
        let half = greeted.age_ms(now) / 2;
        let ahead = greeted.wall.0.saturating_add(half).saturating_sub(time.0);
        let is_off = ahead.unsigned_abs() > half.saturating_add(SKEW_SLACK_MS).unsigned_abs();
        let was_off = self.skew.ahead_ms != 0;
        self.skew = Skew { ahead_ms: if is_off { ahead } else { 0 }, ..greeted };
        // Tabs that follow have the same clock.
        if (is_off || was_off) && self.tabs.leads() {
            self.tell_all(&self.skew_message(now));
        }
    }

    fn skew_message(&self, now: Instant) -> TabMessage {
        TabMessage::Clock(Clock { wall: WallTime(self.skew.wall(now)), ahead_ms: self.skew.ahead_ms })
    }

    /// In the leader: what a tab that has come is to hear of the clock; nothing where it is good enough, as the tab takes it to be.
    pub(super) fn skew_of_lead(&self, now: Instant) -> Option<TabMessage> {
        (self.skew.ahead_ms != 0).then(|| self.skew_message(now))
    }

    /// The leader has told.
    pub(super) fn told_skew(&mut self, now: Instant, clock: &Clock) {
        self.skew = Skew { at: now, wall: clock.wall, ahead_ms: clock.ahead_ms };
    }

    /// The time of a change that is made when the device's clock shows `wall`.
    pub(super) fn stamp(&self, now: Instant, wall: WallTime) -> WallTime {
        let moved = wall.0.saturating_sub(self.skew.wall(now)).unsigned_abs();
        let was_set = moved > SKEW_SLACK_MS.unsigned_abs() && !self.config.planted.has(Planted::SkewOutlivesClock);
        if was_set || self.config.planted.has(Planted::SkewIgnored) {
            return wall;
        }
        WallTime(wall.0.saturating_sub(self.skew.ahead_ms))
    }
}
