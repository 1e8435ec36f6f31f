//! The server's machine of one document: its log's head, who is subscribed, and what is on its way to the store.
//!
//! Owns order and durability: nothing is acknowledged or shown before the store has it. Owns no socket and no file. A driver
//! feeds inputs and **drains `poll_output` after every call that takes `now`**.

use bytes::Bytes;

use crate::clock::VectorClock;
use crate::id::{BatchId, SessionId, StoreId, TaskId};
use crate::limits::PackLimits;
use crate::protocol::{CloseCode, Open, WireLimits};
use crate::scope::Access;
use crate::storage::{StoreDone, StoreTask};

/// What a room is told when it is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// The store whose logs cursors count in.
    pub store_id: StoreId,
    /// What clients must keep to.
    pub wire: WireLimits,
    /// Bounds on what is pushed.
    pub pack: PackLimits,
    /// Bytes on their way to one subscriber before it counts as behind; it then catches up from the log.
    pub subscriber_bytes_max: usize,
    /// Bytes of recent packs kept in memory for subscribers that are a little behind.
    pub tail_bytes_max: usize,
    /// Bytes of one read from the store.
    pub read_bytes_max: usize,
    /// Bytes of pushes accepted but not yet durable before further pushes are refused as unavailable.
    pub staged_bytes_max: usize,
    /// Most presences kept.
    pub presence_max: usize,
    /// After a failed commit or load, pushes and opens are answered "retry after this many milliseconds".
    pub retry_after_ms: u32,
}

impl Config {
    /// The bounds a server starts with.
    pub fn new(store_id: StoreId) -> Self {
        Self {
            store_id,
            wire: WireLimits::default(),
            pack: PackLimits::default(),
            subscriber_bytes_max: 256 << 10,
            tail_bytes_max: 256 << 10,
            read_bytes_max: 512 << 10,
            staged_bytes_max: 16 << 20,
            presence_max: 1_000,
            retry_after_ms: 1_000,
        }
    }
}

/// What a session asks of a room.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Subscribe.
    Join {
        /// What the client said.
        open: Open,
        /// What its scopes allow, at most what it asked for.
        access: Access,
    },
    /// Append changes.
    Push {
        /// The client's number for it.
        batch: BatchId,
        /// The pack.
        pack: Bytes,
    },
    /// What the client holds.
    Have(VectorClock),
    /// Presence or a message.
    Emit {
        /// The application's bytes.
        payload: Bytes,
        /// Lifetime of a presence in milliseconds; `None` for a message.
        ttl_ms: Option<u32>,
    },
    /// This many bytes from this room have been written to the client.
    Flushed(usize),
    /// Unsubscribe.
    Leave,
}

/// What a room has for a session.
#[derive(Clone, Debug, PartialEq)]
pub struct ToSession {
    /// One encoded server message. Shared between sessions where it is the same for all.
    pub message: Bytes,
    /// How the session goes on.
    pub then: Then,
}

/// How a session goes on after a room's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// As before.
    Continue,
    /// The room has ended this subscription: the handle is free.
    Ended,
    /// The client broke the protocol: close the connection.
    Close(CloseCode),
}

/// What happens to a room.
#[derive(Clone, Debug)]
pub enum Input {
    /// A session asks.
    Session(SessionId, Request),
    /// A storage task is done.
    StoreDone(TaskId, StoreDone),
}

/// What a room wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Hand this to the session.
    Deliver(SessionId, ToSession),
    /// Do this and answer with [`Input::StoreDone`].
    Store(TaskId, StoreTask),
}
