//! The bus between nodes: who has committed what. A hint only; the log is the truth.
//!
//! With one node it tells the node's own parts. Announcements may be lost: a subscriber must be right without them.

use sync_core::id::{DocumentName, LogSeq};
use tokio::sync::broadcast;

/// Announcements kept for a subscriber that is behind; older ones are lost to it.
const ANNOUNCEMENTS_MAX: usize = 1_024;

/// A document's log has grown, or begins anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The document.
    pub document: DocumentName,
    /// Where its log ends; 0 if it was deleted.
    pub head: LogSeq,
}

/// Tells nodes of each other's commits.
pub trait Backplane: Send + Sync {
    /// Tells all subscribers, here and elsewhere. Never waits.
    fn publish(&self, announcement: Announcement);

    /// Everything published from now on, as far as the subscriber keeps up.
    fn subscribe(&self) -> broadcast::Receiver<Announcement>;
}

/// The bus of a single node.
#[derive(Debug)]
pub struct LocalBackplane(broadcast::Sender<Announcement>);

impl Default for LocalBackplane {
    fn default() -> Self {
        Self(broadcast::Sender::new(ANNOUNCEMENTS_MAX))
    }
}

impl Backplane for LocalBackplane {
    fn publish(&self, announcement: Announcement) {
        // Nobody listening is no error.
        let _ = self.0.send(announcement);
    }

    fn subscribe(&self) -> broadcast::Receiver<Announcement> {
        self.0.subscribe()
    }
}
