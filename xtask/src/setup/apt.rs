//! Debian's and Ubuntu's packages, where we may install them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::run::{self, Failure};

const LIMIT: Duration = Duration::from_secs(900);

/// Installs packages, or says which command the user must run.
pub(crate) fn install(what: &str, packages: &[&str]) -> Result<(), Failure> {
    let by_hand = format!("apt-get update && apt-get install -y --no-install-recommends {}", packages.join(" "));
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(Failure::new(format!("{what} is missing. Install what Debian calls: {}", packages.join(" "))));
    }
    if run::output("id", &["-u"]).as_deref() != Some("0") {
        return Err(Failure::new(format!("{what} is missing. Run as root, then try again:\n    {by_hand}")));
    }
    println!("  {what}: installing {}", packages.join(" "));
    apt_get(what, &["update", "-q"])
        .and_then(|()| apt_get(what, &[&["install", "-y", "--no-install-recommends"], packages].concat()))
        .map_err(|failure| Failure::new(format!("{failure}\n{what} could not be installed by:\n    {by_hand}")))
}

fn apt_get(what: &str, args: &[&str]) -> Result<(), Failure> {
    let what = format!("apt-get {} for {what}", args[0]);
    run::quietly(&what, Command::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive"), LIMIT)
}
