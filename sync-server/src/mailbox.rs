//! What rooms have for a connection, on its way to the connection's task.
//!
//! A room's worker must never wait for a slow client, so this queue takes everything at once and is bounded by count of bytes: each
//! room has at most `subscriber_bytes_max` on its way to one subscriber (it then catches up from the log), beside short answers to
//! pushes, of which a client may have `pending_batches_max` open. A connection that still gathers more than [`MAILBOX_BYTES_MAX`],
//! because it opens very many documents at once and does not read, is closed with 1013 and continues from its cursors. So is one that gathers
//! more than its share while all connections together gather more than `buffers_bytes_max`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use sync_core::id::DocumentName;
use sync_core::room::ToSession;

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

/// Who reads a mailbox and can do so for whoever has put something there.
pub(crate) trait Reader: Send + Sync {
    /// Takes what is there, without waiting. False, if it can't now and is to be woken.
    fn take_now(&self) -> bool;
}

/// The sending side, held by rooms. Clones are the same mailbox.
#[derive(Clone)]
pub(crate) struct Mailbox(Arc<Shared>);

/// The receiving end: one for each mailbox.
pub(crate) struct Inbox(Arc<Shared>);

/// A queue that costs an idle connection a few words, where a channel of the runtime costs it a block of places.
struct Shared {
    queue: Mutex<Queue>,
    reader: OnceLock<Weak<dyn Reader>>,
    receiver: AtomicWaker,
    budget: Budget,
    queued: AtomicUsize,
    overflowed: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    letters: VecDeque<Letter>,
    /// The connection has ended and takes nothing any more.
    is_closed: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("nobody panics while holding it")
    }

    /// Whether the letter will be taken.
    fn send(&self, letter: Letter) -> bool {
        let mut queue = self.queue();
        if queue.is_closed {
            return false;
        }
        queue.letters.push_back(letter);
        true
    }

    fn give_back(&self, bytes: usize) {
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.give_back(bytes);
    }

    /// The connection has handed a message on to its session's outputs, which are counted by the connection from then on.
    fn taken(&self, letter: &Letter) {
        if let Letter::Room(_, message) = letter {
            self.give_back(message.message.len() + LETTER_BYTES);
        }
    }
}

impl Mailbox {
    /// A mailbox and its receiving end.
    pub(crate) fn new(budget: Budget) -> (Self, Inbox) {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            reader: OnceLock::new(),
            receiver: AtomicWaker::new(),
            budget,
            queued: AtomicUsize::new(0),
            overflowed: AtomicBool::new(false),
        });
        (Self(shared.clone()), Inbox(shared))
    }

    /// Lets whoever announces something have it read.
    pub(crate) fn read_by(&self, reader: Weak<dyn Reader>) {
        let _ = self.0.reader.set(reader);
    }

    /// Has what was put there read: by this thread, if the reader is at rest, else by the reader's task. To be called once for each letter, after it
    /// was put there: a reader at rest takes at least one each time, and need not look for more.
    pub(crate) fn announce(&self) {
        let reader = self.0.reader.get().and_then(Weak::upgrade);
        if !reader.is_some_and(|reader| reader.take_now()) {
            self.0.receiver.wake();
        }
    }

    /// Queues a room's message, which is to be announced. Never waits; says the one `Overflow` when the bound is passed, and drops what comes later.
    pub(crate) fn deliver(&self, document: &DocumentName, message: ToSession) {
        let shared = &*self.0;
        if self.is_overflowed() {
            return;
        }
        let size = message.message.len() + LETTER_BYTES;
        let has = shared.queued.fetch_add(size, Ordering::Relaxed) + size;
        let fits = shared.budget.take(size, has);
        if has > MAILBOX_BYTES_MAX || !fits {
            shared.give_back(size);
            if !shared.overflowed.swap(true, Ordering::Relaxed) {
                meter::overflow();
                shared.send(Letter::Overflow);
            }
            return;
        }
        if !shared.send(Letter::Room(document.clone(), message)) {
            shared.give_back(size);
        }
    }

    /// Whether the bound was passed.
    pub(crate) fn is_overflowed(&self) -> bool {
        self.0.overflowed.load(Ordering::Relaxed)
    }

    /// Says that a room was lost.
    pub(crate) fn room_lost(&self) {
        self.0.send(Letter::RoomLost);
        self.announce();
    }
}

impl Inbox {
    /// The next letter. One task waits at a time.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Letter> {
        // The waker first: a letter that comes after the look wakes it.
        self.0.receiver.register(cx.waker());
        self.next_ready().map_or(Poll::Pending, Poll::Ready)
    }

    /// The next letter, if there is one.
    pub(crate) fn next_ready(&mut self) -> Option<Letter> {
        let letter = self.0.queue().letters.pop_front()?;
        self.0.taken(&letter);
        Some(letter)
    }
}

impl Drop for Inbox {
    /// The connection has ended: what it will not take any more counts no longer.
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.is_closed = true;
        let left = std::mem::take(&mut queue.letters);
        drop(queue);
        left.iter().for_each(|letter| self.0.taken(letter));
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Wake, Waker};

    use bytes::Bytes;
    use sync_core::room::Then;

    use super::*;

    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One that takes what is there, or can't.
    struct Says(bool);

    impl Reader for Says {
        fn take_now(&self) -> bool {
            self.0
        }
    }

    #[test]
    fn the_task_is_woken_where_nobody_takes_for_it() {
        for (reader, woken) in [(None, 1), (Some(false), 1), (Some(true), 0)] {
            let (mailbox, mut inbox) = Mailbox::new(Budget::new(usize::MAX));
            let reader = reader.map(|takes| Arc::new(Says(takes)) as Arc<dyn Reader>);
            reader.iter().for_each(|reader| mailbox.read_by(Arc::downgrade(reader)));
            let task = Arc::new(Woken(AtomicUsize::new(0)));
            let waker = Waker::from(task.clone());
            assert!(inbox.poll_next(&mut Context::from_waker(&waker)).is_pending());
            let name = DocumentName::parse("a").expect("a name");
            mailbox.deliver(&name, ToSession { message: Bytes::from_static(b"abc"), then: Then::Continue });
            mailbox.announce();
            assert_eq!(task.0.load(Ordering::Relaxed), woken);
        }
    }

    #[test]
    fn too_much_says_overflow_once_and_is_dropped() {
        let (mailbox, mut inbox) = Mailbox::new(Budget::new(usize::MAX));
        let name = DocumentName::parse("a").expect("a name");
        let message = ToSession { message: Bytes::from(vec![0; MAILBOX_BYTES_MAX / 4]), then: Then::Continue };
        for _ in 0..10 {
            mailbox.deliver(&name, message.clone());
        }
        let letters: Vec<_> = std::iter::from_fn(|| inbox.next_ready()).collect();
        assert_eq!(letters.len(), 4);
        assert!(matches!(letters[3], Letter::Overflow));
    }

    #[test]
    fn what_an_ended_connection_leaves_is_given_back() {
        let budget = Budget::new(usize::MAX);
        let (mailbox, mut inbox) = Mailbox::new(budget.clone());
        let name = DocumentName::parse("a").expect("a name");
        let message = ToSession { message: Bytes::from_static(b"abc"), then: Then::Continue };
        (0..3).for_each(|_| mailbox.deliver(&name, message.clone()));
        assert_eq!(budget.used(), 3 * (3 + LETTER_BYTES));
        assert!(inbox.next_ready().is_some());
        assert_eq!(budget.used(), 2 * (3 + LETTER_BYTES));
        drop(inbox);
        mailbox.deliver(&name, message);
        assert_eq!(budget.used(), 0);
    }
}
