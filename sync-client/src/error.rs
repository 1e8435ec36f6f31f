//! What can go wrong for a program that uses the client, one enum per operation.

use sync_core::id::NameError;
use sync_core::replica::{EditError, ResolveError};
use sync_core::settlement::AnswerError;
use sync_core::storage::StoreError;

/// The client was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client is closed")]
pub struct Closed;

/// The document is being loaded again from the local store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the document is being loaded again")]
pub struct NotReady;

/// Why a client could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The address is no `ws://` or `wss://` URL.
    #[error("{url} is no server address: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The local store can't be opened: another process holds it, a newer version wrote it, or the disk fails.
    #[error("the local store can't be opened: {0}")]
    Store(#[from] StoreError),
    /// No certificate can be trusted, so that no `wss` server could be.
    #[error("no TLS: {0}")]
    Tls(String),
    /// The operating system gives no thread or no randomness.
    #[error("the system refused: {0}")]
    System(String),
}

/// Why a document could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The name is no document name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The local store does not give the document back.
    #[error("the document can't be read from the local store: {0}")]
    Store(StoreError),
    /// The client was closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// Why an edit was not made. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The replica refuses it, or the closure itself failed.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The client was closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// Why a conflict was not answered, or its answer not taken back. Nothing is written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerFailure {
    /// The conflict is gone, has other sides than were looked at, or can't be answered so.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// The answer can't be written.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The client was closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl From<ResolveError> for AnswerFailure {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Answer(error) => Self::Answer(error),
            ResolveError::Edit(error) => Self::Edit(error),
        }
    }
}

/// Why a client could not be closed. It stays open and goes on trying to save.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// The local store fails, and these changes are in memory only.
    #[error("{unsaved} changes are not saved on this device: {error}")]
    Unsaved {
        /// How many changes.
        unsaved: usize,
        /// What the store said.
        error: StoreError,
    },
}
