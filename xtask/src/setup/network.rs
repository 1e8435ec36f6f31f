//! What tests of networks and clocks need: hosts of their own with a packet filter each, and clocks that can be wrong.
//!
//! Only root can make hosts. Who is not root loses nothing by their absence: those tests then say that they ran on the proxy alone.

use super::apt;
use crate::run::{self, Failure};

/// Sees that `ip`, `nft` and `faketime` are there, where they are of use.
pub(crate) fn ready() -> Result<(), Failure> {
    if !cfg!(target_os = "linux") || run::output("id", &["-u"]).as_deref() != Some("0") {
        println!(
            "  network hosts: none, since this is not root on Linux; faults of the network are tested on the proxy alone"
        );
        return Ok(());
    }
    for (what, program, version, package) in [
        ("network hosts", "ip", "-V", "iproute2"),
        ("packet filter", "nft", "--version", "nftables"),
        ("false clock", "faketime", "--version", "faketime"),
    ] {
        if !run::answers(program, &[version]) {
            apt::install(what, &[package])?;
        }
        println!("  {what}: {program}");
    }
    Ok(())
}
