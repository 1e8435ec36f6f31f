//! How fast a client may go: so many at once, then so many a second.
//!
//! Owns the counting. What is refused, and in which words, is the session's.

use std::time::Duration;

use crate::time::Instant;

/// A bound on how often a client may ask for something on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many at once, after a rest. What honest clients do in one go must fit.
    pub burst: u32,
    /// How many a second beyond that; 0 sets no bound.
    pub per_s: u32,
}

/// The time for which everything is refused once the burst is used up, so that what was on its way meets one answer and not two.
const REFUSED_FOR: Duration = Duration::from_secs(1);

const MICROS: u64 = 1_000_000;

/// How much of a [`Rate`] one connection has used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    rate: Rate,
    /// What is left, in millionths of one.
    left: u64,
    at: Option<Instant>,
    refused_until: Option<Instant>,
}

impl Pace {
    /// All of a rate.
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, left: u64::from(rate.burst) * MICROS, at: None, refused_until: None }
    }

    /// Takes one, or says after how long there will be some again.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        if self.rate.per_s == 0 {
            return Ok(());
        }
        let rested = self.at.map_or(0, |at| u64::try_from(now.since(at).as_micros()).unwrap_or(u64::MAX));
        let gained = rested.saturating_mul(self.rate.per_s.into());
        self.left = self.left.saturating_add(gained).min(u64::from(self.rate.burst) * MICROS);
        self.at = Some(now);
        if let Some(until) = self.refused_until.filter(|until| *until > now) {
            return Err(until.since(now));
        }
        self.refused_until = None;
        if self.left < MICROS {
            self.refused_until = Some(now + REFUSED_FOR);
            return Err(REFUSED_FOR);
        }
        self.left -= MICROS;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(pace: &mut Pace, now: Instant, tries: u32) -> u32 {
        (0..tries).filter(|_| pace.take(now).is_ok()).count() as u32
    }

    #[test]
    fn a_burst_then_nothing_for_a_second_then_as_much_as_was_gained() {
        let mut pace = Pace::new(Rate { burst: 100, per_s: 10 });
        let start = Instant(5);
        assert_eq!(taken(&mut pace, start, 150), 100);
        let half = start + Duration::from_millis(500);
        assert_eq!(pace.take(half), Err(Duration::from_millis(500)), "what was on its way is refused as well");
        assert_eq!(taken(&mut pace, start + Duration::from_secs(1), 150), 10);
        assert_eq!(taken(&mut pace, start + Duration::from_secs(3_600), 150), 100, "no rest gives more than a burst");
    }

    #[test]
    fn without_a_rate_there_is_no_bound() {
        assert_eq!(taken(&mut Pace::new(Rate { burst: 1, per_s: 0 }), Instant(0), 5_000), 5_000);
    }
}
