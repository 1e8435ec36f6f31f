//! SQLite's and the file system's errors in the engine's words.

use rusqlite::ErrorCode;
use sync_core::storage::StoreError;

/// What a failed SQLite call means: retry, repair, or stop.
pub(super) fn from_sqlite(error: rusqlite::Error) -> StoreError {
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreError::ReadOnly,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(text),
        // A value of another type than ours, or a missing table: somebody else wrote here.
        None | Some(ErrorCode::Unknown) => StoreError::Corrupt(text),
        Some(_) => StoreError::Io(text),
    }
}

/// What a failed call to the file system means.
pub fn from_io(error: std::io::Error) -> StoreError {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full,
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => StoreError::ReadOnly,
        _ => StoreError::Io(error.to_string()),
    }
}
