//! What a program is told while it runs, and the subscriptions that tell it.
//!
//! A subscription never slows the client down: each holds at most 256 events, and one whose reader is further behind gets a single
//! `Lagged` in place of those it missed. Events say that something may be different; the document and the status say what is.

use bytes::Bytes;
use sync_core::id::{ChangeHash, SessionId};
use sync_core::protocol::RejectCode;
use sync_core::replica::ChangeId;
use sync_core::storage::StoreError;
use sync_core::view::View;
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// What happened to a document.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum DocumentEvent {
    /// Its value may have changed; once per batch of changes.
    Changed {
        /// Whether by this client's own edit.
        local: bool,
    },
    /// All edits up to this one are on this device's disk.
    Saved(ChangeId),
    /// All edits up to this one are answered by the server: durable there, or rejected and visible in the outbox.
    Acknowledged(ChangeId),
    /// The server will not have a change. It stays in the outbox until it is retried or discarded.
    Rejected {
        /// The change.
        change: ChangeHash,
        /// Why.
        code: RejectCode,
        /// The same in words.
        reason: String,
    },
    /// Its value as it was at the server, while its history is on its way. `Changed` follows once the document itself has it.
    View(View),
    /// How much of its history has come.
    Progress {
        /// Pieces that have come.
        done: u32,
        /// Pieces in all.
        total: u32,
    },
    /// Its status may have changed.
    Status,
    /// Presence or a message of another session on the document.
    Emitted {
        /// From whom.
        from: SessionId,
        /// The application's bytes; an empty presence says goodbye.
        payload: Bytes,
        /// Whether this is a presence, which replaces the session's last one.
        presence: bool,
    },
    /// The reader was too slow and missed events: read the document and its status again.
    Lagged,
}

/// What happened to the client as a whole.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// A connection to the server stands.
    Connected,
    /// A connection ended or could not be made. The client tries again by itself unless it is offline by wish.
    Disconnected {
        /// Whether it had stood before.
        connected: bool,
        /// Why, in words.
        reason: String,
    },
    /// The local store failed. What was not saved is kept in memory and written again.
    StorageFailed(StoreError),
    /// The reader was too slow and missed events.
    Lagged,
}

/// Defines a subscription over one kind of event.
macro_rules! subscription {
    ($(#[$doc:meta])* $name:ident, $event:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(pub(crate) Receiver<$event>);

        impl $name {
            /// The next event, in order; `None` once the client is closed.
            pub async fn next(&mut self) -> Option<$event> {
                match self.0.recv().await {
                    Ok(event) => Some(event),
                    Err(RecvError::Lagged(_)) => Some($event::Lagged),
                    Err(RecvError::Closed) => None,
                }
            }
        }
    };
}

subscription!(
    /// Events of one document from the moment of subscribing. Dropping it unsubscribes.
    Subscription, DocumentEvent
);
subscription!(
    /// Events of the client from the moment of subscribing. Dropping it unsubscribes.
    ClientSubscription, ClientEvent
);
