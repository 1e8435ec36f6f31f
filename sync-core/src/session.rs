//! The server's side of one connection: handshake, access, limits, liveness, and the way from frames to rooms and back.
//!
//! Owns nothing of a document; what a session says about one goes to its [`crate::room`]. Never waits: a driver feeds inputs and
//! **drains `poll_output` after every call that takes `now`**.

use std::time::Duration;

use bytes::Bytes;

use crate::id::{DocumentName, StoreId};
use crate::protocol::{CloseCode, RejectCode, WireLimits};
use crate::room;
use crate::scope::Scope;
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

/// A refusal as a session sends it.
pub(crate) fn refusal(code: RejectCode) -> String {
    format!("{code:?}").to_lowercase()
}
