//! Devices whose clocks are wrong: what they write has the time by the server's clock, once they know it.

use std::time::Duration;

use automerge::{ROOT, transaction::Transactable};
use sync_core::id::{DocumentName, SessionId, StoreId};
use sync_core::protocol::{ServerMessage, VERSION, Welcome, WireLimits};
use sync_core::replica::{Config, DocumentId, Input, Output, Replica, SKEW_SLACK_MS};
use sync_core::resolver::{BuiltIn, Policies, Policy, Stands};
use sync_core::storage::memory::MemoryLocalStore;
use sync_core::time::{Instant, WallTime};

use crate::net::Net;
use crate::tabs::tabs;

const HOUR_MS: i64 = 3_600_000;
const SECOND: Duration = Duration::from_secs(1);
/// A day in 2026.
const TODAY_MS: i64 = 1_795_500_000_000;

/// One replica, with the clocks of its device, and a server that says nothing but welcome.
struct Device {
    replica: Replica,
    store: MemoryLocalStore,
    document: DocumentId,
    now: Instant,
    wall_ms: i64,
    edits: i64,
}

impl Device {
    fn new(wall_ms: i64) -> Self {
        let mut replica = Replica::new(Config::default(), [7; 32]);
        let document = replica.open(Instant(1), DocumentName::parse("doc").expect("a name"));
        let mut device = Self { replica, store: MemoryLocalStore::new(), document, now: Instant(1), wall_ms, edits: 0 };
        device.drain();
        device
    }

    fn drain(&mut self) {
        while let Some(output) = self.replica.poll_output() {
            if let Output::Store(task, work) = output {
                let done = work.run(&mut self.store);
                self.replica.handle_input(self.now, Input::StoreDone(task, done));
            }
        }
    }

    fn feed(&mut self, input: Input) {
        self.replica.handle_input(self.now, input);
        self.drain();
    }

    /// Both its clocks go on.
    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.wall_ms += i64::try_from(time.as_millis()).expect("short");
    }

    /// Connects, and is welcomed with this time after a while.
    fn connect(&mut self, within: Duration, time: i64) {
        self.replica.set_online(self.now, false);
        self.replica.set_online(self.now, true);
        self.drain();
        self.feed(Input::Connected(WallTime(self.wall_ms)));
        self.pass(within);
        let welcome = Welcome {
            version: VERSION,
            session: SessionId(1),
            store_id: StoreId([1; 16]),
            limits: WireLimits::default(),
            heartbeat_ms: 20_000,
            time: WallTime(time),
        };
        self.feed(Input::Frame(ServerMessage::Welcome(welcome).encode()));
        assert!(self.replica.is_online());
    }

    /// The time that an edit has now, if the device's clock shows any that a change can have.
    fn try_edit(&mut self) -> Option<i64> {
        let (now, wall, document) = (self.now, WallTime(self.wall_ms), self.document);
        self.edits += 1;
        let edits = self.edits;
        let done = self.replica.change(now, wall, document, |tx| tx.put(ROOT, "edit", edits));
        self.drain();
        done.ok().map(|_| self.replica.outbox(document).last().expect("it is not acknowledged").time)
    }

    fn edit(&mut self) -> i64 {
        self.try_edit().expect("an edit")
    }
}

#[test]
fn what_is_written_with_a_wrong_clock_has_the_servers_time() {
    for ahead in [HOUR_MS, -HOUR_MS, 400 * 24 * HOUR_MS, SKEW_SLACK_MS + 1, -SKEW_SLACK_MS - 1] {
        let mut device = Device::new(TODAY_MS + ahead);
        assert_eq!(device.edit(), TODAY_MS + ahead, "nobody has told it anything yet");
        device.connect(Duration::ZERO, TODAY_MS);
        assert_eq!(device.edit(), TODAY_MS);
        device.pass(SECOND * 7_200);
        assert_eq!(device.edit(), TODAY_MS + 2 * HOUR_MS);
        device.feed(Input::Disconnected);
        device.pass(SECOND);
        assert_eq!(device.edit(), TODAY_MS + 2 * HOUR_MS + 1_000, "offline, it remembers");
    }
}

#[test]
fn a_clock_that_is_good_enough_is_left_alone() {
    for ahead in [0, SKEW_SLACK_MS, -SKEW_SLACK_MS] {
        let mut device = Device::new(TODAY_MS + ahead);
        device.connect(Duration::ZERO, TODAY_MS);
        assert_eq!(device.edit(), TODAY_MS + ahead);
    }
}

/// The welcome was written at any moment of the time that it took to come.
#[test]
fn a_slow_line_makes_no_clock_wrong() {
    for written in [0, 9_000, 18_000] {
        let mut device = Device::new(TODAY_MS);
        device.connect(SECOND * 18, TODAY_MS + written);
        assert_eq!(device.edit(), TODAY_MS + 18_000);
        let mut device = Device::new(TODAY_MS + HOUR_MS);
        device.connect(SECOND * 18, TODAY_MS + written);
        let wrong_by = device.edit() - TODAY_MS - 18_000;
        assert!(wrong_by.abs() <= 9_000, "half of the way: {wrong_by}");
    }
}

/// As after a night in which the machine slept, or when the system has asked a time server.
#[test]
fn a_clock_that_was_set_anew_is_believed_until_the_next_welcome() {
    let mut device = Device::new(TODAY_MS + HOUR_MS);
    device.connect(Duration::ZERO, TODAY_MS);
    device.wall_ms = TODAY_MS;
    assert_eq!(device.edit(), TODAY_MS, "it is right now");
    device.connect(Duration::ZERO, TODAY_MS);
    device.wall_ms += 8 * HOUR_MS;
    assert_eq!(device.edit(), TODAY_MS + 8 * HOUR_MS, "the monotonic clock stood while the machine slept");
    device.connect(Duration::ZERO, TODAY_MS);
    assert_eq!(device.edit(), TODAY_MS, "or it did not");
}

#[test]
fn a_time_that_no_server_can_mean_is_not_heard() {
    for time in [i64::MIN, i64::MIN + 1, -1, 0, 1, 999_999_999_999, 10_000_000_000_000, i64::MAX - 1, i64::MAX] {
        for wall in [0, 1, TODAY_MS] {
            let mut device = Device::new(wall);
            device.connect(Duration::ZERO, time);
            assert_eq!(device.edit(), wall, "{time}");
        }
        let mut device = Device::new(TODAY_MS + HOUR_MS);
        device.connect(Duration::ZERO, TODAY_MS);
        device.connect(Duration::ZERO, time);
        assert_eq!(device.edit(), TODAY_MS, "what was known before stays, {time}");
    }
}

/// Only that nothing overflows: such a clock has no time to correct.
#[test]
fn a_device_without_a_sound_clock_goes_on() {
    for wall in [i64::MIN, i64::MIN + 1, i64::MAX] {
        let mut device = Device::new(wall);
        assert_eq!(device.try_edit(), None, "no change can have that time");
        device.connect(Duration::ZERO, TODAY_MS);
        device.try_edit();
        device.wall_ms = TODAY_MS;
        assert_eq!(device.edit(), TODAY_MS);
    }
}

#[test]
fn a_device_that_is_ahead_does_not_win_against_a_later_change() {
    let mut net = Net::new(2);
    net.set_time(TODAY_MS);
    net.set_ahead(0, HOUR_MS);
    for client in [0, 1] {
        net.set_online(client, false);
        net.set_online(client, true);
    }
    let (ahead, honest) = (net.open(0, "doc"), net.open(1, "doc"));
    net.settle();
    net.set_online(0, false);
    net.set_online(1, false);
    // What wins without a rule is the one with more edits.
    net.change(0, ahead, |tx| tx.put(ROOT, "status", "draft"));
    net.change(0, ahead, |tx| tx.put(ROOT, "status", "early"));
    net.pass(SECOND * 60);
    net.change(1, honest, |tx| tx.put(ROOT, "status", "late"));
    net.set_online(0, true);
    net.set_online(1, true);
    net.settle();
    let rules = Policies::new([Policy::new("status", BuiltIn::Latest).expect("a pattern")]);
    for (client, id) in [(0, ahead), (1, honest)] {
        let conflict = net.listed(client, id)[0].conflict.clone();
        let Some(Stands::Value(value)) = rules.rule(&conflict).answer else { panic!("{conflict:?}") };
        assert_eq!(format!("{value:?}"), format!("{:?}", sync_core::conflict::Value::Scalar("late".into())));
    }
}

#[test]
fn tabs_that_follow_are_told_how_the_clock_of_their_device_stands() {
    let (mut net, tabs, documents) = tabs(2);
    net.set_time(TODAY_MS);
    let set = |net: &mut Net, ahead| (0..4).for_each(|tab| net.set_ahead(tab, ahead));
    set(&mut net, HOUR_MS);
    net.set_online(tabs[0], false);
    net.set_online(tabs[0], true);
    net.settle();
    let mut edits = 0;
    let mut follower = |net: &mut Net, tab: usize, id| {
        edits += 1;
        net.change(tab, id, |tx| tx.put(ROOT, "edits", edits));
        net.time_of_last(tab, id).0 - net.time().0
    };
    assert_eq!(follower(&mut net, tabs[1], documents[1]), 0);
    let late = net.tab(1, 2);
    net.set_ahead(late, HOUR_MS);
    let document = net.open(late, "doc");
    assert_eq!(follower(&mut net, late, document), 0, "a tab that came later");
    set(&mut net, 0);
    assert_eq!(follower(&mut net, tabs[1], documents[1]), 0, "the clock is right now");
    net.settle();
    net.set_online(tabs[0], false);
    net.set_online(tabs[0], true);
    net.settle();
    // As it was when the follower was told, so that only what it was told since makes a difference.
    set(&mut net, HOUR_MS);
    assert_eq!(follower(&mut net, tabs[1], documents[1]), HOUR_MS, "the leader has taken back what it had told");
}
