//! A client's store on disk whose size can be bounded while it is open, to see what a full disk does. The errors are SQLite's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sync_client::SqliteStore;
use sync_core::storage::{LocalStore, Row, StoreError, Table, Write};

/// The bound in bytes, shared by a test and its store. As long as it is below the store's size, the store can't grow.
#[derive(Clone, Debug)]
pub struct BytesMax(Arc<AtomicU64>);

impl BytesMax {
    /// Room enough.
    pub fn lifted() -> Self {
        Self(Arc::new(AtomicU64::new(1 << 40)))
    }

    /// Leaves no room from the next commit on, or room enough again.
    pub fn tighten(&self, tight: bool) {
        self.0.store(if tight { 1 } else { 1 << 40 }, Ordering::SeqCst);
    }
}

/// An SQLite store that keeps to a bound.
pub struct TightStore {
    /// The store itself.
    pub store: SqliteStore,
    /// Its bound.
    pub bytes_max: BytesMax,
}

impl LocalStore for TightStore {
    fn read(&mut self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        self.store.read(table, prefix)
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        self.store.set_bytes_max(self.bytes_max.0.load(Ordering::SeqCst))?;
        self.store.commit(writes)
    }
}
