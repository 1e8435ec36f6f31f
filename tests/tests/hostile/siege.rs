//! A server under attack: honest clients that go on beside the attacker, and what the server's memory does meanwhile.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rejoin_tests::memory::Memory;
use rejoin_tests::raw::{End, Raw};
use rejoin_tests::server::Server;
use sync_client::automerge::transaction::Transactable as _;
use sync_client::automerge::{ROOT, ReadDoc as _};
use sync_client::{Client, ClientConfig, ClientEvent, Document};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The document that honest clients work on; attackers may open it too.
pub(crate) const SHARED: &str = "honest/shared";

/// Longest time one honest edit may take, from the keystroke until another client shows it.
const EDIT_WITHIN: Duration = Duration::from_secs(20);

/// Honest edits that must come through while an attack goes on, and again once it is over.
const EDITS_MIN: u64 = 3;

/// Between two honest edits: people type no faster, and their history is not what is measured.
const EDIT_EVERY: Duration = Duration::from_millis(20);

/// A server, two honest clients, and the memory before the attack.
pub(crate) struct Siege {
    name: &'static str,
    server: Server,
    honest: Honest,
    began: Instant,
    before: Memory,
    during: Memory,
    edits_before: u64,
}

impl Siege {
    /// Starts a server with further arguments and lets honest clients begin.
    pub(crate) async fn begin(name: &'static str, arguments: &[&str]) -> Self {
        let server = Server::start_with(None, &[0], arguments).await.expect("the server starts");
        let mut honest = Honest::start(server.address()).await;
        honest.go_on(EDITS_MIN).await;
        let process = server.process().expect("it runs");
        Memory::reset_peak(process).expect("it is our process");
        let before = Memory::of(process).expect("it runs");
        let edits_before = honest.edits();
        Self { name, server, honest, began: Instant::now(), before, during: before, edits_before }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// Time since the attack began.
    pub(crate) fn since_begin(&self) -> Duration {
        self.began.elapsed()
    }

    /// Notes the memory while the attack stands.
    pub(crate) fn look(&mut self) -> Memory {
        let now = Memory::of(self.server.process().expect("the server runs")).expect("it runs");
        if now.resident_kib > self.during.resident_kib {
            self.during = now;
        }
        now
    }

    /// Waits until honest clients have made some edits more: while the attack stands.
    pub(crate) async fn honest_go_on(&mut self) {
        self.honest.go_on(EDITS_MIN).await;
    }

    /// A connection that is expected to end so.
    pub(crate) async fn ends(&self, mut raw: Raw, want: End, why: &str) {
        assert_eq!(raw.end().await, want, "{}: {why}", self.name);
    }

    /// The attack is over. The server's memory must have stayed within `grows_kib_max` of what it was, at its highest moment.
    pub(crate) async fn end(mut self, grows_kib_max: u64) {
        let process = self.server.process().expect("the server runs");
        self.look();
        self.honest.go_on(EDITS_MIN).await;
        let after = Memory::of(process).expect("it runs");
        let edits = self.honest.edits() - self.edits_before;
        let slowest = self.honest.stop().await;
        let log = self.server.log().expect("it has a log");
        let bad: Vec<_> = log.lines().filter(|l| l.contains("ERROR") || l.contains("panicked")).collect();
        assert!(bad.is_empty(), "{}: {bad:#?}", self.name);
        let grown = after.peak_kib.saturating_sub(self.before.resident_kib);
        let row = format!(
            "hostile | {:<34} | {:>6} | {:>6} | {:>6} | {:>6} | +{:>6} of {:>6} | {:>5} | {:>5} | {:>5.1}\n",
            self.name,
            self.before.resident_kib,
            self.during.resident_kib.max(self.before.resident_kib),
            after.resident_kib,
            after.peak_kib,
            grown,
            grows_kib_max,
            edits,
            slowest.as_millis(),
            self.began.elapsed().as_secs_f64()
        );
        // Past the test runner, which keeps what passing tests print to itself.
        let _ = std::io::stdout().write_all(row.as_bytes());
        assert!(grown <= grows_kib_max, "{}: memory grew by {grown} KiB, {grows_kib_max} allowed", self.name);
        self.server.stop().await.expect("it stops politely");
    }

    /// The value of a counter or gauge at `/metrics`; 0 if it is not there.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let (_, body) = self.server.get("/metrics").await.expect("it answers");
        let text = String::from_utf8_lossy(&body).into_owned();
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok());
        line.unwrap_or(0.0) as u64
    }
}

/// A writer and a reader of one document, with real clients, until they are stopped.
struct Honest {
    edits: watch::Receiver<u64>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Duration>,
}

impl Honest {
    async fn start(server: SocketAddr) -> Self {
        let (said, edits) = watch::channel(0);
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let dirs = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
            let open = async |dir: &tempfile::TempDir| {
                let config = ClientConfig::new(format!("ws://{server}/sync"), dir.path());
                let client = Client::open(config).await.expect("opens");
                let document = client.document(SHARED).await.expect("opens");
                (client, document)
            };
            let ((writer, from), (reader, to)) = (open(&dirs[0]).await, open(&dirs[1]).await);
            let mut events = [writer.subscribe(), reader.subscribe()];
            let mut slowest = Duration::ZERO;
            for n in 1.. {
                let took = edit(&from, &to, n).await;
                if n > 1 {
                    slowest = slowest.max(took);
                }
                said.send_replace(n as u64);
                if *stopped.borrow() {
                    break;
                }
                tokio::time::sleep(EDIT_EVERY).await;
            }
            for events in &mut events {
                writer.go_offline().expect("it is open");
                reader.go_offline().expect("it is open");
                assert_undisturbed(events).await;
            }
            assert_eq!((from.outbox().len(), to.outbox().len()), (0, 0), "every edit is acknowledged");
            slowest
        });
        Self { edits, stop, task }
    }

    fn edits(&self) -> u64 {
        *self.edits.borrow()
    }

    async fn go_on(&mut self, count: u64) {
        let until = self.edits() + count;
        if self.edits.wait_for(|n| *n >= until).await.is_err() {
            panic!("an honest client failed: {:?}", (&mut self.task).await);
        }
    }

    async fn stop(self) -> Duration {
        self.stop.send_replace(true);
        self.task.await.expect("honest clients notice nothing")
    }
}

/// One edit of the writer, until it is acknowledged and the reader shows it.
async fn edit(from: &Document, to: &Document, n: i64) -> Duration {
    let start = Instant::now();
    let done = async {
        let mut events = to.subscribe();
        let ((), edit) = from.change(|tx| tx.put(ROOT, "n", n)).expect("made");
        from.acknowledged(edit).await.expect("answered");
        let shown = |d: &Document| {
            d.read(|d| d.get(ROOT, "n").expect("a map").and_then(|(v, _)| v.as_i64())).ok().flatten() == Some(n)
        };
        while !shown(to) {
            events.next().await.expect("the reader is open");
        }
    };
    tokio::time::timeout(EDIT_WITHIN, done).await.unwrap_or_else(|_| panic!("edit {n} does not come through"));
    start.elapsed()
}

/// A client that has just been told to go offline lost no connection before.
async fn assert_undisturbed(events: &mut sync_client::ClientSubscription) {
    let mut connected = 0;
    loop {
        match events.next().await.expect("the client is open") {
            ClientEvent::Connected => connected += 1,
            ClientEvent::Disconnected { .. } => break,
            other => panic!("an honest client is told {other:?}"),
        }
    }
    assert!(connected <= 1, "an honest client lost its connection");
}
