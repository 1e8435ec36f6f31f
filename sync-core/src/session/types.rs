//! What a session is told when it is made, what happens to it, and what it wants done.
//!
//! Owns the shapes alone.

use std::time::Duration;

use bytes::Bytes;

use super::pace::Rate;
use crate::id::{DocumentName, StoreId};
use crate::planted::Planting;
use crate::protocol::{CloseCode, WireLimits};
use crate::room;
use crate::scope::{NamePattern, Scope};
use crate::time::WallTime;

/// What a session is told when it is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the client must keep to.
    pub limits: WireLimits,
    /// A client that is silent for twice this time is closed with 4408.
    pub heartbeat: Duration,
    /// A connection without a `Hello` after this time is closed with 4408.
    pub hello_within: Duration,
    /// The server's store.
    pub store_id: StoreId,
    /// Bytes written of a room's messages before the room is told. At most a quarter of the room's `subscriber_bytes_max`.
    pub report_bytes: usize,
    /// How fast documents may be opened. Beyond, an `Open` is refused as unavailable, for a while.
    pub opens: Rate,
    /// How fast batches may be pushed, over all documents of a connection. Beyond, a `Push` is refused as unavailable, for a while.
    pub pushes: Rate,
    /// Documents that nobody may change here: what is pushed to them is refused, by the name of the pattern.
    pub read_only: Vec<NamePattern>,
    /// The bug planted in this run, if one is.
    pub planted: Planting,
}

impl Config {
    /// The bounds a server starts with.
    pub fn new(store_id: StoreId) -> Self {
        Self {
            limits: WireLimits::default(),
            heartbeat: Duration::from_secs(20),
            hello_within: Duration::from_secs(10),
            store_id,
            report_bytes: 64 << 10,
            opens: Rate { burst: 5_000, per_s: 200 },
            // All that may be unanswered at once: 64 batches of 1,000 documents.
            pushes: Rate { burst: 64_000, per_s: 20_000 },
            read_only: Vec::new(),
            planted: Planting::default(),
        }
    }
}

/// What a token allows.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// The grants.
    pub scopes: Vec<Scope>,
    /// When they end, if they do.
    pub expires_at: Option<WallTime>,
}

/// What happens to a session.
#[derive(Clone, Debug)]
pub enum Input {
    /// A binary WebSocket message.
    Frame(Bytes),
    /// The answer to [`Output::Authenticate`]; `None` refuses the connection with 4401.
    Authenticated(Option<Grant>, WallTime),
    /// A room has something for this session.
    Room(DocumentName, room::ToSession),
    /// The driver has written this many bytes of what the document's room sent.
    Written(DocumentName, usize),
    /// The server stops: say so, and close with 1012.
    Shutdown {
        /// In words.
        reason: String,
        /// Over which time clients should spread their return.
        reconnect_within: Duration,
    },
    /// The connection is gone.
    Disconnected,
}

/// What a session wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Write a binary WebSocket message. `from` names the document whose room's bytes it carries: report them with [`Input::Written`].
    Send {
        /// The message.
        bytes: Bytes,
        /// The document whose room this is from, and how many of the room's bytes.
        from: Option<(DocumentName, usize)>,
    },
    /// Check a token and answer with [`Input::Authenticated`].
    Authenticate(Option<String>),
    /// Hand this to the document's room, loading it if need be.
    Room(DocumentName, room::Request),
    /// Close the connection. Nothing follows but room requests that leave.
    Close(CloseCode, String),
}
