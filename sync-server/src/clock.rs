//! The server's clocks, read here and nowhere else.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sync_core::time::{Instant, WallTime};

/// The monotonic clock that all machines of one server see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    /// Starts at 0 now.
    pub(crate) fn start() -> Self {
        Self { origin: std::time::Instant::now() }
    }

    /// Microseconds since the start.
    pub(crate) fn now(&self) -> Instant {
        Instant::default() + self.origin.elapsed()
    }

    /// The same point for a timer.
    pub(crate) fn timer(&self, at: Instant) -> tokio::time::Instant {
        (self.origin + Duration::from_micros(at.0)).into()
    }

    /// The wall clock.
    pub(crate) fn wall() -> WallTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}
