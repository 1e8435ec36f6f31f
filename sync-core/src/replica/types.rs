//! What a replica is told, says and shows.

use std::time::Duration;

use bytes::Bytes;

use crate::id::{AuthorName, ChangeHash, LogSeq, RESERVED_KEY, SessionId, TaskId};
use crate::limits::ChangeLimits;
use crate::planted::Planting;
use crate::protocol::RejectCode;
use crate::replica::tabs::TabId;
use crate::storage::{LocalDone, LocalTask, StoreError};
use crate::time::WallTime;

/// What a replica is told when it is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// The token, where the server wants one.
    pub token: Option<String>,
    /// Who edits here, as every change is to say. Where an actor has written for somebody else, or for nobody, another one goes on.
    pub author: Option<AuthorName>,
    /// Whether to connect as soon as it is started.
    pub online: bool,
    /// Which of several tabs on one store this is. It follows until it is told to lead. `None`: nobody else can be on the store.
    pub tab: Option<TabId>,
    /// Received changes are held and stored at once, but applied only with [`Replica::apply_waiting`](super::Replica::apply_waiting): applying many costs
    /// about as much as one, so a driver that knows what it costs asks for it in batches.
    pub holds: bool,
    /// First delay between attempts to connect; doubles with each failure, with full jitter.
    pub backoff_min: Duration,
    /// Longest delay between attempts.
    pub backoff_max: Duration,
    /// An attempt that takes longer than this is given up.
    pub connect_within: Duration,
    /// Most changes in one document's outbox; an edit beyond is refused.
    pub outbox_changes_max: usize,
    /// Bytes not yet in the local store, beyond which the connection is dropped until they are fewer: what can't be kept is not fetched.
    pub unsaved_bytes_max: usize,
    /// Most bytes of pushes on their way and unanswered, per document.
    pub in_flight_bytes_max: usize,
    /// Whether to take a document snapshot, with a view before it, in place of a long log.
    pub snapshots: bool,
    /// Bounds on single changes.
    pub change: ChangeLimits,
    /// The bug planted in this run, if one is.
    pub planted: Planting,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            token: None,
            author: None,
            online: true,
            tab: None,
            holds: false,
            backoff_min: Duration::from_millis(250),
            backoff_max: Duration::from_secs(30),
            connect_within: Duration::from_secs(10),
            outbox_changes_max: 100_000,
            unsaved_bytes_max: 64 << 20,
            in_flight_bytes_max: 1 << 20,
            snapshots: true,
            change: ChangeLimits::default(),
            planted: Planting::default(),
        }
    }
}

/// Names a document within one replica, from `Replica::open` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId(pub u32);

/// Names a local edit, in the order of the edits of one replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId(pub u64);

/// Why an edit was not made. Nothing of it is left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The document is not open, or not loaded yet.
    #[error("the document is not ready")]
    NotReady,
    /// The outbox holds [`Config::outbox_changes_max`] changes.
    #[error("the outbox is full")]
    OutboxFull,
    /// The application's closure failed.
    #[error("{0}")]
    Application(String),
    /// The change breaks a rule that every replica depends on.
    #[error("the change is refused: {0}")]
    Refused(String),
    /// It writes at the root key that is the engine's own.
    #[error("the root key {RESERVED_KEY} is the engine's own")]
    Reserved,
    /// It writes in an object that is deleted already, where nobody would see it.
    #[error("the change writes in an object that is deleted")]
    InDeleted,
    /// The copy in memory was damaged, and is loaded again from the local store.
    #[error("the document is being loaded again: {0}")]
    Damaged(String),
}

/// What happens to a replica.
#[derive(Clone, Debug)]
pub enum Input {
    /// The attempt asked for by [`Output::Connect`] succeeded, at this time by the device's clock.
    Connected(WallTime),
    /// A binary WebSocket message.
    Frame(Bytes),
    /// The attempt failed or the connection is gone.
    Disconnected,
    /// The network may be back: try at once.
    NetworkChanged,
    /// The driver holds the lock on the store: this tab leads. The epoch is higher than that of any leader before, and nothing of theirs is
    /// written to the store any more.
    Lead(u64),
    /// A commit failed since another tab leads. No answer to that commit follows.
    Deposed,
    /// Another tab on the store said this.
    Told(TabId, Bytes),
    /// A tab on the store has ended, with or without a word: its number is nobody's.
    Gone(TabId),
    /// The number that this tab had may be another tab's: it has this one from now on, and the driver speaks for it under this one.
    Seat(TabId),
    /// A storage task is done.
    StoreDone(TaskId, LocalDone),
}

/// What a replica wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Connect to the server and answer with [`Input::Connected`] or [`Input::Disconnected`].
    Connect,
    /// Write a binary WebSocket message.
    Send(Bytes),
    /// Drop the connection; no answer is expected, and what still arrives on it is not to be fed.
    Disconnect,
    /// Do this and answer with [`Input::StoreDone`]. Tasks are to be done in order.
    Store(TaskId, LocalTask),
    /// Say this to another tab on the store, or to all of them. It may be lost with a tab, and is in order otherwise.
    Tell(Option<TabId>, Bytes),
    /// The tab that leads says nothing any more: take its lock away from it, and answer with [`Input::Lead`] once nothing of it is written to
    /// the store any more.
    TakeOver,
    /// Tell the application.
    Event(Event),
}

/// What the application is told.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The document is loaded from the local store and can be read and edited.
    Ready(DocumentId),
    /// The document can't be opened from the local store.
    Failed(DocumentId, StoreError),
    /// The document's value may have changed, once per batch.
    Changed {
        /// Which document.
        document: DocumentId,
        /// Whether by this replica's own edit.
        local: bool,
    },
    /// All edits up to this one are committed to the local store.
    Saved(DocumentId, ChangeId),
    /// All edits up to this one are acknowledged by the server (or rejected, and visible in the outbox).
    Acknowledged(DocumentId, ChangeId),
    /// The server will not have a change; it stays in the outbox until the application acts on it.
    Rejected {
        /// Which document.
        document: DocumentId,
        /// The change.
        change: ChangeHash,
        /// Why.
        code: RejectCode,
        /// The same in words.
        reason: String,
    },
    /// The document's status may have changed.
    Status(DocumentId),
    /// The value of a document whose history is on its way, as it was at the server. It can't be edited; [`Event::Changed`] follows once it can.
    View {
        /// Which document.
        document: DocumentId,
        /// A [`View`](crate::view::View) that decodes.
        view: Bytes,
        /// The position in the log that it shows.
        seq: LogSeq,
    },
    /// How far the history of a document is on its way.
    Progress {
        /// Which document.
        document: DocumentId,
        /// Pieces that have come.
        done: u32,
        /// Pieces in all.
        total: u32,
    },
    /// Presence (an empty payload: gone, or out of sight as the connection ended) or a message of another session.
    Emitted {
        /// Which document.
        document: DocumentId,
        /// From whom.
        from: SessionId,
        /// The application's bytes.
        payload: Bytes,
        /// Whether this is a presence, which replaces the session's last one.
        presence: bool,
    },
    /// The local store failed. What was not saved is kept in memory and written again.
    StorageFailed(StoreError),
}

/// Where a document stands, in the words shown to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything is saved here and on the server.
    Synced,
    /// Connected, and something is on its way.
    Syncing,
    /// Not connected.
    Offline,
    /// The outbox holds changes that the server will not have.
    Rejected,
    /// The local store is full or fails; what is newer is in memory only.
    StorageFull,
}

/// A document's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Where it stands.
    pub state: State,
    /// Changes not yet acknowledged, rejected ones are not counted.
    pub pending: usize,
    /// Changes that the server will not have.
    pub rejected: usize,
    /// Changes not yet committed to the local store.
    pub unsaved: usize,
    /// When it was last in sync, on the driver's clock.
    pub synced_at: Option<crate::time::Instant>,
}

/// One change in the outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxEntry {
    /// The change.
    pub change: ChangeHash,
    /// Who wrote it.
    pub actor: crate::id::ActorId,
    /// Its seq.
    pub seq: u32,
    /// Its operations.
    pub operations: usize,
    /// When it was made, by the author's clock as the server's has corrected it, in milliseconds since 1970.
    pub time: i64,
    /// Where it stands.
    pub state: OutboxState,
}

/// Where a change in the outbox stands.
#[derive(Clone, Debug, PartialEq)]
pub enum OutboxState {
    /// Not yet committed to the local store.
    Unsaved,
    /// Saved here, not sent.
    Saved,
    /// Sent, not answered.
    Sent,
    /// Refused by the server.
    Rejected {
        /// Why.
        code: RejectCode,
        /// The same in words.
        reason: String,
    },
}
