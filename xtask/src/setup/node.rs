//! Node, for documents that @automerge/automerge makes and for the browser client: npm brings the packages that a folder's lock file names.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::apt;
use crate::run::{self, Failure};

const RECENT_ENOUGH: &str = "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)";
const NPM_LIMIT: Duration = Duration::from_secs(300);
/// Where a copy of the lock file says what is installed.
const INSTALLED: &str = "node_modules/.installed-lock.json";

/// Sees that Node 20 or later is there, and in each of the folders the packages of its lock file.
pub(crate) fn ready(folders: &[&str]) -> Result<(), Failure> {
    let answers = || run::answers("node", &["-e", RECENT_ENOUGH]) && run::answers("npm", &["--version"]);
    if !answers() {
        apt::install("Node", &["nodejs", "npm"])?;
    }
    match run::output("node", &["--version"]).filter(|_| answers()) {
        Some(version) => println!("  Node: {version}"),
        None => return Err(Failure::new("Node 20 or later is needed as node, and npm beside it")),
    }
    folders.iter().try_for_each(|folder| packages(folder))
}

/// Installs exactly what a folder's lock file names, unless that is there already.
fn packages(folder: &str) -> Result<(), Failure> {
    let folder = run::root().join(folder);
    let read = |path: &Path| fs::read(path).map_err(|error| Failure::new(format!("{}: {error}", path.display())));
    let lock = read(&folder.join("package-lock.json"))?;
    let installed = folder.join(INSTALLED);
    if read(&installed).is_ok_and(|there| there == lock) {
        return Ok(());
    }
    println!("  npm packages of {}", folder.display());
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder);
    run::quietly("npm ci", &mut npm, NPM_LIMIT)?;
    fs::write(&installed, lock).map_err(|error| Failure::new(format!("{}: {error}", installed.display())))
}
