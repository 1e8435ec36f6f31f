//! What all connections together make the server hold: parts of messages that have not ended, and what waits to be read or written.
//!
//! Each connection has bounds of its own; this is the one that does not grow with the number of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A connection that holds no more than this is never refused for what others hold.
const SPARED_BYTES: usize = 256 << 10;

/// Counts bytes of all connections against one bound. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    used: Arc<AtomicUsize>,
    bytes_max: usize,
}

impl Budget {
    /// Nothing is held.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { used: Arc::default(), bytes_max }
    }

    /// Counts what a connection takes, which has this much with it. False, if it is too much for all and more than a fair share for one:
    /// the connection is to be closed, and what it gives back when it ends has been counted.
    pub(crate) fn take(&self, bytes: usize, has: usize) -> bool {
        self.used.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.bytes_max || has <= SPARED_BYTES
    }

    /// Counts what a connection gives back.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
impl Budget {
    /// Bytes that are held.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_holds_much_is_refused_when_all_hold_too_much() {
        let (large, share) = (3 << 20, SPARED_BYTES);
        let budget = Budget::new(large + share);
        assert!(budget.take(large, large), "alone it may have it");
        assert!(budget.take(share, share));
        assert!(budget.take(share, share), "a fair share is always there");
        assert!(!budget.take(1, large + 1), "who has more is to go");
        budget.give_back(large + 1);
        assert!(budget.take(large - share, large - share));
    }
}
