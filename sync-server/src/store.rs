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

use sync_core::id::{DocumentName, LogSeq, StoreId};
use sync_core::storage::{DocumentRecord, Loaded, Pieces, StoreError};

/// A way to read a store that does not wait for its writer. Calls block; each holder has its own.
pub trait ReadStore: Send {
    /// The store's identity.
    fn store_id(&self) -> StoreId;

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
