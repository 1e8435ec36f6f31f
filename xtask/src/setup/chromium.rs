//! Chromium, which the browser client is tested in.

use super::apt;
use crate::run::{self, Failure};

/// The variable by which tests find the browser, and by which a developer names another one.
pub(crate) const VARIABLE: &str = "REJOIN_CHROMIUM";
/// Where Debian puts it.
const DEBIAN: &str = "/usr/bin/chromium";

/// Sees that it is there.
pub(crate) fn ready() -> Result<(), Failure> {
    if !run::answers(&path(), &["--version"]) {
        apt::install("Chromium", &["chromium"])?;
    }
    match run::output(&path(), &["--version"]) {
        Some(version) => println!("  {version}"),
        None => return Err(Failure::new(format!("{} does not start", path()))),
    }
    Ok(())
}

/// The browser that tests drive.
pub(crate) fn path() -> String {
    std::env::var(VARIABLE).unwrap_or_else(|_| DEBIAN.into())
}
