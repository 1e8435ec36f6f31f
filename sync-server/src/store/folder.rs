//! A data folder: where its files are, and the lock that keeps a second server out.
//!
//! The lock is the operating system's on an open file, so it goes with the process, however that ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use sync_core::storage::StoreError;

use super::error::from_io;

/// The database within a data folder.
pub const DATABASE_FILE: &str = "store.sqlite";

/// Locked by the one process that may write.
pub const LOCK_FILE: &str = "lock";

/// A data folder that this process alone may write to, as long as this value lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder if need be and locks it, or says [`StoreError::Locked`].
    pub fn lock(path: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(from_io)?;
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(path.join(LOCK_FILE)).map_err(from_io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked),
            Err(TryLockError::Error(e)) => Err(from_io(e)),
        }
    }

    /// Where the database is.
    pub fn database(&self) -> PathBuf {
        self.path.join(DATABASE_FILE)
    }
}
