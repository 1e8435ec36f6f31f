//! Whether the server can do its work, and if not why.

use std::sync::{Mutex, PoisonError};

use sync_core::storage::StoreError;

/// What keeps the server from its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It stops.
    Stopping,
    /// The last push or deletion could not be written.
    Store(StoreError),
}

/// The state that `/readyz` tells.
#[derive(Debug, Default)]
pub(crate) struct Health {
    trouble: Mutex<Option<Trouble>>,
}

impl Health {
    /// What is wrong, if anything.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the last write failed.
    pub(crate) fn store_failed(&self) -> bool {
        matches!(self.trouble(), Some(Trouble::Store(_)))
    }

    /// Notes how the last write went. Logs the change, not each failure.
    pub(crate) fn wrote(&self, result: Result<(), &StoreError>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*trouble, result) {
            (Some(Trouble::Stopping), _) | (None, Ok(())) => {}
            (Some(Trouble::Store(_)), Ok(())) => {
                tracing::info!("the store takes writes again");
                *trouble = None;
            }
            (Some(Trouble::Store(known)), Err(e)) if known == e => {}
            (_, Err(e)) => {
                tracing::warn!(error = %e, "the store takes no writes; pushes are refused, reads go on");
                *trouble = Some(Trouble::Store(e.clone()));
            }
        }
    }

    /// Notes that the server stops.
    pub(crate) fn stopping(&self) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(Trouble::Stopping);
    }
}
