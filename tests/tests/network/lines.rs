//! What a bad line does to one connection, by a proxy between an editor and the server. Runs on every machine.

use std::time::Duration;

use rejoin_tests::proxy::{Lane, Proxy, Way, Weather};
use rejoin_tests::serving::Serving;
use tempfile::TempDir;

use crate::story::Story;
use crate::{HEARTBEAT_BYTES_MAX, REST, SILENCE};

/// A server, a proxy before it, and the story: ann goes through the proxy, bob does not.
struct Line {
    proxy: Proxy,
    story: Story,
    _server: Serving,
    _data: TempDir,
}

impl Line {
    async fn begin() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let mut server = Serving::new(&[], ([127, 0, 0, 1], 0).into(), data.path(), &[]);
        server.start();
        let proxy = Proxy::start(server.address()).await.expect("a proxy");
        let far = format!("ws://{}/sync", proxy.address());
        let story = Story::begin([&far, &server.url()], [&[], &[]]);
        Self { proxy, story, _server: server, _data: data }
    }

    /// Waits until the line's connection has been given up by the editor.
    fn given_up(&self, before: usize) {
        self.story.ann.wait("giving up", |ledger| ledger.disconnects() > before);
    }

    /// Waits until the editor has a connection again.
    fn connected(&self) {
        let is_connection = |line: &&String| *line == "connected" || line.starts_with("disconnected");
        self.story.ann.wait("connection", |ledger| {
            ledger.said.iter().rev().find(is_connection).is_some_and(|line| line == "connected")
        });
    }

    /// The weather turns, both go on editing, `until` holds, the weather is good again, and nothing is lost.
    fn through(&mut self, weather: Weather, until: impl Fn(&Self)) {
        self.proxy.set(weather);
        self.story.both_edit();
        until(self);
        self.story.both_edit();
        self.proxy.set(Weather::default());
        self.story.agree();
        self.rests();
    }

    /// Nothing is sent any more but heartbeats.
    fn rests(&self) {
        self.connected();
        let before = self.proxy.counts();
        std::thread::sleep(REST);
        let sent = self.proxy.counts().since(&before);
        let beats = REST.as_secs() + 1;
        let allowed = beats * HEARTBEAT_BYTES_MAX;
        assert!(
            sent.up_bytes <= allowed && sent.down_bytes <= allowed,
            "after all had arrived {REST:?} cost {sent:?}; ann said {:#?}",
            self.story.ann.ledger().said
        );
        assert_eq!(sent.connections, 0, "{sent:?}; ann said {:#?}", self.story.ann.ledger().said);
    }
}

fn swallow() -> Lane {
    Lane { swallow: true, ..Lane::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_dead_and_does_not_say_so_is_noticed_and_made_again() {
    let mut line = Line::begin().await;
    let before = line.story.ann.ledger().disconnects();
    line.through(Weather::dead(), |line| line.given_up(before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_on_which_only_the_server_is_heard_is_noticed_and_made_again() {
    let mut line = Line::begin().await;
    let before = line.story.ann.ledger().disconnects();
    line.through(Weather { up: swallow(), ..Weather::default() }, |line| line.given_up(before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_on_which_only_the_client_is_heard_is_noticed_and_made_again() {
    let mut line = Line::begin().await;
    let before = line.story.ann.ledger().disconnects();
    line.through(Weather { down: swallow(), ..Weather::default() }, |line| line.given_up(before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_at_any_byte_of_a_message_loses_nothing_either_way() {
    let mut line = Line::begin().await;
    for way in [Way::Up, Way::Down] {
        // Inside the WebSocket header, the message's head, the pack, and between two messages.
        for bytes in [1, 2, 3, 5, 9, 17, 33, 65, 130] {
            let before = line.story.ann.ledger().disconnects();
            line.proxy.cut_after(way, bytes);
            line.story.both_edit();
            // Heartbeats alone reach the cut if the edits did not.
            line.given_up(before);
            line.story.agree();
        }
    }
    line.rests();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_reset_again_and_again_gets_everything_through() {
    let mut line = Line::begin().await;
    for _ in 0..10 {
        let before = line.story.ann.ledger().disconnects();
        line.story.both_edit();
        line.proxy.cut();
        line.given_up(before);
        line.connected();
    }
    line.story.agree();
    line.rests();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_and_distant_line_is_not_taken_for_a_dead_one() {
    let mut line = Line::begin().await;
    let lane = Lane { delay: Duration::from_millis(300), bytes_per_second: Some(2_000), ..Lane::default() };
    let before = line.story.ann.ledger().disconnects();
    line.proxy.set(Weather { up: lane, down: lane });
    let long = "x".repeat(20_000);
    // Twenty thousand bytes take five times as long as silence would last.
    line.story.bob.edit(&long);
    line.story.both_edit();
    line.story.agree();
    assert_eq!(line.story.ann.ledger().disconnects(), before, "{SILENCE:?} of silence never were");
    line.proxy.set(Weather::default());
    line.rests();
}
