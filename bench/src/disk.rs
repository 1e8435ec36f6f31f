//! How long this machine's disk takes to make a write durable, measured beside what depends on it.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use crate::figures::{Error, percentile};

/// Bytes written before each sync: a page of the write-ahead log.
const WRITE_BYTES: usize = 4_096;

/// Milliseconds of fdatasync after appending a page: p50 and p99 of `count`.
pub(crate) fn fdatasync_ms(folder: &Path, count: usize) -> Result<(f64, f64), Error> {
    let path = folder.join("fdatasync");
    let mut file = File::create(&path)?;
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        file.write_all(&[7; WRITE_BYTES])?;
        let start = Instant::now();
        file.sync_data()?;
        took.push(start.elapsed().as_secs_f64() * 1e3);
    }
    std::fs::remove_file(&path)?;
    Ok((percentile(&mut took, 0.5), percentile(&mut took, 0.99)))
}
