//! Partitions between hosts: packets that vanish one way or both, are refused or thinned out, addresses and plugs that go.

use rejoin_tests::serving::Serving;
use tempfile::TempDir;

use crate::REST;
use crate::hosts::{Host, Hosts};
use crate::story::Story;

/// Most bytes that a host at rest receives or sends in [`REST`]: its heartbeats with what TCP and Ethernet put around them, and who-has questions.
const REST_BYTES_MAX: u64 = 4_000;

/// Three hosts with a server and two editors, who agree.
struct Net {
    story: Story,
    server: Serving,
    _data: TempDir,
    // Last, so that the processes go before their hosts.
    hosts: Hosts,
}

impl Net {
    fn begin(test: &str) -> Option<Self> {
        let hosts = Hosts::make(test)?;
        let data = tempfile::tempdir().expect("a folder");
        let listen = (Hosts::address(Host::Server), 8787).into();
        let mut server = Serving::new(&hosts.within(Host::Server), listen, data.path(), &["--allow-anonymous"]);
        server.start();
        let url = server.url();
        let story = Story::begin([&url, &url], [&hosts.within(Host::Ann), &hosts.within(Host::Bob)]);
        Some(Self { story, server, _data: data, hosts })
    }

    /// Ann has noticed that the server is gone.
    fn ann_is_cut_off(&self, before: usize) {
        self.story.ann.wait("giving up", |ledger| ledger.disconnects() > before);
    }

    /// Something breaks for ann, both go on editing, she notices, it heals, and nothing is lost or sent again and again.
    fn through(&mut self, breaks: impl Fn(&Hosts), heals: impl Fn(&Hosts)) {
        let before = self.story.ann.ledger().disconnects();
        breaks(&self.hosts);
        self.story.both_edit();
        self.ann_is_cut_off(before);
        self.story.bob.all_acknowledged();
        self.story.both_edit();
        heals(&self.hosts);
        self.story.agree();
        self.rests();
    }

    fn rests(&self) {
        let before = self.hosts.bytes(Host::Ann);
        std::thread::sleep(REST);
        let after = self.hosts.bytes(Host::Ann);
        let (received, sent) = (after.0 - before.0, after.1 - before.1);
        assert!(received < REST_BYTES_MAX && sent < REST_BYTES_MAX, "at rest ann got {received} and sent {sent} bytes");
        assert!(received > 0 && sent > 0, "heartbeats are counted");
    }
}

#[test]
fn a_host_that_hears_nobody_and_that_nobody_hears_comes_back_with_its_edits() {
    let Some(mut net) = Net::begin("a dead host") else { return };
    net.through(
        |hosts| {
            hosts.filter(Host::Server, Host::Ann, "drop");
            hosts.filter(Host::Ann, Host::Server, "drop");
        },
        |hosts| {
            hosts.heal(Host::Server);
            hosts.heal(Host::Ann);
        },
    );
}

#[test]
fn a_client_that_is_not_heard_but_hears_comes_back_with_its_edits() {
    let Some(mut net) = Net::begin("one way, down only") else { return };
    net.through(|hosts| hosts.filter(Host::Server, Host::Ann, "drop"), |hosts| hosts.heal(Host::Server));
}

#[test]
fn a_client_that_is_heard_but_hears_nothing_comes_back_with_its_edits() {
    let Some(mut net) = Net::begin("one way, up only") else { return };
    net.through(|hosts| hosts.filter(Host::Ann, Host::Server, "drop"), |hosts| hosts.heal(Host::Ann));
}

#[test]
fn a_network_that_refuses_instead_of_dropping_is_survived() {
    let Some(mut net) = Net::begin("resets") else { return };
    net.through(
        |hosts| hosts.filter(Host::Server, Host::Ann, "meta l4proto tcp reject with tcp reset"),
        |hosts| hosts.heal(Host::Server),
    );
}

#[test]
fn a_plug_that_is_pulled_and_put_in_again_is_survived() {
    let Some(mut net) = Net::begin("the plug") else { return };
    net.through(|hosts| hosts.plug(Host::Ann, false), |hosts| hosts.plug(Host::Ann, true));
}

#[test]
fn an_address_that_goes_and_comes_again_is_survived() {
    let Some(mut net) = Net::begin("the address") else { return };
    net.through(|hosts| hosts.take_address(Host::Ann), |hosts| hosts.give_address(Host::Ann));
}

#[test]
fn a_line_that_loses_every_fifth_packet_gets_everything_through() {
    let Some(mut net) = Net::begin("loss") else { return };
    for (here, there) in [(Host::Server, Host::Ann), (Host::Ann, Host::Server)] {
        net.hosts.filter(here, there, "numgen random mod 5 < 1 drop");
    }
    for _ in 0..5 {
        net.story.both_edit();
    }
    net.story.agree();
    net.hosts.heal(Host::Server);
    net.hosts.heal(Host::Ann);
    net.story.agree();
    net.rests();
}

#[test]
fn a_server_that_dies_behind_a_partition_and_comes_back_after_it_has_everything() {
    let Some(mut net) = Net::begin("a partition and a kill") else { return };
    net.hosts.filter(Host::Server, Host::Ann, "drop");
    net.story.both_edit();
    net.story.bob.all_acknowledged();
    net.server.kill();
    net.story.both_edit();
    net.hosts.heal(Host::Server);
    net.server.start();
    net.story.agree();
    net.rests();
}
