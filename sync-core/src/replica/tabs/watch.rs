//! Noticing that the tab that leads says nothing any more, and asking the driver to take the lead over.
//!
//! Owns the times. A leader only answers: it needs no timer for that, which browsers slow down in hidden pages, while what other tabs say is
//! delivered at once. A tab that was frozen itself and wakes up asks once more before it believes its own clock.

use std::time::Duration;

use crate::replica::tabs::messages::{Ask, Empty, TabMessage};
use crate::replica::tabs::{Role, TabId};
use crate::replica::{Output, Replica};
use crate::time::Instant;

/// A follower that has heard nothing of the leader for so long asks whether it is there, and waits as long for each answer.
pub const ASK_AFTER: Duration = Duration::from_secs(5);
/// After so many questions without an answer the follower takes over. With one alone a tab that was frozen would rob a leader whose answers
/// are still in its queue.
pub const ASKS_MAX: u32 = 2;
/// Followers do not all take over at once: each waits longer by this than the one with the number below.
const STAGGER: Duration = Duration::from_millis(250);
/// From this number on they wait no longer.
const STAGGERED_MAX: u32 = 20;

/// How long a follower has heard nothing.
#[derive(Debug, Default)]
pub(super) struct Watch {
    due: Option<Instant>,
    asked: u32,
}

impl Watch {
    /// The leader was heard, or there is a new one.
    pub(super) fn heard(&mut self, now: Instant) {
        *self = Self { due: Some(now + ASK_AFTER), asked: 0 };
    }

    /// This tab leads.
    pub(super) fn ends(&mut self) {
        *self = Self::default();
    }
}

impl Replica {
    /// When the tabs' times are due.
    pub(in crate::replica) fn tabs_due(&self) -> Option<Instant> {
        self.tabs.watch.due
    }

    pub(in crate::replica) fn tabs_timeout(&mut self, now: Instant) {
        if self.tabs.watch.due.is_none_or(|at| at > now) || !self.tabs.follows() {
            return;
        }
        if self.tabs.watch.asked >= ASKS_MAX {
            // Should the lead not come, all begins again.
            self.tabs.watch.heard(now);
            return self.outputs.push_back(Output::TakeOver);
        }
        self.tabs.watch.asked += 1;
        let last = self.tabs.watch.asked == ASKS_MAX;
        let stagger = STAGGER * if last { self.tab().0.min(STAGGERED_MAX) } else { 0 };
        self.tabs.watch.due = Some(now + ASK_AFTER + stagger);
        let epoch = self.tabs.leader.map(|(_, epoch)| epoch);
        self.tell_all(&TabMessage::Ask(Ask { epoch }));
    }

    /// A follower asks whether the leader is there: the one that it knows, or a later one.
    pub(super) fn asked(&mut self, now: Instant, epoch: u64, from: TabId, ask: &Ask) {
        if ask.epoch == Some(epoch) {
            return self.tell(from, &TabMessage::Here(Empty {}));
        }
        self.drop_tab(from);
        self.tell_lead(now, from, epoch);
    }

    /// A message came from another tab.
    pub(super) fn heard_tab(&mut self, now: Instant, from: TabId) {
        if self.tabs.role == Role::Follows && self.tabs.leader.is_some_and(|(leader, _)| leader == from) {
            self.tabs.watch.heard(now);
        }
    }
}
