//! A data folder: where its files are, and the lock that keeps a second server out.
//!
//! The lock is the operating system's on an open file, so it goes with the process, however that ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use sync_core::storage::StoreError;
use wal_audit::Commits;

use super::error::from_io;

/// The database within a data folder.
pub const DATABASE_FILE: &str = "store.sqlite";

/// Locked by the one process that may write.
pub const LOCK_FILE: &str = "lock";

/// Lies beside a database whose write-ahead log may hold commits that were not synced: a power cut may have torn them in any order.
const UNSYNCED_FILE: &str = "unsynced";

/// What was promised of the commits in a folder's write-ahead log.
pub(super) fn commits(path: &Path) -> Result<Commits, StoreError> {
    match path.join(UNSYNCED_FILE).try_exists().map_err(from_io)? {
        true => Ok(Commits::Unsynced),
        false => Ok(Commits::Synced),
    }
}

/// A data folder that this process alone may write to, as long as this value lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: File,
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Closing the file alone would leave the lock to any process that is just being started, which has the file open as well until it
        // runs its program. It comes to the same, if later.
        let _ = self.lock.unlock();
    }
}

impl Folder {
    /// Makes the folder if need be and locks it, or says [`StoreError::Locked`].
    pub fn lock(path: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(from_io)?;
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(path.join(LOCK_FILE)).map_err(from_io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked),
            Err(TryLockError::Error(e)) => Err(from_io(e)),
        }
    }

    /// What was promised of the commits in the write-ahead log.
    pub(super) fn commits(&self) -> Result<Commits, StoreError> {
        commits(&self.path)
    }

    /// Notes what is promised of commits from here on. Before [`Commits::Synced`] the log must have been moved into the database.
    pub(super) fn set_commits(&self, commits: Commits) -> Result<(), StoreError> {
        let note = self.path.join(UNSYNCED_FILE);
        match commits {
            Commits::Unsynced => drop(File::create(note).map_err(from_io)?),
            Commits::Synced => fs::remove_file(note).map_err(from_io)?,
        }
        #[cfg(unix)]
        File::open(&self.path).and_then(|folder| folder.sync_all()).map_err(from_io)?;
        Ok(())
    }

    /// Where the database is.
    pub fn database(&self) -> PathBuf {
        self.path.join(DATABASE_FILE)
    }
}
