//! Bounds on a change chunk's raw bytes, checked before automerge expands its run-length columns.

use crate::limits::ChangeLimits;

/// Why a chunk was refused before it was parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// The chunk is longer than allowed.
    #[error("{bytes} bytes, at most {max} allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
}

/// Refuses a chunk that could not be parsed in bounded time and memory.
pub(crate) fn scan(bytes: &[u8], limits: &ChangeLimits) -> Result<(), ScanError> {
    if bytes.len() > limits.change_bytes_max {
        return Err(ScanError::TooLong { bytes: bytes.len(), max: limits.change_bytes_max });
    }
    Ok(())
}
