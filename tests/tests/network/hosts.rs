//! Hosts of their own on one machine: network namespaces on a wire of virtual Ethernet, with a packet filter each.
//!
//! Needs root on Linux, `ip` and `nft`. [`Hosts::make`] gives none where there is no root, and says so; where there is root a missing tool is a failure.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Three hosts on one wire: a server and two clients. Taken down when dropped.
pub(crate) struct Hosts {
    names: [String; 3],
    wire: String,
}

/// Which host.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Host {
    Server = 0,
    Ann = 1,
    Bob = 2,
}

const ALL: [Host; 3] = [Host::Server, Host::Ann, Host::Bob];

impl Hosts {
    /// The hosts, if this machine lets us make some.
    pub(crate) fn make(test: &str) -> Option<Self> {
        if !cfg!(target_os = "linux") || !is_root() {
            println!(
                "{test}: not root on Linux, so there are no hosts of their own; the same is shown on the proxy only"
            );
            return None;
        }
        let unique = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let hosts = Self {
            names: ["s", "a", "b"].map(|host| format!("rejoin-{unique}-{host}")),
            wire: format!("rejoin-{unique}-w"),
        };
        // The wire is a bridge in a namespace too, so that nothing of ours is on the machine's own network.
        run("ip", &["netns", "add", &hosts.wire]);
        run("ip", &["-n", &hosts.wire, "link", "add", "wire", "type", "bridge"]);
        run("ip", &["-n", &hosts.wire, "link", "set", "wire", "up"]);
        for host in ALL {
            let (name, port) = (hosts.name(host), format!("port{}", host as u8));
            run("ip", &["netns", "add", name]);
            run(
                "ip",
                &["link", "add", "eth", "netns", name, "type", "veth", "peer", "name", &port, "netns", &hosts.wire],
            );
            run("ip", &["-n", &hosts.wire, "link", "set", &port, "master", "wire", "up"]);
            run("ip", &["-n", name, "link", "set", "lo", "up"]);
            run("ip", &["-n", name, "link", "set", "eth", "up"]);
            hosts.give_address(host);
            hosts.nft(host, "add table inet fault");
            hosts.nft(host, "add chain inet fault in { type filter hook input priority 0; }");
        }
        Some(hosts)
    }

    fn name(&self, host: Host) -> &str {
        &self.names[host as usize]
    }

    /// The words that run a program on a host.
    pub(crate) fn within(&self, host: Host) -> [&str; 4] {
        ["ip", "netns", "exec", self.name(host)]
    }

    /// A host's address.
    pub(crate) fn address(host: Host) -> IpAddr {
        Ipv4Addr::new(10, 77, 0, 1 + host as u8).into()
    }

    /// Gives a host its address.
    pub(crate) fn give_address(&self, host: Host) {
        let address = format!("{}/24", Self::address(host));
        run("ip", &["-n", self.name(host), "address", "add", &address, "dev", "eth"]);
    }

    /// Takes a host's address away.
    pub(crate) fn take_address(&self, host: Host) {
        run("ip", &["-n", self.name(host), "address", "flush", "dev", "eth"]);
    }

    /// Pulls a host's plug, or puts it in again.
    pub(crate) fn plug(&self, host: Host, up: bool) {
        run("ip", &["-n", &self.wire, "link", "set", &format!("port{}", host as u8), if up { "up" } else { "down" }]);
    }

    /// Adds a rule to what comes in to a host from another, such as `drop`.
    pub(crate) fn filter(&self, host: Host, from: Host, rule: &str) {
        self.nft(host, &format!("add rule inet fault in ip saddr {} {rule}", Self::address(from)));
    }

    /// Lets everything in again.
    pub(crate) fn heal(&self, host: Host) {
        self.nft(host, "flush chain inet fault in");
    }

    /// Bytes that a host has received and sent.
    pub(crate) fn bytes(&self, host: Host) -> (u64, u64) {
        let read = |what: &str| {
            let file = format!("/sys/class/net/eth/statistics/{what}_bytes");
            let text = output("ip", &["netns", "exec", self.name(host), "cat", &file]);
            text.trim().parse().unwrap_or_else(|_| panic!("{file}: {text:?}"))
        };
        (read("rx"), read("tx"))
    }

    fn nft(&self, host: Host, rule: &str) {
        run("ip", &["netns", "exec", self.name(host), "nft", rule]);
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in self.names.iter().chain([&self.wire]) {
            // What is left over disturbs nobody: every run has names of its own.
            let _ = Command::new("ip").args(["netns", "delete", name]).status();
        }
    }
}

/// Whether we may make hosts and give programs a false clock.
pub(crate) fn is_root() -> bool {
    output("id", &["-u"]).trim() == "0" && Path::new("/proc/self/ns/net").exists()
}

fn run(program: &str, args: &[&str]) {
    output(program, args);
}

fn output(program: &str, args: &[&str]) -> String {
    let done = Command::new(program).args(args).output();
    let done = done.unwrap_or_else(|e| panic!("{program} can't be run ({e}): cargo xtask setup installs it"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {}: {said}", args.join(" "));
    String::from_utf8_lossy(&done.stdout).into_owned()
}
