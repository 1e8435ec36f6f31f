//! The connection: when to try, when to give up, and what is said first.

use std::time::Duration;

use bytes::Bytes;

use crate::id::{BatchId, DocumentHandle, StoreId};
use crate::planted::Planted;
use crate::protocol::{Auth, ClientMessage, Hello, Ping, VERSION, Welcome, WireLimits, accepts, split};
use crate::replica::quiet::Quiet;
use crate::replica::skew::Skew;
use crate::replica::{Output, Replica};
use crate::time::{Instant, WallTime};

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// None, and none to come before `at`.
    Down { at: Option<Instant> },
    /// Asked for.
    Connecting { since: Instant },
    /// Connected, and `Hello` is sent.
    Greeting,
    /// Welcomed.
    Online,
}

/// The one connection of a replica.
#[derive(Debug)]
pub(super) struct Connection {
    /// Whether the application wants one.
    pub(super) wanted: bool,
    stage: Stage,
    /// The device's clock when it said hello.
    greeted: Skew,
    /// Attempts since the last welcome.
    attempts: u32,
    heard: Instant,
    pinged: Instant,
    heartbeat: Duration,
    pub(super) limits: WireLimits,
    pub(super) store_id: Option<StoreId>,
    pub(super) quiet: Quiet,
    /// The server said goodbye: come back within this time.
    come_back_within: Option<Duration>,
    next_handle: u32,
    next_batch: u64,
}

impl Connection {
    pub(super) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            stage: Stage::Down { at: None },
            greeted: Skew::default(),
            attempts: 0,
            heard: Instant::default(),
            pinged: Instant::default(),
            heartbeat: Duration::from_secs(20),
            limits: WireLimits::default(),
            store_id: None,
            quiet: Quiet::default(),
            come_back_within: None,
            next_handle: 0,
            next_batch: 0,
        }
    }

    /// Whether messages can be sent.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.stage, Stage::Greeting | Stage::Online)
    }

    /// Whether something may be said beside pings and tokens.
    pub(super) fn may_speak(&self) -> bool {
        self.is_up() && !self.quiet.is_on()
    }

    pub(super) fn is_online(&self) -> bool {
        self.stage == Stage::Online
    }

    pub(super) fn handle(&mut self) -> DocumentHandle {
        self.next_handle += 1;
        DocumentHandle(self.next_handle)
    }

    pub(super) fn batch(&mut self) -> BatchId {
        self.next_batch += 1;
        BatchId(self.next_batch)
    }
}

impl Replica {
    /// Tries at once, if a connection is wanted and there is none.
    pub(super) fn connect_soon(&mut self, now: Instant) {
        if self.tabs.follows() {
            if matches!(self.connection.stage, Stage::Down { .. }) {
                self.connection.stage = Stage::Down { at: None };
            }
            return;
        }
        if self.saves.bytes() > self.config.unsaved_bytes_max {
            if self.connection.wanted && matches!(self.connection.stage, Stage::Down { .. }) {
                self.connection.stage = Stage::Down { at: Some(now + self.config.backoff_min) };
            }
            return;
        }
        if self.connection.wanted && self.identity.is_some() && matches!(self.connection.stage, Stage::Down { .. }) {
            self.connection.stage = Stage::Connecting { since: now };
            self.outputs.push_back(Output::Connect);
        }
    }

    pub(super) fn connected(&mut self, now: Instant, wall: WallTime) {
        if !matches!(self.connection.stage, Stage::Connecting { .. }) {
            return;
        }
        let Some(identity) = &self.identity else { return };
        let client = identity.client;
        self.connection.stage = Stage::Greeting;
        self.connection.greeted = Skew::unknown(now, wall);
        self.connection.heard = now;
        self.connection.pinged = now;
        self.connection.quiet = Quiet::default();
        self.connection.next_handle = 0;
        self.connection.next_batch = 0;
        self.assembler = crate::protocol::Assembler::new();
        let token = self.config.token.clone();
        let accepts = if self.config.snapshots { accepts::SNAPSHOTS | accepts::VIEWS } else { 0 };
        self.send(&ClientMessage::Hello(Hello { versions: vec![VERSION], client, token, accepts }));
        let all: Vec<_> = self.documents.keys().copied().collect();
        for id in all {
            self.join(now, id);
        }
    }

    pub(super) fn welcomed(&mut self, now: Instant, welcome: &Welcome) {
        self.connection.stage = Stage::Online;
        self.learn_skew(now, self.connection.greeted, welcome.time);
        self.connection.attempts = 0;
        self.connection.limits = welcome.limits;
        self.connection.store_id = Some(welcome.store_id);
        self.connection.heartbeat = Duration::from_millis(welcome.heartbeat_ms.max(1).into());
        self.all_documents_status();
    }

    pub(super) fn going_away(&mut self, within: Duration) {
        self.connection.come_back_within = Some(within);
    }

    /// The connection is gone, or an attempt failed: the next comes after a random part of a growing time.
    pub(super) fn disconnected(&mut self, now: Instant) {
        if matches!(self.connection.stage, Stage::Down { .. }) {
            return;
        }
        let doubled = self.config.backoff_min.saturating_mul(1 << self.connection.attempts.min(16));
        let span = self.connection.come_back_within.take().unwrap_or(doubled.min(self.config.backoff_max));
        let micros = self.rng.below(u64::try_from(span.as_micros()).unwrap_or(u64::MAX));
        self.connection.attempts = self.connection.attempts.saturating_add(1);
        let at = now + Duration::from_micros(micros);
        self.connection.stage = Stage::Down { at: self.connection.wanted.then_some(at) };
        self.forget_conversations();
        self.all_documents_status();
    }

    /// Drops the connection from this side.
    pub(super) fn hang_up(&mut self, now: Instant) {
        if !matches!(self.connection.stage, Stage::Down { .. }) {
            self.outputs.push_back(Output::Disconnect);
        }
        self.disconnected(now);
        if !self.connection.wanted {
            self.connection.stage = Stage::Down { at: None };
        }
    }

    pub(super) fn connection_due(&self) -> Option<Instant> {
        match self.connection.stage {
            Stage::Down { at } => at,
            Stage::Connecting { since } => Some(since + self.config.connect_within),
            Stage::Greeting | Stage::Online => {
                [Some(self.ping_due().min(self.silence_ends())), self.connection.quiet.until()]
                    .into_iter()
                    .flatten()
                    .min()
            }
        }
    }

    /// Whatever is heard meanwhile: a reader of a busy document hears all the time, and the server must hear from it.
    fn ping_due(&self) -> Instant {
        self.connection.pinged + self.connection.heartbeat
    }

    fn silence_ends(&self) -> Instant {
        let silences = if self.config.planted.has(Planted::NeverSilent) { 1_000_000 } else { 2 };
        self.connection.heard + self.connection.heartbeat * silences
    }

    pub(super) fn connection_timeout(&mut self, now: Instant) {
        match self.connection.stage {
            Stage::Down { at: Some(at) } if at <= now => self.connect_soon(now),
            Stage::Connecting { since } if since + self.config.connect_within <= now => self.hang_up(now),
            Stage::Greeting | Stage::Online if self.silence_ends() <= now => self.hang_up(now),
            Stage::Greeting | Stage::Online if self.ping_due() <= now => {
                self.connection.pinged = now;
                self.send(&ClientMessage::Ping(Ping { nonce: 0 }));
            }
            _ => {}
        }
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.connection.heard = now;
    }

    pub(super) fn send_token(&mut self, token: String) {
        self.send(&ClientMessage::Auth(Auth { token }));
    }

    /// Sends a message, in parts if it is larger than a frame. Without a connection it is dropped: every message is said again on the next.
    pub(super) fn send(&mut self, message: &ClientMessage) {
        if !self.connection.is_up() {
            return;
        }
        let bytes: Bytes = message.encode();
        match split(&bytes, self.connection.limits.frame_bytes_max as usize) {
            None => self.outputs.push_back(Output::Send(bytes)),
            Some(parts) => {
                let parts = parts.into_iter().map(|part| Output::Send(ClientMessage::Part(part).encode()));
                self.outputs.extend(parts);
            }
        }
    }
}
