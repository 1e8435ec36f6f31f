//! Session and room with a hostile client: whatever it says, in whatever order, the log holds only what the validator admits, what was
//! acknowledged is in it, and an honest client beside it ends up with all of it.

use std::time::Duration;

use bytes::Bytes;
use sync_core::clock::{ClockEntry, HashPrefix, VectorClock};
use sync_core::id::{BatchId, ClientId, Cursor, Digest, DocumentHandle, Incarnation, LogSeq, SessionId, StoreId};
use sync_core::log::Log;
use sync_core::protocol::{
    Acked, Auth, Blob, ClientMessage, Close, Emit, Have, Hello, Open, Part, Ping, Push, ServerMessage, SnapshotHeld,
};
use sync_core::replica::Input as ReplicaInput;
use sync_core::scope::{Access, Scope};
use sync_core::session;
use sync_core::storage::{Store as _, StoreError};
use sync_core::{change::Change, pack};

use crate::choices::{Choices as _, Input};
use crate::host::{DOCUMENT, Host, document};
use crate::line::Line;
use crate::material::{Material, material};

/// Steps of one conversation; the rest of a longer input is left unread.
const STEPS_MAX: usize = 200;

struct World<'a> {
    input: Input<'a>,
    line: Line,
    hostile: SessionId,
    frame: Vec<u8>,
    last: Vec<u8>,
    batch: u64,
    /// The log before anything was pushed: what the hostile client knows of it.
    log: Log,
    pool: Vec<Change>,
}

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let material = material(input.below(8) as usize);
    let mut host = Host::new(&material.history);
    if input.chance(100) {
        host.grant = Some(vec![Scope { prefix: DOCUMENT.into(), access: Access::Read }]);
    }
    let log = host.log(&document()).expect("it has a history");
    let hostile = host.connect();
    let pool = pool(&material);
    let mut world =
        World { input, line: Line::new(host), hostile, frame: Vec::new(), last: Vec::new(), batch: 0, log, pool };
    if world.input.chance(800) {
        world.greet();
    }
    for _ in 0..STEPS_MAX {
        if world.input.is_empty() {
            break;
        }
        world.step();
        world.line.carry();
        world.acks();
    }
    world.close();
}

/// What may be pushed: what is held, what is new, and what is hostile.
fn pool(material: &Material) -> Vec<Change> {
    [&material.history[..4], &material.honest[..], &material.hostile[..]].concat()
}

impl World<'_> {
    fn greet(&mut self) {
        let hello = Hello { versions: vec![1], client: ClientId([7; 16]), token: None, accepts: 0 };
        self.say(&ClientMessage::Hello(hello));
        let open = Open {
            handle: DocumentHandle(1),
            document: DOCUMENT.into(),
            access: Access::Write,
            cursor: None,
            acked: None,
            clock: None,
            snapshot: None,
            packs: None,
        };
        self.say(&ClientMessage::Open(open));
        self.flush();
    }

    fn say(&mut self, message: &ClientMessage) {
        self.frame.extend_from_slice(&message.encode());
    }

    fn flush(&mut self) {
        self.last = std::mem::take(&mut self.frame);
        self.line.host.frame(self.hostile, Bytes::copy_from_slice(&self.last));
    }

    fn step(&mut self) {
        match self.input.below(20) {
            0 => {
                let bytes = self.input.bytes(255);
                self.frame.extend_from_slice(bytes);
            }
            1 => self.hello(),
            2 | 3 => self.open(),
            4..=7 => self.push(),
            8 => {
                let (handle, clock) = (self.handle(), self.clock());
                self.say(&ClientMessage::Have(Have { handle, clock }));
            }
            9 => {
                let ttl_ms = self.input.chance(500).then(|| self.input.u64() as u32 >> self.input.below(32));
                let payload = Blob(Bytes::copy_from_slice(self.input.bytes(80)));
                let handle = self.handle();
                self.say(&ClientMessage::Emit(Emit { handle, payload, ttl_ms }));
            }
            10 => match self.input.below(3) {
                0 => {
                    let handle = self.handle();
                    self.say(&ClientMessage::Close(Close { handle }));
                }
                1 => self.say(&ClientMessage::Ping(Ping { nonce: 1 })),
                _ => self.say(&ClientMessage::Auth(Auth { token: "t".into() })),
            },
            11 => self.part(),
            12 => self.mutate(),
            13 => {
                let after = [1, 900, 15_000, 45_000][self.input.index(4)];
                self.line.pass(Duration::from_millis(after));
            }
            14 => drop(self.line.host.store_step(None)),
            15 => {
                let failure = self.failure();
                self.line.host.store_step(Some(failure));
            }
            16 => drop(self.line.host.written()),
            17 => self.honest(),
            18 => self.reconnect(),
            _ => self.flush_if_any(),
        }
        if self.frame.len() > 400 || self.input.chance(300) {
            self.flush_if_any();
        }
    }

    fn failure(&mut self) -> StoreError {
        let head = LogSeq(self.input.below(40));
        self.input.pick(&[
            StoreError::Full,
            StoreError::ReadOnly,
            StoreError::Io("the cable is out".into()),
            StoreError::HeadMoved { head },
        ])
    }

    fn handle(&mut self) -> DocumentHandle {
        DocumentHandle(1 + self.input.below(4) as u32)
    }

    fn hello(&mut self) {
        let versions = (0..self.input.below(3)).map(|n| n as u32 * self.input.below(3) as u32).collect();
        let token = self.input.chance(200).then(|| "token".into());
        self.say(&ClientMessage::Hello(Hello { versions, client: ClientId([1; 16]), token, accepts: 7 }));
    }

    fn position(&mut self) -> (LogSeq, Digest) {
        let seq = LogSeq(self.input.below(self.log.head().0 + 3));
        let digest = self.log.digest_at(seq).filter(|_| self.input.chance(900)).unwrap_or(Digest([9; 8]));
        (seq, digest)
    }

    fn clock(&mut self) -> VectorClock {
        let mut clock = VectorClock::new();
        for (actor, entry) in self.log.clock().iter() {
            let seq = self.input.below(u64::from(entry.seq) + 2) as u32;
            let held = self.log.table().hash(actor, seq).filter(|_| self.input.chance(900));
            let hash = held.map_or(HashPrefix([1; 8]), HashPrefix::from);
            if seq > 0 {
                clock.observe(actor, ClockEntry { seq, hash });
            }
        }
        clock
    }

    fn open(&mut self) {
        let (seq, digest) = self.position();
        let store_id = if self.input.chance(900) { self.line.host.store.store_id() } else { StoreId([0; 16]) };
        let incarnation = if self.input.chance(900) { self.log.incarnation() } else { Incarnation([0; 8]) };
        let cursor = self.input.chance(500).then_some(Cursor { store_id, incarnation, seq, digest });
        let (seq, digest) = self.position();
        let acked = self.input.chance(200).then_some(Acked { seq, digest });
        let clock = self.input.chance(300).then(|| self.clock());
        let name = self.input.pick(&[DOCUMENT, DOCUMENT, "other", "doc/below", "", "a//b"]);
        let access = self.input.pick(&[Access::Write, Access::Read]);
        let handle = self.handle();
        // Drawn with the rest, so that the inputs that are kept say what they said.
        let snapshot = acked.map(|Acked { seq, digest }| SnapshotHeld { seq, digest, pieces: seq.0 as u32 });
        let packs = snapshot.map(|held| held.seq.0 % 2 == 0);
        let document = name.into();
        self.say(&ClientMessage::Open(Open { handle, document, access, cursor, acked, clock, snapshot, packs }));
    }

    fn push(&mut self) {
        let changes: Vec<Change> = if self.input.chance(400) {
            let from = self.input.index(self.pool.len());
            self.pool[from..].iter().take(1 + self.input.index(6)).cloned().collect()
        } else {
            (0..1 + self.input.below(3)).map(|_| self.input.pick(&self.pool)).collect()
        };
        let mut table = self.log.table().clone();
        // A pack may name what the server lacks.
        changes.iter().for_each(|change| drop(table.insert(change)));
        let Ok(packed) = pack::encode(&changes, 0, &table) else { return };
        let mut packed = packed.to_vec();
        if self.input.chance(100) {
            let at = self.input.index(packed.len());
            packed[at] ^= self.input.byte();
        }
        self.batch += u64::from(!self.input.chance(50));
        let (handle, batch) = (DocumentHandle(1 + self.input.below(2) as u32), BatchId(self.batch));
        let message = ClientMessage::Push(Push { handle, batch, pack: Blob(packed.into()) });
        let bytes = message.encode();
        match sync_core::protocol::split(&bytes, 400) {
            None => self.say(&message),
            Some(parts) => {
                for part in parts {
                    if self.input.chance(20) {
                        continue;
                    }
                    self.flush_if_any();
                    self.say(&ClientMessage::Part(part));
                    self.flush();
                }
            }
        }
    }

    fn flush_if_any(&mut self) {
        if !self.frame.is_empty() {
            self.flush();
        }
    }

    fn part(&mut self) {
        let (index, total) = (self.input.below(3) as u32, self.input.below(4) as u32);
        let bytes = if self.input.chance(500) { self.input.bytes(200) } else { &self.last[..self.last.len().min(200)] };
        let part = Part { index, total, bytes: Blob(Bytes::copy_from_slice(bytes)) };
        self.say(&ClientMessage::Part(part));
    }

    /// Sends the last frame again, cut or with a byte changed.
    fn mutate(&mut self) {
        let mut bytes = self.last.clone();
        if bytes.is_empty() {
            return;
        }
        let at = self.input.index(bytes.len());
        if self.input.chance(300) {
            bytes.truncate(at);
        } else {
            bytes[at] = bytes[at].wrapping_add(self.input.byte());
        }
        self.frame.extend_from_slice(&bytes);
    }

    /// The honest client goes on.
    fn honest(&mut self) {
        let now = self.line.host.now;
        match self.input.below(5) {
            0 => self.line.client.edit(now, &mut self.input),
            1 => drop(self.line.client.store_step(now, None)),
            2 => drop(self.line.deliver()),
            3 => self.line.cut(),
            _ => {
                for _ in 0..4 {
                    self.line.client.store_step(now, None);
                    self.line.carry();
                    self.line.deliver();
                }
            }
        }
    }

    fn reconnect(&mut self) {
        match self.input.below(4) {
            0 => self.line.host.replaced(),
            1 => self.line.host.unload(),
            _ => {
                self.line.host.input(self.hostile, session::Input::Disconnected);
                self.hostile = self.line.host.connect();
                self.batch = 0;
                if self.input.chance(900) {
                    self.greet();
                }
            }
        }
    }

    /// What the server says to the hostile client decodes, and what it acknowledges is in the log.
    fn acks(&mut self) {
        let mut logs = None;
        while let Some((_, bytes)) = self.line.to_others.pop_front() {
            for message in ServerMessage::decode_all(&bytes).expect("the server sends messages") {
                let ServerMessage::Ack(ack) = message else { continue };
                let host = &mut self.line.host;
                let names = [DOCUMENT, "other", "doc/below"];
                let logs = logs.get_or_insert_with(|| {
                    let names = names.iter().map(|name| name.parse().expect("a name"));
                    names.filter_map(|name| host.log(&name)).collect::<Vec<Log>>()
                });
                let last = LogSeq((ack.first.0 + u64::from(ack.count)).saturating_sub(1));
                let there = logs.iter().any(|log| log.digest_at(last) == Some(ack.digest));
                assert!(there || ack.count == 0, "acknowledged, and in no log: {ack:?}");
            }
        }
    }

    /// All is well again: the honest client must end up with the whole log.
    fn close(&mut self) {
        let agreed = self.line.settle(|line| {
            let heads = line.client.heads();
            let log = line.host.log(&document());
            let of_log = log.map(|log| log.table().heads().copied().collect::<Vec<_>>());
            let idle = line.client.replica.status(line.client.id).is_some_and(|status| status.pending == 0);
            heads.is_some() && heads == of_log && idle || line.host.quarantined().is_some()
        });
        assert_eq!(self.line.host.quarantined(), None);
        let status = self.line.client.replica.status(self.line.client.id);
        assert!(agreed || self.read_only(), "the honest client does not come to agree: {status:?}");
        self.line.client.input(self.line.host.now, ReplicaInput::NetworkChanged);
    }

    /// Whether the honest client may not write, so that its own edits have nowhere to go.
    fn read_only(&self) -> bool {
        self.line.host.grant.as_ref().is_some_and(|scopes| scopes.iter().all(|s| s.access == Access::Read))
    }
}
