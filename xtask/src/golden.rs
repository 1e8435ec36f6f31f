//! `cargo xtask golden`: a recording of today's formats, to be kept for ever.

use crate::run::{self, Failure};

/// Records what has no recording yet.
pub(crate) fn record() -> Result<(), Failure> {
    run::shown(run::cargo().args(["run", "--package", "rejoin-tests", "--bin", "record"]))
}
