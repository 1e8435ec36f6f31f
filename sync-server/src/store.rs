//! The server's stores.
//!
//! Owns the traits' implementations and a data folder's layout. What is in a pack is none of its business.

mod compact;
mod error;
mod folder;
mod piece;
mod reader;
mod row;
mod schema;
mod sqlite;

#[cfg(test)]
mod tests;

pub use error::from_io;
pub use folder::{DATABASE_FILE, Folder, LOCK_FILE};
pub use reader::{SqliteReader, Totals};
pub use row::ROW_FORMAT;
pub use sqlite::{Options, SqliteStore};

use std::ops::{Deref, DerefMut};

use sync_core::id::{DocumentName, LogSeq, StoreId};
use sync_core::storage::{DocumentRecord, Loaded, Pieces, StoreError};

/// A way to read a store that does not wait for its writer. Calls block; each holder has its own.
pub trait ReadStore: Send {
    /// The store's identity.
    fn store_id(&self) -> StoreId;

    /// Has all reads be of one state of the store from the next one on, until [`ReadStore::release`]. False if they are already. For [`Held`].
    fn hold(&mut self) -> Result<bool, StoreError>;

    /// Ends what [`ReadStore::hold`] began.
    fn release(&mut self);

    /// As [`sync_core::storage::Store::load`].
    fn load(&mut self, document: &DocumentName, after: LogSeq, bytes_max: usize) -> Result<Loaded, StoreError>;

    /// As [`sync_core::storage::Store::open`].
    fn open(&mut self, document: &DocumentName, bytes_max: usize) -> Result<Loaded, StoreError>;

    /// As [`sync_core::storage::Store::pieces`].
    fn pieces(&mut self, document: &DocumentName, from: u32, bytes_max: usize) -> Result<Pieces, StoreError>;

    /// As [`sync_core::storage::Store::documents`].
    fn documents(
        &mut self,
        after: Option<&DocumentName>,
        count_max: usize,
    ) -> Result<Vec<(DocumentName, DocumentRecord)>, StoreError>;
}

/// A store whose reads are all of one state, whatever is written meanwhile. As long as it lives the write-ahead log grows, so it is for one document.
pub struct Held<'a, R: ReadStore + ?Sized> {
    store: &'a mut R,
    /// False within another one, which goes on.
    begins: bool,
}

impl<'a, R: ReadStore + ?Sized> Held<'a, R> {
    /// Holds a store from the next read on.
    pub fn new(store: &'a mut R) -> Result<Self, StoreError> {
        let begins = store.hold()?;
        Ok(Self { store, begins })
    }
}

impl<R: ReadStore + ?Sized> Deref for Held<'_, R> {
    type Target = R;

    fn deref(&self) -> &R {
        self.store
    }
}

impl<R: ReadStore + ?Sized> DerefMut for Held<'_, R> {
    fn deref_mut(&mut self) -> &mut R {
        self.store
    }
}

impl<R: ReadStore + ?Sized> Drop for Held<'_, R> {
    fn drop(&mut self) {
        if self.begins {
            self.store.release();
        }
    }
}
