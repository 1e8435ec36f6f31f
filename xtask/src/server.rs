//! The server that users run, built for the demo and for the tests that start it as a process.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::run::{self, Failure};

/// The variable by which demo and tests find it.
pub(crate) const VARIABLE: &str = "REJOIN_SERVER";

/// Cargo unites the features of what it builds at once. The server alone would have most dependencies compiled with other features than
/// the tests that follow, so all of them twice; all but the tests, which plant bugs, share almost everything.
const SAME_FEATURES: [&str; 4] = ["sync-server", "sync-client", "sync-wasm", "xtask"];

/// Builds the server and puts it aside, since building the tests replaces it by one that has planted bugs compiled in.
pub(crate) fn build() -> Result<PathBuf, Failure> {
    let packages = SAME_FEATURES.iter().flat_map(|package| ["--package", package]);
    run::shown(run::cargo().arg("build").args(packages))?;
    let folder = run::target_dir().join("product");
    let (built, aside) = (run::target_dir().join("debug/sync-server"), folder.join("sync-server"));
    let put_aside = || -> io::Result<()> {
        fs::create_dir_all(&folder)?;
        // A file that runs can't be overwritten, but it can be replaced.
        let new = aside.with_extension("new");
        fs::copy(&built, &new)?;
        fs::rename(&new, &aside)
    };
    put_aside().map_err(|error| Failure::new(format!("{} can't be put aside: {error}", built.display())))?;
    Ok(aside)
}
