//! Python, for the interoperability test: a client in another language, written from the protocol's page alone.

use super::apt;
use crate::run::{self, Failure};

const RECENT_ENOUGH: &str = "import sys; sys.exit(sys.version_info < (3, 9))";

/// Sees that a Python 3.9 or later is there. Nothing beyond its standard library is used.
pub(crate) fn ready() -> Result<(), Failure> {
    if !run::answers("python3", &["-c", RECENT_ENOUGH]) {
        apt::install("Python", &["python3"])?;
    }
    match run::output("python3", &["-c", RECENT_ENOUGH]).and_then(|_| run::output("python3", &["--version"])) {
        Some(version) => println!("  {version}"),
        None => return Err(Failure::new("Python 3.9 or later is needed as python3")),
    }
    Ok(())
}
