//! A replica with a hostile server: a real one, whose messages are dropped, repeated, held back and altered on the way, and to which made-up
//! ones are added. Whatever comes, the replica does not panic, and shows after a restart what it showed before.

use std::time::Duration;

use bytes::Bytes;
use sync_core::clock::{ClockEntry, HashPrefix};
use sync_core::id::{BatchId, Digest, DocumentHandle, Incarnation, LogSeq, RoomNumber, SessionId, StoreId};
use sync_core::protocol::{
    Ack, Blob, Changes, Emitted, Expiring, GoAway, Hash, LogActors, Mode, Opened, Part, Ping, Reject, RejectCode,
    ServerMessage, SparseEnd, Throttle, Verdict, WireLimits,
};
use sync_core::replica::{Input as ReplicaInput, OutboxState, State};
use sync_core::storage::StoreError;
use sync_core::{change::Change, pack};

use crate::choices::{Choices as _, Input};
use crate::client::Client;
use crate::host::Host;
use crate::line::Line;
use crate::material::material;

const CODES: [RejectCode; 10] = [
    RejectCode::Invalid,
    RejectCode::Equivocation,
    RejectCode::TooLarge,
    RejectCode::Forbidden,
    RejectCode::BadName,
    RejectCode::Deleted,
    RejectCode::Mismatch,
    RejectCode::Blocked,
    RejectCode::Unavailable,
    RejectCode::Quarantined,
];

/// Steps of one conversation; the rest of a longer input is left unread.
const STEPS_MAX: usize = 200;

struct World<'a> {
    input: Input<'a>,
    line: Line,
    pool: Vec<Change>,
    table: sync_core::table::ChangeTable,
}

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let material = material(input.below(8) as usize);
    let held = input.index(material.history.len() + 1);
    let host = Host::new(&material.history[..held]);
    let pool = [&material.history[..], &material.honest[..], &material.hostile[..]].concat();
    let mut world = World { input, line: Line::new(host), pool, table: material.table.clone() };
    for _ in 0..STEPS_MAX {
        if world.input.is_empty() {
            break;
        }
        world.step();
    }
    world.close();
}

impl World<'_> {
    fn step(&mut self) {
        let now = self.line.host.now;
        match self.input.below(18) {
            0..=3 => drop(self.line.deliver()),
            4 => drop(self.line.to_client.pop_front()),
            5 => {
                if let Some(bytes) = self.line.to_client.front().cloned() {
                    self.line.to_client.push_back(bytes);
                }
            }
            6..=8 => self.alter(),
            9 => self.raw(),
            10 => self.invent(),
            11 | 12 => self.local(),
            13 => {
                let failure = self.input.pick(&[StoreError::Full, StoreError::Io("no".into()), StoreError::Locked]);
                self.line.client.store_step(now, Some(failure));
            }
            14 => {
                let after = [10, 1_000, 25_000, 60_000][self.input.index(4)];
                self.line.pass(Duration::from_millis(after));
            }
            15 => self.line.cut(),
            16 => self.restart(),
            _ => {
                for _ in 0..6 {
                    self.line.client.store_step(now, None);
                    self.line.host.store_step(None);
                    self.line.carry();
                    self.line.deliver();
                }
            }
        }
        if self.input.chance(500) {
            self.line.client.store_step(now, None);
            self.line.host.store_step(None);
            self.line.host.written();
        }
        self.line.carry();
    }

    /// The application does something.
    fn local(&mut self) {
        let now = self.line.host.now;
        let client = &mut self.line.client;
        let rejected = client.replica.outbox(client.id).into_iter();
        let rejected: Vec<_> = rejected.filter(|e| matches!(e.state, OutboxState::Rejected { .. })).collect();
        match self.input.below(8) {
            0 if !rejected.is_empty() => {
                let change = rejected[self.input.index(rejected.len())].change;
                drop(client.replica.retry(now, client.id, change));
            }
            1 if !rejected.is_empty() => {
                let change = rejected[self.input.index(rejected.len())].change;
                drop(client.replica.discard(now, client.id, change));
            }
            2 => client.replica.emit(client.id, Bytes::from_static(b"here"), Some(Duration::from_secs(5))),
            3 => client.replica.set_online(now, self.input.chance(700)),
            4 => client.input(now, ReplicaInput::NetworkChanged),
            _ => client.edit(now, &mut self.input),
        }
        client.timeout(now);
    }

    /// Starts the client again from what its store holds.
    fn restart(&mut self) {
        self.line.cut();
        self.line.client = Client::new(self.line.host.now, self.line.client.store.clone(), true);
    }

    /// Bytes that no server would send, or a real frame cut or with a byte changed.
    fn raw(&mut self) {
        let bytes = match self.line.to_client.pop_front() {
            Some(real) if self.input.chance(600) && !real.is_empty() => {
                let mut real = real.to_vec();
                let at = self.input.index(real.len());
                if self.input.chance(300) {
                    real.truncate(at);
                } else {
                    real[at] = real[at].wrapping_add(self.input.byte());
                }
                real
            }
            _ => self.input.bytes(200).to_vec(),
        };
        self.line.to_client.push_front(bytes.into());
        self.line.deliver();
    }

    /// Delivers the next frame with its messages altered.
    fn alter(&mut self) {
        let Some(bytes) = self.line.to_client.pop_front() else { return self.invent() };
        let mut messages = ServerMessage::decode_all(&bytes).expect("the server sends messages");
        if messages.is_empty() {
            return;
        }
        let at = self.input.index(messages.len());
        self.change(&mut messages[at]);
        let bytes: Vec<Bytes> = messages.iter().map(ServerMessage::encode).collect();
        self.line.to_client.push_front(bytes.concat().into());
        self.line.deliver();
    }

    fn change(&mut self, message: &mut ServerMessage) {
        match message {
            ServerMessage::Welcome(welcome) => match self.input.below(4) {
                0 => welcome.store_id = StoreId([4; 16]),
                1 => welcome.limits = self.limits(),
                2 => welcome.heartbeat_ms = self.number(),
                _ => welcome.version = self.input.below(3) as u32,
            },
            ServerMessage::Opened(opened) => match self.input.below(6) {
                0 => opened.mode = self.mode(),
                1 => opened.head = self.position(),
                2 => opened.incarnation = Incarnation([4; 8]),
                3 => opened.digest = Digest([4; 8]),
                4 => opened.actors = self.actors(),
                _ => opened.handle = DocumentHandle(self.input.below(3) as u32),
            },
            ServerMessage::Changes(changes) => match self.input.below(5) {
                0 => changes.first = self.position(),
                1 => changes.pack = self.pack(),
                2 => changes.sparse = Some(SparseEnd { last: self.position(), digest: Digest([2; 8]) }),
                3 => changes.room = RoomNumber(self.input.below(3) as u32),
                _ => changes.sparse = None,
            },
            ServerMessage::Ack(ack) => match self.input.below(5) {
                0 => ack.first = self.position(),
                1 => ack.count = self.number(),
                2 => ack.digest = Digest([3; 8]),
                3 => ack.held = Some((0..self.input.below(4)).map(|_| self.number()).collect()),
                _ => ack.batch = BatchId(self.input.below(6)),
            },
            ServerMessage::Reject(reject) => match self.input.below(4) {
                0 => reject.code = self.input.pick(&CODES),
                1 => reject.verdicts = self.verdicts(),
                2 => reject.batch = self.input.chance(500).then(|| BatchId(self.input.below(6))),
                _ => reject.retry_after_ms = Some(self.number()),
            },
            other => *other = self.made_up(),
        }
    }

    /// Delivers a message that the server never sent.
    fn invent(&mut self) {
        let message = self.made_up();
        self.line.to_client.push_front(message.encode());
        self.line.deliver();
    }

    fn made_up(&mut self) -> ServerMessage {
        let handle = DocumentHandle(self.input.below(3) as u32);
        let (room, digest) = (RoomNumber(self.input.below(3) as u32), Digest([self.input.byte(); 8]));
        match self.input.below(11) {
            0 => ServerMessage::Opened(Opened {
                handle,
                room,
                mode: self.mode(),
                incarnation: Incarnation([self.input.byte() % 2; 8]),
                head: self.position(),
                digest,
                actors: self.actors(),
            }),
            1 | 2 => {
                let (first, pack, last) = (self.position(), self.pack(), self.position());
                let sparse = self.input.chance(300).then_some(SparseEnd { last, digest });
                ServerMessage::Changes(Changes { room, first, pack, sparse })
            }
            3 => ServerMessage::Ack(Ack {
                handle,
                batch: BatchId(self.input.below(6)),
                first: self.position(),
                count: self.number(),
                digest,
                held: self.input.chance(300).then(|| vec![self.number()]),
                durable: self.input.chance(500),
            }),
            4 => ServerMessage::Reject(Reject {
                handle,
                batch: self.input.chance(700).then(|| BatchId(self.input.below(6))),
                code: self.input.pick(&CODES),
                reason: "no".into(),
                verdicts: self.verdicts(),
                retry_after_ms: self.input.chance(300).then(|| self.number()),
            }),
            5 => ServerMessage::Throttle(Throttle { for_ms: self.number() }),
            6 => ServerMessage::GoAway(GoAway {
                reason: "away".into(),
                reconnect_within_ms: self.number(),
                address: self.input.chance(300).then(|| "ws://127.0.0.1:1/sync".into()),
            }),
            7 => {
                let (index, total) = (self.input.below(3) as u32, self.input.below(4) as u32);
                let bytes = Blob(Bytes::copy_from_slice(self.input.bytes(60)));
                ServerMessage::Part(Part { index, total, bytes })
            }
            8 => ServerMessage::Expiring(Expiring { in_ms: self.number() }),
            9 => ServerMessage::Pong(Ping { nonce: self.number() }),
            _ => ServerMessage::Emitted(Emitted {
                room,
                from: SessionId(1),
                payload: Blob(Bytes::copy_from_slice(self.input.bytes(20))),
                ttl_ms: self.input.chance(500).then(|| self.number()),
            }),
        }
    }

    fn number(&mut self) -> u32 {
        self.input.pick(&[0, 1, 2, 3, 40, 5_000, u32::MAX - 1, u32::MAX])
    }

    fn position(&mut self) -> LogSeq {
        let few = self.input.below(40);
        LogSeq(self.input.pick(&[few, few, few, few, 0, 1, u64::from(u32::MAX), u64::MAX - 1, u64::MAX]))
    }

    fn mode(&mut self) -> Mode {
        self.input.pick(&[Mode::Resume, Mode::New, Mode::Reconcile, Mode::Replaced])
    }

    fn limits(&mut self) -> WireLimits {
        WireLimits {
            frame_bytes_max: self.number(),
            message_bytes_max: self.number(),
            pending_batches_max: self.number(),
            documents_max: self.number(),
            emit_bytes_max: self.number(),
        }
    }

    fn actors(&mut self) -> Option<LogActors> {
        if self.input.chance(200) {
            return None;
        }
        let mut actors = Vec::new();
        for (actor, entry) in self.table.entries().take(self.input.below(6) as usize) {
            let seq = if self.input.chance(800) { entry.seq } else { 1 + self.input.below(9) as u32 };
            let hash = if self.input.chance(800) { entry.hash } else { HashPrefix([5; 8]) };
            actors.push((actor.clone(), ClockEntry { seq, hash }));
        }
        Some(LogActors(actors))
    }

    fn verdicts(&mut self) -> Option<Vec<Verdict>> {
        let mut hashes: Vec<_> =
            self.line.client.replica.outbox(self.line.client.id).iter().map(|e| e.change).collect();
        hashes.extend(self.pool.first().map(Change::hash));
        let count = self.input.below(4);
        let verdict = |_| Verdict {
            hash: Hash(self.input.pick(&hashes)),
            code: self.input.pick(&CODES),
            reason: "this one".into(),
        };
        (count > 0).then(|| (0..count).map(verdict).collect())
    }

    fn pack(&mut self) -> Option<Blob> {
        let from = self.input.index(self.pool.len());
        let changes: Vec<Change> = self.pool[from..].iter().take(1 + self.input.index(5)).cloned().collect();
        let base = if self.input.chance(600) { self.input.below(6) as u32 } else { 0 };
        let mut table = self.table.clone();
        changes.iter().for_each(|change| drop(table.insert(change)));
        pack::encode(&changes, base.min(table.actor_count()), &table).ok().map(Blob)
    }

    /// The local store is well again: what is shown then is shown after a restart.
    fn close(&mut self) {
        let now = self.line.host.now;
        self.line.client.replica.set_online(now, false);
        self.line.client.input(now, ReplicaInput::NetworkChanged);
        self.line.cut();
        let saved = self.line.settle(|line| {
            let status = line.client.replica.status(line.client.id);
            line.client.failed.is_some() || status.is_some_and(|s| s.unsaved == 0 && s.state != State::StorageFull)
        });
        if let Some(error) = &self.line.client.failed {
            return assert!(!matches!(error, StoreError::Corrupt(_)), "its own rows are refused: {error}");
        }
        assert!(saved, "what was received or edited is never saved");
        // A replica that could not read who it is, or its rows, shows nothing until it is started again.
        let Some(shown) = self.line.client.heads() else { return };
        let mut again = Client::new(now, self.line.client.store.clone(), false);
        while again.store_step(now, None) {}
        assert_eq!(again.failed, None, "its own rows are refused");
        assert_eq!(again.heads(), Some(shown), "shows other changes after a restart");
    }
}
