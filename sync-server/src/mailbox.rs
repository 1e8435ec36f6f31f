//! What rooms have for a connection, on its way to the connection's task.
//!
//! A room's worker must never wait for a slow client, so this queue takes everything at once and is bounded by count of bytes: each
//! room has at most `subscriber_bytes_max` on its way to one subscriber (it then catches up from the log), beside short answers to
//! pushes, of which a client may have `pending_batches_max` open. A connection that still gathers more than [`MAILBOX_BYTES_MAX`],
//! because it opens very many documents at once and does not read, is closed with 1013 and continues from its cursors. So is one that gathers
//! more than its share while all connections together gather more than `buffers_bytes_max`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sync_core::id::DocumentName;
use sync_core::room::ToSession;
use tokio::sync::mpsc;

use crate::budget::Budget;
use crate::meter;

/// Most bytes queued for one connection and not yet written to its socket.
pub(crate) const MAILBOX_BYTES_MAX: usize = 64 << 20;

/// What a queued message counts beside its bytes.
const LETTER_BYTES: usize = 64;

/// Something for a connection.
#[derive(Debug)]
pub(crate) enum Letter {
    /// A room's message for the session.
    Room(DocumentName, ToSession),
    /// Too much was queued: close.
    Overflow,
    /// A room was lost to a defect: close, so that the client opens its documents again.
    RoomLost,
}

/// The sending side, held by rooms.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    letters: mpsc::UnboundedSender<Letter>,
    budget: Budget,
    queued: Arc<AtomicUsize>,
    overflowed: Arc<AtomicBool>,
}

impl Mailbox {
    /// A mailbox and its receiving end.
    pub(crate) fn new(budget: Budget) -> (Self, mpsc::UnboundedReceiver<Letter>) {
        let (letters, inbox) = mpsc::unbounded_channel();
        (Self { letters, budget, queued: Arc::default(), overflowed: Arc::default() }, inbox)
    }

    /// Queues a room's message. Never waits; says the one `Overflow` when the bound is passed, and drops what comes later.
    pub(crate) fn deliver(&self, document: &DocumentName, message: ToSession) {
        if self.overflowed.load(Ordering::Relaxed) {
            return;
        }
        let size = message.message.len() + LETTER_BYTES;
        let has = self.queued.fetch_add(size, Ordering::Relaxed) + size;
        let fits = self.budget.take(size, has);
        if has > MAILBOX_BYTES_MAX || !fits {
            self.give_back(size);
            if !self.overflowed.swap(true, Ordering::Relaxed) {
                meter::overflow();
                let _ = self.letters.send(Letter::Overflow);
            }
            return;
        }
        if self.letters.send(Letter::Room(document.clone(), message)).is_err() {
            // A connection that has ended takes nothing any more.
            self.give_back(size);
        }
    }

    /// The connection has ended: what it will not take any more counts no longer.
    pub(crate) fn close(&self, inbox: &mut mpsc::UnboundedReceiver<Letter>) {
        inbox.close();
        while let Ok(letter) = inbox.try_recv() {
            if let Letter::Room(_, message) = letter {
                self.taken(&message);
            }
        }
    }

    fn give_back(&self, bytes: usize) {
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.give_back(bytes);
    }

    /// Whether the bound was passed.
    pub(crate) fn is_overflowed(&self) -> bool {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// Says that a room was lost.
    pub(crate) fn room_lost(&self) {
        let _ = self.letters.send(Letter::RoomLost);
    }

    /// The connection has handed a message on to its session's outputs, which are counted by the connection from then on.
    pub(crate) fn taken(&self, message: &ToSession) {
        self.give_back(message.message.len() + LETTER_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sync_core::room::Then;

    use super::*;

    #[test]
    fn too_much_says_overflow_once_and_is_dropped() {
        let (mailbox, mut inbox) = Mailbox::new(Budget::new(usize::MAX));
        let name = DocumentName::parse("a").expect("a name");
        let message = ToSession { message: Bytes::from(vec![0; MAILBOX_BYTES_MAX / 4]), then: Then::Continue };
        for _ in 0..10 {
            mailbox.deliver(&name, message.clone());
        }
        let letters: Vec<_> = std::iter::from_fn(|| inbox.try_recv().ok()).collect();
        assert_eq!(letters.len(), 4);
        assert!(matches!(letters[3], Letter::Overflow));
    }
}
